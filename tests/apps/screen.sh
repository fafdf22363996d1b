#!/usr/bin/env bash
# screen with two shells and a program: what they have on the screen, their jobs, their variables, and an attached client
. "$(dirname "$0")/lib.sh"
need screen script nsenter
mkdir "$work/dir"
mkfifo "$dir/keys"
chmod 700 "$work/dir"
[ -z "$user" ] || chown "$user" "$work/dir"
export SCREENDIR=$work/dir SHELL=/bin/sh
# screen's client and server send each other signals: where an ordinary user's restart made a pid namespace, the client must be in it.
enter() {
	local way=''
	[ "$outer" = "$root" ] || way="nsenter --preserve-credentials -U -p -t $outer"
	# shellcheck disable=SC2086
	(exec_as env TERM=vt100 timeout 20 $way "$@")
}
s() {
	enter screen -S one "$@"
}
says() { # WINDOW WORDS
	rm -f "$work/copy"
	s -p "$1" -X hardcopy -h "$work/copy"
	until_ok test -e "$work/copy"
	grep -q -- "$2" "$work/copy"
}
type() { # WINDOW TEXT
	s -p "$1" -X stuff "$2^M"
}
app_start env TERM=vt100 screen -D -m -S one -c /dev/null sh -i
until_ok s -Q windows
s -X screen bash --norc -i
s -X screen "$python" -i -q
type 0 'x=kept; cd /usr/lib'
type 1 'sleep 1000 &'
type 1 'echo $((6 * 7)) in $$'
type 2 'x = 12345'
until_ok says 1 '^42 in'
until_ok says 2 'x = 12345'
for generation in 1 2 3; do
	say "generation $generation"
	app_checkpoint
	type 2 "print(x + $generation * 1000)"
	until_ok says 2 "^$((12345 + generation * 1000))"
	app_checkpoint
	app_kill all
	app_restart
	until_ok s -Q windows
	until_ok says 1 '^42 in'
	type 0 "echo \\\$x \\\$PWD $generation"
	until_ok says 0 "^kept /usr/lib $generation"
	type 1 "jobs; echo gen $generation"
	until_ok says 1 "^gen $generation"
	says 1 'Running.*sleep 1000' || fail "no job: $(cat "$work/copy")"
	type 2 "print(x + $generation)"
	until_ok says 2 "^$((12345 + generation))"
	app_same
	# somebody attaches, types once the screen is shown, and is gone
	: >"$dir/seen"
	enter script -qec "screen -x one -p 0" /dev/null <"$dir/keys" >"$dir/seen" 2>&1 7<&- &
	exec 7>"$dir/keys"
	until_ok grep -q "kept /usr/lib $generation" "$dir/seen"
	printf 'echo attached%s\r' "$generation" >&7
	until_ok says 0 "^attached$generation"
	s -X detach
	wait $!
	exec 7>&-
	grep -q "attached$generation" "$dir/seen" || fail "the attached one saw: $(cat "$dir/seen")"
done
s -X quit
{ wait "${launcher:-$root}"; } 2>/dev/null
outer='' launcher=''
say "three generations"
