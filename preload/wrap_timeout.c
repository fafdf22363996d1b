/*
 * wrap_timeout.c - calls that move data, on sockets with a timeout of their own
 *
 * read, recv, send and the like are not interposed: no program pays for this
 * but one that sets SO_RCVTIMEO or SO_SNDTIMEO. When it does, the modules
 * loaded by then are made to call the functions here (real_redirect), which
 * note when the call began (wrap_wait.c); of all descriptors, since which have
 * a timeout isn't remembered.
 */
#include <sys/socket.h>
#include <sys/uio.h>

#include "wait.h"

#include "skshim/frozen.h"

#define NOTED(result, name, number, parameters, arguments) \
	static result name##_noted parameters \
	{ \
		struct wait_note outer; \
		result rc; \
\
		wait_begin(&outer, number); \
		do \
			rc = real.name arguments; \
		while (wait_stolen(rc)); \
		wait_end(&outer); \
		return rc; \
	}

NOTED(ssize_t, recv, __NR_recvfrom, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags))
NOTED(ssize_t, __recv_chk, __NR_recvfrom, (int fd, void *buf, size_t n, size_t room, int flags), (fd, buf, n, room, flags))
NOTED(ssize_t, recvfrom, __NR_recvfrom,
      (int fd, void *buf, size_t n, int flags, struct sockaddr *addr, socklen_t *len), (fd, buf, n, flags, addr, len))
NOTED(ssize_t, __recvfrom_chk, __NR_recvfrom,
      (int fd, void *buf, size_t n, size_t room, int flags, struct sockaddr *addr, socklen_t *len),
      (fd, buf, n, room, flags, addr, len))
NOTED(ssize_t, recvmsg, __NR_recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
NOTED(ssize_t, send, __NR_sendto, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags))
NOTED(ssize_t, sendto, __NR_sendto,
      (int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr, socklen_t len), (fd, buf, n, flags, addr, len))
NOTED(ssize_t, sendmsg, __NR_sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
NOTED(ssize_t, write, __NR_write, (int fd, const void *buf, size_t n), (fd, buf, n))
NOTED(ssize_t, writev, __NR_writev, (int fd, const struct iovec *v, int n), (fd, v, n))

#define REDIRECT(name) real_redirect(#name, (void *)name##_noted)

void timeouts_begin(int name)
{
	static bool known[2];

	if (__atomic_exchange_n(&known[name == SO_RCVTIMEO], true, __ATOMIC_ACQ_REL))
		return;
	if (name == SO_RCVTIMEO) {
		REDIRECT(recv);
		REDIRECT(__recv_chk);
		REDIRECT(recvfrom);
		REDIRECT(__recvfrom_chk);
		REDIRECT(recvmsg);
		signalfd_redirect();
	} else {
		REDIRECT(send);
		REDIRECT(sendto);
		REDIRECT(sendmsg);
		REDIRECT(write);
		REDIRECT(writev);
	}
}
