#!/usr/bin/env bash
# programs that somebody types into, each in a terminal of tmux's: what they know, what they show, what is half typed
. "$(dirname "$0")/lib.sh"
need tmux
sock=$work/sock
t() {
	(exec_as env TERM=screen timeout 20 tmux -S "$sock" "$@")
}
says() { # WINDOW WORDS
	t capture-pane -p -S - -t "one:$1" | grep -q -- "$2"
}
shows() { # WINDOW WORDS: where a program uses the whole screen
	t capture-pane -p -t "one:$1" | grep -q -- "$2"
}
type() { # WINDOW TEXT; a ; at the end would be tmux's
	t send-keys -t "one:$1" -l -- "${2/%;/\\;}" && t send-keys -t "one:$1" Enter
}
seq 1 5000 >"$work/numbers"
# name, command, what sets x to 1000, what prints x plus a number N
rows="
zsh	zsh -f -i	x=1000	echo \$((x + N))
bash	bash --norc -i	x=1000	echo \$((x + N))
dash	dash -i	x=1000	echo \$((x + N))
bc	bc -q	x = 1000	x + N
python	$python -i -q	x = 1000	x + N
node	node -i	var x = 1000	x + N
irb	irb -f	x = 1000	x + N
lua	lua5.4 -i	x = 1000	x + N
perl	perl -de1	\$x = 1000	print \$x + N, \"\\n\";
sqlite	sqlite3	create table t as select 1000 as x;	select x + N from t;
php	php -a	\$x = 1000;	echo \$x + N, PHP_EOL;
erl	erl	X = 1000.	X + N.
gnuplot	gnuplot	x = 1000	print x + N
R	R --vanilla --quiet	x <- 1000	cat(x + N, \"\\n\")
gdb	gdb -q -nx	set \$x = 1000	print \$x + N
"
app_start env TERM=screen SHELL=/bin/sh tmux -S "$sock" -f /dev/null -D
until_ok test -S "$sock"
until_ok t new-session -d -s one -n idle -x 90 -y 30 'exec sleep 100000'
names=''
while IFS=$'\t' read -r name command set _; do
	[ -n "$name" ] && [ -n "$(command -v "${command%% *}")" ] || continue
	names="$names $name"
	t new-window -d -t one -n "$name" "exec $command"
	type "$name" "$set"
done <<<"$rows"
for name in less vim top; do
	case $name in
	less) command="less $work/numbers" ;;
	vim) command="vim.tiny -n -u NONE $work/numbers" ;;
	top) command='top -d 1' ;;
	esac
	[ -n "$(command -v "${command%% *}")" ] || continue
	names="$names $name"
	t new-window -d -t one -n "$name" "exec $command"
done
say "$names"
has() {
	case " $names " in *" $1 "*) return 0 ;; esac
	return 1
}
asked=0
# Each answers, and has what it had.
all_answer() {
	local name command expression
	asked=$((asked + 1))
	while IFS=$'\t' read -r name command _ expression; do
		[ -n "$name" ] && has "$name" || continue
		type "$name" "${expression//N/$asked}"
	done <<<"$rows"
	while IFS=$'\t' read -r name _ _ _; do
		[ -n "$name" ] && has "$name" || continue
		until_ok says "$name" "\\(^\\|[^0-9]\\)$((1000 + asked))\$"
	done <<<"$rows"
}
all_answer
has less && until_ok shows less '^29$'
has vim && until_ok shows vim '^29$' && t send-keys -t one:vim -l 'dd'
for generation in 1 2 3; do
	say "generation $generation"
	has bash && t send-keys -t one:bash -l "echo ty"
	app_checkpoint
	has bash && t send-keys -t one:bash "ped$generation" Enter
	has bash && until_ok says bash "^typed$generation\$"
	all_answer
	has bash && t send-keys -t one:bash -l "echo half"
	app_checkpoint
	app_kill all
	app_restart
	until_ok t list-windows -t one
	same "windows" "$(echo "idle$names" | wc -w)" "$(t list-windows -t one | wc -l)"
	has bash && t send-keys -t one:bash "way$generation" Enter
	has bash && until_ok says bash "^halfway$generation\$"
	all_answer
	if has less; then
		t send-keys -t one:less -l G
		until_ok shows less '^5000$'
		t send-keys -t one:less -l $((generation * 100))g
		until_ok shows less "^$((generation * 100))\$"
	fi
	if has vim; then
		t send-keys -t one:vim -l "$((generation * 100))Gdd:w! $work/numbers.$generation"
		t send-keys -t one:vim Enter
		until_ok test -s "$work/numbers.$generation"
		until_ok eval "[ \$(wc -l <'$work/numbers.$generation') = $((5000 - 1 - generation)) ]"
	fi
	if has top; then
		uptime=$(t capture-pane -p -t one:top | head -n 1)
		until_ok eval "[ \"\$(t capture-pane -p -t one:top | head -n 1)\" != '$uptime' ]"
	fi
	t resize-window -t one:idle -x $((90 + generation)) -y 30
done
t kill-server
wait "${launcher:-$root}"
same "status of tmux" 0 $?
outer='' launcher=''
say "three generations"
