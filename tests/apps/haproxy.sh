#!/usr/bin/env bash
# HAProxy in front of nginx, in one tree: kept-alive connections to it and from it to nginx; a client that asks all the while
. "$(dirname "$0")/lib.sh"
need haproxy nginx
port=26531 behind=26532 through=26533
mkdir "$work/html"
echo "here I am" >"$work/html/index.html"
head -c 3000000 /dev/zero | tr '\0' y >"$work/html/big"
cat >"$work/nginx.conf" <<END
daemon off;
worker_processes 2;
pid $work/nginx.pid;
error_log $work/error.log;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
	server {
		listen 127.0.0.1:$behind;
		keepalive_timeout 600;
		keepalive_requests 100000000;
		root $work/html;
		location /count { default_type text/plain; return 200 "\$connection_requests\n"; }
	}
}
END
cat >"$work/haproxy.cfg" <<END
global
	nbthread 2
	stats socket $work/stats.sock mode 600 level admin
defaults
	mode http
	timeout connect 10s
	timeout client 600s
	timeout server 600s
	option http-keep-alive
frontend front
	bind 127.0.0.1:$port
	default_backend back
listen through
	mode tcp
	bind 127.0.0.1:$through
	server one 127.0.0.1:$behind
backend back
	http-reuse always
	server one 127.0.0.1:$behind check inter 200
END
[ -n "$user" ] && chown -R "$user:$user" "$work"
get() {
	client ask http $port "$1"
}

app_start bash -c "nginx -p '$work' -c '$work/nginx.conf' -e '$work/error.log' & haproxy -W -f '$work/haproxy.cfg' & wait"
until_ok client ask http $port /
for generation in 1; do
	say "generation $generation"
	loop http $through
	app_checkpoint
	same "the page, going on" "here I am" "$(get /)"
	app_checkpoint
	unloop
	app_checkpoint
	app_kill all
	app_restart
	until_ok client ask http $port /
	app_same
	same "the page" "here I am" "$(get /)"
	same "a big one" "$(md5sum <"$work/html/big")" "$(curl -s "http://127.0.0.1:$port/big" | md5sum)"
	same "the back end, to HAProxy's mind" UP "$(echo 'show stat' | exec_as python3 -c "
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect('$work/stats.sock')
s.send(sys.stdin.buffer.read())
text = b''
while True:
    d = s.recv(65536)
    if not d: break
    text += d
print([l.split(',')[17] for l in text.decode().splitlines() if l.startswith('back,one')][0])" 2>&1)"
done
say "restarted"
