/*
 * What a process is to the kernel: file mode mask, limits, nice, affinity, no
 * new privileges, personality, score for the out-of-memory killer, timer
 * slack, transparent huge pages, the signal at its parent's death, being the
 * parent of orphans. In the process and in a child; each still works.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct facts {
	mode_t mask;
	struct rlimit limits[RLIM_NLIMITS];
	int nice, affinity, privs, personality, score, slack, thp, death, reaper, dumpable;
	char comm[16], cwd[256];
};

static struct {
	struct facts before[2], after[2];
	volatile int ready, go, done, died, orphan;
} *board;

static void look(struct facts *f)
{
	cpu_set_t cpus;
	FILE *file = fopen("/proc/self/oom_score_adj", "re");

	memset(f, 0, sizeof(*f));
	CHECK(file != NULL);
	SAME(fscanf(file, "%d", &f->score), 1);
	fclose(file);
	f->mask = umask(0);
	umask(f->mask);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		MUST(getrlimit((__rlimit_resource_t)i, &f->limits[i]));
	errno = 0;
	f->nice = getpriority(PRIO_PROCESS, 0);
	MUST(sched_getaffinity(0, sizeof(cpus), &cpus));
	f->affinity = CPU_COUNT(&cpus) * 1000 + CPU_ISSET(0, &cpus);
	f->privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	f->personality = personality(0xffffffff);
	f->slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	f->thp = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	MUST(prctl(PR_GET_PDEATHSIG, &f->death));
	MUST(prctl(PR_GET_CHILD_SUBREAPER, &f->reaper));
	f->dumpable = prctl(PR_GET_DUMPABLE);
	MUST(prctl(PR_GET_NAME, f->comm));
	CHECK(getcwd(f->cwd, sizeof(f->cwd)) != NULL);
}

static void compare(const struct facts *a, const struct facts *b)
{
	SAME(a->mask, b->mask);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		SAME(a->limits[i].rlim_cur, b->limits[i].rlim_cur);
		SAME(a->limits[i].rlim_max, b->limits[i].rlim_max);
	}
	SAME(a->nice, b->nice);
	SAME(a->affinity, b->affinity);
	SAME(a->privs, b->privs);
	SAME(a->personality, b->personality);
	SAME(a->score, b->score);
	SAME(a->slack, b->slack);
	SAME(a->thp, b->thp);
	SAME(a->death, b->death);
	SAME(a->reaper, b->reaper);
	SAME(a->dumpable, b->dumpable);
	CHECK(strcmp(a->comm, b->comm) == 0);
	CHECK(strcmp(a->cwd, b->cwd) == 0);
}

static void lower(int which, rlim_t by)
{
	struct rlimit r;

	MUST(getrlimit((__rlimit_resource_t)which, &r));
	r.rlim_cur = by;
	if (r.rlim_max == RLIM_INFINITY || r.rlim_max > by * 2)
		r.rlim_max = by * 2;
	MUST(setrlimit((__rlimit_resource_t)which, &r));
}

static void write_score(const char *text)
{
	int fd = MUST(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));

	SAME(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void parent_died(int sig)
{
	(void)sig;
	board->died++;
}

/* Its child is to hear of its death. */
static void child(void)
{
	struct sigaction sa = { .sa_handler = parent_died };
	cpu_set_t cpus;

	MUST(mkdir("sub", 0700));
	MUST(chdir("sub"));
	umask(0137);
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	MUST(sched_setaffinity(0, sizeof(cpus), &cpus));
	MUST(setpriority(PRIO_PROCESS, 0, 11));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	MUST(prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0));
	MUST(prctl(PR_SET_NAME, "the child"));
	write_score("777");
	lower(RLIMIT_STACK, 3 << 20);
	lower(RLIMIT_NOFILE, 100);
	lower(RLIMIT_FSIZE, 1 << 20);
	MUST(sigaction(SIGUSR1, &sa, NULL));
	if (MUST(fork()) == 0) {
		MUST(prctl(PR_SET_PDEATHSIG, SIGUSR1));
		look(&board->before[1]);
		board->ready = 1;
		while (!board->go)
			usleep(500);
		look(&board->after[1]);
		board->done = 1;
		while (!board->died || getppid() == 1)
			usleep(500);
		board->orphan = getppid();
		_exit(3);
	}
	for (;;)
		pause();
}

int main(void)
{
	pid_t middle, got;
	int status;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	middle = MUST(fork());
	if (middle == 0)
		child();
	while (!board->ready)
		usleep(500);
	umask(027);
	MUST(personality(ADDR_NO_RANDOMIZE));
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	lower(RLIMIT_CORE, 4096);
	look(&board->before[0]);

	scenario_wait();

	look(&board->after[0]);
	board->go = 1;
	while (!board->done)
		usleep(500);
	for (int i = 0; i < 2; i++)
		compare(&board->before[i], &board->after[i]);
	MUST(kill(middle, SIGKILL));
	SAME(waitpid(middle, &status, 0), middle);
	got = MUST(waitpid(-1, &status, 0));
	CHECK(got != middle);
	SAME(status, 3 << 8);
	SAME(board->orphan, getpid());
	SAME(board->died, 1);
	scenario_ok();
}
