/*
 * wrap_signalfd.c - reading the checkpoint signal from a descriptor
 *
 * In the kernel such a descriptor takes SHIM_ALIAS, and what is read says so
 * in ssi_signo. read() is not interposed: no program pays for this but one that
 * asks for the checkpoint signal in a signalfd. When it does, the modules
 * loaded by then are made to call the functions here (real_redirect).
 *
 * The same functions note since when they wait, for sockets with a timeout
 * (wrap_timeout.c).
 *
 * Which descriptors are meant isn't remembered, so dup, fork, SCM_RIGHTS need
 * nothing: whole records of which one says SHIM_ALIAS, out of what /proc calls
 * a signalfd, can be nothing else.
 */
#include <sys/signalfd.h>
#include <sys/uio.h>

#include "signals.h"
#include "wait.h"

#include "skshim/frozen.h"

#define RECORD sizeof(struct signalfd_siginfo)

ssize_t __read_chk(int fd, void *buf, size_t n, size_t room);

static bool is_signalfd(int fd)
{
	static const char name[] = "anon_inode:[signalfd]";
	char path[32], link[sizeof(name)];

	text_format(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
	return sys_readlinkat(-100 /* AT_FDCWD */, path, link, sizeof(link)) == (long)sizeof(name) - 1 &&
	       memcmp(link, name, sizeof(name) - 1) == 0;
}

/* A byte of what was read into a row of buffers. */
static uint8_t *byte_at(const struct iovec *iov, size_t at)
{
	for (; at >= iov->iov_len; iov++)
		at -= iov->iov_len;
	return (uint8_t *)iov->iov_base + at;
}

/* ssi_signo is a record's first 32 bits; no number has more than 8. */
static void translate(int fd, const struct iovec *iov, ssize_t n)
{
	bool sure = false;

	if (n <= 0 || (size_t)n % RECORD != 0)
		return;
	for (size_t at = 0; at < (size_t)n; at += RECORD) {
		if (*byte_at(iov, at) != SHIM_ALIAS)
			continue;
		if (*byte_at(iov, at + 1) || *byte_at(iov, at + 2) || *byte_at(iov, at + 3))
			continue;
		if (!sure && !is_signalfd(fd))
			return;
		sure = true;
		*byte_at(iov, at) = (uint8_t)signals_moved;
	}
}

static ssize_t read_translated(int fd, void *buf, size_t n)
{
	struct iovec iov = { buf, n };
	struct wait_note outer;
	ssize_t got;

	wait_begin(&outer, __NR_read);
	got = real.read(fd, buf, n);
	wait_end(&outer);
	translate(fd, &iov, got);
	return got;
}

static ssize_t read_chk_translated(int fd, void *buf, size_t n, size_t room)
{
	struct iovec iov = { buf, n };
	struct wait_note outer;
	ssize_t got;

	wait_begin(&outer, __NR_read);
	got = real.__read_chk(fd, buf, n, room);
	wait_end(&outer);
	translate(fd, &iov, got);
	return got;
}

static ssize_t readv_translated(int fd, const struct iovec *iov, int n)
{
	struct wait_note outer;
	ssize_t got;

	wait_begin(&outer, __NR_readv);
	got = real.readv(fd, iov, n);
	wait_end(&outer);
	translate(fd, iov, got);
	return got;
}

void signalfd_redirect(void)
{
	real_redirect("read", (void *)read_translated);
	real_redirect("__read_chk", (void *)read_chk_translated);
	real_redirect("readv", (void *)readv_translated);
}

SHIM_EXPORT int signalfd(int fd, const sigset_t *set, int flags)
{
	sigset_t copy;
	int rc;

	copy = signals_set_to_kernel(set);
	rc = real.signalfd(fd, &copy, flags);
	if (rc >= 0 && signals_moved && (copy.__val[0] & SHIM_BIT(SHIM_ALIAS)))
		signalfd_redirect();
	return rc;
}
