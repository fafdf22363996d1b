/*
 * job.c - between a shell and a program that came back
 *
 * The shell that started us knows one job: ours. The program was mostly a job
 * of its own, with a process group of its own, and so it is again. So the
 * terminal's foreground is handed through: to the program's group at the start
 * and whenever we are continued in the foreground, back to our own at the end.
 * When the program stops because of the terminal (Ctrl-Z, reading from the
 * background) we stop too, and the shell prompts; what makes us go on makes it
 * go on. A stop by SIGSTOP is somebody's business who will end it.
 *
 * Where the tree's ancestor is another process than the launcher (the init of
 * a pid namespace), that one waits and tells the launcher; only the launcher
 * is the shell's child, and knows the groups outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/treefile.h"

static struct {
	int tty;                     /* our controlling terminal, -1 none */
	int tell;                    /* in an ancestor: to the launcher; -1 we are it */
	int group;                   /* the program's process group, 0: it is in ours */
	volatile int root;           /* 0: not there yet, or ended */
	bool foreground;             /* we were started there */
	volatile bool continued;     /* by SIGCONT, which was passed on */
} job = { .tty = -1, .tell = -1 };

static const int passed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT, SIGWINCH };

static bool in_foreground(void)
{
	return job.tty >= 0 && tcgetpgrp(job.tty) == getpgrp();
}

/* A group that is gone by now leaves it as it is. SIGTTOU is ignored, or blocked. */
static void give_terminal(int group)
{
	if (tcsetpgrp(job.tty, group) < 0)
		errno = 0;
}

static void forward(int sig, siginfo_t *info, void *context)
{
	int saved = errno, root = job.root;

	(void)context;
	/* what the terminal sends goes to its foreground group: those in ours have it already */
	if (root > 0 && !(info->si_code == SI_KERNEL && !job.group)) {
		if (sig == SIGCONT && job.group && in_foreground())
			give_terminal(job.group);
		job.continued |= sig == SIGCONT;
		kill(sig == SIGCONT && job.group ? -job.group : root, sig);
	}
	errno = saved;
}

static void handle(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction act = { .sa_sigaction = handler, .sa_flags = SA_RESTART | SA_SIGINFO };

	sigfillset(&act.sa_mask);
	if (!handler) {
		act.sa_handler = SIG_IGN;
		act.sa_flags = 0;
	}
	for (size_t i = 0; i < sizeof(passed) / sizeof(*passed); i++)
		sigaction(passed[i], &act, NULL);
	signal(SIGTTOU, SIG_IGN);
}

/* In the launcher, before any child. */
void job_look(const struct options *o)
{
	job.tty = o->detach ? -1 : open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	job.foreground = in_foreground();
}

/* In the tree's ancestor, all signals blocked: the program is made, and hasn't run. */
void job_begin(const struct launch *l)
{
	const struct planned *d = plan_root(&l->plan);
	const struct process_record *root = l->image->processes[d->process].task;

	for (uint32_t i = 0; (d->group || d->pgid) && !d->session && job.foreground && i < l->image->nprocesses; i++) {
		const struct process_record *p = l->image->processes[i].task;

		if (p->pgid == root->tty_pgrp && p->sid == root->sid) {
			give_terminal(p->pgid);
			break;
		}
	}
}

/* Signals are passed on to `root`; its group is 0 if it is ours. */
static void pass_on(int root, int group)
{
	job.root = root;
	job.group = group;
	handle(forward);
}

/* By our own numbers, which the plan doesn't know where the tree has a namespace. */
static int group_of(int root)
{
	int group = getpgid(root);

	return group > 0 && group != getpgrp() ? group : 0;
}

/* In the tree's ancestor; `tell` is -1 where it is the launcher, or the launcher won't wait. */
void job_run(const struct launch *l, int tell)
{
	job.tell = tell;
	if (tell < 0)
		pass_on(l->root, group_of(l->root));
	else
		handle(NULL);
}

/* We stop, as a shell expects it. If nobody can stop us, nobody would let the program go on either. */
static void stop_too(void)
{
	struct sigaction act = { .sa_handler = SIG_DFL }, old;

	job.continued = false;
	sigaction(SIGTSTP, &act, &old);
	raise(SIGTSTP);
	sigaction(SIGTSTP, &old, NULL);
	if (!job.continued)
		kill(job.group ? -job.group : job.root, SIGCONT);
}

/* What was seen, or told, may be over. */
static bool is_stopped(void)
{
	struct treefile_stat st;

	return treefile_stat(job.root, &st) == 0 && st.state == 'T';
}

static void tell(char c)
{
	while (write(job.tell, &c, 1) < 0 && errno == EINTR)
		;
}

/* The root was stopped by `sig`. */
void job_stopped(int sig)
{
	if (sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU)
		return;
	if (job.tell >= 0) {
		tell((char)sig);
	} else if (job.tty < 0 || !is_stopped()) {
		return;
	} else if (sig != SIGTSTP && job.group && in_foreground()) {
		/* we were brought to the foreground without a word */
		give_terminal(job.group);
		kill(-job.group, SIGCONT);
	} else {
		stop_too();
	}
}

/* The root has ended. */
void job_ended(void)
{
	if (job.tell >= 0)
		tell(0);
	else if (job.tty >= 0 && job.group && tcgetpgrp(job.tty) == job.group)
		give_terminal(getpgrp());
	job.root = 0;
}

/* In the launcher, whose child is the tree's ancestor: until `told` ends. */
void job_follow(const struct launch *l, int root, int told)
{
	ssize_t n;
	char c;

	pass_on(root, group_of(root));
	sys_rt_sigprocmask(SIG_SETMASK, &l->mask, NULL);
	while ((n = read(told, &c, 1)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0 && c)
			job_stopped(c);
		else if (n > 0)
			job_ended();
}
