#!/usr/bin/python3
"""tcp_ends.py tree|peer ADDRESS PORT DIR - connections with ends sent, received, both; with queues full

Both make the same connections one by one and bring them into their states; then they
wait for DIR/go and verify. Peer listens, tree connects.
"""
import fcntl
import os
import socket
import struct
import sys
import time

role, address, port, where = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
tree = role == 'tree'
ROW = bytes(range(251)) * 40000


def state(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def until(what, cond):
    for _ in range(3000):
        if cond():
            return
        time.sleep(0.01)
    sys.exit(f'{role}: {what} never came true')


def fill(s):
    s.setblocking(False)
    n = 0
    while True:
        try:
            n += s.send(ROW[n:n + 65536])
        except BlockingIOError:
            s.setblocking(True)
            return n


def outq(s):
    return struct.unpack('i', fcntl.ioctl(s, 0x5411, b'\0' * 4))[0]


def take(s, n):
    got = b''
    while len(got) < n:
        d = s.recv(n - len(got))
        if not d:
            sys.exit(f'{role}: end after {len(got)} of {n}')
        got += d
    if got != ROW[:n]:
        sys.exit(f'{role}: wrong bytes')


def ended(s):
    d = s.recv(1)
    if d:
        sys.exit(f'{role}: {d} instead of the end')


def say(s, text):
    s.sendall(text)


def hear(s, text):
    got = b''
    while len(got) < len(text):
        d = s.recv(len(text) - len(got))
        if not d:
            break
        got += d
    if got != text:
        sys.exit(f'{role}: {got} instead of {text}')


# Each: (state before, verify) for the tree, and the same for the peer.
def plain_t(s):
    say(s, b'to peer')
    yield
    hear(s, b'to tree')
    say(s, b'more')
    hear(s, b'end')
    ended(s)


def plain_p(s):
    say(s, b'to tree')
    yield
    hear(s, b'to peer')
    hear(s, b'more')
    say(s, b'end')
    s.close()


def close_wait_t(s):
    until('CLOSE_WAIT', lambda: state(s) == 8)
    yield
    hear(s, b'tail')
    ended(s)
    say(s, b'reply')
    s.close()


def close_wait_p(s):
    say(s, b'tail')
    s.shutdown(socket.SHUT_WR)
    yield
    hear(s, b'reply')
    ended(s)


def end_read_t(s):
    ended(s)
    yield
    ended(s)
    say(s, b'reply')
    s.close()


def end_read_p(s):
    s.shutdown(socket.SHUT_WR)
    yield
    hear(s, b'reply')
    ended(s)


def fin_wait2_t(s):
    say(s, b'last')
    s.shutdown(socket.SHUT_WR)
    until('FIN_WAIT2', lambda: state(s) == 5)
    yield
    hear(s, b'reply')
    ended(s)


def fin_wait2_p(s):
    yield
    hear(s, b'last')
    ended(s)
    say(s, b'reply')
    s.close()


def fin_wait1_t(s):
    n = fill(s)
    s.shutdown(socket.SHUT_WR)
    with open(f'{where}/fin_wait1', 'w') as f:
        f.write(str(n))
    yield
    if state(s) not in (4, 5):
        sys.exit(f'tree: state {state(s)} instead of FIN_WAIT1, or 2 when the peer was quick')
    hear(s, b'reply')
    ended(s)


def fin_wait1_p(s):
    yield
    take(s, int(open(f'{where}/fin_wait1').read()))
    ended(s)
    say(s, b'reply')
    s.close()


def last_ack_t(s):
    until('CLOSE_WAIT', lambda: state(s) == 8)
    n = fill(s)
    s.shutdown(socket.SHUT_WR)
    with open(f'{where}/last_ack', 'w') as f:
        f.write(str(n))
    yield
    hear(s, b'tail')
    ended(s)
    until('CLOSE', lambda: state(s) == 7)


def last_ack_p(s):
    say(s, b'tail')
    s.shutdown(socket.SHUT_WR)
    yield
    take(s, int(open(f'{where}/last_ack').read()))
    ended(s)


def closing_t(s):
    n = fill(s)
    s.shutdown(socket.SHUT_WR)
    with open(f'{where}/closing', 'w') as f:
        f.write(str(n))
    until('CLOSING', lambda: state(s) == 11)
    yield
    hear(s, b'tail')
    ended(s)
    until('CLOSE', lambda: state(s) == 7)


def closing_p(s):
    until('closing', lambda: os.path.exists(f'{where}/closing'))
    say(s, b'tail')
    s.shutdown(socket.SHUT_WR)
    yield
    take(s, int(open(f'{where}/closing').read()))
    ended(s)


def full_t(s):
    n = fill(s)
    with open(f'{where}/full_t', 'w') as f:
        f.write(str(n))
    until('full_p', lambda: os.path.exists(f'{where}/full_p'))
    yield
    take(s, int(open(f'{where}/full_p').read()))
    say(s, b'more')
    hear(s, b'more')
    s.close()


def full_p(s):
    n = fill(s)
    with open(f'{where}/full_p', 'w') as f:
        f.write(str(n))
    until('full_t', lambda: os.path.exists(f'{where}/full_t'))
    yield
    take(s, int(open(f'{where}/full_t').read()))
    say(s, b'more')
    hear(s, b'more')
    ended(s)


CASES = [('plain', plain_t, plain_p), ('close_wait', close_wait_t, close_wait_p), ('end_read', end_read_t, end_read_p),
         ('fin_wait2', fin_wait2_t, fin_wait2_p), ('fin_wait1', fin_wait1_t, fin_wait1_p),
         ('last_ack', last_ack_t, last_ack_p), ('closing', closing_t, closing_p), ('full', full_t, full_p)]
family = socket.AF_INET6 if ':' in address else socket.AF_INET
if not tree:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen()
    print('listening', flush=True)
began = time.monotonic()
runs = []
for name, of_tree, of_peer in CASES:
    if tree:
        sock = socket.create_connection((address, port))
    else:
        sock, _ = listener.accept()
    sock.settimeout(40)
    run = of_tree(sock) if tree else of_peer(sock)
    next(run)
    runs.append((name, run))
print('ready', flush=True)
while not os.path.exists(f'{where}/go'):
    time.sleep(0.02)
for name, run in runs:
    for _ in run:
        pass
    print(name, f'{time.monotonic() - began:.2f}' if os.environ.get('TIMES') else '', flush=True)
print('all', flush=True)
