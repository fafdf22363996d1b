#!/usr/bin/env bash
# a batch system sends its signal to every process of a job at once: that is one checkpoint
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/lib.sh"

app_start bash -c 'for n in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait'
all_there() { [ "$(pgrep -cP "$root" sleep)" = 8 ]; }
until_ok all_there
# All have it before the first acts on it, however long this shell is kept waiting in between.
stopped() { ! ps -o stat= -p "$1" | grep -qv T; }
everybody="$root $(pgrep -d ' ' -P "$root")"
for n in 1 3 5 7 9; do
	# shellcheck disable=SC2086
	kill -STOP $everybody
	until_ok stopped "${everybody// /,}"
	# shellcheck disable=SC2086
	kill -USR2 $everybody
	# shellcheck disable=SC2086
	kill -CONT $everybody
	until_ok test -d "$images/00000$n"
	"$B/skshim" checkpoint "$root" >"$work/said" 2>>"$dir/out" || fail "skshim checkpoint"
	number=$(basename "$(cat "$work/said")")
	same "number of the checkpoint behind the signals' one" "$(printf %06d $((n + 1)))" "$number"
done
# shellcheck disable=SC2086
kill -9 $everybody
say "one checkpoint for all signals, five times"
