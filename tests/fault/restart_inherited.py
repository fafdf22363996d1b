#!/usr/bin/python3
"""A listener that a supervisor holds, and hands to the program as its descriptor 3: it is handed in again at each restart."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

import lib
from lib import B, check, main, one_line, until

# Counts who comes; one that says "stay" is kept.
PROGRAM = '''
import os, socket
listener = socket.socket(fileno=3)
os.write(1, b"ready\\n")
n, kept = 0, []
while True:
    c = listener.accept()[0]
    n += 1
    kept += [c] if c.recv(10) == b"stay" else []
    c.sendall(b"%d" % n)
    if c not in kept:
        c.close()
'''
top = tempfile.mkdtemp(prefix='skt-lent.')
images = f'{top}/images'


def start(words, listener, number, **env):
    def hand():
        os.dup2(listener.fileno(), number)
        os.set_inheritable(number, True)
    return subprocess.Popen(words, preexec_fn=hand, close_fds=False, cwd=top, env=dict(os.environ, **env), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ask(listener, what=b'go'):
    """Its answer, and the connection."""
    s = socket.socket(listener.family)
    s.settimeout(lib.LIMIT)
    s.connect(listener.getsockname())
    s.sendall(what)
    return int(s.recv(10)), s


def restart(listener, *keys):
    return start([f'{B}/skshim-restart', *(w for k in keys for w in ('--inherit-fd', k)), images], listener, 9)


def refused(listener, words, *keys):
    p = restart(listener, *keys)
    out, err = p.communicate(timeout=lib.LIMIT)
    line = [line for line in err.splitlines() if 'cannot restart' in line]
    check(p.returncode == 125 and len(line) == 1 and words in line[0], p.returncode, err)


def generations(listener, *keys):
    shutil.rmtree(images, ignore_errors=True)
    p = start([sys.executable, '-c', PROGRAM], listener, 3, LD_PRELOAD=f'{B}/libskshim.so', SKSHIM_DIR=images)
    check(p.stdout.readline() == 'ready\n', 'the program ended')
    pid, n = p.pid, 0
    for key in keys:
        n += 1
        check(ask(listener)[0] == n, key, 'before the checkpoint')
        stays = ask(listener, b'stay')
        n += 1
        check(stays[0] == n, key, 'one that stays')
        said = subprocess.run([f'{B}/skshim', 'checkpoint', '--stop', str(pid)], capture_output=True, text=True)
        check(said.returncode == 0, said.stderr)
        p.wait()
        stays[1].close()
        # it waits with the supervisor's listener meanwhile
        early = socket.socket(listener.family)
        early.settimeout(lib.LIMIT)
        early.connect(listener.getsockname())
        early.sendall(b'go')
        p = restart(listener, key)
        n += 1
        try:
            check(int(early.recv(10)) == n, key, 'one that waited')
        except OSError as e:
            raise lib.Failure(f'{key}: {e}: {p.poll()} {p.stderr.read() if p.poll() is not None else ""}') from None
        pid = lib.named('python', p.pid)
    lib.kill_below()
    p.wait()


def tcp():
    """over TCP, by its number and its name"""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        name = '%s:%d' % listener.getsockname()
        generations(listener, '9:3', f'9:{name}', '9:3')
        refused(listener, 'in use')
        refused(listener, 'nothing in the image takes it', '9:3', '9:77')
        refused(listener, 'no listening socket', '0:3')
    with socket.create_server(('127.0.0.1', 0)) as other:
        # it need not be the same one
        p = restart(other, '9:3')
        check(ask(other)[0] > 1, 'another listener')
        lib.kill_below()
        p.wait()


def unix():
    """unix sockets, with a file and without"""
    for name, key in ((f'{top}/socket', f'9:{top}/socket'), (f'\0{top}', f'9:@{top}')):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
            listener.listen(5)
            generations(listener, '9:3', key, '9:3')
            refused(listener, 'no listening socket', '0:3')
            refused(listener, 'in use')


main(tcp, unix)
shutil.rmtree(top)
