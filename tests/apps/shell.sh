#!/usr/bin/env bash
# a bash script: pipelines, jobs in the background, traps, here documents, subshells, a coprocess, $(...), wait -n
. "$(dirname "$0")/lib.sh"
cat >"$work/script.sh" <<'END'
set -u -o pipefail
trap 'echo "usr1 $((++heard))"' USR1
trap 'echo bye; exit 7' EXIT
heard=0 me=$$
coproc CO { while read -r x; do echo "$((x * x))"; done; }
( trap 'echo term in $BASHPID; exit 3' TERM; while :; do sleep 0.05; done ) &
sub=$!
sleep 1000 &
sleeper=$!
numbers() { local i; for ((i = 0; i < $1; i++)); do echo $i; sleep 0.002; done; }
echo ready
n=0
while [ ! -e stop ]; do
	sum=$(numbers 40 | tee >(wc -l >lines) | sed 's/$/ 1/' | awk '{s += $1} END {print s}') || { echo "pipeline: $?"; exit 1; }
	[ "$sum" = 780 ] || { echo "sum is $sum"; exit 1; }
	echo $n >&"${CO[1]}"
	read -r square <&"${CO[0]}"
	[ "$square" = $((n * n)) ] || { echo "square of $n is $square"; exit 1; }
	cat <<-X | grep -q "turn $n of $me" || { echo "here document"; exit 1; }
		turn $n of $$
	X
	(exit 5) & wait $!; [ $? = 5 ] || { echo "status of a job"; exit 1; }
	n=$((n + 1))
	echo "turn $n"
done
kill -TERM $sub; wait $sub; echo "sub $?"
kill $sleeper; wait $sleeper; echo "sleeper $?"
jobs
END
turn() {
	grep '^turn' "$dir/out" | tail -n 1 | cut -d ' ' -f 2
}
later() {
	local t
	t=$(turn)
	until_ok eval "[ \"\$(turn)\" -gt $((t + 3)) ]"
}
app_start bash script.sh
until_ok grep -q 'turn 2' "$dir/out"
for generation in 1 2 3; do
	say "generation $generation"
	app_generation later
	kill -USR1 "$outer"
	until_ok grep -q "^usr1 $generation\$" "$dir/out"
done
touch "$work/stop"
wait "${launcher:-$root}"
same "status of the script" 7 $?
outer='' launcher=''
for words in "term in" "sub 3" "sleeper 143" "bye"; do
	grep -q "^$words" "$dir/out" || fail "it did not say '$words'"
done
say "three generations"
