#!/usr/bin/python3
"""Images that are damaged, incomplete, or of elsewhere: refused with one line, nothing started, nothing left."""
import os
import shutil
import subprocess

from lib import B, Target, below, check, main, say, until

target = Target(mib=1)
image = target.must_checkpoint()
target.kill()
names = sorted(os.listdir(image))
copy = f'{target.dir}/copy'


def fresh():
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(image, copy)
    return copy


def flipped():
    """one bit of sampled bytes of every file"""
    for name in names:
        size = os.path.getsize(f'{image}/{name}')
        places = {0, 1, 9, 40, size // 3, size // 2, size - 40, size - 9, size - 1} | {size * i // 12 for i in range(12)}
        if name.endswith('.pages'):
            places = {0, 4095, size // 2, size - 1}
        line = ''
        for at in sorted(p for p in places if 0 <= p < size):
            with open(f'{fresh()}/{name}', 'r+b') as f:
                f.seek(at)
                byte = f.read(1)[0]
                f.seek(at)
                f.write(bytes([byte ^ 1 << at % 8]))
            line = target.refused(f'{name} byte {at}', 'image', image=copy, quiet=True)
        say(f'  {name}: {len(places)} places: {line}')


def truncated():
    """every file, by a byte, by half, to nothing; and longer by one byte"""
    for name in names:
        size = os.path.getsize(f'{image}/{name}')
        for left in (size - 1, size // 2, 0, size + 1):
            os.truncate(f'{fresh()}/{name}', left)
            target.refused(f'{name} cut to {left} of {size}', 'image', image=copy, quiet=left != 0)


def missing():
    """every file"""
    for name in names:
        os.unlink(f'{fresh()}/{name}')
        target.refused(f'{name} missing', 'manifest|image' if name == 'manifest' else name.replace('.', r'\.'), image=copy)
        os.symlink(f'{image}/{name}', f'{copy}/{name}')
        target.refused(f'{name} a symbolic link', '.', image=copy)
        os.unlink(f'{copy}/{name}')
        os.mkdir(f'{copy}/{name}')
        target.refused(f'{name} a directory', '.', image=copy)
        os.rmdir(f'{copy}/{name}')
        os.mkfifo(f'{copy}/{name}')
        target.refused(f'{name} a fifo', '.', image=copy)
    if os.getuid():
        os.chmod(f'{fresh()}/{names[0]}', 0)
        target.refused(f'{names[0]} unreadable', 'Permission denied', image=copy)


def extra():
    """a file that does not belong there"""
    open(f'{fresh()}/extra', 'w').close()
    target.refused('an extra file', 'extra', image=copy)


def no_image():
    """no directory, an empty one, one whose `latest` leads nowhere"""
    empty = f'{target.dir}/empty'
    os.mkdir(empty)
    target.refused('an empty directory', 'empty', image=empty)
    os.symlink('000009', f'{empty}/latest')
    target.refused('latest leads nowhere', 'empty', image=empty)
    status, out, err = target.restart(f'{target.dir}/nothing')
    check(status == 125 and err.startswith('skshim: ') and err.count('\n') == 1, 'no directory:', status, err)
    status, out, err = target.restart(f'{image}/manifest')
    check(status == 125 and err.startswith('skshim: ') and err.count('\n') == 1, 'a file:', status, err)


def elsewhere():
    """another format, architecture, page size, processor: hashes right"""
    def patch(*words):
        subprocess.run([f'{B}/tests/fault/patch', fresh(), *words], check=True)

    patch('version', '99')
    target.refused('another format', '99', image=copy)
    patch('version', '0')
    target.refused('format 0', 'manifest', image=copy)
    patch('arch', 'aarch64')
    target.refused('another architecture', 'aarch64', image=copy)
    patch('page', '65536')
    target.refused('other pages', '65536', image=copy)
    patch('xcr0', '0x4000000000000000')
    target.refused('another processor', 'processor', image=copy)
    patch('drop')
    target.refused('a file the manifest does not know', '.', image=copy)


def program_changed():
    """a mapped binary is another one, or gone"""
    mine = f'{target.dir}/target'
    before = below()
    shutil.copy2(f'{B}/tests/fault/target', mine)
    other = Target(mib=0, program=mine)
    other.must_checkpoint()
    other.kill()
    until('nothing runs it', lambda: not below() - before)    # who wrote the image ends after it is there
    with open(mine, 'r+b') as f:
        data = bytearray(f.read())
        note = data.index(b'GNU\0') + 4
        data[note] ^= 0xff
        f.seek(0)
        f.write(data)
    other.refused('another build of the program', 'has changed')
    os.truncate(mine, len(data) - 1)
    other.refused('a shorter program', 'has changed')
    os.unlink(mine)
    other.refused('no program', 'No such file')
    shutil.copy2(f'{B}/tests/fault/target', mine)
    other.restarted('the old one put back')
    other.remove()


def whole():
    """and the image as it was restarts"""
    target.restarted('the image', image)
    until('the end', lambda: True)


main(flipped, truncated, missing, extra, no_image, elsewhere, program_changed, whole)
target.remove()
