#!/usr/bin/env bash
# socat relays in a row, each with a child per connection: a client in the tree counts through them all the while
. "$(dirname "$0")/lib.sh"
need socat
cat >"$work/count.py" <<'END'
import os, socket, time
s = socket.socket(socket.AF_UNIX)
s.connect('second')
n = 0
# open all the time: a file that is renamed over another can't be open at a checkpoint, see docs/LIMITS.md
count = os.open('count', os.O_WRONLY | os.O_CREAT, 0o666)
while True:
    word = b'%d\n' % n
    s.sendall(word)
    got = b''
    while len(got) < len(word):
        part = s.recv(100)
        if not part:
            raise SystemExit('the relay closed')
        got += part
    if got != word:
        raise SystemExit(f'{got} instead of {word}')
    n += 1
    os.pwrite(count, b'%10d' % n, 0)
    time.sleep(0.005)
END
beyond() {
	[ "$(cat "$work/count")" -gt "$1" ]
}
echoes() {
	[ "$(echo "$1" | (exec_as timeout 10 socat - UNIX-CONNECT:second))" = "$1" ]
}
# shellcheck disable=SC2016
app_start bash -c '
	socat UNIX-LISTEN:first,fork EXEC:cat &
	until [ -S first ]; do sleep 0.02; done
	socat UNIX-LISTEN:second,fork UNIX-CONNECT:first &
	until [ -S second ]; do sleep 0.02; done
	'"$python"' count.py &
	wait'
until_ok beyond 20
until_ok echoes hello
for generation in 1 2 3; do
	say "generation $generation"
	app_checkpoint
	until_ok beyond $(($(cat "$work/count") + 20))
	app_checkpoint
	app_kill all
	printf '%10d' 0 >"$work/count"
	app_restart
	until_ok beyond $((generation * 40))
	until_ok echoes "again $generation"
done
say "three generations"
