#!/usr/bin/env bash
# clocks: made where they were far ahead of this machine's (another host, before a reboot), they don't run backwards here
. "$(dirname "$0")/lib.sh"
options=(--time --monotonic 100000 --boottime 200000)
[ -n "$user" ] || [ "$(id -u)" != 0 ] && options+=(--user --map-current-user)
unshare "${options[@]}" true 2>/dev/null || { echo "no time namespace can be made here"; exit 77; }
cp "$here/clock.py" "$work"
[ "${SHIM:-}" = no ] || shim=(LD_PRELOAD="$B/libskshim.so" SKSHIM_DIR="$images")
(exec_as unshare "${options[@]}" env "${shim[@]}" "$python" clock.py) >>"$dir/out" 2>&1 7<&- &
root=$!
outer=$root
looks() {
	cat "$work/looks" 2>/dev/null
}
until_ok grep -q . "$work/looks"
for generation in 1 2 3; do
	say "generation $generation"
	app_checkpoint
	n=$(looks)
	until_ok sh -c "[ \$(cat $work/looks) -gt $((n + 3)) ]"
	app_checkpoint
	app_kill
	app_restart
	n=$(looks)
	until_ok sh -c "[ \$(cat $work/looks) -gt $((n + 3)) ]"
	app_same
	"$B/skshim" ps | grep -q "$outer" || [ -n "$user" ] || fail "skshim ps does not know it"
done
say "three generations"
