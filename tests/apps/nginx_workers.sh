#!/usr/bin/env bash
# nginx: a master and four workers under load, reload, and a binary upgrade by its own SIGUSR2
. "$(dirname "$0")/lib.sh"
need nginx wrk
port=28083
mkdir "$work/html"
chmod 755 "$work" "$work/html"
echo "here I am" >"$work/html/index.html"
cat >"$work/nginx.conf" <<CONF
worker_processes 4;
pid $work/nginx.pid;
error_log $work/error.log;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
	uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
	server {
		listen 127.0.0.1:$port;
		root $work/html;
	}
}
CONF
[ -z "$user" ] || chown -R "$user" "$work"
page() {
	[ "$(client ask http $port /)" = "here I am" ]
}
# The pids below the master, as the tree itself numbers them.
workers() {
	local p
	for p in $(below "$outer"); do
		awk '/^NSpid:/ {print $NF}' "/proc/$p/status"
	done | sort -n | xargs
}
load() { # SECONDS
	wrk -t 1 -c 20 -d "$1" "http://127.0.0.1:$port/" >"$dir/wrk" 2>&1
	awk '/Requests\/sec/ {n = $2} /Socket errors|Non-2xx/ {print; bad = 1} END {exit bad || n < 100}' "$dir/wrk" ||
		fail "wrk: $(cat "$dir/wrk")"
}
export SKSHIM_SIGNAL=RTMIN+5
app_start /usr/sbin/nginx -p "$work" -c "$work/nginx.conf" -g 'daemon off;'
until_ok page
until_ok sh -c "[ \$(pgrep -cP $root) = 4 ]"
# a worker of root's master is nobody's: the command finds the one that may stop all
[ "${SHIM:-}" = no ] || (exec_as timeout 60 "$B/skshim" checkpoint "$(pgrep -P "$root" | head -n 1)") >>"$dir/out" 2>&1 ||
	fail "a worker was asked"
for generation in 1 2 3; do
	say "generation $generation"
	before=$(workers)
	load 3 &
	holder=$!
	sleep 1
	app_checkpoint
	wait $holder || fail "wrk met errors while checkpoints were made"
	app_kill all
	app_restart
	until_ok page
	same "the workers" "$before" "$(workers)"
	load 1
done
say "reload"
kill -HUP "$outer"
until_ok eval "[ \"\$(workers)\" != '$before' ] && [ \$(workers | wc -w) = 4 ]"
page || fail "no page after the reload"
app_checkpoint
say "upgrade"
kill -USR2 "$outer"
until_ok test -s "$work/nginx.pid.oldbin"
until_ok sh -c "[ \$(cat $work/nginx.pid) != \$(cat $work/nginx.pid.oldbin) ]"
same "the old master's number" "$root" "$(cat "$work/nginx.pid.oldbin")"
app_checkpoint
before=$(workers)
app_kill all
app_restart
until_ok page
same "old and new workers" "$before" "$(workers)"
load 1
kill -QUIT "$outer"
# the restart may end with it
ending=$launcher launcher=''
until_ok eval '[ ! -e "/proc/$outer" ] || grep -q "^State:.Z" "/proc/$outer/status"'
launcher=$ending
page || fail "the new master does not answer"
say "three generations, a reload, an upgrade"
