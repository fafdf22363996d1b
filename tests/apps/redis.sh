#!/usr/bin/env bash
# redis: 200,000 keys of mixed types, a client waiting in BLPOP, an append-only file, background threads
. "$(dirname "$0")/lib.sh"
port=26379
cli() {
	redis-cli -p $port "$@"
}
fill() {
	awk 'BEGIN {
		for (i = 0; i < 60000; i++) printf "SET string:%d %d-%0*d\r\n", i, i, i % 200 + 1, i
		for (i = 0; i < 50000; i++) printf "HSET hash:%d name n%d size %d flag 1\r\n", i, i, i
		for (i = 0; i < 40000; i++) printf "RPUSH list:%d a b c %d\r\n", i, i
		for (i = 0; i < 30000; i++) printf "SADD set:%d %d x%d y%d\r\n", i, i, i, i
		for (i = 0; i < 20000; i++) printf "ZADD rank:%d 1.5 a %d b\r\n", i, i
	}' | cli --pipe | tail -n 1
}
digest() {
	cli DEL asked >/dev/null
	cli DEBUG DIGEST
}
info() {
	cli INFO | tr -d '\r' | sed -n "s/^$1://p"
}

app_start redis-server --port $port --bind 127.0.0.1 --unixsocket "$work/redis.sock" --save '' --appendonly yes \
	--io-threads 2 --enable-debug-command yes --dir "$work"
until_ok redis-cli -p $port ping
fill
same "number of keys" 200000 "$(cli DBSIZE)"
before=$(digest)
for generation in 1 2 3; do
	say "generation $generation"
	hold redis $port 'BLPOP queue 0'
	until_ok sh -c "redis-cli -p $port INFO clients | grep -q 'blocked_clients:1'"
	loop redis $port
	app_checkpoint
	unloop
	cli RPUSH queue "for $generation" >/dev/null
	wait $holder
	same "what BLPOP brought" "queue for $generation" "$(tail -n 1 "$dir/held")"
	same "data while going on" "$before" "$(digest)"
	hold redis $port 'BLPOP queue 0'
	until_ok sh -c "redis-cli -p $port INFO clients | grep -q 'blocked_clients:1'"
	cli SET soon gone PX 3000 >/dev/null
	app_checkpoint
	app_kill
	[ "${SHIM:-}" = no ] || wait $holder
	app_restart
	until_ok redis-cli -p $port ping
	app_same
	until_ok sh -c "[ \"\$(redis-cli -p $port GET soon)\" = '' ]"
	same "data" "$before" "$(digest)"
	same "pong by its socket file" PONG "$(redis-cli -s "$work/redis.sock" ping)"
	if [ "${SHIM:-}" != no ]; then
		same "clients blocked" 0 "$(info blocked_clients)"
		cli RPUSH queue kept >/dev/null
		same "nobody else took it" kept "$(cli LPOP queue)"
	else
		cli RPUSH queue kept >/dev/null
	fi
	# Its background threads: a big value is freed by one of them, the append-only file synced by another.
	freed=$(info lazyfreed_objects)
	cli EVAL "for i = 1, 500 do redis.call('RPUSH', 'big', string.rep('x', 9000)) end return 1" 0 >/dev/null
	cli UNLINK big >/dev/null
	until_ok sh -c "redis-cli -p $port INFO memory | tr -d '\r' | grep -q 'lazyfreed_objects:$((freed + 1))\$'"
	same "append-only file" ok "$(info aof_last_write_status)"
	cli SET "generation:$generation" reached >/dev/null
	# written a little later where a sync is under way
	until_ok sh -c "grep -aq generation:$generation $work/appendonlydir/*.incr.aof"
	before=$(digest)
done
say "three generations, $(cli DBSIZE) keys"
