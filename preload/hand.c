/*
 * hand.c - files for a member that may not open them itself
 *
 * A server's workers run as another user than the master, and the checkpoint
 * directory is the master's alone. Such a member binds a datagram socket to an
 * abstract name that the tree's shared memory announces; the leader, which is
 * waiting for it anyway, opens the member's files and sends the descriptors.
 * The member takes them only from the leader's pid (SCM_CREDENTIALS).
 */
#include <asm/errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "conduct.h"

#include "skshim/frozen.h"

static unsigned address(struct sockaddr_un *a, int pid)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	return (unsigned)offsetof(struct sockaddr_un, sun_path) + 1 +
	       (unsigned)text_format(a->sun_path + 1, sizeof(a->sun_path) - 1, "skshim-%lx-%d", shim.tree->id, pid);
}

struct letter {
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FILES * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov;
	struct msghdr msg;
	char byte;
};

static void compose(struct letter *l, size_t control)
{
	memset(l, 0, sizeof(*l));
	l->iov = (struct iovec){ &l->byte, 1 };
	l->msg.msg_iov = &l->iov;
	l->msg.msg_iovlen = 1;
	l->msg.msg_control = l->control.bytes;
	l->msg.msg_controllen = control;
}

/* The leader, asked by member->wants. */
int hand_give(struct member *m)
{
	struct sockaddr_un to;
	struct letter l;
	struct cmsghdr *c;
	unsigned len = address(&to, m->pid);
	int files[FILES] = { -1, -1, -1, -1 }, rc = directory_open(work.partial, m->pid, files);
	int fd = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (rc == 0 && fd < 0)
		rc = fd;
	if (rc == 0) {
		compose(&l, CMSG_SPACE(sizeof(files)));
		l.msg.msg_name = &to;
		l.msg.msg_namelen = len;
		c = CMSG_FIRSTHDR(&l.msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(files));
		memcpy(CMSG_DATA(c), files, sizeof(files));
		rc = (int)sys_sendmsg(fd, &l.msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	for (int i = 0; i < FILES; i++)
		if (files[i] >= 0)
			sys_close(files[i]);
	if (fd >= 0)
		sys_close(fd);
	__atomic_store_n(&m->wants, 0, __ATOMIC_SEQ_CST);
	return rc < 0 ? failed(rc, "pid %d: its part of the image can't be opened for it", m->pid) : 0;
}

int hand_all(void)
{
	int rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < shim.tree->nmembers; i++)
		if (__atomic_load_n(&shim.tree->members[i].wants, __ATOMIC_SEQ_CST))
			rc = hand_give(&shim.tree->members[i]);
	return rc;
}

/* In any process of the machine somebody may know the name and write to it: what is not the leader's is closed. */
static bool open_letter(struct letter *l, int files[FILES])
{
	struct cmsghdr *rights = NULL;
	bool from_leader = false, whole;
	struct ucred who;
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&l->msg); c; c = CMSG_NXTHDR(&l->msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&who, CMSG_DATA(c), sizeof(who));
			from_leader = who.pid == shim.tree->leader;
		} else if (c->cmsg_type == SCM_RIGHTS) {
			rights = c;
			n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		}
	}
	whole = from_leader && n == FILES;
	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(rights) + i * sizeof(int), sizeof(int));
		if (whole)
			files[i] = fd;
		else
			sys_close(fd);
	}
	return whole;
}

/* Until the leader has sent them, or has given the checkpoint up. */
static int receive(int fd, int files[FILES])
{
	struct letter l;
	long rc;

	do {
		compose(&l, sizeof(l.control.bytes));
		rc = sys_recvmsg(fd, &l.msg, MSG_CMSG_CLOEXEC);
		if (rc >= 0 && open_letter(&l, files))
			return 0;
		if (rc < 0 && rc != -EINTR && rc != -EAGAIN)
			return (int)rc;
	} while (!meet_over());
	return -ETIME;
}

/* A member that may not: asks and waits. */
int hand_take(int files[FILES])
{
	struct { int64_t sec, usec; } look = { 0, 50000 };
	struct sockaddr_un here;
	unsigned len = address(&here, shim.pid);
	struct member *self = members_self();
	int fd = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, rc = fd;

	if (fd >= 0)
		rc = sys_bind(fd, &here, len);
	if (rc >= 0)
		rc = sys_setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	if (rc >= 0)
		rc = sys_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof(look));
	if (rc >= 0 && self) {
		__atomic_store_n(&self->wants, 1, __ATOMIC_SEQ_CST);
		rc = receive(fd, files);
		__atomic_store_n(&self->wants, 0, __ATOMIC_SEQ_CST);
	}
	if (fd >= 0)
		sys_close(fd);
	return rc < 0 ? failed(rc, "pid %d: its part of the image can't be opened", shim.pid) : 0;
}
