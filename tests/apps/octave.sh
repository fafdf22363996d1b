#!/usr/bin/env bash
# octave: it works on and on, with OpenBLAS's threads
. "$(dirname "$0")/lib.sh"
need octave-cli
cp "$here/languages/compute.m" "$work"
app_start octave-cli --no-gui --no-history --norc compute.m
done_of() {
	tail -n 1 "$work/log" 2>/dev/null || echo 0
}
until_ok sh -c "[ \$(tail -n 1 $work/log) -gt 3 ]"
for generation in 1 2 3; do
	say "generation $generation"
	app_checkpoint
	at=$(done_of)
	until_ok sh -c "[ \$(tail -n 1 $work/log) -gt $((at + 3)) ]"
	app_checkpoint
	app_kill
	at=$(done_of)
	app_restart
	until_ok sh -c "[ \$(tail -n 1 $work/log) -gt $((at + 3)) ]"
	app_same
	at=$(done_of)
	same "the lines" "$(seq "$at" | md5sum)" "$(head -n "$at" "$work/log" | md5sum)"
done
say "three generations"
