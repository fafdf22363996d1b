/*
 * A child stopped by SIGSTOP whose parent has seen it, one whose parent has not asked
 * yet, and one that went on again: stay so. The parent hears nothing more of it
 * than it would have, and SIGCONT makes them go on where they stood.
 */
#include "scenario.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int *count;      /* by child */
static volatile int heard;

static void child_changed(int sig)
{
	(void)sig;
	heard++;
}

static pid_t counter(int i)
{
	pid_t pid = MUST(fork());

	if (pid == 0)
		for (;;) {
			count[i]++;
			usleep(500);
		}
	while (count[i] == 0)
		usleep(500);
	return pid;
}

static char state_of(pid_t pid)
{
	char path[64], text[512], *p = text;
	int n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	CHECK(f != NULL);
	n = (int)fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	while (strrchr(p, ')') != NULL && *p != '\0')
		p = strrchr(p, ')') + 1;
	return p[1];
}

static void await_state(pid_t pid, char state)
{
	for (int i = 0; i < 20000 && state_of(pid) != state; i++)
		usleep(500);
	SAME(state_of(pid), state);
}

int main(void)
{
	struct sigaction sa = { .sa_handler = child_changed, .sa_flags = SA_RESTART };
	pid_t known, fresh, continued;
	siginfo_t info = { 0 };
	int status, before[3];

	count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(count != MAP_FAILED);
	known = counter(0);
	fresh = counter(1);
	continued = counter(2);
	MUST(kill(known, SIGSTOP));
	SAME(waitpid(known, &status, WUNTRACED), known);
	SAME(WSTOPSIG(status), SIGSTOP);
	MUST(kill(fresh, SIGSTOP));
	MUST(kill(continued, SIGSTOP));
	SAME(waitpid(continued, &status, WUNTRACED), continued);
	MUST(kill(continued, SIGCONT));
	SAME(waitpid(continued, &status, WCONTINUED), continued);
	/* running again it has told so */
	for (int k = count[2]; count[2] < k + 3;)
		usleep(500);
	await_state(known, 'T');
	await_state(fresh, 'T');
	usleep(20000);
	MUST(sigaction(SIGCHLD, &sa, NULL));
	for (int i = 0; i < 3; i++)
		before[i] = count[i];

	scenario_wait();

	SAME(state_of(known), 'T');
	SAME(state_of(fresh), 'T');
	SAME(count[0], before[0]);
	SAME(count[1], before[1]);
	SAME(heard, 0);
	/* what the parent had heard of stays heard of, the other doesn't get lost */
	SAME(waitpid(known, &status, WUNTRACED | WCONTINUED | WNOHANG), 0);
	MUST(waitid(P_PID, (id_t)fresh, &info, WSTOPPED | WNOHANG | WNOWAIT));
	SAME(info.si_pid, fresh);
	SAME(info.si_status, SIGSTOP);
	SAME(waitpid(fresh, &status, WUNTRACED | WNOHANG), fresh);
	SAME(WSTOPSIG(status), SIGSTOP);
	SAME(waitpid(continued, &status, WUNTRACED | WCONTINUED | WNOHANG), 0);
	before[2] = count[2];
	MUST(kill(known, SIGCONT));
	SAME(waitpid(known, &status, WCONTINUED), known);
	CHECK(WIFCONTINUED(status));
	MUST(kill(fresh, SIGCONT));
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 20000 && count[i] <= before[i] + 1; k++)
			usleep(500);
	for (int i = 0; i < 3; i++)
		CHECK(count[i] > before[i] + 1);
	SAME(waitpid(fresh, &status, WCONTINUED), fresh);
	MUST(kill(known, SIGTERM));
	SAME(waitpid(known, &status, 0), known);
	SAME(WTERMSIG(status), SIGTERM);
	MUST(kill(fresh, SIGKILL));
	MUST(kill(continued, SIGKILL));
	SAME(waitpid(fresh, &status, 0), fresh);
	SAME(waitpid(continued, &status, 0), continued);
	scenario_ok();
}
