#!/usr/bin/env bash
# skshim-restart as a parent: exit status, 128+n, signals passed on, -d with a pid file, nothing left behind
. "$(dirname "$0")/lib.sh"
[ "${SHIM:-}" = no ] && exit 77
cat >"$work/root.sh" <<'END'
trap 'echo "hup"' HUP
trap 'exit 41' TERM
echo ready
while :; do sleep 0.02; done
END
left() { # what a restart may leave: nothing
	find /dev/shm "${TMPDIR:-/tmp}" -maxdepth 1 -name 'skshim-[0-9]*' -newer "$dir/began" 2>/dev/null
}
: >"$dir/began"
sleep 0.01
app_start bash root.sh
until_ok grep -q ready "$dir/out"
app_checkpoint
app_kill all
app_restart
kill -HUP "$launcher"
until_ok grep -q hup "$dir/out"
kill -TERM "$launcher"
wait "$launcher"
same "exit status of the root" 41 $?
launcher='' outer=''

say "a signal"
app_restart
kill -KILL "$outer"
wait "$launcher"
same "a killed root" 137 $?
launcher='' outer=''

say "twice at a time: the second has a pid namespace"
app_restart
first=$launcher
app_restart
for one in "$launcher" "$first"; do
	kill -TERM "$one"
	wait "$one"
	same "status of one of two" 41 $?
done
launcher='' outer=''

say "detached"
(exec_as timeout 20 "$B/skshim-restart" -d --pidfile pid "$images") </dev/null >>"$dir/out" 2>&1
same "status of -d" 0 $?
outer=$(cat "$work/pid")
grep -q bash "/proc/$outer/comm" || fail "the pid file says $outer"
kill -TERM "$outer"
until_ok eval '! kill -0 "$outer"'
outer=''

say "refused"
cp -a "$images" "$dir/damaged"
: >"$dir/damaged/latest/manifest"
[ -z "$user" ] || chown -R "$user" "$dir/damaged"
(exec_as timeout 20 "$B/skshim-restart" "$dir/damaged") >"$dir/second" 2>&1
same "status of a damaged image" 125 $?
(exec_as timeout 20 "$B/skshim-restart" "$work/nothing") >"$dir/second" 2>&1
same "status without an image" 125 $?
(exec_as timeout 20 "$B/skshim-restart" -d --pidfile "$work/no/such/place" "$images") >"$dir/second" 2>&1
same "status without a place for the pid file" 125 $?
until_ok eval '[ -z "$(left)" ]'
say "nothing is left"
