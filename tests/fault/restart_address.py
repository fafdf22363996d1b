#!/usr/bin/python3
"""Addresses that the machine no longer has: refused by name; with --map-address others in their place."""
import os
import re
import signal
import socket
import subprocess
import time

import lib
from lib import B, Target, check, main, say, until

ROOT = os.getuid() == 0
OLD, ALSO, NEW = '127.0.77.1', '127.0.77.2', '127.0.99.1'
GONE = '198.51.100.7'                      # of no machine
OLD6, NEW6, GONE6 = 'fd77::1', 'fd99::1', '2001:db8::7'
GROUP = '239.77.0.1'

PROGRAM = '''#!/usr/bin/python3
"""Sockets at addresses; who connects to WORK/sock is told their names, and whether they work."""
import os, socket, struct, sys
work, shape, OLD6 = sys.argv[1], os.environ['SHAPE'], os.environ['OLD6']
OLD, ALSO, GONE, GONE6, GROUP = os.environ['ADDRESSES'].split()
keep = {}

def tcp(host, listens=True, family=socket.AF_INET, free=False):
    s = socket.socket(family)
    if free:
        level, option = (0, 15) if family == socket.AF_INET else (41, 78)    # IP_FREEBIND
        s.setsockopt(level, option, 1)
    s.bind((host, 0))
    if free:
        s.setsockopt(level, option, 0)
    if listens:
        s.listen()
    return s

def udp(host, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((host, 0))
    return s

def pair(listener, where):
    a = socket.socket(listener.family)
    a.bind((where, 0))
    a.connect(listener.getsockname())
    b = listener.accept()[0]
    a.sendall(b'to b')
    b.sendall(b'to a')
    return a, b

def many(suffix, host, also, family):
    l = keep['listener' + suffix] = tcp(host, family=family)
    keep['bound' + suffix] = tcp(host, False, family)
    keep['active' + suffix], keep['passive' + suffix] = pair(l, also)
    half, other = pair(l, also)
    other.recv(9)
    other.close()
    keep['half' + suffix] = half
    keep['pending' + suffix] = socket.socket(family)
    keep['pending' + suffix].connect(l.getsockname())
    keep['pending' + suffix].sendall(b'waits')
    u = keep['udp' + suffix] = udp(host, family)
    keep['peer' + suffix] = udp(also, family)
    keep['peer' + suffix].connect(u.getsockname())
    keep['peer' + suffix].send(b'from the peer')
    keep['outside' + suffix] = socket.socket(family, socket.SOCK_DGRAM)
    keep['outside' + suffix].connect((host, 9))

if shape == 'many':
    many('', OLD, ALSO, socket.AF_INET)
    keep['mapped'] = tcp('::ffff:' + OLD, family=socket.AF_INET6)
    m = keep['group'] = udp(OLD)
    m.setsockopt(0, 32, socket.inet_aton(OLD))                               # IP_MULTICAST_IF
    m.setsockopt(0, 39, socket.inet_aton(GROUP) + socket.inet_aton(OLD) + socket.inet_aton(OLD))  # IP_ADD_SOURCE_MEMBERSHIP
    if OLD6:
        many('6', OLD6, OLD6, socket.AF_INET6)
else:
    host = GONE6 if '6' in shape else GONE
    keep[shape] = tcp(host, 'listens' in shape, socket.AF_INET6 if '6' in shape else socket.AF_INET, True)

def works(suffix):
    a, b, l = keep['active' + suffix], keep['passive' + suffix], keep['listener' + suffix]
    said = [b.recv(9), a.recv(9)]
    a.sendall(b'1')
    b.sendall(b'2')
    said += [b.recv(9), a.recv(9), keep['half' + suffix].recv(9), keep['half' + suffix].recv(9)]
    waiting = l.accept()[0]
    said.append(waiting.recv(9))
    said.append(waiting.getpeername() == keep['pending' + suffix].getsockname())
    data, sender = keep['udp' + suffix].recvfrom(99)
    said += [data, sender == keep['peer' + suffix].getsockname(), keep['peer' + suffix].getpeername() == keep['udp' + suffix].getsockname()]
    keep['peer' + suffix].send(b'again')
    said.append(keep['udp' + suffix].recv(9))
    c = socket.create_connection(l.getsockname()[:2])
    said.append(l.accept()[1] == c.getsockname())
    return repr(said).replace(' ', '')

door = socket.socket(socket.AF_UNIX)
door.bind(work + '/sock')
door.listen()
while True:
    c = door.accept()[0]
    if os.path.exists(work + '/try'):
        for suffix in ('', '6') if OLD6 else ('',):
            c.sendall(f'works{suffix}={works(suffix)}\\n'.encode())
    for name, s in keep.items():
        n = s.getsockname()
        c.sendall(f'{name}={n[0]}:{n[1]}\\n'.encode())
    if 'outside' in keep:
        c.sendall('outside.peer={}:{}\\n'.format(*keep['outside'].getpeername()).encode())
        c.sendall(f'group.if={socket.inet_ntoa(keep["group"].getsockopt(0, 32, 4))}\\n'.encode())
        f = struct.pack('4s4sII', socket.inet_aton(GROUP), socket.inet_aton('0.0.0.0'), 0, 1)
    c.close()
'''
WORKS = repr([b'to b', b'to a', b'1', b'2', b'to a', b'', b'waits', True, b'from the peer', True, True, b'again', True]).replace(' ', '')


def ip(*words):
    return subprocess.run(['ip', *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def have6():
    """IPv6 addresses that can be taken away again; root's only."""
    return ROOT and 'CONDUCT_ALONE' in os.environ and ip('addr', 'add', f'{OLD6}/128', 'dev', 'lo', 'nodad')


def start(shape, v6=False):
    program = f'/tmp/ska.{os.getpid()}.py'
    with open(program, 'w') as f:
        f.write(PROGRAM)
    os.chmod(program, 0o755)
    try:
        return Target(program=program, env={'SHAPE': shape, 'OLD6': OLD6 if v6 else '',
                                            'ADDRESSES': ' '.join((OLD, ALSO, GONE, GONE6, GROUP))})
    finally:
        os.unlink(program)


def absent():
    """the machine doesn't have it: the line names pid, descriptor and address, and says what would help"""
    for shape, address in (('bound', GONE), ('listens', GONE), ('listens6', GONE6)):
        target = start(shape)
        target.must_checkpoint()
        target.kill()
        target.refused(shape, f'pid {target.pid} fd 3: ', re.escape(address), '--map-address')
        target.remove()


def senseless():
    """mappings that mean nothing"""
    target = start('bound')
    image = target.must_checkpoint()
    target.kill()
    for word in ('', '=', OLD, f'{OLD}=', f'={NEW}', f'{OLD}={NEW6}', f'{OLD}=nowhere', f'0.0.0.0={NEW}', f'{OLD}=224.0.0.1',
                 f'{OLD}={NEW}=', f'ff02::1={NEW6}', f'{OLD}={NEW}%lo', f'{OLD6}={NEW6}%none'):
        status, out, err = target.restart(image, options=['--map-address', word])
        check(status == 125 and err.startswith('skshim: ') and '--map-address' in err and out == '', word, status, out, err)
    status, out, err = target.restart(image, options=['--map-address', f'{OLD}={NEW}', '--map-address', f'{OLD}={ALSO}'])
    check(status == 125 and ALSO in err, status, out, err)
    target.remove()


def run(target, *options):
    errors = open(f'{target.dir}/restart', 'w+')
    p = subprocess.Popen([f'{B}/skshim-restart', *options, target.images], env=target.env, stdin=subprocess.DEVNULL,
                         stdout=errors, stderr=errors, cwd=target.work)
    until('the restarted program answers', lambda: target.try_ask() or p.poll() is not None, lib.LIMIT)
    check(p.poll() is None, f'the restart ended with {p.poll()}:', open(f'{target.dir}/restart').read())
    return p


def mapped():
    """everything at once, moved, and again from the image of the moved one"""
    v6 = have6()
    target = start('many', v6)
    maps = ['--map-address', f'{OLD}={NEW}']
    if v6:
        maps += ['--map-address', f'[{OLD6}]={NEW6}']
    target.must_checkpoint()
    target.kill()
    if v6:
        check(ip('addr', 'del', f'{OLD6}/128', 'dev', 'lo'), 'ip addr del')
        target.refused('the address is gone', OLD6, 'pid', '--map-address')
        check(ip('addr', 'add', f'{NEW6}/128', 'dev', 'lo', 'nodad'), 'ip addr add')
    status, out, err = target.restart(options=[*maps, '--plan'])
    check(status == 0, status, err)
    for generation in (1, 2):
        p = run(target, *(maps if generation == 1 else []))
        now = target.ask()
        for name, was in target.first.items():
            wanted = was.replace(OLD, NEW).replace(OLD6, NEW6)
            check(now[name] == wanted, f'generation {generation}: {name} was {was}, is {now[name]}')
        if generation == 1:
            subprocess.run([f'{B}/skshim', 'checkpoint', str(inside(target, p))], env=target.env, check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            lib.kill_below()
            p.wait()
    open(f'{target.work}/try', 'w').close()
    now = target.ask()
    for suffix in ('', '6') if v6 else ('',):
        check(now[f'works{suffix}'] == WORKS, now[f'works{suffix}'], 'instead of', WORKS)
    lib.kill_below()
    p.wait()
    status, out, err = target.restart(options=['--map-address', f'{GONE}={NEW}', '--plan'])
    check(status == 0 and f'--map-address {GONE}={NEW}: no socket has that address' in err, status, err)
    target.remove()


def inside(target, p):
    """The restarted root's pid as we see it."""
    return until('its pid', lambda: lib.inside(target.pid, p.pid) or (lib.inner(p.pid) == target.pid and p.pid))


main(absent, senseless, mapped)
