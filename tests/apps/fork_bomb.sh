#!/usr/bin/env bash
# short-lived children without end, checkpoints every 100 ms: no child is lost, each image is whole, the last comes back
. "$(dirname "$0")/lib.sh"
need gcc
seconds=${SECONDS_OF_BOMB:-10}
cat >"$work/bomb.c" <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
extern char **environ;
static int live;
static void reap(void)
{
	int status;

	if (wait(&status) < 0) {
		printf("wait: %s, %d live\n", strerror(errno), live);
		exit(1);
	}
	if (WIFSIGNALED(status)) {
		printf("a child was killed by signal %d\n", WTERMSIG(status));
		exit(1);
	}
	live--;
}
int main(int argc, char **argv)
{
	char *args[] = { "/bin/true", NULL };
	long n = 0, execs = 0;
	pid_t p;

	(void)argc;
	for (n = 0; access(argv[1], F_OK) != 0; n++) {
		if (n % 50 == 49) {
			if (posix_spawn(&p, "/bin/true", NULL, NULL, args, environ) == 0) {
				live++;
				execs++;
			}
		} else {
			p = fork();
			if (p == 0) {
				if (n % 7 == 0 && fork() == 0)
					_exit(0);
				for (volatile int i = 0; i < n % 11 * 1000; i++)
					;
				_exit(n & 63);
			}
			if (p < 0)
				usleep(1000);
			else
				live++;
		}
		while (live > 20)
			reap();
	}
	while (live > 0)
		reap();
	if (wait(NULL) >= 0 || errno != ECHILD) {
		printf("one child more\n");
		exit(1);
	}
	printf("%ld forks, %ld programs\n", n, execs);
	return 0;
}
END
gcc -O1 -o "$work/bomb" "$work/bomb.c" || fail "gcc"
app_start ./bomb stop
sleep 0.3
end=$((SECONDS + seconds))
while [ $SECONDS -lt $end ]; do
	kill -USR2 "$outer" 2>/dev/null || fail "it ended"
	sleep 0.1
done
until_ok test -e "$images/latest/manifest"
app_checkpoint
taken=$(basename "$(readlink -f "$images/latest")")
say "$((10#$taken)) checkpoints"
[ $((10#$taken)) -ge $((seconds * 2)) ] || fail "only $((10#$taken)) checkpoints in $seconds s"
for i in "$images"/0*; do
	"$B/skshim" verify "$i" >>"$dir/out" 2>&1 || fail "$i is not whole"
done
for generation in 1 2 3; do
	app_kill all
	app_restart
	sleep 1
	app_checkpoint
done
touch "$work/stop"
wait "${launcher:-$root}"
same "status of the bomb" 0 $?
outer='' launcher=''
grep -q 'forks' "$dir/out" || fail "it did not finish"
if grep -i 'cannot checkpoint' "$dir/out"; then
	fail "a checkpoint failed"
fi
say "no child lost"
