#!/usr/bin/python3
"""Files that are open at a checkpoint and renamed, rewritten or deleted afterwards."""
import os
import shutil
import socket
import subprocess
import tempfile

import lib
from lib import B, LIMIT, check, main, say, until

ROOT = os.getuid() == 0
# It does what it is told: evaluates the line that is sent to it, and answers.
PROGRAM = '''
import os, socket
s = socket.socket(socket.AF_UNIX)
s.bind('socket')
s.listen()
while True:
    c, _ = s.accept()
    with c, c.makefile('rw') as f:
        f.write(repr(eval(f.readline())))
'''


class Program:
    def __init__(self, **env):
        self.dir = tempfile.mkdtemp(prefix='skf.')
        self.work, self.images, self.log = f'{self.dir}/work', f'{self.dir}/images', f'{self.dir}/log'
        os.mkdir(self.work)
        self.env = dict(os.environ, SKSHIM_DIR=self.images, SKSHIM_LOG=f'warn:{self.log}', **env)
        self.start(['/usr/bin/python3', '-c', PROGRAM], LD_PRELOAD=f'{B}/libskshim.so')

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, argv, **env):
        with open(f'{self.dir}/out', 'a') as out:
            before = out.tell()
            self.process = subprocess.Popen(argv, cwd=self.work, env=dict(self.env, **env), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        until('it answers', lambda: self.process.poll() is not None or self.try_ask('1'))
        self.said = open(f'{self.dir}/out').read()[before:]
        check(self.process.poll() is None, 'it ended:', self.said)
        self.pid = lib.named('python')

    def try_ask(self, what):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(LIMIT)
            try:
                s.connect(f'{self.work}/socket')
                s.sendall(f'{what}\n'.encode())
                return s.makefile().read()
            except OSError:
                return None

    def ask(self, what):
        answer = self.try_ask(what)
        check(answer, what, 'is not answered:', open(f'{self.dir}/out').read())
        return eval(answer)

    def opened(self, name, flags, text=b'0123456789'):
        """A descriptor of a file with this in it."""
        self.write(name, text)
        return self.ask(f'os.open({name!r}, os.{flags.replace("|", "|os.")})')

    def checkpoint(self, *options):
        p = subprocess.run([f'{B}/skshim', 'checkpoint', *options, str(self.pid)], env=self.env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
        check(p.returncode == 0, p.stdout, p.stderr)

    def kill(self):
        lib.kill_below()
        self.process.wait()

    def restart(self):
        """Comes back; what it said on the way."""
        self.kill()
        if os.path.exists(self.log):
            os.unlink(self.log)
        self.start([f'{B}/skshim-restart', self.images])
        return self.said + (open(self.log).read() if os.path.exists(self.log) else '')

    def refused(self, *words):
        self.kill()
        before = sorted(os.listdir(self.work))
        p = subprocess.run([f'{B}/skshim-restart', self.images], cwd=self.work, env=self.env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
        line = lib.one_line(p.stderr)
        check(p.returncode == 125, 'ended with', p.returncode, line)
        for word in words:
            check(word in line, repr(word), 'is not in:', line)
        check(sorted(os.listdir(self.work)) == before, 'left', os.listdir(self.work))
        say(f'  {line}')

    def write(self, name, text, mode='wb'):
        with open(f'{self.work}/{name}', mode) as f:
            f.write(text)

    def read(self, name):
        with open(f'{self.work}/{name}', 'rb') as f:
            return f.read()

    def rename(self, old, new):
        os.rename(f'{self.work}/{old}', f'{self.work}/{new}')


def renamed():
    """renamed and not touched: found, and announced"""
    for flags in 'O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_RDWR|O_APPEND':
        with Program() as p:
            fd = p.opened('old', flags)
            p.ask(f'os.lseek({fd}, 4, 0)')
            p.checkpoint()
            p.rename('old', 'new')
            said = p.restart()
            check('/old was renamed to' in said and said.count('\n') == 1, said)
            check(p.ask(f'os.lseek({fd}, 0, 1)') == 4, 'position')
            check(p.ask(f'os.stat({fd}).st_ino') == os.stat(f'{p.work}/new').st_ino, 'another file')
            p.checkpoint()
            check(p.restart() == '', 'announced again')


def renamed_and_written():
    """put in place by the program itself: nothing writes into it"""
    for flags in 'O_WRONLY', 'O_RDWR':
        with Program() as p:
            fd = p.opened('temporary', flags)
            p.checkpoint()
            check(p.ask(f'os.pwrite({fd}, b"more", 10)') == 4, 'write')
            p.rename('temporary', 'final')
            p.refused('/temporary was renamed to', '/final', 'SKSHIM_FILES=written')
            check(p.read('final') == b'0123456789more', 'changed')
            p.rename('final', 'temporary')
            if flags == 'O_RDWR':
                p.restart()


def rotated():
    """a log that was renamed: the program goes on with it, and not with the new one"""
    with Program() as p:
        fd = p.opened('log', 'O_WRONLY|O_APPEND')
        p.checkpoint()
        p.write('log', b'after', 'ab')
        p.rename('log', 'log.1')
        p.write('log', b'new')
        said = p.restart()
        check('log.1' in said, said)
        p.ask(f'os.write({fd}, b"again")')
        check(p.read('log') == b'new' and p.read('log.1') == b'0123456789afteragain', p.read('log'), p.read('log.1'))


def another():
    """another file under its name, with its size; a deleted one"""
    with Program() as p:
        p.opened('file', 'O_RDWR')
        p.checkpoint()
        p.write('other', b'abcdefghij')
        p.rename('other', 'file')
        p.refused('/file was replaced')
        os.unlink(f'{p.work}/file')
        p.refused('/file is gone')
        # the number of the inode may be used again
        for i in range(50):
            p.write(f'{i}', b'abcdefghij')
        p.refused('/file is gone')


def carried():
    """with SKSHIM_FILES=written: what has become of it in the meantime is left alone, and it is there again"""
    for after in 'renamed', 'deleted', 'kept':
        with Program(SKSHIM_FILES='written') as p:
            fd, again, log = p.opened('temporary', 'O_RDWR'), p.ask('os.open("temporary", os.O_RDONLY)'), p.opened('log', 'O_WRONLY|O_APPEND')
            os.chmod(f'{p.work}/temporary', 0o440)
            p.ask(f'os.lseek({fd}, 3, 0)')
            p.checkpoint()
            check(p.ask(f'os.pwrite({fd}, b"more", 10)') == 4, 'write')
            p.ask(f'os.write({log}, b"1")')
            if after == 'renamed':
                p.rename('temporary', 'final')
            elif after == 'deleted':
                os.unlink(f'{p.work}/temporary')
            p.restart()
            if after == 'renamed':
                check(p.read('final') == b'0123456789more', p.read('final'))
            st = os.stat(f'{p.work}/temporary')
            check(st.st_mode & 0o7777 == 0o440 and st.st_size == (14 if after == 'kept' else 10), st)
            check(p.ask(f'os.read({fd}, 2)') == b'34', 'position')
            check(p.ask(f'os.write({fd}, b"X")') == 1 and p.ask(f'os.pread({again}, 3, 4)') == b'4X6', 'not one file')
            p.ask(f'os.write({log}, b"2")')
            check(p.read('log') == b'012345678912', p.read('log'))
            # the word is kept for the next generation
            p.checkpoint()
            p.rename('temporary', 'later')
            p.restart()
            check(p.ask(f'os.pread({fd}, 6, 0)') == b'01234X' and p.read('temporary')[:6] == b'01234X', 'second generation')


def carried_not():
    """the name is somebody else's; it can't be made there; it is too large to be carried"""
    with Program(SKSHIM_FILES='written', SKSHIM_FILES_MAX='1M') as p:
        fd = p.opened('temporary', 'O_RDWR')
        p.checkpoint()
        p.rename('temporary', 'final')
        p.write('temporary', b'precious')
        p.ask(f'os.pwrite({fd}, b"more", 10)')
        p.refused('/temporary was replaced')
        check(p.read('temporary') == b'precious', 'changed')
        os.unlink(f'{p.work}/temporary')
        if not ROOT:
            os.chmod(p.work, 0o500)
            p.refused('/temporary is gone, and can\'t be made again there')
            os.chmod(p.work, 0o700)
        p.restart()
        fd = p.opened('large', 'O_RDWR', bytes(range(256)) * 4100)
        p.checkpoint()
        os.unlink(f'{p.work}/large')
        p.refused('/large is gone')


def carried_large():
    """more than a record holds, in two processes"""
    with Program(SKSHIM_FILES='written') as p:
        bytes_ = os.urandom(3 << 20)
        fd = p.opened('large', 'O_RDWR', bytes_)
        p.ask('os.fork() or (os.close(c.fileno()), __import__("signal").pause())')
        p.checkpoint()
        os.unlink(f'{p.work}/large')
        p.restart()
        check(p.read('large') == bytes_ and p.ask(f'os.pread({fd}, 10, 2000000)') == bytes_[2000000:2000010], 'other bytes')


def root_directory():
    """a file where a process's root directory was"""
    if not ROOT:
        return 'only root changes the root directory'
    top = tempfile.mkdtemp(prefix='skf.')
    os.mkdir(f'{top}/jail')
    program = 'chroot("jail") && chdir("/") && syswrite(STDOUT, "x") && sleep'
    p = subprocess.Popen(['/usr/bin/perl', '-e', program], cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, env=dict(os.environ, LC_ALL='C', LD_PRELOAD=f'{B}/libskshim.so', SKSHIM_DIR=f'{top}/images'))
    p.stdout.read(1)
    said = subprocess.run([f'{B}/skshim', 'checkpoint', '--stop', str(p.pid)], capture_output=True, text=True)
    check(said.returncode == 0, said.stderr)
    p.wait()
    os.rmdir(f'{top}/jail')
    for there, words in ((False, 'No such file'), (True, 'Not a directory')):
        if there:
            open(f'{top}/jail', 'w').close()
        said = subprocess.run([f'{B}/skshim-restart', f'{top}/images'], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        check(said.returncode == 125 and words in lib.one_line(said.stderr), said.stderr)
    shutil.rmtree(top)


main(renamed, renamed_and_written, rotated, another, carried, carried_not, carried_large, root_directory)
