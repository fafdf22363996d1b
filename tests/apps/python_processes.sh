#!/usr/bin/env bash
# python3: a multiprocessing pool with locks, queues and shared values, and a server that forked its workers beforehand
. "$(dirname "$0")/lib.sh"
port=28084
cat >"$work/pool.py" <<'END'
import multiprocessing as mp, os, socket, sys, threading, time

def work(n):
    with total.get_lock():
        total.value += 1
    time.sleep(0.001)
    return sum(i * i for i in range(n % 500))

def init(value):
    global total
    total = value

def serve(listener, asked):
    while True:
        c, _ = listener.accept()
        with c, c.makefile("rwb") as f:
            for line in f:
                if line.strip() == b"count":
                    with asked.get_lock():
                        asked.value += 1
                        n = asked.value
                    f.write(b"%d\r\n" % n)
                elif line.strip() == b"pool":
                    f.write(b"%d\r\n" % rounds.value)
                else:
                    f.write(b"%d\r\n" % os.getpid())
                f.flush()

def through(q, r):
    while True:
        x = q.get()
        r.put((x[0], x[1][::-1]))

if __name__ == "__main__":
    total, rounds, asked = mp.Value("l", 0), mp.Value("l", 0), mp.Value("l", 0)
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=50)
    for _ in range(3):
        mp.Process(target=serve, args=(listener, asked), daemon=True).start()
    q, r = mp.Queue(), mp.Queue()
    mp.Process(target=through, args=(q, r), daemon=True).start()
    with mp.Pool(4, init, (total,)) as pool:
        expected = [sum(i * i for i in range(n % 500)) for n in range(300)]
        turn = 0
        while True:
            q.put((turn, b"0123456789" * 5000))
            if pool.map(work, range(300), chunksize=7) != expected:
                sys.exit("the pool's results are wrong")
            if r.get(timeout=60) != (turn, b"9876543210" * 5000):
                sys.exit("the queue's answer is wrong")
            turn += 1
            if total.value != 300 * turn:
                sys.exit(f"{total.value} pieces of work, not {300 * turn}")
            rounds.value = turn
END
ask() {
	client ask line $port "$@"
}
app_start "$python" pool.py $port
until_ok ask pool
for generation in 1 2 3; do
	say "generation $generation"
	loop line $port
	rounds=$(ask pool)
	app_checkpoint
	unloop
	until_ok sh -c "[ \$($python $here/client.py ask line $port pool) -gt $((rounds + 2)) ]"
	count=$(ask count)
	app_checkpoint
	app_kill all
	app_restart
	until_ok ask pool
	find_outer || fail "it is gone"
	same "the counter" $((count + 1)) "$(ask count)"
	rounds=$(ask pool)
	until_ok sh -c "[ \$($python $here/client.py ask line $port pool) -gt $((rounds + 2)) ]"
	same "processes" 8 "$(below "$outer" | wc -l)"
done
say "three generations"
