#!/usr/bin/env bash
# traffic: redis with redis-benchmark and nginx with wrk in one tree, checkpointed again and again without one error; then restarted
# TRAFFIC=N makes N checkpoints, a second apart. The restart is of a moment between two rounds: a connection that nobody has accepted
# yet would be reset.
. "$(dirname "$0")/lib.sh"
need redis-server redis-benchmark nginx wrk
port=26511 web=26512 rounds=${TRAFFIC:-3}

cat >"$dir/tree" <<END
#!/usr/bin/env bash
# Everything in one tree. It ends, with 0, when the file 'stop' is there and the last round of both clients was without error.
redis-server --port $port --bind 127.0.0.1 --save '' --dir "$work" --daemonize no >redis.log &
nginx -c "$work/nginx.conf" -p "$work" -e "$work/error.log" &
until redis-cli -p $port ping | grep -q PONG && [ -s nginx.pid ]; do sleep 0.1; done
fails() { echo "\$*" >>failed; }
calls() { # NAME COMMAND...: a round after the other
	local name=\$1 said
	shift
	while [ ! -e stop ]; do
		while [ -e pause ]; do touch "paused.\$name"; sleep 0.1; done
		said=\$("\$@" 2>&1) || fails "\$name ended with \$?"
		echo "\$said" | grep -iE 'error|reset|closed|Non-2xx' >>failed
		echo "\$said" | grep -q 'requests' || fails "\$name said: \$said"
		echo "\$name" >>rounds
	done
}
calls redis redis-benchmark -p $port -c 20 -n 5000 -t set,get,lpush -q &
calls web wrk -c 20 -t 2 -d 1 --timeout 30 http://127.0.0.1:$web/page &
wait %3 %4
touch ended
redis-cli -p $port shutdown nosave
kill \$(cat nginx.pid)
wait
END
chmod 755 "$dir/tree"
cat >"$work/nginx.conf" <<END
worker_processes 2;
pid $work/nginx.pid;
daemon off;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
	server {
		listen 127.0.0.1:$web;
		location /page { return 200 "a page of some bytes\n"; }
	}
}
END
[ -n "$user" ] && chown -R "$user:$user" "$work"
rounds() {
	[ "$(grep -c "$1" "$work/rounds")" -gt "$2" ]
}
no_error() {
	[ ! -s "$work/failed" ] || fail "$1: $(head -n 5 "$work/failed")"
}

app_start bash "$dir/tree"
until_ok test -s "$work/rounds"
for ((i = 0; i < rounds; i++)); do
	said=$( (exec_as timeout 60 "$B/skshim" checkpoint "$outer") 2>&1) || fail "skshim checkpoint: $said"
	no_error "while going on"
	sleep 1
done
redis=$(grep -c redis "$work/rounds") web_rounds=$(grep -c web "$work/rounds")
until_ok rounds redis $((redis + 1))
until_ok rounds web $((web_rounds + 1))
no_error "while going on"
say "$rounds checkpoints, $(wc -l <"$work/rounds") rounds"
touch "$work/pause"
until_ok test -e "$work/paused.redis" -a -e "$work/paused.web"
app_checkpoint
app_kill all
rm "$work/pause"
app_restart
redis=$(grep -c redis "$work/rounds") web_rounds=$(grep -c web "$work/rounds")
until_ok rounds redis $((redis + 1))
until_ok rounds web $((web_rounds + 1))
no_error "after the restart"
touch "$work/stop"
until_ok test -e "$work/ended"
no_error "at the end"
say "after the restart $(wc -l <"$work/rounds") rounds"
