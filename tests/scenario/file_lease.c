/*
 * Leases: a write lease, read leases, the signal that breaks one, a description shared by fork; also where what is in
 * the files is in the image.
 *
 * scenario-env: SKSHIM_FILES=written
 */
#include "scenario.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int told, of;

static void break_it(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	told++;
	of = info->si_fd;
	fcntl(info->si_fd, F_SETLEASE, F_UNLCK);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = break_it, .sa_flags = SA_SIGINFO | SA_RESTART };
	int w = MUST(open("w", O_RDWR | O_CREAT, 0600)), only = MUST(open("only", O_WRONLY | O_CREAT, 0600)), r, r2, status;
	pid_t child;

	close(MUST(open("r", O_WRONLY | O_CREAT, 0600)));
	r = MUST(open("r", O_RDONLY));
	r2 = MUST(open("r", O_RDONLY));
	MUST(sigaction(SIGRTMIN + 2, &sa, NULL));
	SAME(write(w, "text", 4), 4);
	SAME(write(only, "text", 4), 4);
	MUST(fcntl(w, F_SETLEASE, F_WRLCK));
	MUST(fcntl(only, F_SETLEASE, F_WRLCK));
	MUST(fcntl(w, F_SETSIG, SIGRTMIN + 2));
	MUST(fcntl(r, F_SETLEASE, F_RDLCK));
	MUST(fcntl(r2, F_SETLEASE, F_RDLCK));

	scenario_wait();

	SAME(told, 0);
	SAME(fcntl(w, F_GETLEASE), F_WRLCK);
	SAME(fcntl(only, F_GETLEASE), F_WRLCK);
	SAME(lseek(w, 0, SEEK_CUR), 4);
	SAME(fcntl(r, F_GETLEASE), F_RDLCK);
	SAME(fcntl(r2, F_GETLEASE), F_RDLCK);
	child = MUST(fork());
	if (child == 0)
		_exit(open("w", O_RDONLY) >= 0 ? 0 : 1);
	while (waitpid(child, &status, 0) != child)
		;
	SAME(status, 0);
	SAME(told, 1);
	SAME(of, w);
	SAME(fcntl(w, F_GETLEASE), F_UNLCK);
	scenario_ok();
}
