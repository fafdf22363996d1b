#!/usr/bin/env bash
# a job whose output is a file (app >log 2>&1) to which shim and launcher write as well, stopped and restarted, twice
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"
log=$work/log
program='import socket, sys
# Somebody outside keeps the other end of fd 3: the shim announces it on standard error.
c = socket.socket(socket.AF_UNIX)
c.connect(sys.argv[1])
while True:
    word = sys.stdin.readline()
    if not word:
        break
    print("got", word.strip(), flush=True)'

mkfifo "$work/in" && chmod 666 "$work/in"
exec 7<>"$work/in"
"$python" -c 'import os, signal, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen()
c = s.accept()
signal.pause()' "$work/outside" &
holder=$!
until_ok test -S "$work/outside"

: >"$log"
chmod 666 "$log"
restart_input=$work/in
(exec_as LD_PRELOAD="$B/libskshim.so" SKSHIM_DIR="$images" "$python" -c "$program" "$work/outside") \
	<"$work/in" >"$log" 2>&1 7<&- &
root=$!
outer=$root
echo first >&7
until_ok grep -q "got first" "$log"
for word in second third; do
	(exec_as "$B/skshim" checkpoint --stop "$outer") >>"$dir/out" 2>&1 7<&- || fail "checkpoint --stop"
	wait "${launcher:-$outer}" 2>/dev/null
	launcher=''
	echo "the launcher's last words" >>"$log"
	app_restart
	echo $word >&7
	until_ok grep -q "got $word" "$log"
done
grep -q "peer is outside" "$log" || fail "the shim announced nothing on the program's standard error"
first=$launcher launcher=''

# A batch script that is requeued: its own words, the program's and each restart's stand one behind the other.
mkfifo "$work/in2" && chmod 666 "$work/in2"
cat >"$work/job" <<'END'
exec >"$4" 2>&1 7<>"$3"
for round in 1 2 3 last; do
	SKSHIM_AFTER=exit:85 "$1/skshim-restart" --or-run "$2" -- /usr/bin/python3 -c '
import sys
for line in sys.stdin:
    print("got", line.strip(), flush=True)
    if line == "last\n":
        sys.exit(7)' <&7 &
	echo "$round" >&7
	until grep -q "got $round" "$4"; do sleep 0.05; done
	[ "$round" = last ] || kill -USR2 $!
	wait $!
	echo "status $?"
done
END
(exec_as bash "$work/job" "$B" "$work/loop" "$work/in2" "$work/job.log") &
outer="$outer $! $first"
until_ok grep -q "status 7" "$work/job.log"
same "what the job wrote" "got 1,status 85,got 2,status 85,got 3,status 85,got last,status 7," "$(tr '\n' , <"$work/job.log")"
say "output file"
