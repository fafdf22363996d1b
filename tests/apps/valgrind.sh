#!/usr/bin/env bash
# a program under valgrind, and a child of it there: refused by name at once, and it goes on
. "$(dirname "$0")/lib.sh"
need valgrind
[ "${SHIM:-}" = no ] && exit 77
# dash takes no signal while it counts, and is small enough for valgrind to be soon there
app_start valgrind -q --child-silent-after-fork=yes dash -c '(while :; do echo x >>inner; read x <fifo; done) &
	while :; do echo x >>outer; read x <fifo; done'
(exec_as mkfifo fifo)
turns() { # goes round in both
	local before
	before=$(cat "$work/$1" | wc -l)
	until_ok eval "echo go >'$work/fifo'; [ \$(wc -l <'$work/$1') -gt $before ]"
}
turns outer
turns inner
for n in 1 2 3; do
	said=$( (exec_as timeout 60 "$B/skshim" checkpoint "$root") 2>&1) && fail "a checkpoint of a program under valgrind"
	case $said in
	*"runs under valgrind") ;;
	*) fail "skshim checkpoint says '$said'" ;;
	esac
	turns outer
	turns inner
done
find "$images" -mindepth 1 | grep . && fail "an image is there"
say "$said"
