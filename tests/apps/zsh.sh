#!/usr/bin/env bash
# a zsh script: pipelines in which the shell itself is the last, jobs, traps, a coprocess, modules for sockets and files
. "$(dirname "$0")/lib.sh"
need zsh
cat >"$work/script.zsh" <<'END'
emulate zsh
setopt pipefail
zmodload zsh/net/socket zsh/system zsh/zselect
typeset -i n=0 sum=0
# no arithmetic: zsh's own is not to be interrupted by itself
TRAPUSR1() { print usr1 }
TRAPEXIT() { print bye }
me=$$
coproc while read -r x; do print $((x * x)); done
co=$!
exec 5>&p 6<&p
sleep 1000 &
sleeper=$!
zsocket -l talk; listener=$REPLY
zsocket talk; client=$REPLY
zsocket -a $listener; server=$REPLY
print ready
while [[ ! -e stop ]]; do
	print -l {1..40} | while read -r x; do ((sum += x)); done
	(( sum == 820 )) || { print "sum is $sum"; exit 1 }
	sum=0
	print $n >&5
	read -r square <&6
	(( square == n * n )) || { print "square of $n is $square"; exit 1 }
	print -u $client "turn $n"
	read -r -u $server line
	[[ $line == "turn $n" ]] || { print "the socket said $line"; exit 1 }
	# a signal at the moment of a fork runs zsh's trap in the child too
	[[ $(cat <(print "a $n")) == *"a $n"* ]] || { print "substitution"; exit 1 }
	zselect -t 2
	( exit 5 ); (( $? == 5 )) || { print "status of a child"; exit 1 }
	print "turn $((++n))"
	# zsh prints twice, and reads nothing, where a signal meets it there
	[[ -e pause ]] && print paused
	while [[ -e pause ]]; do zselect -t 2; done
done
kill $sleeper; wait $sleeper; print "sleeper $?"
kill $co # it holds its own input's other end
exit 7
END
turn() {
	grep '^turn' "$dir/out" | tail -n 1 | cut -d ' ' -f 2
}
later() {
	local t
	t=$(turn)
	until_ok eval "[ \"\$(turn)\" -gt $((t + 3)) ]"
}
app_start zsh -f script.zsh
until_ok grep -q 'turn 2' "$dir/out"
for generation in 1 2 3; do
	say "generation $generation"
	app_generation later
	touch "$work/pause"
	until_ok eval "[ \$(grep -c '^paused\$' '$dir/out') -ge $generation ]"
	kill -USR1 "$outer"
	until_ok eval "[ \$(grep -c '^usr1\$' '$dir/out') -ge $generation ]"
	rm "$work/pause"
done
touch "$work/stop"
wait "${launcher:-$root}"
same "status of the script" 7 $?
outer='' launcher=''
for words in "sleeper 143" "bye"; do
	grep -q "^$words" "$dir/out" || fail "it did not say '$words'"
done
say "three generations"
