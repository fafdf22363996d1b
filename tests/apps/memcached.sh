#!/usr/bin/env bash
# memcached with four worker threads
. "$(dirname "$0")/lib.sh"
port=21211
as=()
[ -z "$user" ] && [ "$(id -u)" = 0 ] && as=(-u root)
app_start memcached -t 4 -l 127.0.0.1 -p $port -U 0 -m 256 "${as[@]}"
until_ok client ask memcached $port version
client memc-fill $port 20000
for generation in 1 2 3; do
	say "generation $generation"
	loop memcached $port
	app_checkpoint
	client memc-check $port 20000 || fail "data while going on"
	unloop
	app_checkpoint
	app_kill
	app_restart
	until_ok client ask memcached $port version
	app_same
	client memc-check $port 20000 || fail "data after the restart"
	# Its clock thread ticks on: a key that lives two seconds goes.
	client ask memcached $port $'set soon 0 2 1\r\nx' >/dev/null
	until_ok sh -c "$python $here/client.py ask memcached $port 'get soon' | grep -q END"
done
say "three generations"
