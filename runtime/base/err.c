/*
 * err.c - the failure that is noted, and the log
 *
 * The first failure wins a compare and swap, so two threads that fail at once
 * leave one whole message. A line of the log must never harm the program it is
 * written into: standard error may have been closed and its number given to
 * something else since, its reader may be gone (SIGPIPE) or asleep, and a file
 * may have reached its limit (SIGXFSZ). Then the line is dropped.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "skshim/err.h"
#include "skshim/str.h"
#include "skshim/sys.h"

#include "skshim/frozen.h"

#define LINE_MAX_ 1024
/* How long a line may wait for its reader. */
#define LINE_WAIT_MS 200

enum { NOTE_NONE, NOTE_WRITING, NOTE_DONE };

static struct {
	int state;
	char text[ERR_TEXT];
} note;

static struct {
	char prefix[32];
	char path[1024];             /* "": standard error */
	enum log_level level;
	bool stderr_known;
	dev_t dev;                   /* standard error at log_setup() */
	ino_t ino;
} target = { .prefix = "skshim", .level = LOG_WARN };

int failed(int rc, const char *fmt, ...)
{
	int state = NOTE_NONE;
	va_list ap;
	int n;

	if (!__atomic_compare_exchange_n(&note.state, &state, NOTE_WRITING, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return rc;
	va_start(ap, fmt);
	n = text_vformat(note.text, sizeof(note.text), fmt, ap);
	va_end(ap);
	if (rc != ERR_PLAIN)
		text_format(note.text + n, sizeof(note.text) - (size_t)n, "%s%s", n ? ": " : "", text_error(rc));
	__atomic_store_n(&note.state, NOTE_DONE, __ATOMIC_RELEASE);
	return rc;
}

const char *err_text(void)
{
	return __atomic_load_n(&note.state, __ATOMIC_ACQUIRE) == NOTE_DONE ? note.text : "";
}

void err_reset(void)
{
	__atomic_store_n(&note.state, NOTE_NONE, __ATOMIC_RELEASE);
}

void log_setup(const char *prefix, enum log_level level, const char *path)
{
	struct stat st;

	text_format(target.prefix, sizeof(target.prefix), "%s", prefix);
	text_format(target.path, sizeof(target.path), "%s", path ? path : "");
	target.level = level;
	target.stderr_known = sys_fstat(2, &st) == 0;
	if (target.stderr_known) {
		target.dev = st.st_dev;
		target.ino = st.st_ino;
	}
}

enum log_level log_current(void)
{
	return target.level;
}

/* May a line go to this description? Standard error that became another one must look like a log. */
static bool log_may(int fd, const struct stat *st, size_t n)
{
	bool same = target.stderr_known && st->st_dev == target.dev && st->st_ino == target.ino;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct rlimit64 limit;

	if (S_ISREG(st->st_mode)) {
		if (fd == 2 && !same && !(sys_fcntl(fd, F_GETFL, 0) & O_APPEND))
			return false;
		return sys_prlimit(0, RLIMIT_FSIZE, NULL, &limit) < 0 || limit.rlim_cur == RLIM64_INFINITY ||
		       (uint64_t)st->st_size + n <= limit.rlim_cur;
	}
	if (fd == 2 && !same && !S_ISCHR(st->st_mode))
		return false;
	return sys_poll(&p, 1, LINE_WAIT_MS) == 1 && (p.revents & POLLOUT) && !(p.revents & (POLLERR | POLLNVAL));
}

static void log_put(int fd, const char *line, size_t n)
{
	struct stat st;

	if (sys_fstat(fd, &st) < 0 || !log_may(fd, &st, n))
		return;
	if (S_ISSOCK(st.st_mode))
		sys_sendto(fd, line, n, MSG_NOSIGNAL, NULL, 0);
	else
		sys_write(fd, line, n);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_];
	va_list ap;
	int fd, n;

	if (level > target.level)
		return;
	n = text_format(line, sizeof(line) - 1, "%s: ", target.prefix);
	va_start(ap, fmt);
	n += text_vformat(line + n, sizeof(line) - 1 - (size_t)n, fmt, ap);
	va_end(ap);
	line[n++] = '\n';
	if (!target.path[0]) {
		log_put(2, line, (size_t)n);
		return;
	}
	fd = sys_openat(AT_FDCWD, target.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0)
		return;
	log_put(fd, line, (size_t)n);
	sys_close(fd);
}
