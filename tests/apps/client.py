#!/usr/bin/python3
"""client.py - the clients of the application tests

client.py loop NAME PORT        asks a counter until SIGTERM; every answer must be the last plus one
client.py ask NAME PORT TEXT    one request, the answer on standard output
client.py memc-fill PORT N, memc-check PORT N
client.py hold NAME PORT TEXT   sends TEXT, then waits for the answer or the end and prints it
"""
import os
import signal
import socket
import struct
import sys
import time


class Line:
    """A line there, a line back."""
    count = 'count'

    def __init__(self, port):
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=60)
        self.file = self.sock.makefile('rb')

    def send(self, text):
        self.sock.sendall(text.encode() + b'\r\n')

    def receive(self):
        line = self.file.readline()
        if not line:
            raise EOFError('the server closed the connection')
        return line.decode().strip()

    def ask(self, text):
        self.send(text)
        return self.receive()


class Redis(Line):
    count = 'INCR asked'

    def receive(self):
        head = super().receive()
        if head[0] == '-':
            raise ValueError(head)
        if head[0] == '$':
            size = int(head[1:])
            return None if size < 0 else self.file.read(size + 2)[:-2].decode()
        if head[0] == '*':
            return ' '.join(str(self.receive()) for _ in range(int(head[1:])))
        return head[1:]


class Memcached(Line):
    count = 'incr asked 1'


class Http(Line):
    count = '/count'

    def send(self, text):
        self.sock.sendall(f'GET {text} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode())

    def receive(self):
        status = super().receive()
        size = 0
        while True:
            head = super().receive().lower()
            if head == '':
                break
            if head.startswith('content-length:'):
                size = int(head.split(':')[1])
        body = self.file.read(size).decode()
        if ' 200 ' not in status:
            raise ValueError(status)
        return body.strip()


class Fcgi(Line):
    """A FastCGI connection that is kept; the script is the text."""
    count = 'count.php'

    def send(self, text):
        def pair(name, value):
            return bytes([len(name), len(value)]) + name.encode() + value.encode()

        def record(kind, body):
            return struct.pack('!BBHHBB', 1, kind, 1, len(body), 0, 0) + body
        script, _, query = text.partition(' ')
        params = pair('SCRIPT_FILENAME', f'{os.environ["FCGI_ROOT"]}/{script}') + pair('QUERY_STRING', query)
        params += pair('REQUEST_METHOD', 'GET')
        self.sock.sendall(record(1, struct.pack('!HB5x', 1, 1)) + record(4, params) + record(4, b'') + record(5, b''))

    def receive(self):
        out = b''
        while True:
            head = self.file.read(8)
            if len(head) < 8:
                raise EOFError('the server closed the connection')
            _, kind, _, size, padding, _ = struct.unpack('!BBHHBB', head)
            body = self.file.read(size + padding)[:size]
            if kind == 6:
                out += body
            elif kind == 7:
                raise ValueError(body.decode())
            elif kind == 3:
                return out.decode().partition('\r\n\r\n')[2].strip()


KINDS = {'line': Line, 'fcgi': Fcgi, 'redis': Redis, 'memcached': Memcached, 'http': Http}


def loop(name, port):
    """The same connection all the while; a server without a counter is asked for its page."""
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    client = KINDS[name](int(port))
    last, asked, slowest = None, 0, 0.0
    while not stop:
        began = time.monotonic()
        answer = client.ask(client.count)
        slowest = max(slowest, time.monotonic() - began)
        if last is not None and int(answer) != last + 1:
            sys.exit(f'{last} was followed by {answer}')
        last = int(answer)
        asked += 1
        if asked == 10:
            print('asking', flush=True)
    print(f'{asked} answers, the slowest after {slowest * 1000:.1f} ms')


def ask(name, port, text):
    print(KINDS[name](int(port)).ask(text))


def hold(name, port, text):
    client = KINDS[name](int(port))
    client.send(text)
    print('sent', flush=True)
    try:
        print(client.receive(), flush=True)
    except (OSError, EOFError) as end:
        print(f'ended: {type(end).__name__}', flush=True)


def value(i):
    return f'value-{i}-' + 'x' * (i % 977)


def memc_fill(port, n):
    client = Memcached(int(port))
    for i in range(int(n)):
        text = value(i)
        if client.ask(f'set key{i} 0 0 {len(text)}\r\n{text}') != 'STORED':
            sys.exit(f'key{i} was not stored')
    if client.ask('set asked 0 0 1\r\n0') != 'STORED':
        sys.exit('the counter was not stored')


def memc_check(port, n):
    client = Memcached(int(port))
    for i in range(int(n)):
        client.send(f'get key{i}')
        head = client.receive()
        if head.split()[0] != 'VALUE' or client.receive() != value(i) or client.receive() != 'END':
            sys.exit(f'key{i} is wrong: {head}')


if __name__ == '__main__':
    globals()[sys.argv[1].replace('-', '_')](*sys.argv[2:])
