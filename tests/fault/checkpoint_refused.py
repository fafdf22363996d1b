#!/usr/bin/python3
"""Checkpoints that can't be made: the program goes on as if nobody had asked, one line says why, earlier images stay."""
import glob
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import lib
from lib import Target, check, main, one_line, say, tree_hash, until

ROOT = os.getuid() == 0
target = Target(mib=4)
image = target.must_checkpoint()


def partial(t):
    return [f for f in os.listdir(t.images) if f.startswith('.')] if os.path.isdir(t.images) else []


def must_fail(t, what, *words, intact=True):
    """One line, on skshim checkpoint's standard error and in the log; nothing else has changed."""
    image_before = tree_hash(t.images) if intact else None
    first, below, size = t.maps()[1], lib.below(), len(open(t.log).read()) if os.path.exists(t.log) else 0
    status, out, err = t.checkpoint()
    check(status == 1, f'{what}: ended with {status}: {out}{err}')
    line = one_line(err)
    check('cannot checkpoint: ' in line and out == '', f'{what}: {out}{line}')
    for word in words:
        check(word in line, f'{what}: no {word!r} in: {line}')
    check(open(t.log).read()[size:] == line + '\n', f'{what}: the log says', repr(open(t.log).read()[size:]), 'the command', repr(line))
    t.unchanged(what)
    t.same_descriptors(what, first)
    until(f'{what}: no process is left', lambda: not lib.below() - below)
    if intact:
        check(not partial(t), f'{what}: left {partial(t)}')
        check(tree_hash(t.images) == image_before, f'{what}: earlier images have changed')
    say(f'  {what}: {line}')


def must_work(t, what):
    first = t.maps()[1]
    t.must_checkpoint()
    t.unchanged(what)
    t.same_descriptors(what, first)
    check(not partial(t), f'{what}: left {partial(t)}')
    say(f'  {what}: works')


def mounted(options, act):
    """`act` while a small file system lies over the images."""
    inner = f'{target.images}'
    lib.check(subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'none', inner]).returncode == 0, 'mount')
    try:
        act()
    finally:
        subprocess.run(['umount', inner], check=True)


def no_space():
    """a file system of 512 KiB; one without inodes"""
    if not ROOT:
        return 'only root can mount one'
    mounted('size=512k', lambda: must_fail(target, 'no space', 'No space left'))
    mounted('nr_inodes=4', lambda: must_fail(target, 'no inodes', 'No space left'))
    must_work(target, 'afterwards')


def read_only():
    """a file system that can't be written"""
    if not ROOT:
        return 'only root can mount one'
    mounted('ro', lambda: must_fail(target, 'read-only', 'Read-only file system'))
    must_work(target, 'afterwards')


def no_permission():
    """a directory in which nothing can be made"""
    if ROOT:
        return 'root may do everything'
    os.chmod(target.images, 0o500)
    must_fail(target, 'no permission', 'Permission denied')
    os.chmod(target.images, 0o700)
    must_work(target, 'afterwards')


def directory_gone():
    """it is made again; a file in its place is in the way"""
    os.rename(target.images, f'{target.dir}/aside')
    with open(target.images, 'w') as f:
        f.write('precious')
    must_fail(target, 'a file in its place', 'Not a directory', intact=False)
    check(open(target.images).read() == 'precious', 'the file has changed')
    os.unlink(target.images)
    must_work(target, 'made again')
    shutil.rmtree(target.images)
    os.rename(f'{target.dir}/aside', target.images)


def limited(which, limit, act, hard=None):
    old = resource.prlimit(target.pid, which)
    resource.prlimit(target.pid, which, (limit, old[1] if hard is None else hard))
    try:
        act()
    finally:
        resource.prlimit(target.pid, which, old)


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def file_size():
    """RLIMIT_FSIZE: the soft limit is the program's, the hard one is everybody's"""
    limited(resource.RLIMIT_FSIZE, 16 << 10, lambda: must_work(target, 'file size 16 KiB'))
    other = Target(mib=1)
    resource.prlimit(other.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    must_fail(other, 'file size 1 MiB at most', 'File too large')
    resource.prlimit(other.pid, resource.RLIMIT_FSIZE, (16 << 10, 16 << 10))
    must_fail(other, 'file size 16 KiB at most', 'File too large')
    other.remove()
    other = Target(mib=4, preexec=small_files)
    must_work(other, 'started with 1 MiB')
    check(resource.prlimit(other.pid, resource.RLIMIT_FSIZE)[0] == 1 << 20, 'the limit is another')
    other.remove()
    must_work(target, 'afterwards')


def descriptors():
    """RLIMIT_NOFILE reached by the program: the soft limit is no obstacle, at the hard one it may be refused"""
    other = Target(mib=1)

    def act(t, spare, must):
        before = t.maps()[1]
        status, _, err = t.checkpoint()
        check(status == 0 or (not must and status == 1 and one_line(err)), f'{spare} descriptors to spare: {status} {err}')
        t.same_descriptors('now', before)
        check(not partial(t), 'left', partial(t))
        if spare > 1:            # or it can't tell
            t.unchanged(f'{spare} descriptors to spare')
        if status:
            say(f'  {spare} to spare: {err.strip()}')

    def highest(t):
        return max(int(fd) for fd in t.maps()[1] if int(fd) < 256) + 1

    for spare in range(11, -1, -1):
        limited(resource.RLIMIT_NOFILE, highest(target) + spare, lambda: act(target, spare, True))
        resource.prlimit(other.pid, resource.RLIMIT_NOFILE, (highest(other) + spare,) * 2)
        act(other, spare, False)
    other.remove()
    must_work(target, 'afterwards')


def processes():
    """RLIMIT_NPROC: no fork, so it is written while the program stands"""
    if ROOT:
        return 'root has no such limit'
    limited(resource.RLIMIT_NPROC, 1, lambda: must_work(target, 'no process may be made'))


def address_space():
    """RLIMIT_AS: works or is refused"""
    size = target.maps()[0]
    for more in (0, 64 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 512 << 20):
        def act():
            before = target.maps()[1]
            status, _, err = target.checkpoint()
            check(status == 0 or (status == 1 and one_line(err)), f'{more} bytes to spare: {status} {err}')
            target.same_descriptors('now', before)
            say(f'  {more >> 10} KiB to spare: {err.strip() or "works"}')
        limited(resource.RLIMIT_AS, size + more, act)
        check(not partial(target), 'left', partial(target))
        target.unchanged(f'{more} bytes to spare')
    must_work(target, 'afterwards')
    check(target.maps()[0] <= size + (4 << 20), 'mappings were', size, 'are', target.maps()[0])


def writer():
    return lib.named('skshim-writer')


def writer_killed():
    """the process that writes the image is killed half-way"""
    big = Target(mib=256)
    big.must_checkpoint()
    hits = 0
    for delay in (0, 0.005, 0.02, 0.05):
        before = tree_hash(big.images)
        command = subprocess.Popen([f'{lib.B}/skshim', 'checkpoint', str(big.pid)], env=big.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pid = until('a writer', lambda: writer() or command.poll() is not None)
        time.sleep(delay)
        if pid is not True:
            lib.kill(pid)
        out, err = command.communicate(timeout=lib.LIMIT)
        if command.returncode == 0:
            check(not partial(big), 'left', partial(big))
            continue
        hits += 1
        line = one_line(err)
        check(command.returncode == 1, 'ended with', command.returncode)
        big.unchanged(f'killed after {delay} s')
        check({k for k in os.listdir(big.images) if k[0] != '.'} == {'000001', 'latest'} or hits < 4, os.listdir(big.images))
        say(f'  killed after {delay} s: {line}')
        if not partial(big):
            check(tree_hash(big.images) == before, 'earlier images have changed')
    check(hits, 'no writer was met')
    must_work(big, 'afterwards')
    check(not partial(big), 'left', partial(big))
    big.remove()


def leader_killed():
    """the program is killed half-way: what there is restarts"""
    target.kill()
    for delay in (0, 0.001, 0.003, 0.01, 0.03, 0.1):
        big = Target(mib=64)
        big.must_checkpoint()
        command = subprocess.Popen([f'{lib.B}/skshim', 'checkpoint', str(big.pid)], env=big.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.002 + delay)
        big.kill()
        out, err = command.communicate(timeout=lib.LIMIT)
        try:
            until('the end of the writer', lambda: not lib.below())
        except lib.Failure as e:
            raise lib.Failure(f'killed after {delay} s: {e}: {lib.states(lib.below())}') from None
        complete = sorted(f for f in os.listdir(big.images) if f[0] != '.')
        check(command.returncode == 0 or one_line(err), command.returncode, err)
        say(f'  killed after {delay + 0.002:.3f} s: {complete} {(out + err).strip()}')
        check((command.returncode == 0) == ('000002' in complete), 'said', out, err, 'and there is', complete)
        big.restarted(f'killed after {delay} s')
        big.remove()


SHARERS = """
import ctypes, mmap, os, time
child = ctypes.CDLL(None).syscall(56, 0x400 | 17, 0, 0, 0, 0)     # clone(CLONE_FILES | SIGCHLD)
if child == 0:
    memory = mmap.mmap(-1, 256 << 20)     # shared: it is written while all stand
    for at in range(0, len(memory), 4096):
        memory[at] = 1
    open('ready', 'w').close()
while True:
    os.utime('ready') if child == 0 else os.utime('.')
    time.sleep(0.01)
"""


def sharer_killed():
    """the leader is killed half-way, whose table of descriptors its parent has, too: the parent doesn't wait for ever"""
    t = Target(mib=1)    # its directory and environment
    t.kill()
    p = subprocess.Popen([sys.executable, '-c', SHARERS], cwd=t.work, env=dict(t.env, LD_PRELOAD=f'{lib.B}/libskshim.so'))
    until('memory', lambda: os.path.exists(f'{t.work}/ready'))
    leader = (lib.below(p.pid) - {p.pid}).pop()
    os.kill(leader, signal.SIGUSR2)
    until('a part of its image', lambda: any(os.path.getsize(f) > 1 << 20 for f in glob.glob(f'{t.images}/.*.partial/{leader}.pages*')))
    lib.kill(leader)
    stopped = os.stat(t.work).st_mtime_ns
    until('the other goes on', lambda: os.stat(t.work).st_mtime_ns > stopped + 10**6)
    p.kill()
    p.wait()
    t.remove()


def restarts():
    """after all of this: a checkpoint and a restart"""
    target.must_checkpoint()
    target.kill()
    target.restarted('at the end')
    target.restarted('with small files', preexec=small_files)


main(no_space, read_only, no_permission, directory_gone, file_size, descriptors, processes, address_space, writer_killed, sharer_killed, restarts,
     leader_killed)
target.remove()
