#!/usr/bin/env bash
# python3: an asyncio server, its timers, and a thread pool asleep and at work
. "$(dirname "$0")/lib.sh"
port=28000
ask() {
	client ask line $port "$@"
}
cp "$here/server.py" "$work" # which the user may read
app_start "$python" server.py $port
until_ok client ask line $port ticks
# All six threads of the pool come into being.
workers=()
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	ask "work abc$i" >/dev/null &
	workers+=($!)
done
wait "${workers[@]}"
for generation in 1 2 3; do
	say "generation $generation"
	loop line $port
	hold line $port 'work hello'
	app_checkpoint
	unloop
	wait $holder
	same "work in the pool" olleh "$(tail -n 1 "$dir/held" | cut -d ' ' -f 1)"
	count=$(ask count)
	app_checkpoint
	app_kill
	app_restart
	until_ok client ask line $port ticks
	app_same
	same "the counter" $((count + 1)) "$(ask count)"
	ticks=$(ask ticks)
	until_ok sh -c "[ \$($python $here/client.py ask line $port ticks) -gt $((ticks + 5)) ]"
	same "work in the pool" cba "$(ask 'work abc' | cut -d ' ' -f 1)"
done
say "three generations"
