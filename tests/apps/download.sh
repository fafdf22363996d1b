#!/usr/bin/env bash
# a download goes on while the server is stopped and restarted, and then the client: the other end is outside the tree
# MIB=1024 makes it a larger one.
. "$(dirname "$0")/lib.sh"
[ -z "$user" ] && [ "$(id -u)" = 0 ] || { echo "connections to outside go on only with CAP_NET_ADMIN"; exit 77; }
[ "${SHIM:-}" = no ] && exit 77
need nginx curl
mib=${MIB:-96} other=''
trap 'kill -9 $other 2>/dev/null; app_cleanup' EXIT
mkdir "$work/www"
head -c "${mib}M" /dev/urandom >"$work/www/big"
cat >"$work/nginx.conf" <<C
daemon off; worker_processes 2; error_log $work/error.log; pid $work/nginx.pid; user root;
events { worker_connections 64; }
http { access_log off; server { listen 127.0.0.1:7480; root $work/www; location / { limit_rate $((mib / 3))m; } } }
C
got() {
	stat -c %s "$dir/got" 2>/dev/null || echo 0
}
has() {
	[ "$(got)" -ge $(($1 << 20)) ]
}
runs() {
	"$B/skshim" ps | grep -qw "$root"
}
stop_and_restart() { # MIB
	local said
	until_ok has "$1"
	said=$("$B/skshim" checkpoint --stop "$root" 2>&1) || fail "skshim checkpoint --stop: $said"
	{ wait "${launcher:-$root}"; } 2>/dev/null
	has "$mib" && fail "the download was over before"
	say "stopped with $(($(got) >> 20)) MiB"
	app_restart
	until_ok runs
}

app_start nginx -c "$work/nginx.conf"
until_ok curl -s -o /dev/null --range 0-9 http://127.0.0.1:7480/big
curl -sS -o "$dir/got" http://127.0.0.1:7480/big >>"$dir/client" 2>&1 &
other=$!
stop_and_restart $((mib / 10))
stop_and_restart $((mib / 2))
wait $other || fail "curl: $? $(cat "$dir/client")"
cmp "$dir/got" "$work/www/big" || fail "the download is not what was served"
say "the server was stopped twice"
kill "$root"
{ wait "$launcher"; } 2>/dev/null
launcher='' root=''

nginx -c "$work/nginx.conf" >>"$dir/server" 2>&1 &
other=$!
until_ok curl -s -o /dev/null --range 0-9 http://127.0.0.1:7480/big
rm -rf "$dir/got" "${images:?}"/*
app_start curl -sS -o "$dir/got" http://127.0.0.1:7480/big
stop_and_restart $((mib / 10))
stop_and_restart $((mib / 2))
wait "$launcher" || fail "curl under the shim: $?"
launcher=''
cmp "$dir/got" "$work/www/big" || fail "the download is not what was served"
say "the client was stopped twice"
"$B/skshim" check | grep 'skshim_[0-9]' && fail "a table is left"
exit 0
