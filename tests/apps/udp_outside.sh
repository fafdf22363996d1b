#!/usr/bin/env bash
# A UDP server whose clients are outside: what they sent waits while it is checkpointed, killed and restarted; then it answers them.
# An ordinary user's restart can't have the address of a client that is alive: it says so, and the others are answered.
. "$(dirname "$0")/lib.sh"
cat >"$dir/server.py" <<'END'
import os, socket, sys, time
s = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)]
s[0].bind(('127.0.0.1', 26551))
s[1].bind(('::1', 26551))
open('bound', 'w').close()
while not os.path.exists('answer'):
    time.sleep(0.01)
for one in s:
    one.setblocking(False)
    try:
        while True:
            data, who = one.recvfrom(65536)
            one.sendto(data[::-1], who)
    except BlockingIOError:
        pass
open('answered', 'w').close()
while True:
    time.sleep(1)
END
cat >"$dir/client.py" <<'END'
"""Sends, tells that it has, waits for the file `answered`, prints what came"""
import os, socket, sys, time
s = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)]
for i, host in ((0, '127.0.0.1'), (1, '::1')):
    s[i].connect((host, 26551))
    s[i].send(b'abc')
    s[i].send(b'x' * 20000 + b'y')
print('sent', flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
got = []
for one in s:
    one.settimeout(0.5)
    try:
        while True:
            data = one.recv(65536)
            got.append('%s.%d' % (data[:3].decode(), len(data)))
    except (TimeoutError, ConnectionRefusedError):
        pass
print('got', *got, flush=True)
END
app_start "$python" "$dir/server.py"
until_ok test -e "$work/bound"
"$python" "$dir/client.py" "$work/answered" >"$dir/client" &
holder=$!
until_ok grep -q sent "$dir/client"
app_checkpoint
app_kill
app_restart
touch "$work/answer"
until_ok test -e "$work/answered"
wait $holder
if [ -n "$user" ] && [ "${SHIM:-}" != no ]; then
	grep -q "whose address can't be had, are lost" "$dir/out" || fail "what is lost was not announced"
	same "answers" "got" "$(tail -n 1 "$dir/client")"
else
	same "answers" "got cba.3 yxx.20001 cba.3 yxx.20001" "$(tail -n 1 "$dir/client")"
fi
