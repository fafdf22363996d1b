#!/usr/bin/python3
"""stream.py - one end of a TCP connection over which known bytes run in both directions

stream.py listen ADDRESS PORT     takes one connection
stream.py connect ADDRESS PORT    makes it

Each end sends the same endless row of bytes and compares what comes with it. The one that
gets SIGTERM ends its direction; the other answers with its own end. At the end each
prints how many bytes came, and the longest time in which none did.
"""
import os
import random
import select
import signal
import socket
import sys
import time

BLOCK = random.Random(20).randbytes(1048573)
ROW = BLOCK + BLOCK[:262144]


def main():
    how, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if how == 'listen':
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen()
        print('listening', flush=True)
        listener, (sock, _) = sock, sock.accept()
        listener.close()
    else:
        sock.connect((address, port))
    print('connected', flush=True)
    sock.setblocking(False)
    sent = got = 0
    longest = 0.0
    last = time.monotonic()
    sending = receiving = True
    while sending or receiving:
        if ending and sending:
            sending = False
            sock.shutdown(socket.SHUT_WR)
        readable, writable, _ = select.select([sock] if receiving else [], [sock] if sending else [], [], 0.1)
        if readable:
            data = sock.recv(262144)
            now = time.monotonic()
            longest = max(longest, now - last)
            last = now
            at = got % len(BLOCK)
            if data != ROW[at:at + len(data)]:
                sys.exit(f'a byte after {got} is wrong')
            got += len(data)
            if not data:
                receiving = False
                ending.append(True)
        if writable and sending:
            at = sent % len(BLOCK)
            try:
                sent += sock.send(ROW[at:at + 65536])
            except BlockingIOError:
                pass
        if receiving and time.monotonic() - last > 30:
            sys.exit(f'nothing came for 30 s after {got}')
        if os.environ.get('STREAM_PACE'):
            time.sleep(float(os.environ['STREAM_PACE']))
    print(f'sent {sent} received {got} longest {longest * 1000:.0f} ms', flush=True)


main()
