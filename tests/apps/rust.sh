#!/usr/bin/env bash
# rust: std's threads, channels and sockets
. "$(dirname "$0")/lib.sh"
need rustc
# the user may not be allowed to compile: whoever runs the test can
rustc --edition 2021 -O -o "$work/server" "$here/languages/server.rs" 2>"$dir/rustc" || {
	tail -n 5 "$dir/rustc"
	echo "rustc does not work for this user"
	exit 77
}
app_start ./server 28250
generations 28250
