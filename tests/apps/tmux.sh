#!/usr/bin/env bash
# tmux with three shells in it: what they have on the screen, their jobs, their variables, new clients
. "$(dirname "$0")/lib.sh"
need tmux
sock=$work/sock
t() {
	(exec_as env TERM=screen timeout 20 tmux -S "$sock" "$@")
}
screen() { # PANE
	t capture-pane -p -S - -t "$1"
}
says() { # PANE WORDS
	screen "$1" | grep -q -- "$2"
}
# A server in the foreground: its first process is what is checkpointed.
app_start env TERM=screen SHELL=/bin/sh tmux -S "$sock" -f /dev/null -D
until_ok test -S "$sock"
until_ok t new-session -d -s one -x 90 -y 30 'exec sh -i'
until_ok t new-window -t one 'exec bash --norc -i'
until_ok t new-window -t one "exec $python -i -q"
t send-keys -t one:0 'x=kept; cd /usr/lib' Enter
t send-keys -t one:1 'sleep 1000 &' Enter 'trap "echo int" INT; echo $((6 * 7)) in $$' Enter
t send-keys -t one:2 'x = 12345' Enter
until_ok says one:1 '^42 in'
until_ok says one:2 'x = 12345'
for generation in 1 2 3; do
	say "generation $generation"
	app_checkpoint
	app_kill all
	app_restart
	until_ok t list-windows -t one
	same "windows" 3 "$(t list-windows -t one | wc -l)"
	says one:1 '^42 in' || fail "the screen: $(screen one:1)"
	t send-keys -t one:0 "echo \$x \$PWD $generation" Enter
	until_ok says one:0 "^kept /usr/lib $generation"
	t send-keys -t one:1 "clear; jobs; echo gen $generation" Enter
	until_ok says one:1 "^gen $generation"
	says one:1 "Running.*sleep 1000" || fail "no job: $(screen one:1)"
	t send-keys -t one:1 "sleep 500" Enter
	until_ok sh -c "ps -eo args | grep -q '^sleep 500'"
	t send-keys -t one:1 C-c
	t send-keys -t one:1 "echo 42 in \$? after \$((generation + $generation))" Enter
	until_ok says one:1 "^42 in 130 after $generation"
	t send-keys -t one:2 "print(x + $generation)" Enter
	until_ok says one:2 "^$((12345 + generation))"
done
t kill-server
wait "${launcher:-$root}"
same "status of tmux" 0 $?
outer='' launcher=''
say "three generations"
