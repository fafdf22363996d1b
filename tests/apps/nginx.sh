#!/usr/bin/env bash
# nginx in one process, with a thread pool for its files; it has a meaning of its own for SIGUSR2
. "$(dirname "$0")/lib.sh"
port=28081
mkdir "$work/html"
echo "here I am" >"$work/html/index.html"
head -c 300000 /dev/zero | tr '\0' x >"$work/html/big"
echo 1 >"$work/html/one"
cat >"$work/nginx.conf" <<CONF
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/error.log;
thread_pool default threads=4;
events { worker_connections 256; }
http {
	access_log $work/access.log;
	client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
	uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
	server {
		listen 127.0.0.1:$port;
		listen unix:$work/nginx.sock;
		keepalive_timeout 60;
		keepalive_requests 100000000;
		root $work/html;
		location /big { aio threads; output_buffers 1 64k; sendfile off; }
		location /count { default_type text/plain; return 200 "\$connection_requests\n"; }
	}
}
CONF
get() {
	client ask http $port "$1"
}
app_start /usr/sbin/nginx -p "$work" -c "$work/nginx.conf"
until_ok client ask http $port /
get /big >/dev/null
for generation in 1 2 3; do
	say "generation $generation"
	loop http $port
	app_checkpoint
	unloop
	lines=$(wc -l <"$work/access.log")
	app_checkpoint
	app_kill
	app_restart
	until_ok client ask http $port /
	app_same
	same "a page" "here I am" "$(get /)"
	same "a file by its threads" 300000 "$(get /big | tr -d '\n' | wc -c)"
	[ "$(wc -l <"$work/access.log")" -gt "$lines" ] || fail "access.log was not written"
done
say "three generations"
