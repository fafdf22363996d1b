#!/usr/bin/env bash
# Python asyncio: a server and a client in one tree, streams and datagrams all the while; checkpoints, then a restart in the middle
. "$(dirname "$0")/lib.sh"
cat >"$dir/pair.py" <<'END'
"""Server and client, two processes. Every answer is checked; what was answered is counted in a file; an error ends both."""
import asyncio, hashlib, os, random, sys

async def serve(reader, writer):
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(4), 'big')
            data = await reader.readexactly(size)
            writer.write(hashlib.sha256(data).digest() + data[::-1])
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()

class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, address):
        self.transport.sendto(data[::-1], address)

class Asker(asyncio.DatagramProtocol):
    def __init__(self):
        self.answers = asyncio.Queue()
    def datagram_received(self, data, address):
        self.answers.put_nowait(data)
    def error_received(self, error):
        self.answers.put_nowait(b'%r' % error)

def count(what):
    with open('count.' + what, 'a') as f:
        f.write('.')

async def ask_stream(port, seed):
    random.seed(seed)
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    while not os.path.exists('stop'):
        data = random.randbytes(random.choice((1, 100, 5000, 60000)))
        writer.write(len(data).to_bytes(4, 'big') + data)
        answer = await asyncio.wait_for(reader.readexactly(32 + len(data)), 60)
        assert answer == hashlib.sha256(data).digest() + data[::-1], 'stream'
        count('stream')
        await asyncio.sleep(random.choice((0, 0.01)))
    writer.close()
    await writer.wait_closed()

async def ask_datagram(port):
    transport, asker = await asyncio.get_running_loop().create_datagram_endpoint(Asker, remote_addr=('::1', port))
    n = 0
    while not os.path.exists('stop'):
        n += 1
        transport.sendto(b'%08d' % n)
        answer = await asyncio.wait_for(asker.answers.get(), 60)
        assert answer == (b'%08d' % n)[::-1], answer
        count('datagram')
        await asyncio.sleep(0.01)

async def client(port, port6):
    await asyncio.gather(*(ask_stream(port, i) for i in range(5)), ask_datagram(port6))

async def server():
    stream = await asyncio.start_server(serve, '127.0.0.1', 0)
    datagram, _ = await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=('::1', 0))
    ports = [str(stream.sockets[0].getsockname()[1]), str(datagram.get_extra_info('sockname')[1])]
    child = await asyncio.create_subprocess_exec(sys.executable, __file__, *ports)
    status = await child.wait()
    open('ended', 'w').write(str(status))

asyncio.run(client(int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 1 else server())
END
answered() { # WHAT N
	[ "$(stat -c %s "$work/count.$1")" -gt "$2" ]
}
go_on() {
	local stream datagram
	stream=$(stat -c %s "$work/count.stream") datagram=$(stat -c %s "$work/count.datagram")
	until_ok answered stream $((stream + 20))
	until_ok answered datagram $((datagram + 20))
	[ ! -e "$work/ended" ] || fail "the client ended with $(cat "$work/ended")"
}
app_start "$python" "$dir/pair.py"
until_ok test -s "$work/count.stream" -a -s "$work/count.datagram"
for generation in 1 2; do
	say "generation $generation"
	app_checkpoint
	go_on
	app_checkpoint
	app_kill all
	app_restart
	go_on
	app_same
done
touch "$work/stop"
until_ok test -s "$work/ended"
same "the client's status" 0 "$(cat "$work/ended")"
say "$(stat -c %s "$work/count.stream") answers, $(stat -c %s "$work/count.datagram") datagrams"
