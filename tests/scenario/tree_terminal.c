/*
 * Job control: a session leader with a pseudo terminal of ours as its
 * controlling one, two process groups in it, one in the foreground. ^C
 * reaches the foreground group only, a read from the background stops the
 * reader, hanging up sends SIGHUP.
 */
#include "scenario.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	pid_t shell, front, back;
	volatile int interrupted[2], ready, hung_up, tty_fd, asked, foreground;
	volatile int stopped_reader;
} *board;
static int who;

static void interrupted(int sig)
{
	(void)sig;
	board->interrupted[who]++;
}

static void hung_up(int sig)
{
	(void)sig;
	board->hung_up++;
}

static void job(int i)
{
	char c;

	who = i;
	MUST(setpgid(0, 0));
	signal(SIGINT, interrupted);
	signal(SIGHUP, SIG_DFL);
	__atomic_add_fetch(&board->ready, 1, __ATOMIC_SEQ_CST);
	while (board->asked != 1)
		usleep(500);
	if (i == 1)
		SAME(read(0, &c, 1), 1);   /* from the background: SIGTTIN */
	for (;;)
		pause();
}

static void shell(void)
{
	pid_t front, back;
	int status;

	signal(SIGTTOU, SIG_IGN);
	signal(SIGHUP, hung_up);
	front = MUST(fork());
	if (front == 0)
		job(0);
	back = MUST(fork());
	if (back == 0)
		job(1);
	board->front = front;
	board->back = back;
	while (board->ready < 2)
		usleep(500);
	MUST(tcsetpgrp(0, board->front));
	board->ready = 3;
	while (board->asked != 2) {
		if (waitpid(board->back, &status, WUNTRACED | WNOHANG) == board->back && WIFSTOPPED(status))
			board->stopped_reader = WSTOPSIG(status);
		board->foreground = tcgetpgrp(0);
		SAME(getsid(0), getpid());
		usleep(500);
	}
	board->tty_fd = open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0;
	MUST(kill(board->back, SIGKILL));
	MUST(kill(board->front, SIGKILL));
	SAME(waitpid(board->back, &status, 0), board->back);
	SAME(waitpid(board->front, &status, 0), board->front);
	board->asked = 3;
	while (board->hung_up == 0)
		usleep(500);
	_exit(11);
}

#define AWAIT(cond) \
	do { \
		for (int k_ = 0; k_ < 20000 && !(cond); k_++) \
			usleep(500); \
		CHECK(cond); \
	} while (0)

int main(void)
{
	int master, status;
	pid_t pid;

	board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(board != MAP_FAILED);
	pid = MUST(forkpty(&master, NULL, NULL, NULL));
	if (pid == 0)
		shell();
	AWAIT(board->ready == 3);

	scenario_wait();

	AWAIT(board->foreground == board->front);
	SAME(tcgetpgrp(master), board->front);
	SAME(write(master, "\003", 1), 1);
	AWAIT(board->interrupted[0] == 1);
	SAME(board->interrupted[1], 0);
	board->asked = 1;
	AWAIT(board->stopped_reader == SIGTTIN);
	board->asked = 2;
	AWAIT(board->asked == 3);
	SAME(board->tty_fd, 1);
	close(master);
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 11 << 8);
	scenario_ok();
}
