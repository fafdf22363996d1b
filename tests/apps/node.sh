#!/usr/bin/env bash
# node: an HTTP server, timers, compiled code, libuv's and V8's threads
. "$(dirname "$0")/lib.sh"
port=28080
get() {
	client ask http $port "$1"
}
cp "$here/server.js" "$work" # which the user may read
app_start node server.js $port
until_ok client ask http $port /ticks
hash=$(get /hash)
mix=$(get /mix)
for generation in 1 2 3; do
	say "generation $generation"
	loop http $port
	hold http $port /hash
	app_checkpoint
	unloop
	wait $holder
	same "work of libuv's threads" "$hash" "$(tail -n 1 "$dir/held")"
	count=$(get /count)
	app_checkpoint
	app_kill
	app_restart
	until_ok client ask http $port /ticks
	app_same
	same "the counter" $((count + 1)) "$(get /count)"
	same "compiled code" "$mix" "$(get /mix)"
	same "work of libuv's threads" "$hash" "$(get /hash)"
	ticks=$(get /ticks)
	until_ok sh -c "[ \$($python $here/client.py ask http $port /ticks) -gt $((ticks + 5)) ]"
done
say "three generations"
