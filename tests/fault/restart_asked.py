#!/usr/bin/python3
"""A checkpoint is asked for while the tree is being restarted, at any of its moments: it is made once the tree is back."""
import os
import re
import signal
import subprocess
import time

import lib
from lib import B, Target, check, main, say, until

target = Target(mib=48, threads=8)
target.must_checkpoint('--stop')
target.process.wait()


def restart(what, ask):
    """Restarts and, the moment the process's number is there, calls ask(its number out here, the restart)."""
    r, w = os.pipe()
    with open(f'{target.dir}/restart', 'w+') as errors:
        p = subprocess.Popen([f'{B}/skshim-restart', '--status-fd', str(w), target.images], env=target.env, stdin=subprocess.DEVNULL,
                             stdout=errors, stderr=errors, cwd=target.work, pass_fds=[w])
    os.close(w)
    try:
        # until then the number may be a process's that only tries whether it is to be had
        with open(r) as status:
            check('processes\n' in iter(status.readline, ''), f'{what}:', open(f'{target.dir}/restart').read())
        pid = until(f'{what}: the process', lambda: next((q for q in lib.below(p.pid) if lib.inner(q) == target.pid), p.poll()))
        check(p.poll() is None, f'{what}: the restart ended with {p.poll()}:', open(f'{target.dir}/restart').read())
        ask(pid, p)
        until(f'{what}: the restarted program answers', lambda: target.try_ask() or p.poll() is not None)
        check(p.poll() is None, f'{what}: the restart ended with {p.poll()}:', open(f'{target.dir}/restart').read())
        target.unchanged(what)
    finally:
        lib.kill_below()
        p.wait()


def number():
    return int(os.readlink(f'{target.images}/latest'))


def command():
    """skshim checkpoint, of the program and of the restart that waits for it"""
    for i in range(10):
        def ask(pid, p, i=i):
            time.sleep(i * 0.005)
            said = subprocess.run([f'{B}/skshim', 'checkpoint', str(p.pid if i % 4 == 3 else pid)], env=target.env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=lib.LIMIT)
            check(said.returncode == 0, f'asked {i * 5} ms in, {pid} below {p.pid}: {said.stdout}')
        before = number()
        restart(f'asked {i * 5} ms in', ask)
        check(number() == before + 1, f'images {before} to {number()}')


def signalled():
    """the checkpoint signal itself, as a batch system sends it: to the program, or to the restart"""
    for i in range(10):
        def ask(pid, p, i=i):
            time.sleep(i * 0.005)
            os.kill(p.pid if i % 2 else pid, signal.SIGUSR2)
            until(f'the image, signalled {i * 5} ms in, {pid} below {p.pid}', lambda: number() > before or p.poll() is not None)
        before = number()
        restart(f'signalled {i * 5} ms in', ask)
        check(number() == before + 1, f'images {before} to {number()}')


def shows_tree(pid):
    try:
        with open(f'/proc/{pid}/maps') as f:
            return re.search(r'/skshim-\d', f.read())
    except OSError:
        return False


def stood_in(p, root):
    """The tree's root is held before all are in their groups: who stands in for the orphan's parent then; None: it was too late."""
    def caught():
        try:
            os.kill(root, signal.SIGSTOP)
            return True
        except ProcessLookupError:
            return p.poll()
    end = time.monotonic() + lib.LIMIT
    while not caught():
        check(time.monotonic() < end, 'the root never came')
    children = open(f'/proc/{p.pid}/task/{p.pid}/children').read().split()
    return next((int(pid) for pid in children if int(pid) != root and shows_tree(pid)), None)


def stand_in():
    """of a process that is there for a moment only, in the place of one that is gone"""
    if os.getuid():
        return 'an ordinary user restarts in a pid namespace of its own'
    top, root = lib.stopped_orphan(target)
    for _ in range(100):
        p = subprocess.Popen([f'{B}/skshim-restart', f'{top}/images'], env=target.env, cwd=top, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pid = stood_in(p, root)
        if pid:
            break
        lib.kill_below()
        p.wait()
    else:
        return 'it was never caught'
    asked = subprocess.Popen([f'{B}/skshim', 'checkpoint', str(pid)], env=target.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    until('it looks at the tree', lambda: shows_tree(asked.pid) or asked.poll() is not None)
    os.kill(root, signal.SIGCONT)
    out = asked.communicate(timeout=lib.LIMIT)[0]
    check(asked.returncode == 0, out)
    lib.kill_below()
    p.wait()


main(command, signalled, stand_in)
target.remove()
