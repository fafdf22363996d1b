#!/usr/bin/env bash
# the program skshim: every command on a small tree with threads, pipes and sockets, and command lines that mean nothing
# shellcheck disable=SC1091,SC2034,SC2154
. "$(dirname "$0")/lib.sh"
skshim=$B/skshim
said='' status=0

# Runs skshim as the user; what it said (both outputs) and its status are kept.
run() {
	said=$( (exec_as timeout 60 "$skshim" "$@") 2>&1 </dev/null)
	status=$?
}
# The same, but only standard output: for JSON.
run_json() {
	said=$( (exec_as timeout 60 "$skshim" "$@") 2>>"$dir/out" </dev/null)
	status=$?
}
# expect STATUS WORDS ARG...: skshim ARG... ends with STATUS and says WORDS in one line of its own.
expect() {
	local want=$1 words=$2
	shift 2
	run "$@"
	same "status of skshim $*" "$want" $status
	case $said in
	*"$words"*) ;;
	*) fail "skshim $* says '$said', not '$words'" ;;
	esac
	if [ "$want" != 0 ]; then
		same "lines of skshim $*" 1 "$(printf '%s\n' "$said" | grep -c '^skshim: ')"
	fi
}
json() { # EXPRESSION on d, the JSON document that was said
	printf '%s' "$said" | "$python" -c "import json,sys; d=json.load(sys.stdin); print($1)" || fail "not JSON: $said"
}

say "command lines"
expect 2 "a command is missing"
expect 2 "there is no command 'frobnicate'" frobnicate
expect 2 "one PID is expected" checkpoint
expect 2 "not a PID" checkpoint x1
expect 2 "not a number of seconds" checkpoint --timeout soon 1
expect 2 "is not an option" checkpoint --frobnicate 1
expect 2 "exclude each other" inspect --json --dot "$images"
expect 2 "one checkpoint directory is expected" verify
expect 2 "no argument is expected" ps all
expect 125 "a program is missing" run
expect 125 "is not an option" run --frobnicate true
expect 125 "not a signal a program can take" run --signal NONSENSE -- true
expect 125 "not a signal a program can take" run --signal KILL -- true
expect 127 "No such file" run -- "$work/nothing"
expect 127 "No such file" run -- no-program-has-this-name
: >"$work/plain"
chmod 644 "$work/plain"
expect 126 "Permission denied" run -- "$work/plain"
expect 126 "Permission denied" run -- "$work"
expect 1 "there is no process" checkpoint 4194303
(exec_as sleep 1000) &
outer=$!
until_ok grep -q sleep "/proc/$outer/comm"
expect 1 "doesn't run under skshim" checkpoint "$outer"
kill "$outer"
wait "$outer"
outer=''
[ -n "$user" ] && expect 1 "is not yours" checkpoint 1
expect 1 "No such file" verify "$work/nothing"
expect 1 "holds no complete checkpoint" inspect "$work"
expect 0 "skshim " --version
expect 0 "usage: skshim COMMAND" --help
expect 0 "usage: skshim inspect" inspect --help

say "run"
if command -v gcc >/dev/null && echo 'int main(void) { return 0; }' | gcc -static -x c - -o "$dir/static" 2>/dev/null; then
	chmod 755 "$dir/static"
	expect 125 "is statically linked" run -- "$dir/static"
	printf '#!%s\n' "$dir/static" >"$work/script"
	chmod 755 "$work/script"
	expect 125 "is statically linked" run -- "$work/script"
fi
if [ "$(id -u)" = 0 ] && [ -n "$user" ]; then
	cp /bin/true "$dir/setuid"
	chmod 4755 "$dir/setuid"
	expect 125 "is set-user-id" run -- "$dir/setuid"
fi
run run -D "$images" -- sh -c 'exit 7'
same "status of a program that was run" 7 $status
printf 'exit 9\n' >"$work/noshebang"
chmod 755 "$work/noshebang"
run run -D "$images" -- "$work/noshebang"
same "status of a script without #!" 9 $status
run run -D "$images" -- "$python" -c 'import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))'
same "signals blocked in a program that was run" "set()" "$said"

say "check"
run check
same "status of check" 0 $status
run_json check --json
same "uid that check tells" "${user:-$(id -u)}" "$(json 'd["uid"]')"
same "answers of check" True "$(json 'all(f["answer"] in ("yes","partly","no") and f["text"] for f in d["follows"].values())')"

say "a tree"
cat >"$work/tree.py" <<'END'
import os, socket, subprocess, threading, time
def sleeper_with_a_name():
    time.sleep(100000)
threading.Thread(target=sleeper_with_a_name, daemon=True).start()
r, w = os.pipe()
os.write(w, b"in the pipe")
listener = socket.socket(socket.AF_UNIX)
listener.bind("listener.sock")
listener.listen(5)
a, b = socket.socketpair()
a.send(b"0123456789")
child = subprocess.Popen(["sleep", "100000"], pass_fds=[a.fileno()])
flight = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
socket.send_fds(a, [b"!"], [flight.fileno()])
flight.close()
print("tree is ready", flush=True)
child.wait()
END
app_start "$python" tree.py
until_ok grep -q "tree is ready" "$dir/out"
run_json ps --json
same "tree in ps" True "$(json "any(t['root_pid'] == $root and len(t['processes']) == 2 for t in d['trees'])")"
run ps
case $said in *"listener.sock listening"*) ;; *) fail "ps does not show the listener: $said" ;; esac
run_json checkpoint --json "$root"
same "result" complete "$(json 'd["result"]')"
image=$(json 'd["directory"]')
[ -f "$image/manifest" ] || fail "no image in $image"
expect 0 "OK $image: processes 2, threads 3" verify "$images"
same "checkpoint by the child's pid" "$images/000002" "$( (exec_as "$skshim" checkpoint "$(below "$root")") 2>&1)"

say "inspect"
run_json inspect --json "$image"
same "pids" "$root" "$(json 'd["manifest"]["root_pid"]')"
same "threads of the root" 2 "$(json 'len(d["processes"][0]["task"]["threads"])')"
same "every thread has a stack" True "$(json 'all(s["frames"] and any(f["function"] for f in s["frames"]) for p in d["processes"] for s in p["stacks"])')"
same "the pipe's ends" True "$(json 'len([o for o in d["objects"] if o["kind"] == "pipe" and o["joined"] is not None]) >= 2')"
same "sockets with a lineage" 4 "$(json 'len([o for o in d["objects"] if o["kind"] == "unix" and o["lineage"] and o["lineage"]["where"]])')"
same "who inherited" 1 "$(json 'len([o for o in d["objects"] if o["lineage"] and o["lineage"]["inherited_by"]])')"
same "in a queue" 1 "$(json 'len([o for o in d["objects"] if o.get("in_queue_of") is not None])')"
same "the pair" 2 "$(json 'len([o for o in d["objects"] if o["kind"] == "unix" and o["joined"] is not None])')"
run inspect "$image"
for words in "listening  listener.sock" "in clock_nanosleep()" "(11 bytes)" "made as a pair by" "chunks 1 (11 bytes)" "inherited by" "in the queue of #"; do
	case $said in *"$words"*) ;; *) fail "inspect does not say '$words': $said" ;; esac
done
run_json inspect --dot "$image"
case $said in "digraph checkpoint {"*"}") ;; *) fail "not a graph: $said" ;; esac
if command -v dot >/dev/null; then
	printf '%s' "$said" | dot -Tsvg >"$dir/graph.svg" || fail "dot can't read the graph"
fi

say "a damaged image"
cp -a "$image" "$dir/damaged"
pages=$(find "$dir/damaged" -name '*.pages' -size +0 | head -n 1)
"$python" - "$pages" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(100)
    byte = f.read(1)
    f.seek(100)
    f.write(bytes([byte[0] ^ 1]))
END
expect 1 "are damaged" verify "$dir/damaged"
rm "$dir"/damaged/*.task
expect 1 "is missing" inspect "$dir/damaged"
expect 0 "OK" verify "$image"

say "stop"
run checkpoint --stop "$root"
same "status of checkpoint --stop" 0 $status
wait "$root"
outer=''
expect 1 "there is no process" checkpoint "$root"
run_json inspect --json "$images"
same "stopped" 1 "$(json 'd["manifest"]["stopped"]')"

say "a tree that ends while it is asked"
app_start sleep 100000
until_ok "$skshim" checkpoint --timeout 10 "$root"
kill -STOP "$root"
until_ok grep -q '^State:.T' "/proc/$root/status"
(exec_as timeout 60 "$skshim" checkpoint --timeout 3 "$root") >"$dir/asked" 2>&1
same "status of a checkpoint that does not come" 1 $?
grep -q "is stopped" "$dir/asked" || fail "it does not say why: $(cat "$dir/asked")"
rm "$dir/asked"
(exec_as timeout 60 "$skshim" checkpoint "$root") >"$dir/asked" 2>&1 &
holder=$!
until_ok grep -q "is stopped" "$dir/asked"
kill -9 "$root"
wait "$holder"
same "status of a checkpoint of a tree that ended" 1 $?
grep -q "ended before the checkpoint" "$dir/asked" || fail "it says: $(cat "$dir/asked")"
outer='' holder=''
say "all commands"
