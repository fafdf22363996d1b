/*
 * walk.h - what a random walk over sockets notes down
 *
 * Everything that can be found out about a descriptor, in words that are the
 * same for two worlds whose pids, ports and automatic names differ.
 */
#ifndef WALK_H
#define WALK_H

#include "scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { WORKERS = 3, SLOTS = 20, NAMES = 24, FIRST = 100, PORTS = 256, LOG = 1 << 20 };

enum kind { NONE, U_STREAM, U_SEQ, U_DGRAM, UDP4, UDP6, TCP4, TCP6, PIPE, EPOLL, KINDS };
static const char *const kinds[] = { "none", "ustream", "useq", "udgram", "udp4", "udp6", "tcp4", "tcp6", "pipe", "epoll" };

struct op {
	unsigned what;               /* index of actions[] */
	int slot, other, third, n, name;
};

struct name {
	enum kind kind;
	socklen_t len;
	struct sockaddr_storage at;
};

static struct world {
	struct op op;
	enum kind slots[WORKERS][SLOTS];
	bool listening[WORKERS][SLOTS];
	struct name names[NAMES];
	int n_names;
	int ports[PORTS], n_ports;
	int pids[WORKERS];
	uint32_t serial;
	bool second;
	size_t len;
	char log[LOG];
} *w;

static int me;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	w->len += (size_t)vsnprintf(w->log + w->len, LOG - w->len, fmt, ap);
	va_end(ap);
	CHECK(w->len < LOG - 1000);
}

static int port_index(int port)
{
	if (port == 0)
		return 0;
	for (int i = 0; i < w->n_ports; i++)
		if (w->ports[i] == port)
			return i + 1;
	CHECK(w->n_ports < PORTS);
	w->ports[w->n_ports++] = port;
	return w->n_ports;
}

static void say_name(const void *at, socklen_t len)
{
	const struct sockaddr_un *un = at;
	const struct sockaddr_in *in = at;
	const struct sockaddr_in6 *in6 = at;
	char text[64];
	int n = (int)len - (int)offsetof(struct sockaddr_un, sun_path);

	if (len == 0)
		say(" -");
	else if (un->sun_family == AF_UNIX && n > 0 && un->sun_path[0] == 0 && n == 6)
		say(" auto%d", port_index(1000000 + (int)strtol((char[]){un->sun_path[1], un->sun_path[2], un->sun_path[3], un->sun_path[4], un->sun_path[5], 0}, NULL, 16)));
	else if (un->sun_family == AF_UNIX && n > 0 && un->sun_path[0] == 0)
		say(" @%.*s/%u", n - 2, un->sun_path + 2, (unsigned)len);
	else if (un->sun_family == AF_UNIX)
		say(" '%.*s'/%u", n > 0 ? n : 0, un->sun_path, (unsigned)len);
	else if (un->sun_family == AF_INET)
		say(" %s:p%d", inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)), port_index(ntohs(in->sin_port)));
	else if (un->sun_family == AF_INET6)
		say(" %s:p%d", inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)), port_index(ntohs(in6->sin6_port)));
	else
		say(" family%d/%u", un->sun_family, (unsigned)len);
}

static int fd_of(int slot)
{
	return FIRST + slot;
}

/* What is closed here and not by others would still be watched; nobody could say by whom. */
static void unwatch(int slot)
{
	for (int i = 0; i < SLOTS; i++)
		if (w->slots[me][i] == EPOLL)
			epoll_ctl(fd_of(i), EPOLL_CTL_DEL, fd_of(slot), NULL);
}

static void put(int slot, int fd, enum kind kind)
{
	if (fd < 0)
		return;
	unwatch(slot);
	MUST(dup2(fd, fd_of(slot)));
	close(fd);
	w->slots[me][slot] = kind;
	w->listening[me][slot] = false;
	if (kind != EPOLL)
		MUST(fcntl(fd_of(slot), F_SETFL, O_NONBLOCK | (fcntl(fd_of(slot), F_GETFL) & ~O_ACCMODE)));
}

static int result(long rc)
{
	if (rc < 0)
		say(" = -%d", errno);
	else
		say(" = %ld", rc);
	return (int)rc;
}

static const struct { int family, type; } how[KINDS] = {
	[U_STREAM] = {AF_UNIX, SOCK_STREAM}, [U_SEQ] = {AF_UNIX, SOCK_SEQPACKET}, [U_DGRAM] = {AF_UNIX, SOCK_DGRAM}, [UDP4] = {AF_INET, SOCK_DGRAM},
	[UDP6] = {AF_INET6, SOCK_DGRAM}, [TCP4] = {AF_INET, SOCK_STREAM}, [TCP6] = {AF_INET6, SOCK_STREAM},
};

static bool is_unix(enum kind k)
{
	return k == U_STREAM || k == U_SEQ || k == U_DGRAM;
}

static bool is_inet(enum kind k)
{
	return k >= UDP4 && k <= TCP6;
}

static bool is_tcp(enum kind k)
{
	return k == TCP4 || k == TCP6;
}

static bool is_socket(enum kind k)
{
	return k >= U_STREAM && k <= TCP6;
}

static bool is_own_name(int slot, const struct name *n)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	return getsockname(fd_of(slot), (struct sockaddr *)&at, &len) == 0 && len == n->len && ((struct sockaddr_in *)&at)->sin_port == ((const struct sockaddr_in *)&n->at)->sin_port;
}

static bool is_connected(int slot)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	return getpeername(fd_of(slot), (struct sockaddr *)&at, &len) == 0;
}

static void note_name(int slot)
{
	struct name *n = &w->names[w->n_names % NAMES];

	memset(n, 0, sizeof(*n));
	n->len = sizeof(n->at);
	if (getsockname(fd_of(slot), (struct sockaddr *)&n->at, &n->len) == 0) {
		n->kind = w->slots[me][slot];
		w->n_names++;
		say_name(&n->at, n->len);
	}
}

static unsigned sum(const char *b, long n)
{
	unsigned s = 0;

	for (long i = 0; i < n; i++)
		s = s * 31 + (unsigned char)b[i];
	return s;
}

static void say_fd(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	struct stat st;

	MUST(fstat(fd, &st));
	say(" {%o", st.st_mode & S_IFMT);
	if (getsockname(fd, (struct sockaddr *)&at, &len) == 0)
		say_name(&at, len);
	len = sizeof(at);
	if (S_ISSOCK(st.st_mode) && getpeername(fd, (struct sockaddr *)&at, &len) == 0)
		say_name(&at, len);
	say("}");
}

static void say_control(struct msghdr *m)
{
	int fds[16], n;
	struct ucred u;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		say(" c%d.%d", c->cmsg_level, c->cmsg_type);
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&u, CMSG_DATA(c), sizeof(u));
			n = -1;
			for (int i = 0; i < WORKERS; i++)
				if (w->pids[i] == u.pid)
					n = i;
			/* none: root or nobody, as the user namespace has it */
			if (u.pid != 0)
				say(":w%d,%d,%d", n, (int)u.uid, (int)u.gid);
		}
		if (c->cmsg_type == SCM_RIGHTS) {
			n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(c), (size_t)n * sizeof(int));
			for (int i = 0; i < n; i++) {
				say_fd(fds[i]);
				close(fds[i]);
			}
		}
	}
}

static long receive(int fd, size_t n, int flags)
{
	static char b[70000];
	char control[600];
	struct sockaddr_storage at = {0};
	struct iovec v = {b, n};
	struct msghdr m = {&at, sizeof(at), &v, 1, control, sizeof(control), 0};
	long rc;

	memset(b, 0, n);
	rc = recvmsg(fd, &m, flags | MSG_DONTWAIT);
	result(rc);
	if (rc < 0)
		return rc;
	say(" #%x flags %x", sum(b, rc), (unsigned)m.msg_flags);
	say_name(&at, m.msg_namelen);
	say_control(&m);
	return rc == 0 && m.msg_flags == 0 && m.msg_controllen == 0 ? 0 : rc + 1;
}

static const struct { int level, name, values[4]; } options[] = {
	{SOL_SOCKET, SO_PASSCRED, {0, 1, 1, 1}}, {SOL_SOCKET, SO_RCVLOWAT, {1, 2, 40, 300}}, {SOL_SOCKET, SO_PEEK_OFF, {0, 3, 50, -1}},
	{SOL_SOCKET, SO_KEEPALIVE, {0, 1, 1, 1}}, {SOL_SOCKET, SO_OOBINLINE, {0, 1, 1, 1}}, {SOL_SOCKET, SO_PRIORITY, {0, 1, 2, 6}},
	{SOL_SOCKET, SO_BROADCAST, {0, 1, 1, 1}}, {SOL_SOCKET, SO_TIMESTAMP, {0, 1, 1, 1}}, {IPPROTO_TCP, TCP_NODELAY, {1, 1, 1, 1}},
	{IPPROTO_IP, IP_PKTINFO, {0, 1, 1, 1}}, {IPPROTO_IP, IP_RECVTTL, {0, 1, 1, 1}}, {IPPROTO_IPV6, IPV6_RECVPKTINFO, {0, 1, 1, 1}},
	{IPPROTO_IP, IP_TOS, {0, 8, 16, 4}}, {SOL_SOCKET, SO_SNDBUF, {5000, 9000, 20000, 60000}}, {SOL_SOCKET, SO_RCVBUF, {5000, 9000, 20000, 60000}},
	{SOL_SOCKET, SO_REUSEADDR, {0, 1, 1, 1}}, {SOL_SOCKET, SO_REUSEPORT, {0, 1, 1, 1}}, {SOL_SOCKET, SO_LINGER, {0, 0, 1, 5}},
};
enum { OPTIONS = sizeof(options) / sizeof(*options) };

static bool fits(int option, enum kind k)
{
	int level = options[option].level, name = options[option].name;

	if (level == IPPROTO_TCP)
		return is_tcp(k);
	if (level == IPPROTO_IP)
		return k == UDP4 || k == TCP4;
	if (level == IPPROTO_IPV6)
		return k == UDP6 || k == TCP6;
	if (k == U_STREAM && name == SO_SNDBUF)
		return false;
	if (is_tcp(k) && (name == SO_RCVBUF || name == SO_SNDBUF || name == SO_RCVLOWAT || name == SO_PEEK_OFF))
		return false;
	return true;
}

static int by_data(const void *a, const void *b)
{
	const struct epoll_event *x = a, *y = b;

	return x->data.u32 < y->data.u32 ? -1 : x->data.u32 > y->data.u32;
}

static void say_events(int slot)
{
	struct epoll_event e[64];
	int n = epoll_wait(fd_of(slot), e, 64, 0);

	result(n);
	if (n > 0)
		qsort(e, (size_t)n, sizeof(*e), by_data);
	for (int i = 0; i < n; i++)
		say(" %u:%x", e[i].data.u32, e[i].events);
}

static void look(int slot)
{
	enum kind k = w->slots[me][slot];
	struct pollfd p = {fd_of(slot), POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
	struct sockaddr_storage at;
	socklen_t len;
	int v[2], n;

	if (k == EPOLL || k == NONE)
		return;
	MUST(poll(&p, 1, 0));
	say(" poll %x fl %x", (unsigned)p.revents, (unsigned)fcntl(p.fd, F_GETFL));
	if (k == PIPE && (fcntl(p.fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
		return;
	if (ioctl(p.fd, FIONREAD, &n) == 0)
		say(" in %d", n);
	else
		say(" in -%d", errno);
	if (k == PIPE)
		return;
	len = sizeof(at);
	if (getsockname(p.fd, (struct sockaddr *)&at, &len) == 0)
		say_name(&at, len);
	len = sizeof(at);
	if (getpeername(p.fd, (struct sockaddr *)&at, &len) == 0)
		say_name(&at, len);
	else
		say(" peer -%d", errno);
	if (k == U_STREAM || is_tcp(k)) {
		if (ioctl(p.fd, SIOCATMARK, &n) == 0)
			say(" mark %d", n);
	}
	for (int i = 0; i < OPTIONS; i++) {
		if (!fits(i, k) || (is_tcp(k) && options[i].name == SO_PRIORITY))
			continue;
		v[0] = v[1] = 0;
		len = sizeof(v);
		if (getsockopt(p.fd, options[i].level, options[i].name, v, &len) == 0)
			say(" %d", v[0]);
	}
	if (is_unix(k)) {
		struct ucred u = {0};

		len = sizeof(u);
		if (getsockopt(p.fd, SOL_SOCKET, SO_PEERCRED, &u, &len) == 0) {
			n = u.pid ? -1 : -2;
			for (int i = 0; i < WORKERS; i++)
				if (w->pids[i] == u.pid)
					n = i;
			say(" cred %d %d", n, (int)u.uid);
		}
	}
}

static void drain(int slot)
{
	struct sockaddr_storage at;
	int v, fd;
	socklen_t len = sizeof(v);
	long rc;

	if (w->slots[me][slot] == NONE)
		return;
	say("end %d.%d %s:", me, slot, kinds[w->slots[me][slot]]);
	look(slot);
	if (w->slots[me][slot] == EPOLL)
		say_events(slot);
	if (is_socket(w->slots[me][slot])) {
		if (w->listening[me][slot]) {
			len = sizeof(at);
			for (int i = 0; i < 40 && (fd = accept4(fd_of(slot), (struct sockaddr *)&at, &len, SOCK_NONBLOCK)) >= 0; i++) {
				say("\n  accepted");
				say_name(&at, len);
				say_fd(fd);
				while (receive(fd, 1000, 0) > 0)
					;
				close(fd);
				len = sizeof(at);
			}
		}
		if (getsockopt(fd_of(slot), SOL_SOCKET, SO_ERROR, &v, &len) == 0)
			say(" error %d", v);
		for (int i = 0; i < 200; i++) {
			say("\n  ");
			if (receive(fd_of(slot), 70000, 0) <= 0)
				break;
		}
		if (receive(fd_of(slot), 10, MSG_OOB) > 0)
			say(" oob");
	}
	if (w->slots[me][slot] == PIPE) {
		static char b[70000];

		rc = read(fd_of(slot), b, sizeof(b));
		result(rc);
		if (rc > 0)
			say(" #%x", sum(b, rc));
	}
	say("\n");
}

#endif
