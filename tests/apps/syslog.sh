#!/usr/bin/env bash
# rsyslogd with loggers in the tree: one connected datagram socket each, every line once and in order
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need rsyslogd logger
cat >"$work/conf" <<END
global(workDirectory="$work")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="$work/log" CreatePath="off" RateLimit.Interval="0")
template(name="plain" type="string" string="%programname%%msg%\n")
*.* action(type="omfile" file="$work/messages" template="plain" asyncWriting="off")
END
cat >"$work/logger.py" <<'END'
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect('log')
n = 0
while True:
    s.send(b'<14>' + sys.argv[1].encode() + b': tick %d' % n)
    n += 1
    time.sleep(0.02)
END
has() {
	grep -q "$1" "$work/messages"
}
# shellcheck disable=SC2016
app_start bash -c '
	rsyslogd -n -f conf -i NONE &
	until [ -S log ]; do sleep 0.02; done
	'"$python"' logger.py one & '"$python"' logger.py two &
	wait'
until_ok has 'tick 30'
for generation in 1 2 3; do
	say "generation $generation"
	app_checkpoint
	(exec_as logger -u "$work/log" --rfc3164 "from outside on $generation") || fail "logger"
	until_ok has "from outside on $generation"
	app_checkpoint
	app_kill all
	lines=$(wc -l <"$work/messages")
	app_restart
	until_ok sh -c "[ \$(wc -l <$work/messages) -gt $((lines + 40)) ]"
	(exec_as logger -u "$work/log" --rfc3164 "from outside back $generation") || fail "logger"
	until_ok has "from outside back $generation"
	tail -n "+$((lines + 1))" "$work/messages" | awk '$2 == "tick" {
			if (seen[$1]++ && $3 != last[$1] + 1) bad = 1
			last[$1] = $3
		} END { exit bad || seen["one"] < 10 || seen["two"] < 10 }' || fail "lines are lost, double or out of order"
done
say "three generations"
