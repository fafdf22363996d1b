#!/usr/bin/python3
"""A process is killed while the tree is being restarted: refused with one line, nothing left, and peers outside have noticed nothing."""
import array
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios

import lib
from lib import B, check, main, one_line, say, until

# Three generations; the youngest holds the connection, if there is one.
PROGRAM = '''
import os, signal, socket, sys
peer = None
if len(sys.argv) > 1:
    peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
child = os.fork()
if not child:
    grandchild = os.fork()
    if not grandchild:
        open("youngest", "w").write(str(os.getpid()))
        while peer:
            peer.sendall(peer.recv(100).upper())
    while True:
        signal.pause()
open("middle", "w").write(str(child))
while True:
    signal.pause()
'''
PHASES = b'loading\nchecking\nbuilding\nprocesses\n'


class Tree:
    def __init__(self, *words):
        self.dir = tempfile.mkdtemp(prefix='skt-late.')
        os.mkdir(f'{self.dir}/tmp')
        self.env = dict(os.environ, TMPDIR=f'{self.dir}/tmp')
        p = subprocess.Popen([sys.executable, '-c', PROGRAM, *words], cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=dict(self.env, LD_PRELOAD=f'{B}/libskshim.so', SKSHIM_DIR=f'{self.dir}/images'))
        self.root = p.pid
        self.middle = until('the child', lambda: self.number('middle'))
        self.youngest = until('the grandchild', lambda: self.number('youngest'))
        self.process = p

    def number(self, name):
        try:
            return int(open(f'{self.dir}/{name}').read() or 0)
        except OSError:
            return 0

    def stop(self):
        said = subprocess.run([f'{B}/skshim', 'checkpoint', '--stop', str(self.root)], env=self.env, capture_output=True, text=True)
        check(said.returncode == 0, said.stderr)
        self.process.wait()
        until('the end of the others', lambda: not lib.below())

    def restart(self, **more):
        return subprocess.Popen([f'{B}/skshim-restart', f'{self.dir}/images'], cwd=self.dir, stdin=subprocess.DEVNULL, env=self.env, **more)

    def fails(self, what, victim, *options):
        """The restart stands before its phase "memory", since nobody reads what it says; then the victim is killed."""
        r, w = os.pipe()
        room = fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
        os.write(w, b'x' * (room - len(PHASES) - 1))
        before, out_before = lib.below(), lib.outside(f'{self.dir}')
        with open(f'{self.dir}/said', 'w+') as said:
            p = subprocess.Popen([f'{B}/skshim-restart', '--status-fd', str(w), *options, f'{self.dir}/images'], cwd=self.dir, env=self.env,
                                 stdin=subprocess.DEVNULL, stdout=said, stderr=said, pass_fds=[w])
        os.close(w)
        try:
            # a number may be tried before it is the process's
            until(f'{what}: its phases', lambda: waiting(r) == room - 1 or p.poll() is not None)
            pid = until(f'{what}: process {victim}', lambda: next((q for q in lib.below() if lib.inner(q) == victim and stands(q)), p.poll()))
            check(p.poll() is None, f'{what}: ended with {p.poll()}:', open(f'{self.dir}/said').read())
            os.kill(pid, signal.SIGKILL)
            with os.fdopen(r, 'rb') as f:
                f.read()
            status = p.wait(lib.LIMIT)
            line = one_line(open(f'{self.dir}/said').read())
        finally:
            lib.kill(p.pid)
        check(status == 125 and f'pid {victim} ' in line, f'{what}: ended with {status}: {line}')
        check(not lib.below() - before, f'{what}: left processes {lib.below() - before}')
        os.unlink(f'{self.dir}/said')
        check(not lib.outside(f'{self.dir}') - out_before, f'{what}: left', lib.outside(f'{self.dir}') - out_before)
        say(f'  {what}: {line}')

    def remove(self):
        lib.kill_below()
        shutil.rmtree(self.dir)


def waiting(fd):
    """Bytes in the pipe."""
    n = array.array('i', [0])
    fcntl.ioctl(fd, termios.FIONREAD, n)
    return n[0]


def stands(pid):
    """It waits in its script: nothing of the restart's program is left in it. Who may not look takes it at any moment."""
    try:
        with open(f'/proc/{pid}/maps') as f:
            return 'skshim-restart' not in f.read()
    except PermissionError:
        return True
    except OSError:
        return False


def killed():
    """the root, its child, its grandchild"""
    tree = Tree()
    tree.stop()
    for what in 'youngest', 'middle', 'root':
        tree.fails(what, getattr(tree, what))
    p = tree.restart()
    until('the tree runs', lambda: any(lib.inner(q) == tree.youngest and stands(q) for q in lib.below()))
    check(p.poll() is None, 'the restart ended with', p.poll())
    tree.remove()


def outside():
    """with a connection to the outside that goes on"""
    if os.getuid():
        return 'connections to outside go on only with CAP_NET_ADMIN'
    with socket.create_server(('127.0.0.1', 0)) as listener:
        tree = Tree(str(listener.getsockname()[1]))
        peer = listener.accept()[0]
    peer.settimeout(lib.LIMIT)
    peer.sendall(b'before')
    check(peer.recv(100) == b'BEFORE', 'no answer before')
    tree.stop()
    peer.sendall(b'meanwhile')
    for what in 'youngest', 'root':
        tree.fails(what, getattr(tree, what))
    p = tree.restart()
    check(peer.recv(100) == b'MEANWHILE', 'no answer afterwards')
    check(p.poll() is None, 'the restart ended with', p.poll())
    tree.remove()


main(killed, outside)
