#!/usr/bin/python3
"""What came from outside: standard input and output, sockets or pipes; what clients of another user have sent."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

import lib
from lib import B, check, main

PROGRAM = '''
import os, select, sys
watch = select.epoll()
watch.register(0, select.EPOLLIN)
os.write(1, b"ready\\n")
while not watch.poll(0.02) and not os.path.exists("go"):
    pass
os.write(1, b"read " + os.read(0, 100) + b"\\n")
'''
SERVER = '''
import os, socket
listener = socket.socket(socket.AF_UNIX)
listener.bind("listener")
os.chmod("listener", 0o777)
listener.listen(5)
os.write(1, b"bound\\n")
one = listener.accept()[0]
os.write(1, b"ready\\n")
os.read(0, 1)
os.write(1, b"first " + one.recv(100) + b" then " + listener.accept()[0].recv(100) + b"\\n")
'''
top = tempfile.mkdtemp(prefix='skt-stdio.')
env = dict(os.environ, LD_PRELOAD=f'{B}/libskshim.so', SKSHIM_DIR=f'{top}/images')


def sockets():
    return [s.detach() for s in socket.socketpair()]


def pipe():
    return list(os.pipe())


def heard(fd, text):
    got = b''
    while text not in got:
        more = os.read(fd, 1000)
        check(more, f'only {got} came')
        got += more


def stopped(pair):
    """The program, started with ends of pairs, and ended by a checkpoint."""
    shutil.rmtree(f'{top}/images', ignore_errors=True)
    stdin, stdout = pair(), pair()
    p = subprocess.Popen([sys.executable, '-c', PROGRAM], env=env, cwd=top, stdin=stdin[0], stdout=stdout[1], stderr=subprocess.DEVNULL)
    heard(stdout[0], b'ready')
    said = subprocess.run([f'{B}/skshim', 'checkpoint', '--stop', str(p.pid)], capture_output=True, text=True)
    check(said.returncode == 0, said.stderr)
    p.wait()
    for fd in stdin + stdout:
        os.close(fd)


def again(pair):
    """restarted with others of the same kind"""
    stopped(pair)
    stdin, stdout = pair(), pair()
    p = subprocess.Popen([f'{B}/skshim-restart', f'{top}/images'], cwd=top, stdin=stdin[0], stdout=stdout[1], stderr=subprocess.PIPE, text=True)
    os.write(stdin[1], b'line')
    heard(stdout[0], b'read line')
    check(p.wait(lib.LIMIT) == 0, p.stderr.read())
    for fd in stdin + stdout:
        os.close(fd)


def nothing(pair):
    """restarted with a file that no epoll can watch"""
    stopped(pair)
    open(f'{top}/go', 'w').close()
    p = subprocess.run([f'{B}/skshim-restart', f'{top}/images'], cwd=top, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    check(p.returncode == 0 and 'read ' in p.stdout, p.stdout, p.stderr)
    check('the watch of number 0' in p.stderr, p.stderr)
    os.unlink(f'{top}/go')


def by_sockets():
    """by sockets"""
    again(sockets)
    nothing(sockets)


def by_pipes():
    """by pipes"""
    again(pipe)
    nothing(pipe)


def strangers():
    """root's clients have sent something to an ordinary user's program: one is accepted, one isn't"""
    if os.getuid():
        return
    shutil.rmtree(f'{top}/images', ignore_errors=True)
    user = {'user': 1000, 'group': 1000, 'extra_groups': [], 'cwd': top}
    os.chown(top, 1000, 1000)
    for restart in False, True:
        stdin, stdout = pipe(), pipe()
        command = [f'{B}/skshim-restart', f'{top}/images'] if restart else [sys.executable, '-c', SERVER]
        p = subprocess.Popen(command, env=os.environ if restart else env, stdin=stdin[0], stdout=stdout[1], stderr=subprocess.PIPE, **user)
        os.close(stdin[0])
        os.close(stdout[1])
        if not restart:
            heard(stdout[0], b'bound')
            clients = [socket.socket(socket.AF_UNIX) for _ in range(2)]
            for c, text in zip(clients, (b'one', b'two')):
                c.connect(f'{top}/listener')
                c.send(text)
            heard(stdout[0], b'ready')
            said = subprocess.run([f'{B}/skshim', 'checkpoint', '--stop', str(p.pid)], capture_output=True, text=True, **user)
            check(said.returncode == 0, said.stderr)
        else:
            os.write(stdin[1], b'x')
            heard(stdout[0], b'first one then two')
        check(p.wait(lib.LIMIT) == 0 or not restart, p.stderr.read())


main(by_sockets, by_pipes, strangers)
shutil.rmtree(top)
