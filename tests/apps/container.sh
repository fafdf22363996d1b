#!/usr/bin/env bash
# a program in a container's pid namespace: below its init it goes on in another container; the init itself is refused by name
. "$(dirname "$0")/lib.sh"
[ "${SHIM:-}" = no ] && exit 77
new=(unshare -pf --mount-proc --kill-child)
[ -z "$user" ] && [ "$(id -u)" = 0 ] || new=(unshare -r -pf --mount-proc --kill-child)
(exec_as "${new[@]}" true) 2>/dev/null || { echo "no pid namespace can be made here"; exit 77; }
cat >"$work/server.py" <<'PY'
import os, socket
s = socket.socket(socket.AF_UNIX)
s.bind('talk')
s.listen()
n = 0
while True:
    c, _ = s.accept()
    n += 1
    c.sendall(b'%d %d' % (os.getpid(), n))
    c.close()
PY
ask() {
	"$python" -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(99).decode())' "$work/talk"
}
under=(env LD_PRELOAD="$B/libskshim.so" SKSHIM_DIR="$images" "$python" server.py)
# Starts, and finds the program from here.
container() { # COMMAND...
	(exec_as "${new[@]}" "$@") </dev/null >>"$dir/out" 2>&1 7<&- &
	launcher=$!
	until_ok ask
	outer=$(below "$launcher" | tail -n 1)
}
stop_container() {
	kill -9 "$launcher"
	{ wait "$launcher"; } 2>/dev/null
	launcher=''
	until_ok eval '! kill -0 "$outer"'
	outer=''
}
checkpoint() {
	said=$("$B/skshim" checkpoint "$outer" 2>&1) || fail "skshim checkpoint: $said"
	say "checkpoint: $said"
}

# some numbers are used up before: the restart is a process of the other container, too
container sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do /bin/true; done; "$@" & wait' sh "${under[@]}"
for generation in 1 2 3; do
	say "generation $generation"
	before=$(ask)
	checkpoint
	stop_container
	container "$B/skshim-restart" "$images"
	# container() has asked, too
	same "pid and count" "${before% *} $((${before#* } + 2))" "$(ask)"
done
stop_container
rm -rf "${images:?}"/* "$work/talk"

say "the program is the init"
container "${under[@]}"
same "its pid" 1 "$(ask | cut -d ' ' -f 1)"
checkpoint
ask >>"$dir/out" || fail "no answer while it goes on"
stop_container
(exec_as timeout 30 "$B/skshim-restart" "$images") </dev/null >"$dir/said" 2>&1 7<&-
same "status of the restart" 125 $?
grep -q "cannot restart: pid 1 was the init" "$dir/said" || fail "the restart says $(cat "$dir/said")"
say "$(grep cannot "$dir/said")"
