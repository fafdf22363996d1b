#!/usr/bin/python3
"""Standard input and output by a launcher's sockets or pipes, watched by an epoll: the restart's own take their place."""
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


main(by_sockets, by_pipes)
shutil.rmtree(top)
