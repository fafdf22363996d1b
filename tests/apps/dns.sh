#!/usr/bin/env bash
# dnsmasq and unbound in one tree, unbound asking dnsmasq: answers over UDP and TCP, going on and restarted
. "$(dirname "$0")/lib.sh"
need dnsmasq unbound
masq=26541 unbound=26542
cat >"$work/unbound.conf" <<END
server:
	interface: 127.0.0.1
	interface: ::1
	port: $unbound
	num-threads: 2
	do-daemonize: no
	username: ""
	chroot: ""
	directory: "$work"
	pidfile: "$work/unbound.pid"
	use-syslog: no
	logfile: ""
	module-config: "iterator"
	do-not-query-localhost: no
	local-zone: "here." static
	local-data: "one.here. IN A 10.1.2.3"
remote-control:
	control-enable: no
forward-zone:
	name: "there."
	forward-addr: 127.0.0.1@$masq
END
cat >"$dir/ask" <<'END'
"""ask PORT NAME udp|tcp [SECONDS]: the address, over and over for some seconds when asked to"""
import socket, struct, sys, time
port, name, how = int(sys.argv[1]), sys.argv[2], sys.argv[3]
end = time.monotonic() + float(sys.argv[4]) if len(sys.argv) > 4 else 0
host, family = ('::1', socket.AF_INET6) if how.endswith('6') else ('127.0.0.1', socket.AF_INET)
n = 0
s = socket.socket(family, socket.SOCK_STREAM if how.startswith('tcp') else socket.SOCK_DGRAM)
s.settimeout(20)
s.connect((host, port))
while True:
    n += 1
    q = struct.pack('>6H', n & 65535, 0x100, 1, 0, 0, 0)
    q += b''.join(bytes([len(l)]) + l.encode() for l in name.rstrip('.').split('.')) + b'\0\0\1\0\1'
    if how.startswith('tcp'):
        s.sendall(struct.pack('>H', len(q)) + q)
        a = s.recv(2, socket.MSG_WAITALL)
        a = s.recv(struct.unpack('>H', a)[0], socket.MSG_WAITALL)
    else:
        s.send(q)
        a = s.recv(2000)
    head = struct.unpack('>6H', a[:12])
    assert head[0] == n & 65535, (head, n)
    assert head[3] >= 1 and head[1] & 15 == 0, head
    address = socket.inet_ntoa(a[-4:]) if head[5] == 0 else socket.inet_ntoa(a[len(q) + 12:len(q) + 16])
    if time.monotonic() >= end:
        break
print(address)
END
ask() {
	timeout 60 "$python" "$dir/ask" "$@"
}
[ -n "$user" ] && chown -R "$user:$user" "$work"

app_start bash -c "dnsmasq -k -p $masq -C /dev/null --pid-file= --no-resolv --no-hosts --bind-interfaces --listen-address=127.0.0.1 \
	--address=/there/10.9.8.7 --user=$(id -un "${user:-0}") --log-facility=- & unbound -d -c '$work/unbound.conf' & wait"
until_ok ask $masq x.there udp
until_ok ask $unbound one.here udp
for generation in 1 2; do
	say "generation $generation"
	ask $unbound one.here udp 2 >"$dir/loop1" &
	one=$!
	ask $masq "loop$generation.there" udp 2 >"$dir/loop2" &
	two=$!
	app_checkpoint
	app_checkpoint
	wait $one || fail "unbound's client met an error"
	wait $two || fail "dnsmasq's client met an error"
	same "through both, going on" 10.9.8.7 "$(ask $unbound "go$generation.there" udp)"
	app_checkpoint
	app_kill all
	app_restart
	until_ok ask $unbound one.here udp
	same "unbound's own" 10.1.2.3 "$(ask $unbound one.here udp)"
	same "unbound's own, IPv6" 10.1.2.3 "$(ask $unbound one.here udp6)"
	same "unbound's own, TCP" 10.1.2.3 "$(ask $unbound one.here tcp)"
	same "through both" 10.9.8.7 "$(ask $unbound "a$generation.there" udp)"
	same "dnsmasq's, TCP" 10.9.8.7 "$(ask $masq "b$generation.there" tcp)"
	app_same
done
say "two generations"
