#!/usr/bin/env bash
# live migration: a download and a redis session go on while their servers move to another host with their address
. "$(dirname "$0")/lib.sh"
[ -z "$user" ] && [ "$(id -u)" = 0 ] || { echo "connections to outside go on only with CAP_NET_ADMIN"; exit 77; }
[ "${SHIM:-}" = no ] && exit 77
need ip nsenter curl nginx redis-server redis-cli
hosts=() servers='' asker=''
trap 'kill -9 "${hosts[@]}" $servers $asker 2>/dev/null; app_cleanup' EXIT

at() { # HOST COMMAND...: becomes it, there
	local n=$1
	shift
	exec nsenter --net="/proc/${hosts[n]}/ns/net" env -C "$work" "$@"
}
rules() { # HOST
	(at "$1" "$B/skshim" check 2>&1) | grep -c 'skshim_[0-9]'
}
# One of TCP's counters, of a process's network.
counter() { # PID NAME
	awk -v name="$2" '/^Tcp:/ && !at { for (n = 2; n <= NF; n++) if ($n == name) at = n; next }
		/^Tcp:/ { print $at }' "/proc/$1/net/snmp"
}

ip link add switch type bridge || { echo "no bridges here"; exit 77; }
ip link set lo up
ip addr add 10.77.0.9/24 dev switch
ip link set switch up
for n in 0 1; do
	unshare -n sleep 600 &
	hosts[n]=$!
	until_ok sh -c "[ \"\$(readlink /proc/${hosts[n]}/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]"
	ip link add port$n type veth peer name eth0 netns "/proc/${hosts[n]}/ns/net"
	ip link set port$n master switch up
	(at $n ip link set lo up)
	(at $n ip link set eth0 up)
done
(at 0 ip addr add 10.77.0.1/24 dev eth0)

mkdir "$work/www"
head -c 24000000 /dev/urandom >"$work/www/big"
cat >"$work/nginx.conf" <<C
daemon off; master_process off; error_log $work/error.log; pid $work/nginx.pid; user root;
events { worker_connections 64; }
http { access_log off; server { listen 10.77.0.1:8080; root $work/www; location / { limit_rate 8m; } } }
C
(at 0 LD_PRELOAD="$B/libskshim.so" SKSHIM_DIR="$images/nginx" nginx -c "$work/nginx.conf") >>"$dir/out" 2>&1 &
nginx=$!
(at 0 LD_PRELOAD="$B/libskshim.so" SKSHIM_DIR="$images/redis" redis-server --bind 10.77.0.1 --port 26380 --save '' --protected-mode no) >>"$dir/out" 2>&1 &
redis=$!
servers="$nginx $redis"
until_ok redis-cli -h 10.77.0.1 -p 26380 ping
until_ok curl -s -o /dev/null --range 0-9 http://10.77.0.1:8080/big

curl -s -o "$dir/got" http://10.77.0.1:8080/big &
curl=$!
mkfifo "$dir/questions"
redis-cli -h 10.77.0.1 -p 26380 <"$dir/questions" >"$dir/answers" 2>&1 &
asker=$!
exec 8>"$dir/questions"
echo 'INCR n' >&8
until_ok grep -q 1 "$dir/answers"
until_ok test -s "$dir/got"

for server in nginx redis; do
	said=$( (at 0 "$B/skshim" checkpoint --stop "${!server}") 2>&1) || fail "skshim checkpoint --stop: $said"
	wait "${!server}"
done
say "stopped"
same "processes kept silent" 2 "$(rules 0)"
(at 0 ip addr del 10.77.0.1/24 dev eth0)
(at 1 ip addr add 10.77.0.1/24 dev eth0)
ip neigh flush dev switch
before=$(stat -c %s "$dir/got")
(at 1 "$B/skshim-restart" "$images/nginx") >>"$dir/out" 2>&1 8>&- &
servers=$!
(at 1 "$B/skshim-restart" "$images/redis") >>"$dir/out" 2>&1 8>&- &
servers="$servers $! $nginx $redis"
runs() {
	"$B/skshim" ps | grep -qw "$1"
}
until_ok runs "$nginx"
until_ok runs "$redis"
echo 'INCR n' >&8
until_ok grep -q 2 "$dir/answers"
echo 'INCR n' >&8
until_ok grep -q 3 "$dir/answers"
say "the session goes on, $before bytes were there before"
exec 8>&-
wait $curl || fail "curl: $?"
wait $asker
asker=''
cmp "$dir/got" "$work/www/big" || fail "the download is not what was served"
[ "$before" -lt 24000000 ] || fail "the download was over before"
same "what redis said" "1 2 3" "$(tr '\n' ' ' <"$dir/answers" | sed 's/ $//')"
same "resets met by the clients" 0 "$(counter self EstabResets)"
same "resets sent by the new host" 0 "$(counter "${hosts[1]}" OutRsts)"
same "rules left at the new host" 0 "$(rules 1)"
same "rules left at the old host" 0 "$(rules 0)"
say "both went on"
