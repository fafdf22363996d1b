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
# How many processes' connections the firewall keeps silent, as `skshim check` says.
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
	same "processes kept silent" 1 "$(rules)"
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
	stop_and_restart
	[ $role = connect ] || stop_and_restart
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
	stop_and_restart
	touch "$dir/go"
	wait "$launcher" || fail "the tree's end: $?"
	launcher=''
	wait $peer || fail "the peer's end: $? $(cat "$dir/peer")"
	same "states verified" all "$(tail -n 1 "$dir/out")"
done
same "rules left" 0 "$(rules)"

# The listening end of stream.py with its peer, the connection established.
stream_starts() {
	: >"$dir/out"
	rm -rf "$images"/*
	app_start $python "$here/stream.py" listen 127.0.0.1 7300
	until_ok grep -q listening "$dir/out"
	outside peer $python "$here/stream.py" connect 127.0.0.1 7300
	until_ok grep -q connected "$dir/out"
}
# The program and what writes its image, which is nobody's child.
members() {
	find /proc -maxdepth 2 -name cwd -lname "$work" -printf '%h\n' 2>/dev/null | tr -dc '0-9\n'
}
all_gone() {
	local left
	left=$(members; members) # the first look may miss one that is made meanwhile
	# shellcheck disable=SC2086
	[ -z "$left" ] || { kill -9 $left; return 1; }
}
say "everything is killed while it is being stopped"
for after in 0 0.03 0.06 0.1 0.2; do
	stream_starts
	"$B/skshim" checkpoint --stop "$root" >/dev/null 2>&1 &
	command=$!
	sleep $after # at any step
	kill -9 "$root" $command 2>/dev/null
	until_ok all_gone
	{ wait "$root" $command; } 2>/dev/null
	kill -9 $peer 2>/dev/null
	{ wait $peer; } 2>/dev/null
	[ -e "$images/latest" ] || until_ok no_rules
	rm -rf "$images"/*
	"$B/skshim" check >/dev/null # removes the table of an image that is gone
	same "rules left when killed after $after" 0 "$(rules)"
done
