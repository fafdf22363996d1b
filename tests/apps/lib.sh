# shellcheck shell=bash
# lib.sh - an application's life under the shim: start, checkpoint, kill, restart
#
# A test is bash tests/apps/NAME.sh [UID]: as the running user, or as UID when
# root runs it. It ends with 0 when all is well; with SHIM=no it runs the
# application alone, without shim and restarts, which tests the test.
#
#	app_start CMD...      in $work, output to $dir/out; sets root (its pid)
#	app_checkpoint        asks for a checkpoint, and that it goes on
#	app_kill [all]        kill -9, until it is gone; all: also those below, which would stay
#	app_restart           skshim-restart in the foreground
#	transient=NAME        threads of this name come and go, so app_same doesn't ask for them
#	app_generation CMD... a checkpoint, and one that it is restarted from; CMD after each
#	app_same              same pid, tids, files and listening sockets as at the checkpoint
#	client NAME ARG...    client.py
#	loop NAME PORT        a client that asks all the while, in the background; unloop: it must have met no error
#	hold NAME PORT TEXT   a client that waits for its answer; `wait $holder`, then $dir/held has it
#	until_ok CMD...       until CMD succeeds, 30 s at most
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
B=${B:-$top/build}
user=${1:-}
dir=$(mktemp -d "${TMPDIR:-/tmp}/ska.XXXXXX") || exit 1
work=$dir/work
images=$dir/images
python=/usr/bin/python3
restart_input=/dev/null
root='' outer='' launcher='' looper='' holder=''

app_cleanup() {
	local p
	exec 2>/dev/null # the shell's own words about those it ends here
	for p in $looper $holder $outer $launcher; do
		kill -9 "$p" 2>/dev/null
	done
	wait
	[ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap app_cleanup EXIT
chmod 755 "$dir"
mkdir "$work" "$images"
[ -n "$user" ] && chown "$user:$user" "$work" "$images"

say() {
	printf '%s %s\n' "$(date +%T.%3N)" "$*"
}
fail() {
	say "FAILED: $*"
	echo "--- output of the application and of the restart:"
	tail -n 30 "$dir/out"
	exit 1
}
# Fails unless the two are the same.
same() {
	[ "$2" = "$3" ] || fail "$1: '$2' became '$3'"
}
# Becomes the user and the command; to be used in a subshell or with the pid kept.
exec_as() {
	if [ -n "$user" ]; then
		exec setpriv --reuid="$user" --regid="$user" --clear-groups env -C "$work" HOME="$work" "$@"
	else
		exec env -C "$work" HOME="$work" "$@"
	fi
}
client() {
	"$python" "$here/client.py" "$@"
}
until_ok() {
	local n
	for ((n = 0; n < 600; n++)); do
		"$@" >/dev/null 2>&1 && return 0
		if [ -n "$launcher" ] && ! kill -0 "$launcher" 2>/dev/null; then
			fail "the restart ended before: $*"
		fi
		sleep 0.05
	done
	fail "never came true: $*"
}

app_start() {
	say "start: $*"
	if [ "${SHIM:-}" = no ]; then
		(exec_as "$@") <"$restart_input" >>"$dir/out" 2>&1 7<&- &
	else
		(exec_as LD_PRELOAD="$B/libskshim.so" SKSHIM_DIR="$images" "$@") <"$restart_input" >>"$dir/out" 2>&1 7<&- &
	fi
	root=$!
	outer=$root
}

# The pids below $1, by one look at all: a tree of dozens on a loaded machine is not worth a ps for each.
below() {
	ps -eo pid=,ppid= | awk -v top="$1" '
		{ parent[$1] = $2 }
		END { for (p in parent) { q = parent[p]; while (q != top && q in parent) q = parent[q]; if (q == top) print p } }' | sort -n
}
# The application's pid as seen from here: an ordinary user's restart made it a namespace. While it has the restart's name it is
# not the application yet, or only tried whether the number is to be had; and is gone when it has no name any more.
find_outer() {
	local name
	# shellcheck disable=SC2046
	outer=$(grep -lsE "^NSpid:.*[[:space:]]$root\$" $(below "$launcher" | sed 's|.*|/proc/&/status|') /dev/null | head -n 1)
	outer=${outer#/proc/} outer=${outer%/status}
	[ -n "$outer" ] && name=$(cat "/proc/$outer/comm") && [ -n "$name" ] && [ "$name" != skshim-restart ]
}

# What must be the same after a restart, a line each.
app_facts() {
	local t fd target inode
	echo "pid $(awk '/^NSpid:/ {print $NF}' "/proc/$outer/status")"
	for t in /proc/"$outer"/task/*; do
		echo "tid $(awk '/^NSpid:/ {print $NF}' "$t/status") $(cat "$t/comm")"
	done 2>/dev/null | grep -vE "^tid [0-9]* *${transient:-}\$"
	for fd in /proc/"$outer"/fd/*; do
		target=$(readlink "$fd")
		case $target in
		socket:*)
			inode=${target//[^0-9]/}
			awk -v i="$inode" -v fd="${fd##*/}" '$10 == i && $4 == "0A" {print "fd", fd, "listens on", $2}' \
				"/proc/$outer/net/tcp" "/proc/$outer/net/tcp6"
			awk -v i="$inode" -v fd="${fd##*/}" '$7 == i && $4 == "00010000" {print "fd", fd, "listens on", $8}' \
				"/proc/$outer/net/unix"
			;;
		"$dir/out") echo "fd ${fd##*/} output" ;;
		pipe:* | /dev/null) echo "fd ${fd##*/} ${target%%:*}" ;;
		*.sock) ;; # the shim's own, which follows the file where it goes
		*) echo "fd ${fd##*/} $target" ;;
		esac
	done
}

app_checkpoint() {
	local said
	[ "${SHIM:-}" = no ] && return
	app_facts | sort >"$dir/facts"
	said=$( (exec_as timeout 60 "$B/skshim" checkpoint "$outer") 2>&1) || fail "skshim checkpoint: $said"
	[ -d "$images/latest/" ] || fail "no image after: $said"
	kill -0 "$outer" || fail "it died of the checkpoint"
	say "checkpoint: $said, $(du -sh "$images/latest/" | cut -f 1)"
}

app_kill() {
	local status all=''
	[ "${SHIM:-}" = no ] && return
	[ "${1:-}" = all ] && all=$(below "$outer")
	# shellcheck disable=SC2086
	kill -9 "$outer" $all
	{ wait "${launcher:-$outer}"; } 2>/dev/null
	status=$?
	same "status of the killed" 137 $status
	launcher='' outer=''
	say "killed"
}

app_restart() {
	[ "${SHIM:-}" = no ] && return
	(exec_as "$B/skshim-restart" "$images") <"$restart_input" >>"$dir/out" 2>&1 7<&- &
	launcher=$!
	until_ok find_outer
	say "restarting: $root is $outer here"
}

app_generation() {
	app_checkpoint
	"$@"
	app_checkpoint
	app_kill all
	app_restart
	"$@"
}

app_same() {
	[ "${SHIM:-}" = no ] && return
	find_outer || fail "it is gone"
	app_facts | sort >"$dir/facts.now"
	if comm -23 "$dir/facts" "$dir/facts.now" | grep .; then
		echo "--- now:"
		cat "$dir/facts.now"
		fail "not the same after the restart: lines above are missing"
	fi
	say "same pid, $(grep -c ^tid "$dir/facts") threads, $(grep -c ^fd "$dir/facts") descriptors"
}

# A client that asks all the while; its answers must count up by one.
loop() {
	rm -f "$dir/loop"
	(exec "$python" "$here/client.py" loop "$@") >"$dir/loop" 2>&1 &
	looper=$!
	until_ok test -s "$dir/loop"
}
unloop() {
	kill -TERM "$looper"
	wait "$looper" || {
		cat "$dir/loop"
		fail "the client that asked all the while met an error"
	}
	looper=''
	say "client: $(tail -n 1 "$dir/loop")"
}

# One request that is not answered yet; its answer, or how its connection ended, is the last line of $dir/held.
hold() {
	rm -f "$dir/held"
	client hold "$@" >"$dir/held" 2>&1 &
	holder=$!
	until_ok grep -q sent "$dir/held"
}

# Three generations of a server with the verbs of languages/: count, ticks, file, work.
generations() { # PORT
	local generation count ticks lines
	# shellcheck disable=SC2317
	ask() {
		client ask line "$port" "$@"
	}
	port=$1
	until_ok client ask line "$port" ticks
	same "work" cba "$(ask 'work abc')"
	for generation in 1 2 3; do
		say "generation $generation"
		loop line "$port"
		hold line "$port" 'work hello'
		app_checkpoint
		unloop
		wait "$holder"
		same "work meanwhile" olleh "$(tail -n 1 "$dir/held")"
		count=$(ask count)
		lines=$(ask file)
		app_checkpoint
		app_kill
		app_restart
		until_ok client ask line "$port" ticks
		app_same
		same "the counter" $((count + 1)) "$(ask count)"
		same "lines of the file" $((lines + 1)) "$(ask file)"
		ticks=$(ask ticks)
		until_ok sh -c "[ \$($python $here/client.py ask line $port ticks) -gt $((ticks + 5)) ]"
		same "work" cba "$(ask 'work abc')"
	done
	say "three generations"
}
# Skips unless all of these commands are there.
need() {
	local c
	for c; do
		[ -n "$(command -v "$c")" ] || { echo "$c is not installed"; exit 77; }
	done
}
