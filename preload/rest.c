/*
 * rest.c - the rest of a call that our signal cut short
 *
 * A call that blocks until all of its bytes are passed on returns fewer only
 * when a signal comes. Then it is made again with the rest, in redo_entry
 * (redo.c), which adds up. A rest that turns out to be none (the file ends, the
 * peer has closed) changes nothing: the call answers 0 or an error, and the
 * program gets the bytes that were passed on before.
 *
 * Vectors and the header of a message are copied below the program's stack;
 * its own are never written. What goes with the first byte of a message
 * (descriptors, credentials) has gone with it.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "redo.h"

#include "skshim/frozen.h"

#define ERESTARTSYS 512           /* linux/errno.h: the kernel's own */
#define MEM_MAJOR 1               /* /dev/zero, /dev/urandom and the like */

static bool is_message(long nr)
{
	return nr == __NR_sendmsg || nr == __NR_recvmsg;
}

static uint64_t sum(const struct iovec *v, uint64_t n)
{
	uint64_t all = 0;

	for (uint64_t i = 0; i < n; i++)
		all += v[i].iov_len;
	return all;
}

/* Flags of a call on a socket: must it pass on everything? */
static bool wants_all(long nr, uint64_t flags)
{
	if (flags & MSG_DONTWAIT)
		return false;
	return nr == __NR_sendto || nr == __NR_sendmsg || ((flags & MSG_WAITALL) && !(flags & (MSG_PEEK | MSG_ERRQUEUE)));
}

/* Does a call on this descriptor return when it could do no more for now? */
static bool blocks(int fd, long nr)
{
	bool reads = nr == __NR_read;
	struct stat st;

	if (sys_fstat(fd, &st) < 0 || (sys_fcntl(fd, F_GETFL, 0) & O_NONBLOCK))
		return false;
	if (S_ISCHR(st.st_mode))
		return !reads || major(st.st_rdev) == MEM_MAJOR;
	/* sendfile fills a pipe and is content */
	return S_ISFIFO(st.st_mode) ? nr == __NR_write || nr == __NR_writev : S_ISSOCK(st.st_mode) && !reads;
}

static uint64_t asked(long nr, uint64_t *const args[6])
{
	const struct msghdr *m = (const struct msghdr *)*args[1];

	switch (nr) {
	case __NR_read: case __NR_write:
		return *args[2];
	case __NR_writev:
		return sum((const struct iovec *)*args[1], *args[2]);
	case __NR_sendto: case __NR_recvfrom:
		return wants_all(nr, *args[3]) ? *args[2] : 0;
	case __NR_sendmsg:
		return wants_all(nr, *args[2]) ? sum(m->msg_iov, m->msg_iovlen) : 0;
	case __NR_recvmsg:
		/* what comes with the rest would have no place */
		return wants_all(nr, *args[2]) && !m->msg_controllen ? sum(m->msg_iov, m->msg_iovlen) : 0;
	case __NR_recvmmsg:
		return *args[4] || (*args[3] & (MSG_DONTWAIT | MSG_WAITFORONE)) ? 0 : *args[2];
	case __NR_sendfile:
		return *args[3];
	}
	return 0;
}

/* A recvmmsg that a signal ends leaves its reason behind, as an error of the socket's. */
static void forget_error(int fd)
{
	int error = 0;
	unsigned len = sizeof(error);

	sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error && error != ERESTARTSYS && error != EINTR)
		log_line(LOG_WARN, "pid %d fd %d: recvmmsg ends with: %s", shim.pid, fd, text_error(-error));
}

bool rest_is_due(long nr, uint64_t *const args[6], uint64_t n)
{
	if (nr == __NR_getrandom)
		return n < *args[1];
	if (n >= asked(nr, args) || !blocks((int)*args[0], nr))
		return false;
	if (nr == __NR_recvmmsg)
		forget_error((int)*args[0]);
	return true;
}

/* Where the vectors are told: their place and number. */
static bool vectors(long nr, uint64_t *const args[6], struct iovec ***at, uint64_t **n)
{
	struct msghdr *m = (struct msghdr *)*args[1];

	if (nr == __NR_writev) {
		*at = (struct iovec **)args[1];
		*n = args[2];
	} else if (is_message(nr)) {
		*at = &m->msg_iov;
		*n = (uint64_t *)&m->msg_iovlen;
	} else {
		return false;
	}
	return true;
}

/* The first vector that isn't done after n bytes; *n: what is done of it. */
static uint64_t skip(const struct iovec *v, uint64_t count, uint64_t *n)
{
	uint64_t i = 0;

	while (i < count && *n >= v[i].iov_len)
		*n -= v[i++].iov_len;
	return i;
}

int rest_vectors(long nr, uint64_t *const args[6], uint64_t n)
{
	struct iovec **at;
	uint64_t *count, left;

	if (!vectors(nr, args, &at, &count))
		return 0;
	left = *count - skip(*at, *count, &n);
	return (int)left;
}

static void take_vectors(struct redo *r, uint64_t n, bool first)
{
	uint64_t *args[6], *count, done;
	struct iovec **at;

	for (int i = 0; i < 6; i++)
		args[i] = &r->args[i];
	if (first && is_message((long)r->nr)) {
		r->msg = *(const struct msghdr *)r->args[1];
		r->msg.msg_control = NULL;
		r->msg.msg_controllen = 0;
		r->args[1] = (uint64_t)&r->msg;
	}
	if (!vectors((long)r->nr, args, &at, &count))
		return;
	done = skip(*at, *count, &n);
	*at += done;
	*count -= done;
	if (first) {
		memcpy(r->rest, *at, *count * sizeof(**at));
		*at = r->rest;
	}
	if (*count) {
		(*at)->iov_base = (char *)(*at)->iov_base + n;
		(*at)->iov_len -= n;
	}
}

void rest_take(struct redo *r, uint64_t n, bool first)
{
	r->done += (int64_t)n;
	switch (r->nr) {
	case __NR_writev: case __NR_sendmsg: case __NR_recvmsg:
		take_vectors(r, n, first);
		break;
	case __NR_sendfile:                /* the kernel has moved the offset, wherever it is */
		r->args[3] -= n;
		break;
	case __NR_getrandom:
		r->args[0] += n;
		r->args[1] -= n;
		break;
	case __NR_recvmmsg:
		r->args[1] += n * sizeof(struct mmsghdr);
		r->args[2] -= n;
		break;
	default:
		r->args[1] += n;
		r->args[2] -= n;
	}
}
