"""server.py - an asyncio server with a thread pool and timers, for python.sh: a line there, a line back"""
import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

state = {'count': 0, 'ticks': 0}
pool = ThreadPoolExecutor(max_workers=6)
local = threading.local()


def work(text):
    """Each thread of the pool remembers how often it worked."""
    local.times = getattr(local, 'times', 0) + 1
    time.sleep(0.05)
    return f'{text[::-1]} {threading.get_native_id()} {local.times}'


async def ticker():
    while True:
        await asyncio.sleep(0.1)
        state['ticks'] += 1


async def serve(reader, writer):
    try:
        while line := (await reader.readline()).decode().strip():
            verb, _, rest = line.partition(' ')
            if verb == 'count':
                state['count'] += 1
                answer = str(state['count'])
            elif verb == 'ticks':
                answer = str(state['ticks'])
            elif verb == 'work':
                answer = await asyncio.get_running_loop().run_in_executor(pool, work, rest)
            else:
                answer = '?'
            writer.write(answer.encode() + b'\n')
            await writer.drain()
    except ConnectionError:
        state['count'] += 0
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]))
    ticking = asyncio.create_task(ticker())
    await asyncio.gather(server.serve_forever(), ticking)


asyncio.run(main())
