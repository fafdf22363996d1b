#!/usr/bin/env bash
# redis: a primary and its replica in one tree, whose connection goes on; then the replica alone, which comes back to a primary outside
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli
primary=26521 replica=26522
ask() { # PORT COMMAND...
	redis-cli -p "$@"
}
info() { # PORT FIELD
	redis-cli -p "$1" INFO | tr -d '\r' | sed -n "s/^$2://p"
}
linked() {
	[ "$(info $replica master_link_status)" = up ] && [ "$(info $primary master_repl_offset)" = "$(info $replica slave_repl_offset)" ]
}
digests() {
	same "the replica's data" "$(ask $primary DEBUG DIGEST)" "$(ask $replica DEBUG DIGEST)"
}
fill() { # NAME
	awk -v n="$1" 'BEGIN { for (i = 0; i < 5000; i++) printf "SET %s:%d %d\r\n", n, i, i }' | ask $primary --pipe | tail -n 1
	until_ok linked
	digests
}
options="--bind 127.0.0.1 --enable-debug-command yes --repl-diskless-sync yes --repl-diskless-sync-delay 0 --repl-timeout 60"
options="$options --save ''"
mkdir "$work/primary" "$work/replica"
[ -n "$user" ] && chown "$user:$user" "$work/primary" "$work/replica"

say "one tree"
app_start bash -c "redis-server --port $primary $options --dir $work/primary & redis-server --port $replica $options \
	--dir $work/replica --replicaof 127.0.0.1 $primary & wait"
until_ok linked
fill first
for generation in 1; do
	full=$(info $primary sync_full)
	app_checkpoint
	fill "more$generation"
	app_checkpoint
	app_kill all
	app_restart
	until_ok linked
	digests
	fill "again$generation"
	same "full synchronisations" "$full" "$(info $primary sync_full)"
	same "partial ones" 0 "$(info $primary sync_partial_ok)"
done
app_kill all
rm -rf "$images"/* "$images"/.[!.]*

say "two trees"
(exec_as LD_PRELOAD="$B/libskshim.so" SKSHIM_DIR="$dir/other" bash -c "exec redis-server --port $primary $options --dir $work/primary") >>"$dir/out" 2>&1 &
other=$!
trap 'kill -9 $other 2>/dev/null; app_cleanup' EXIT
app_start bash -c "exec redis-server --port $replica $options --dir $work/replica --replicaof 127.0.0.1 $primary"
until_ok linked
fill first
app_checkpoint
fill second
app_kill
fill_alone=$(awk 'BEGIN { for (i = 0; i < 500; i++) printf "SET alone:%d %d\r\n", i, i }' | ask $primary --pipe | tail -n 1)
say "the primary alone: $fill_alone"
app_restart
until_ok linked
digests
fill third
say "linked again"
