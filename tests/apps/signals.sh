#!/usr/bin/env bash
# programs with a use of their own for SIGUSR2: the same output, step by step, with and without the shim; then Python through checkpoints
. "$(dirname "$0")/lib.sh"
mkfifo "$dir/input"
chmod 666 "$dir/input"
exec 7<>"$dir/input"
restart_input=$dir/input

shell=$(cat <<'END'
trap 'echo trapped' USR2
kill -USR2 $$; echo after
(sleep 0.2; kill -USR2 $$) & wait; echo waited; wait
trap '' USR2; kill -USR2 $$; bash -c 'kill -USR2 $$; echo ignored, as inherited; trap -p USR2'
trap - USR2; bash -c 'kill -USR2 $$' 2>/dev/null; echo $?; (kill -USR2 $BASHPID) 2>/dev/null; echo $?
(trap 'echo in a subshell' USR2; kill -USR2 $BASHPID)
trap 'echo trapped again; exit 3' USR2; (sleep 0.2; kill -USR2 $$) & sleep 4 & wait; echo no
END
)
perl=$(cat <<'END'
use POSIX; $| = 1; my $n = 0;
$SIG{USR2} = sub { print "$_[0] " . ++$n . "\n" }; kill USR2 => $$;
my $pid = fork; if (!$pid) { select undef, undef, undef, .1; kill USR2 => getppid; exit }
print sleep(10) < 5 ? "interrupted\n" : "slept\n"; waitpid $pid, 0;
my $set = POSIX::SigSet->new(SIGUSR2); my $old = POSIX::SigSet->new; my $pending = POSIX::SigSet->new;
sigprocmask(SIG_BLOCK, $set, $old); kill USR2 => $$; kill USR2 => $$; sigpending($pending);
print "pending ", $pending->ismember(SIGUSR2), " ", $pending->ismember(64), "\n"; sigsuspend($old);
sigprocmask(SIG_UNBLOCK, $set); $SIG{USR2} = 'IGNORE'; kill USR2 => $$;
print system('kill -USR2 $$; echo alive'), "\n"; $SIG{USR2} = 'DEFAULT'; print system('kill -USR2 $$'), "\n";
kill USR2 => $$; print "still alive\n";
END
)
# NAME CMD...: its output and status with and without the shim.
same_twice() {
	local name=$1
	shift
	{ (exec_as timeout 60 "$@") >"$dir/plain"; } 2>/dev/null
	echo "status $?" >>"$dir/plain"
	{ (exec_as LD_PRELOAD="$B/libskshim.so" SKSHIM_DIR="$images" timeout 60 "$@") >"$dir/shim"; } 2>/dev/null
	echo "status $?" >>"$dir/shim"
	diff "$dir/plain" "$dir/shim" || fail "$name sees the shim"
	say "$name: $(wc -l <"$dir/plain") lines, the same"
}
cp "$here/signals.py" "$work"
if [ "${SHIM:-}" != no ]; then
	same_twice bash bash -c "$shell"
	command -v perl >/dev/null && same_twice perl perl -e "$perl"
	same_twice python "$python" "$work/signals.py"
fi

more_lines() {
	[ "$(grep -c "^$1 " "$dir/out")" -gt "$2" ]
}
# One word to the program; its answer must be $2.
ask() {
	local lines
	lines=$(grep -c "^$1 " "$dir/out")
	echo "$1" >&7
	until_ok more_lines "$1" "$lines"
	same "answer to $1" "$1 $2" "$(grep "^$1 " "$dir/out" | tail -n 1)"
}
app_start "$python" -u "$work/signals.py" serve
n=0
for generation in 1 2 3; do
	say "generation $generation"
	n=$((n + 1))
	ask take "$n {12} False [] True"
	ask block "$n {12} True [] True"
	ask take "$n {12} True ['SIGUSR2'] True"
	app_checkpoint
	ask look "$n {12} True ['SIGUSR2'] True"
	app_kill
	app_restart
	ask look "$n {12} True ['SIGUSR2'] True"
	app_same
	ask wait "$n {12} True [] True"
	ask unblock "$n {12} False [] True"
done
say ok
