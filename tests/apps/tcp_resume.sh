#!/usr/bin/env bash
# connections with a peer outside the tree: stopped in silence, and going on in the middle of the stream, in every state
. "$(dirname "$0")/lib.sh"
[ -z "$user" ] && [ "$(id -u)" = 0 ] || { echo "connections to outside go on only with CAP_NET_ADMIN"; exit 77; }
[ "${SHIM:-}" = no ] && exit 77
peer=''
trap 'kill -9 $peer 2>/dev/null; app_cleanup' EXIT

outside() { # NAME COMMAND...: the peer, its output in $dir/NAME
	local name=$1
	shift
	"$@" >>"$dir/$name" 2>&1 &
	peer=$!
}
# Whether the firewall has a table of ours; what `skshim check` says of them.
rules() {
	"$B/skshim" check 2>&1 | grep -c 'skshim_[0-9]'
}
no_rules() {
	[ "$(rules)" = 0 ]
}
runs() {
	"$B/skshim" ps | grep -qw "$root"
}
stop_and_restart() {
	local said
	said=$("$B/skshim" checkpoint --stop "$root" 2>&1) || fail "skshim checkpoint --stop: $said"
	{ wait "${launcher:-$root}"; } 2>/dev/null
	same "connections kept silent" "$1" "$(rules)"
	app_restart
	until_ok no_rules
	until_ok runs
}

for role in listen connect; do
	say "a stream in both directions, the tree's end: $role"
	: >"$dir/out"
	if [ $role = listen ]; then
		app_start $python "$here/stream.py" listen 127.0.0.1 7300
		until_ok grep -q listening "$dir/out"
		outside peer $python "$here/stream.py" connect 127.0.0.1 7300
	else
		outside peer $python "$here/stream.py" listen 127.0.0.1 7300
		until_ok grep -q listening "$dir/peer"
		app_start $python "$here/stream.py" connect 127.0.0.1 7300
	fi
	until_ok grep -q connected "$dir/out"
	stop_and_restart 1
	[ $role = connect ] || stop_and_restart 1
	kill -TERM "$root"
	wait "$launcher" || fail "the tree's end: $?"
	launcher=''
	wait $peer || fail "the peer's end: $? $(cat "$dir/peer")"
	say "tree: $(tail -n 1 "$dir/out")"
	say "peer: $(tail -n 1 "$dir/peer")"
	same "what the tree sent" "$(sed -n 's/^sent \([0-9]*\) .*/\1/p' "$dir/out")" \
		"$(sed -n 's/^sent .* received \([0-9]*\) .*/\1/p' "$dir/peer")"
	rm -f "$dir/peer" "$images"/* 2>/dev/null
	rm -rf "$images"/0*
done

for address in 127.0.0.1 ::1; do
	say "ends sent and received, over $address"
	: >"$dir/out"
	rm -rf "$images"/* "$dir/go" "$dir/peer" "$dir"/fin_wait1 "$dir"/last_ack "$dir"/closing "$dir"/full_*
	outside peer $python "$here/tcp_ends.py" peer $address 7300 "$dir"
	until_ok grep -q listening "$dir/peer"
	app_start $python "$here/tcp_ends.py" tree $address 7300 "$dir"
	until_ok grep -q ready "$dir/out"
	until_ok grep -q ready "$dir/peer"
	stop_and_restart 8
	touch "$dir/go"
	wait "$launcher" || fail "the tree's end: $?"
	launcher=''
	wait $peer || fail "the peer's end: $? $(cat "$dir/peer")"
	same "states verified" all "$(tail -n 1 "$dir/out")"
done
same "rules left" 0 "$(rules)"
