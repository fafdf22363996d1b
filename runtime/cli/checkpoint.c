/*
 * checkpoint.c - skshim checkpoint: ask a tree for a checkpoint and wait for it
 *
 * The tree's shared file is mapped here too. Asking is: take a number from
 * `request`, say what shall follow, send the checkpoint signal to a process of
 * the tree. The answer is `result_seq` reaching that number; it is a futex in
 * the shared file. Writing may take any time, so there is no limit on the
 * whole; a tree that makes no step for a minute is described, and --timeout
 * gives up waiting (the checkpoint itself goes on).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "skshim/quiet.h"
#include "skshim/show.h"
#include "skshim/treefile.h"
#include "trees.h"

#define END_SECONDS 10       /* in which a process ends after its checkpoint */
#define QUIET_SECONDS 60
#define READY_SECONDS 10
#define DEAF_SECONDS 1
#define LOOK_NS 200000000
#define EXEC_SECONDS 3

struct ask {
	int pid;                     /* as asked for */
	struct tree_process target;
	int pidfd;                   /* of the target */
	struct tree *tree;
	uint32_t number;             /* our request's */
	bool stop, json, terminal;
	bool shown;                  /* a progress line stands on the terminal */
	long timeout;                /* seconds, 0 none */
	time_t asked, moved;         /* when; when something changed last */
	uint32_t phase, done;        /* as last seen */
	bool complained;
	bool pressed;                /* the whole process has been signalled */
	int described;               /* processes named so far */
};

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Inside the tree the signal would be taken for the program's own, and this process would be part of the image. */
static int ask_outside(const struct ask *a)
{
	static struct tree_process self;

	if (trees_of_process(getpid(), &self) == 1 && self.dev == a->target.dev && self.ino == a->target.ino)
		return failed(ERR_PLAIN,
			      "cannot checkpoint: this command runs inside the tree of pid %d; run it from outside, "
			      "or call skshim_checkpoint() of skshim.h",
			      a->target.pid);
	return 0;
}

static int ask_find_member(const struct tree_process *p, void *arg)
{
	struct ask *a = arg;

	if (p->dev != a->target.dev || p->ino != a->target.ino || trees_member(a->tree, p->inner) == NULL)
		return 0;
	a->target = *p;
	return -EEXIST;  /* ends the search: found */
}

/* The user as whom it acts, -1 unknown. What the owner of its /proc says is another thing where it is not dumpable. */
static long ask_user(int pid)
{
	char path[64], line[256];
	long real, effective = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL && sscanf(line, "Uid: %ld %ld", &real, &effective) != 2)
		;
	if (f != NULL)
		fclose(f);
	return effective;
}

/* One that gave up root can't order those that have it (the master of a server): one of them is asked instead. */
static int ask_find_privileged(const struct tree_process *p, void *arg)
{
	struct ask *a = arg;

	return ask_user(p->pid) == 0 ? ask_find_member(p, a) : 0;
}

/* Is it a skshim, as we are? */
static bool ask_is_ours(int pid)
{
	struct stat own, other;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return stat("/proc/self/exe", &own) == 0 && stat(path, &other) == 0 && own.st_dev == other.st_dev &&
	       own.st_ino == other.st_ino;
}

static int ask_find_other(const struct tree_process *p, void *arg)
{
	struct ask *a = arg;

	if (p->dev != a->target.dev || p->ino != a->target.ino || ask_is_ours(p->pid))
		return 0;
	a->target = *p;
	return -EEXIST;  /* ends the search: found */
}

/* Who was found may have been there for a moment only (a stand-in, one that is dead); another one shows the tree as well. */
static bool ask_still_there(struct ask *a)
{
	static struct tree_process p;

	return trees_of_process(a->target.pid, &p) > 0 || trees_each_process(ask_find_other, a) == -EEXIST;
}

/*
 * Before its constructor is done the signal would kill the tree's first process. A tree that is being restarted has no
 * members yet, and takes its time: until it is back, or gone.
 */
static int ask_ready(struct ask *a)
{
	const struct timespec look = { .tv_nsec = 10000000 };
	const bool back = a->tree->generation > 0;
	const long limit = back ? a->timeout : READY_SECONDS;
	time_t began = now();

	while (!__atomic_load_n(&a->tree->ready, __ATOMIC_ACQUIRE)) {
		if (back && !ask_still_there(a) && !__atomic_load_n(&a->tree->ready, __ATOMIC_ACQUIRE))
			return failed(ERR_PLAIN, "cannot checkpoint: the restart of pid %d failed", a->pid);
		if (limit > 0 && now() - began > limit)
			return failed(ERR_PLAIN, "cannot checkpoint: pid %d has not started yet", a->pid);
		nanosleep(&look, NULL);
	}
	return 0;
}

/* A skshim-restart that waits for a tree in another pid namespace has its file not mapped. */
static bool ask_is_restart(int pid)
{
	struct treefile_stat st;

	return treefile_stat(pid, &st) == 0 && strcmp(st.comm, "skshim-restart") == 0 && st.state != 'Z';
}

static int ask_find_below(const struct tree_process *p, void *arg)
{
	struct ask *a = arg;
	struct treefile_stat st = { .ppid = p->pid };

	while (st.ppid > 1 && treefile_stat(st.ppid, &st) == 0) {
		if (st.ppid != a->pid)
			continue;
		a->target = *p;
		return -EEXIST;  /* ends the search: found */
	}
	return 0;
}

/* The tree that skshim-restart waits for, or is about to bring back. */
static int ask_find_restarted(struct ask *a)
{
	const struct timespec look = { .tv_nsec = 10000000 };
	time_t began = now();
	int rc = 0;

	while (rc == 0 && ask_is_restart(a->pid)) {
		rc = trees_each_process(ask_find_below, a);
		if (rc == 0 && a->timeout > 0 && now() - began > a->timeout)
			return 0;
		if (rc == 0)
			nanosleep(&look, NULL);
	}
	return rc == -EEXIST ? 1 : rc;
}

/* A process that is just executing another program has its tree's file not mapped, but the tree knows it. */
static int ask_find(int pid, struct tree_process *out)
{
	const struct timespec look = { .tv_nsec = 5000000 };
	static struct tree_process known;
	time_t began = now();
	int rc = trees_of_process(pid, out);

	while (rc == 0 && now() - began <= EXEC_SECONDS && trees_of_closed(pid, &known) == 1) {
		nanosleep(&look, NULL);
		rc = trees_of_process(pid, out);
	}
	return rc;
}

/* Finds and maps the target's tree. */
static int ask_open(struct ask *a)
{
	const struct member *m;
	int pid = a->pid;
	struct stat st;
	int fd, rc = ask_find(pid, &a->target);

	if ((rc == -EACCES || rc == -EPERM) && trees_of_closed(pid, &a->target) == 1)
		rc = 1;
	if (rc == 0)
		rc = ask_find_restarted(a);
	if (rc == -ENOENT || rc == -ESRCH)
		return failed(ERR_PLAIN, "cannot checkpoint: there is no process %d", pid);
	if (rc == -EACCES || rc == -EPERM)
		return failed(ERR_PLAIN, "cannot checkpoint: pid %d is not yours: ask as its user, or as root", pid);
	if (rc < 0)
		return failed(rc, "cannot checkpoint: pid %d: its maps can't be read", pid);
	if (rc == 0)
		return failed(ERR_PLAIN, "cannot checkpoint: pid %d doesn't run under skshim; "
			      "start it with `skshim run` or LD_PRELOAD=libskshim.so", pid);
	rc = ask_outside(a);
	if (rc < 0)
		return rc;
	fd = trees_open(&a->target, O_RDWR);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(struct tree)) {
		close(fd);
		return failed(ERR_PLAIN, "cannot checkpoint: pid %d: %s is of another skshim", pid, a->target.path);
	}
	a->tree = mmap(NULL, TREES_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rc = a->tree == MAP_FAILED ? -errno : 0;
	close(fd);
	if (rc < 0)
		return failed(rc, "cannot checkpoint: pid %d: %s can't be mapped", pid, a->target.path);
	if (!trees_valid(a->tree))
		return failed(ERR_PLAIN, "cannot checkpoint: pid %d: %s is of another skshim", pid, a->target.path);
	rc = ask_ready(a);
	if (rc < 0)
		return rc;
	/* The skshim-restart that waits for a tree has its file mapped too, and stands for it. */
	if (trees_member(a->tree, a->target.inner) == NULL && trees_each_process(ask_find_member, a) != -EEXIST)
		return failed(ERR_PLAIN, "cannot checkpoint: pid %d maps %s but isn't one of its processes", pid,
			      a->target.path);
	if (geteuid() == 0 && ask_user(a->target.pid) > 0)
		(void)trees_each_process(ask_find_privileged, a);
	m = trees_member(a->tree, a->target.inner);
	if (m && m->shimless == SHIMLESS_SECCOMP)
		return failed(ERR_PLAIN, "cannot checkpoint: pid %d is under seccomp filters from before it was executed, or in "
			      "strict mode", pid);
	return 0;
}

static int ask_signal_process(const struct ask *a, siginfo_t *info)
{
	return syscall(SYS_pidfd_send_signal, a->pidfd, info->si_signo, info, 0) == 0 ? 0 : -errno;
}

static void ask_fill(const struct ask *a, siginfo_t *info)
{
	memset(info, 0, sizeof(*info));
	info->si_signo = (int)a->tree->signal;
	info->si_code = SHIM_CODE;
	info->si_value.sival_ptr = (void *)((uint64_t)ORDER_LEAD << 32 | a->number);
}

/* Of its first thread: a signal for the process that waits while that one blocks it would wake another one for nothing. */
static int ask_signal(const struct ask *a)
{
	siginfo_t info;

	ask_fill(a, &info);
	if (a->target.tid == a->target.pid && trees_member(a->tree, a->target.inner) != NULL &&
	    syscall(SYS_rt_tgsigqueueinfo, a->target.pid, a->target.tid, info.si_signo, &info) == 0)
		return 0;
	return ask_signal_process(a, &info);
}

static bool ask_is_blocked(const struct ask *a)
{
	char path[64], line[256];
	unsigned long blocked = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", a->target.pid, a->target.tid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL && sscanf(line, "SigBlk: %lx", &blocked) != 1)
		;
	if (f != NULL)
		fclose(f);
	return blocked >> (a->tree->signal - 1) & 1;
}

/* The first thread blocks it by an instruction of the program's own: any other will do. */
static void ask_press(struct ask *a)
{
	siginfo_t info;

	if (a->pressed || now() - a->asked < DEAF_SECONDS || __atomic_load_n(&a->tree->leader, __ATOMIC_SEQ_CST) != 0 ||
	    (int32_t)(__atomic_load_n(&a->tree->taken, __ATOMIC_SEQ_CST) - a->number) >= 0 || !ask_is_blocked(a))
		return;
	a->pressed = true;
	ask_fill(a, &info);
	(void)ask_signal_process(a, &info);
}

static int ask_send(struct ask *a)
{
	struct treefile_stat st;
	int rc;

	if (treefile_stat(a->target.pid, &st) == 0 && (st.state == 'T' || st.state == 't'))
		log_line(LOG_WARN, "pid %d is stopped: its checkpoint begins when it is continued", a->target.pid);
	__atomic_store_n(&a->tree->stop_after, a->stop ? 1 : 0, __ATOMIC_SEQ_CST);
	a->number = __atomic_add_fetch(&a->tree->request, 1, __ATOMIC_SEQ_CST);
	a->asked = a->moved = now();
	a->phase = a->tree->phase;
	a->pidfd = (int)syscall(SYS_pidfd_open, a->target.pid, 0);
	rc = a->pidfd < 0 ? -errno : ask_signal(a);
	if (rc < 0) {
		if (a->stop)
			__atomic_store_n(&a->tree->stop_after, 0, __ATOMIC_SEQ_CST);
		return failed(rc, "cannot checkpoint: pid %d: it can't be signalled", a->target.pid);
	}
	return 0;
}

/*
 * Another request may have made the tree begin anew before we looked: then the
 * answer is that one's, which is as good.
 */
static bool ask_answered(const struct ask *a)
{
	uint32_t result;

	if ((int32_t)(__atomic_load_n(&a->tree->result_seq, __ATOMIC_SEQ_CST) - a->number) < 0)
		return false;
	result = __atomic_load_n(&a->tree->result, __ATOMIC_SEQ_CST);
	return result == RESULT_COMPLETE || result == RESULT_FAILED;
}

/* A process of the tree is found: says what holds it up, the first few by name. */
static int ask_describe(const struct tree_process *p, void *arg)
{
	struct ask *a = arg;
	const struct member *m;
	char path[64], state[64] = "?", comm[128], wchan[64] = "";
	char line[256];
	FILE *f;

	if (p->dev != a->target.dev || p->ino != a->target.ino)
		return 0;
	m = trees_member(a->tree, p->inner);
	if (m == NULL || m->state != MEMBER_ALIVE || a->described++ >= 8)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", p->pid);
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "State: %63[^\n]", state) == 1)
			break;
	if (f != NULL)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/wchan", p->pid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fscanf(f, "%63s", wchan) != 1 || strcmp(wchan, "0") == 0)
			wchan[0] = '\0';
		fclose(f);
	}
	log_line(LOG_WARN, "pid %d (%s) has not stopped: state %s%s%s", p->pid,
		 print_text((struct blob){ m->comm, strnlen(m->comm, sizeof(m->comm)) }, comm, sizeof(comm)), state,
		 *wchan ? ", waiting in " : "", wchan);
	return 0;
}

static const char *phase_name(uint32_t phase)
{
	static const char *const names[] = { "not begun", "stopping its threads", "collecting its state",
					     "forking its writers", "writing" };

	return phase < sizeof(names) / sizeof(names[0]) ? names[phase] : "?";
}

static void ask_clear(struct ask *a)
{
	if (a->shown)
		fputs("\r\033[K", stderr);
	a->shown = false;
}

static void ask_progress(struct ask *a)
{
	uint32_t done = __atomic_load_n(&a->tree->progress_done, __ATOMIC_RELAXED);
	uint32_t all = __atomic_load_n(&a->tree->progress_all, __ATOMIC_RELAXED);
	uint32_t phase = __atomic_load_n(&a->tree->phase, __ATOMIC_RELAXED);

	if (phase != a->phase || done != a->done) {
		a->moved = now();
		a->complained = false;
	}
	a->phase = phase;
	a->done = done;
	if (a->terminal) {
		if (all > 0 && done > 0)
			fprintf(stderr, "\r\033[Kwriting %u of %u MiB", done, all);
		else
			fprintf(stderr, "\r\033[K%s", phase_name(phase));
		a->shown = true;
	}
	if (now() - a->moved >= QUIET_SECONDS && !a->complained) {
		ask_clear(a);
		log_line(LOG_WARN,
			 "pid %d: no step for %d seconds, the checkpoint is %s; still waiting (--timeout gives up)",
			 a->target.pid, QUIET_SECONDS, phase_name(phase));
		a->described = 0;
		trees_each_process(ask_describe, a);
		a->complained = true;
	}
}

static int ask_find_alive(const struct tree_process *p, void *arg)
{
	const struct ask *a = arg;
	int32_t writer = __atomic_load_n(&a->tree->writer, __ATOMIC_SEQ_CST);

	if (p->dev != a->target.dev || p->ino != a->target.ino)
		return 0;
	/* This process maps the file as well. The writer may outlive the tree, and complete the image. */
	if (trees_member(a->tree, p->inner) != NULL || p->inner == writer || (writer == WRITER_COMING && !ask_is_ours(p->pid)))
		return -EEXIST;  /* ends the search: found */
	return 0;
}

/* False once no process of the tree, nor its writer, maps its file any more. */
static bool ask_tree_alive(struct ask *a)
{
	struct pollfd ended = { .fd = a->pidfd, .events = POLLIN };

	if (poll(&ended, 1, 0) == 0)
		return true;
	return trees_each_process(ask_find_alive, a) == -EEXIST;
}

static int ask_find_writer(const struct tree_process *p, void *arg)
{
	const struct ask *a = arg;

	return p->dev == a->target.dev && p->ino == a->target.ino && p->inner == a->tree->writer ? -EEXIST : 0;
}

/*
 * The process that writes the image belongs to nobody, so that nobody hears of
 * its end; the program goes on and looks at it when it is asked the next time.
 */
static bool ask_writer_dead(const struct ask *a)
{
	int32_t writer = __atomic_load_n(&a->tree->writer, __ATOMIC_SEQ_CST);

	return writer && __atomic_load_n(&a->tree->leader, __ATOMIC_SEQ_CST) == writer &&
	       trees_each_process(ask_find_writer, (void *)a) == 0 && a->tree->writer == writer;
}

/* Whoever was served before us is dead: 0 when we have asked again, negative when it was ours. */
static int ask_again(const struct ask *a)
{
	if ((int32_t)(__atomic_load_n(&a->tree->taken, __ATOMIC_SEQ_CST) - a->number) < 0) {
		ask_signal(a);
		return 0;
	}
	return failed(ERR_PLAIN, "cannot checkpoint: pid %d: the process that wrote its image was killed", a->target.pid);
}

static int ask_wait(struct ask *a)
{
	const struct timespec look = { .tv_nsec = LOOK_NS };

	while (!ask_answered(a)) {
		uint32_t seen = __atomic_load_n(&a->tree->result_seq, __ATOMIC_SEQ_CST);

		if (!ask_answered(a))
			syscall(SYS_futex, &a->tree->result_seq, FUTEX_WAIT, seen, &look, NULL, 0);
		if (ask_answered(a))
			break;
		ask_progress(a);
		ask_press(a);
		if (!ask_tree_alive(a) && !ask_answered(a)) {
			ask_clear(a);
			return failed(ERR_PLAIN, "cannot checkpoint: pid %d: all processes of the tree ended before "
				      "the checkpoint was complete", a->target.pid);
		}
		if (ask_writer_dead(a) && !ask_answered(a)) {
			ask_clear(a);
			if (ask_again(a) < 0)
				return ERR_PLAIN;
		}
		if (a->timeout > 0 && now() - a->asked >= a->timeout) {
			ask_clear(a);
			return failed(ERR_PLAIN,
				      "pid %d: no checkpoint after %ld seconds (it is %s); it may still come, see "
				      "`skshim ps`",
				      a->target.pid, a->timeout, phase_name(a->phase));
		}
	}
	ask_clear(a);
	return 0;
}

/* The tree's own words, from memory it may be writing. */
static void copy_text(char *out, const char *shared, size_t size)
{
	size_t n = strnlen(shared, size - 1);

	memcpy(out, shared, n);
	out[n] = '\0';
}

/* A stopped tree is gone when we say so: its ports and names are free. Who can't end in this time is left to the restart. */
static void ask_end(struct ask *a)
{
	struct pollfd ended = { .fd = a->pidfd, .events = POLLIN };
	time_t end = now() + END_SECONDS;

	poll(&ended, 1, END_SECONDS * 1000);
	while (ask_tree_alive(a) && now() < end)
		poll(NULL, 0, 1);
}

static int ask_show(const struct ask *a, const char *dir)
{
	struct show show;

	show_begin(&show, stdout);
	show_open(&show, NULL, '{');
	show_string(&show, "result", text(dir ? "complete" : "failed"));
	show_signed(&show, "pid", a->pid);
	show_bool(&show, "stop", a->stop);
	show_signed(&show, "seconds", a->asked ? now() - a->asked : 0);
	if (dir)
		show_string(&show, "directory", text(dir));
	else
		show_string(&show, "error", text(err_text()));
	show_close(&show, '}');
	return print_show_end(&show);
}

static int ask_tell(const struct ask *a, int rc)
{
	char dir[TREE_DIR], words[ERR_TEXT];
	bool complete = rc == 0 && a->tree->result == RESULT_COMPLETE;

	if (rc == 0) {
		copy_text(dir, a->tree->result_dir, sizeof(dir));
		copy_text(words, a->tree->result_text, sizeof(words));
		if (!complete)
			failed(ERR_PLAIN, "cannot checkpoint: %s", *words ? words : "the tree gave no reason");
	}
	if (a->json && ask_show(a, complete ? dir : NULL) != CLI_OK)
		return CLI_FAILED;
	if (!a->json && complete)
		puts(dir);
	return complete ? CLI_OK : CLI_FAILED;
}

static bool parse_positive(const char *text, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *out > 0 && *out <= INT_MAX;
}

int command_checkpoint(int argc, char **argv)
{
	static const struct option options[] = {
		{ "stop", no_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "timeout", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	static struct ask a;
	long pid;
	int c, rc;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			a.stop = true;
		else if (c == 'j')
			a.json = true;
		else if (c != 't')
			return usage_error("checkpoint", "'%s' is not an option, or lacks its value", argv[optind - 1]);
		else if (!parse_positive(optarg, &a.timeout))
			return usage_error("checkpoint", "--timeout %s: not a number of seconds", optarg);
	}
	if (optind + 1 != argc)
		return usage_error("checkpoint", "one PID is expected");
	if (!parse_positive(argv[optind], &pid))
		return usage_error("checkpoint", "'%s' is not a PID", argv[optind]);
	a.pid = (int)pid;
	a.terminal = isatty(STDERR_FILENO);
	quiet_sweep();
	rc = ask_open(&a);
	if (rc == 0)
		rc = ask_send(&a);
	if (rc == 0)
		rc = ask_wait(&a);
	if (rc == 0 && a.stop && a.tree->result == RESULT_COMPLETE)
		ask_end(&a);
	return ask_tell(&a, rc);
}
