#!/usr/bin/python3
"""What the restart needs belongs to somebody else: refused with one line, nothing started, nothing left."""
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

import lib
from lib import B, Target, check, main, say, until

ROOT = os.getuid() == 0
target = Target(mib=1)
port = int(open(f'{target.work}/port').read())
image = target.must_checkpoint()


def running():
    """the original still runs"""
    target.refused('the original runs', 'still running')
    os.kill(target.pid, signal.SIGSTOP)
    target.refused('the original is stopped', 'still running')
    os.kill(target.pid, signal.SIGCONT)
    beat = target.ask()['beat']
    until('a beat', lambda: int(target.ask()['beat']) > int(beat) + 1)
    first, target.first = target.first, target.ask()    # the stop made epoll_wait() return EINTR: signal(7)
    target.unchanged('after refusals')
    target.first = first
    target.kill()


def tcp_port():
    """a listener, or a bound socket, at the same port"""
    with socket.socket() as s:
        s.bind(('127.0.0.1', port))
        target.refused('the port is bound', str(port))
        s.listen()
        target.refused('the port has a listener', str(port))
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('0.0.0.0', port))
        s.listen()
        target.refused('the port has a listener on all addresses', str(port))


def unix_path():
    """somebody listens there, or it is a file of another sort; the program's own leftover is no obstacle"""
    path = f'{target.work}/sock'
    os.rename(path, f'{target.dir}/old')
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
        target.refused('somebody listens at the path', 'sock')
        s.setblocking(False)
        try:
            s.accept()
            check(False, 'the restart has connected to somebody who listens')
        except BlockingIOError:
            pass
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(path)
    os.unlink(path)
    with open(path, 'w') as f:
        f.write('precious')
    target.refused('an ordinary file at the path', 'sock')
    check(open(path).read() == 'precious', 'the file has changed')
    os.unlink(path)
    os.mkdir(path)
    target.refused('a directory at the path', 'sock')
    os.rmdir(path)
    os.rename(target.work, f'{target.dir}/away')
    os.mkdir(f'{target.dir}/stand')
    target.work = f'{target.dir}/stand'
    target.refused('no directory for the path', 'work')
    target.work = f'{target.dir}/work'
    os.rename(f'{target.dir}/away', target.work)
    os.rename(f'{target.dir}/old', path)


def abstract_name():
    """somebody has the abstract name"""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(b'\0' + target.work.encode())
        s.listen()
        target.refused('the abstract name is taken', os.path.basename(target.dir))


def clone_as(number):
    """As os.fork(), with that pid; negative: it can't be had."""
    size = 88
    args = (ctypes.c_uint64 * (size // 8))()
    pid = ctypes.c_int32(number)
    args[4] = signal.SIGCHLD
    args[8], args[9] = ctypes.addressof(pid), 1
    return ctypes.CDLL(None).syscall(435, args, size)


def take_session(number):
    """A session of that number, and no process or group: the one who is in it, 0 where it can't be had."""
    r, w = os.pipe()
    leader = clone_as(number)
    if leader < 0:
        return 0
    if leader == 0:
        os.setsid()
        member = os.fork()
        if member == 0:
            os.setpgid(0, 0)
            os.write(w, b'x')
            while True:
                signal.pause()
        os.read(r, 1)
        os.write(w, str(member).encode())
        os._exit(0)
    os.waitpid(leader, 0)
    member = int(os.read(r, 20))
    os.close(r)
    os.close(w)
    return member


def session_taken():
    """there is a session of the pid's number, which no process has"""
    if not ROOT:
        return 'an ordinary user restarts in a pid namespace of its own'
    leader = Target(mib=0, preexec=os.setsid)
    leader.must_checkpoint()
    leader.kill()
    member = take_session(leader.pid)
    check(member, 'no process can be made with that pid')
    leader.restarted('there is a session of that number')
    lib.kill(member)
    leader.remove()


def spare_taken():
    """numbers that the restart would take for a moment are sessions'"""
    if not ROOT:
        return 'an ordinary user restarts in a pid namespace of its own'
    top, _ = lib.stopped_orphan(target)
    last = int(open('/proc/sys/kernel/pid_max').read())
    members = [take_session(last - n) for n in range(1, 13)]
    check(any(members), 'no sessions')
    try:
        again = subprocess.run([f'{B}/skshim-restart', '-d', f'{top}/images'], env=target.env, cwd=top, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, timeout=lib.LIMIT)
        check(again.returncode == 0, 'ended with', again.returncode)
    finally:
        for pid in lib.below() - {target.pid}:
            lib.kill(pid)
    until('the end of all', lambda: not lib.below() - {target.pid})


def pid_taken():
    """another process has the pid"""
    if not ROOT:
        return 'an ordinary user restarts in a pid namespace of its own'
    child = clone_as(target.pid)
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            signal.pause()
    if child < 0:
        return 'no process can be made with that pid'
    check(child == target.pid, 'clone3 made', child)
    # the tree gets a pid namespace of its own, in which it has its pid
    target.restarted('the pid is taken')


def no_namespaces():
    """an ordinary user where no user namespace can be made"""
    def forbid():
        libc = ctypes.CDLL(None, use_errno=True)
        uid, gid = os.getuid(), os.getgid()
        if libc.unshare(0x10000000) != 0:
            os._exit(77)
        with open('/proc/self/setgroups', 'w') as f:
            f.write('deny')
        with open('/proc/self/uid_map', 'w') as f:
            f.write(f'{uid} {uid} 1')
        with open('/proc/self/gid_map', 'w') as f:
            f.write(f'{gid} {gid} 1')
        with open('/proc/sys/user/max_user_namespaces', 'w') as f:
            f.write('0')
        libc.prctl(23, 21, 0, 0, 0)
        # without capabilities, which exec takes from anybody who isn't root
    if ROOT:
        return 'root needs none'
    probe = os.fork()
    if probe == 0:
        try:
            forbid()
        except OSError:
            os._exit(77)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(probe, 0)[1]) != 0:
        return 'no namespace in which they could be forbidden'
    target.refused('no user namespaces', 'namespace', preexec=forbid)


def options():
    """options that make no sense"""
    for words in (['--frob'], ['--tcp', 'maybe'], ['--status-fd', 'x'], ['--pidfile']):
        status, out, err = target.restart(image, options=words)
        check(status == 125 and err.startswith('skshim: ') and out == '', words, status, out, err)


def pidfile():
    """the pid file can't be written"""
    target.refused('no pid file', 'nowhere', options=['--pidfile', f'{target.dir}/nowhere/pid'])
    target.refused('no pid file, detached', 'nowhere', options=['-d', '--pidfile', f'{target.dir}/nowhere/pid'])


def killed():
    """skshim-restart is killed at many moments: nothing is left"""
    target.kill()
    tries, ran, after = 0, 0, 0.0005
    while tries < 25:
        before = lib.outside(f'{target.dir}/tmp')
        way = ['-d'] if tries % 3 == 1 else []
        p = subprocess.Popen([f'{B}/skshim-restart', *way, target.images], env=target.env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=target.work)
        time.sleep(after)
        p.kill()
        p.wait()
        try:
            # it may have been too late: then the program runs
            until(f'the end of all processes, killed after {after:.4f} s', lambda: not lib.below() or target.try_ask(), 5)
        except lib.Failure as e:
            raise lib.Failure(f'{e}: {lib.states(lib.below())}') from None
        ran += bool(lib.below())
        lib.kill_below()
        tries, after = tries + 1, after * 1.15
        # shared memory of a killed restart is swept away by the next one; so is nothing else there
        left = {f for f in lib.outside(f'{target.dir}/tmp') - before if '/skshim-' not in f}
        check(not left, 'left', left)
    target.restarted('afterwards')
    left = [f for f in lib.outside(f'{target.dir}/tmp') if '/skshim-' in f and str(os.getuid()) in f]
    say(f'  {tries} kills, up to {after * 1000:.1f} ms in, {ran} after it ran; shared memory left: {len(left)}')


def whole():
    """with nothing in the way it restarts"""
    target.kill()
    target.restarted('nothing in the way')


main(running, tcp_port, unix_path, abstract_name, session_taken, spare_taken, pid_taken, no_namespaces, options, pidfile, whole, killed)
target.remove()
