/*
 * unix_queue.c - what waits in a unix socket's queue, and what travels with it
 *
 * Everything is peeked at with SO_PEEK_OFF, which walks a stream by bytes and
 * packets by packet; the program's own offset is put back. SO_PASSCRED is on
 * meanwhile, so that credentials that a message carries are shown, and so that
 * an empty packet (which has them) can be told from the end (which hasn't). Empty
 * packets are shown once (empties.c), but for the one at the head, which a peek
 * without an offset shows always: so that is how the first is looked at.
 *
 * Two processes that share a socket must not walk it at the same time: a name
 * made of its cookie is bound meanwhile, which the kernel frees with its owner.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent.h"
#include "skshim/peeked.h"
#include "unix.h"

#include "skshim/frozen.h"

/* Longer packets can't be sent even with the largest buffers that systems are set up with. */
#define PIECE (8ul << 20)
#define RIGHTS_MAX 253
#define CONTROL_ROOM 2048
#define SO_PASSPIDFD_ 76
#define LOCK_TRIES 10000
#define TAKEN_MAX 8

static const struct field right_fields[] = {
	FIELD_OBJ(struct unix_right, obj),
	FIELD_END
};

const struct field unix_message_fields[] = {
	FIELD_BIN(struct unix_message, data),
	FIELD_STR(struct unix_message, sender),
	FIELD_I32(struct unix_message, cred_pid),
	FIELD_U32(struct unix_message, cred_uid),
	FIELD_U32(struct unix_message, cred_gid),
	FIELD_U32(struct unix_message, oob),
	FIELD_LIST(struct unix_message, rights, struct unix_right, right_fields),
	FIELD_END
};

/* The kernel's struct ucred. */
struct cred {
	int32_t pid;
	uint32_t uid, gid;
};

/* A walk along one queue. */
struct walk {
	struct collection *c;
	const struct probe *p;
	bool stream;
	uint64_t left;               /* bytes of a stream not seen yet: a read at the end would take a pending error away */
	char *piece;                 /* PIECE bytes */
	struct unix_message *list;
	uint32_t n, room;
};

/* Options that are different while the walk goes on. */
static const struct {
	int name, during;
} borrowed[] = {
	{ SO_PASSCRED, 1 }, { SO_PASSPIDFD_, 0 }, { SO_PASSSEC, 0 }, { SO_OOBINLINE, 1 }, { SO_PEEK_OFF, 0 /* packets: -1 */ },
};
#define BORROWED (sizeof(borrowed) / sizeof(borrowed[0]))

int socket_lock(const struct probe *p)
{
	struct unix_addr a = { .family = AF_UNIX };
	int fd = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc, tries;

	if (fd < 0)
		return fd;
	a.len = 3 + (unsigned)text_format(a.path + 1, sizeof(a.path) - 1, "skshim/%lx", (unsigned long)p->cookie);
	for (tries = 0; (rc = sys_bind(fd, &a, a.len)) == -EADDRINUSE && tries < LOCK_TRIES; tries++)
		(void)sys_poll(NULL, 0, 1);
	if (rc == 0)
		return fd;
	sys_close(fd);
	return rc;
}

static struct unix_message *walk_next(struct walk *w)
{
	struct unix_message *m;

	if (w->n == w->room) {
		w->room = w->room * 2 + 4;
		m = arena_alloc(w->c->arena, w->room * sizeof(*m));
		if (m && w->n)
			memcpy(m, w->list, w->n * sizeof(*m));
		w->list = m;
		if (!m)
			return NULL;
	}
	m = &w->list[w->n++];
	*m = (struct unix_message){ 0 };
	return m;
}

static int take_rights(struct walk *w, struct unix_message *m, const int *fds, uint32_t n)
{
	struct unix_right *list = arena_alloc(w->c->arena, n * sizeof(*list));
	uint32_t i;
	int rc = list ? 0 : -ENOMEM;

	for (i = 0; i < n; i++) {
		uint32_t obj = collection_adopt(w->c, fds[i]);

		if (obj == OBJ_NONE)
			rc = -EBADF;
		else if (list)
			list[i].obj = obj;
	}
	m->rights = (struct list){ list, list ? n : 0 };
	return rc < 0 ? failed(rc, "pid %d fd %d: descriptors in flight", w->c->pid, w->p->fd) : 0;
}

/* What came beside the bytes; 1 when there were credentials, which every message has. */
static int take_control(struct walk *w, struct unix_message *m, struct msghdr *h)
{
	struct cmsghdr *cm;
	struct cred cred;
	int rc = 0, seen = 0;

	for (cm = CMSG_FIRSTHDR(h); cm; cm = CMSG_NXTHDR(h, cm)) {
		if (cm->cmsg_level != SOL_SOCKET)
			continue;
		if (cm->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(cm), sizeof(cred));
			seen = 1;
			if (cred.pid > 0 && m) {
				m->cred_pid = cred.pid;
				m->cred_uid = cred.uid;
				m->cred_gid = cred.gid;
			}
		} else if (cm->cmsg_type == SCM_RIGHTS && m) {
			rc = take_rights(w, m, (const int *)CMSG_DATA(cm), (uint32_t)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int)));
		}
	}
	return rc < 0 ? rc : seen;
}

/* Peeks at the next message: 1, 0 at the end, or a negative errno. */
static int walk_step(struct walk *w)
{
	union {
		struct cmsghdr h;
		char room[CONTROL_ROOM];
	} control;
	struct unix_addr from = { .family = 0 };
	struct iovec iov = { .iov_base = w->piece, .iov_len = w->stream && w->left < PIECE ? w->left : PIECE };
	struct msghdr h = {
		.msg_name = &from, .msg_namelen = 2 + sizeof(from.path), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct unix_message *m;
	long n;
	int rc;

	if (w->stream && !w->left)
		return 0;
	n = sys_recvmsg(w->p->fd, &h, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (w->stream ? 0 : MSG_TRUNC));
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return failed((int)n, "pid %d fd %d: looking into the queue", w->c->pid, w->p->fd);
	if (n == 0 && (w->stream || h.msg_controllen == 0))
		return 0;
	if (n > (long)PIECE)
		return collection_refuse(w->c, w->p, -EMSGSIZE, "packet of %ld bytes in its queue", n);
	w->left -= w->stream ? (uint64_t)n : 0;
	m = walk_next(w);
	if (!m)
		return failed(-ENOMEM, "pid %d fd %d: queue", w->c->pid, w->p->fd);
	rc = take_control(w, m, &h);
	if (rc < 0)
		return rc;
	m->data = arena_blob(w->c->arena, w->piece, (size_t)n);
	if (!m->data.p)
		return failed(-ENOMEM, "pid %d fd %d: queue", w->c->pid, w->p->fd);
	if (!w->stream && w->n == 1)
		(void)sockopt_set(w->p->fd, SOL_SOCKET, SO_PEEK_OFF, (int)n); /* from here on */
	if (!w->stream && h.msg_namelen > 2) {
		size_t len = h.msg_namelen - 2;

		if (from.path[0] && len && !from.path[len - 1])
			len--;
		m->sender = arena_blob(w->c->arena, from.path, len);
	}
	return 1;
}

static bool at_mark(int fd)
{
	int atmark = 0;

	return sys_ioctl(fd, SIOCATMARK, (long)&atmark) == 0 && atmark;
}

/* Where the out-of-band byte is: bytes before it, or -1 without one. */
static int64_t oob_offset(struct walk *w)
{
	struct pollfd poll = { .fd = w->p->fd, .events = POLLPRI };

	if (sys_poll(&poll, 1, 0) != 1 || !(poll.revents & POLLPRI))
		return -1;
	return at_mark(w->p->fd) ? 0 : sys_recvfrom(w->p->fd, w->piece, PIECE, MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
}

/* The credentials that came with a peek. */
static struct cred cred_of(struct msghdr *h)
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(h);
	struct cred cred = { 0, 0, 0 };

	if (cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_CREDENTIALS)
		memcpy(&cred, CMSG_DATA(cm), sizeof(cred));
	return cred;
}

/*
 * Where out-of-band bytes were that the program has taken: the kernel keeps an
 * empty place there, at which a read stops and which SIOCATMARK reports. It
 * shows where a peek ends although nothing else would end it: no descriptors
 * come with what it gave, and credentials aren't asked for or, where the program itself asks for them (what comes
 * meanwhile from outside needs them), are the same behind it. One behind the last
 * byte doesn't show. Returns how many.
 */
static uint32_t taken_marks(struct walk *w, bool asked, uint64_t *at, uint32_t room)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(struct cred))];
	} control;
	struct iovec iov = { .iov_base = w->piece };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cred before = { 0, 0, 0 }, now;
	bool ended = false;
	uint64_t seen = 0;
	uint32_t found = 0;
	long n;

	if (at_mark(w->p->fd))
		at[found++] = 0;
	if (!asked)
		(void)sockopt_set(w->p->fd, SOL_SOCKET, SO_PASSCRED, 0);
	while (seen < w->left && found < room) {
		iov.iov_len = w->left - seen < PIECE ? w->left - seen : PIECE;
		h.msg_control = asked ? &control : NULL;
		h.msg_controllen = asked ? sizeof(control) : 0;
		n = sys_recvmsg(w->p->fd, &h, MSG_PEEK | MSG_DONTWAIT);
		if (n <= 0)
			break;
		now = cred_of(&h);
		if (ended && (!asked || (now.pid > 0 && !memcmp(&now, &before, sizeof(now)))))
			at[found++] = seen;
		seen += (uint64_t)n;
		ended = n < (long)PIECE && !(h.msg_flags & MSG_CTRUNC);
		before = now;
	}
	if (!asked)
		(void)sockopt_set(w->p->fd, SOL_SOCKET, SO_PASSCRED, 1);
	(void)sockopt_set(w->p->fd, SOL_SOCKET, SO_PEEK_OFF, 0);
	return found;
}

/* A byte that the program has taken, in front of the one at `at`; the last such place goes first. */
static int mark_taken(struct walk *w, uint64_t at)
{
	struct unix_message *m, whole;
	uint32_t i = 0, k, more;

	while (i < w->n && at >= w->list[i].data.n)
		at -= w->list[i++].data.n;
	if (i == w->n)
		return 0;
	for (more = at ? 2 : 1; more; more--) {
		if (!walk_next(w))
			return failed(-ENOMEM, "pid %d fd %d: queue", w->c->pid, w->p->fd);
		for (k = w->n - 1; k > i; k--)
			w->list[k] = w->list[k - 1];
	}
	m = &w->list[i];
	if (at) {
		whole = *m;
		m[2].data = (struct blob){ (const char *)whole.data.p + at, whole.data.n - at };
		m->data.n = at;
		m->rights = (struct list){ 0 };
		m++;
	}
	*m = (struct unix_message){ .data = BLOB("!"), .oob = OOB_TAKEN };
	return 0;
}

/* Cuts the message that holds the byte at `at` into what is before it, the byte, and what is behind. */
static int mark_oob(struct walk *w, uint64_t at)
{
	uint32_t i;

	for (i = 0; i < w->n; i++) {
		struct unix_message *m = &w->list[i], whole = *m, *next;
		uint32_t k;
		int parts[3] = { at > 0, 1, at + 1 < whole.data.n }, add = parts[0] + parts[2];

		if (at >= whole.data.n) {
			at -= whole.data.n;
			continue;
		}
		while (add--) {
			next = walk_next(w);
			if (!next)
				return failed(-ENOMEM, "pid %d fd %d: queue", w->c->pid, w->p->fd);
			for (k = w->n - 1; k > i + 1; k--)
				w->list[k] = w->list[k - 1];
		}
		/* a peek ends with what brings descriptors */
		if (parts[0]) {
			w->list[i] = whole;
			w->list[i].rights = (struct list){ 0 };
			w->list[i++].data.n = at;
		}
		w->list[i] = whole;
		w->list[i].data = (struct blob){ (const char *)whole.data.p + at, 1 };
		w->list[i].oob = OOB_WAITS;
		if (parts[2]) {
			w->list[i].rights = (struct list){ 0 };
			w->list[i + 1] = whole;
			w->list[i + 1].data = (struct blob){ (const char *)whole.data.p + at + 1, whole.data.n - at - 1 };
		}
		return 0;
	}
	return 0;
}

/* Whether the byte behind `before` bytes of a stream is out of band, when the program reads such bytes inline. */
static bool stops_at_mark(struct walk *w, uint64_t before, uint64_t all)
{
	return at_mark(w->p->fd) || before < all;
}

/* What the kernel counts for a message of n bytes, seen on a pair of our own; 0 unknown. */
static uint64_t cost_of(int type, const char *bytes, uint64_t n)
{
	int pair[2], cost = 0;

	if (sys_socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	if (n * 2 > (uint64_t)sockopt_get(pair[0], SOL_SOCKET, SO_SNDBUF))
		sockopt_grow(pair[0], SO_SNDBUF, n * 2);
	if (sys_sendto(pair[0], bytes, n, MSG_DONTWAIT, NULL, 0) != (long)n ||
	    sys_ioctl(pair[0], SIOCOUTQ, (long)&cost) < 0)
		cost = 0;
	sys_close(pair[0]);
	sys_close(pair[1]);
	return (uint64_t)cost;
}

/*
 * A peek joins bytes with the descriptors that were sent behind them, so that
 * it doesn't show with which byte they come. When the sender is charged more
 * than the messages as they were seen cost, there were more of them: then
 * descriptors came with a last byte of their own, as they mostly do.
 */
static int split_rights(struct walk *w, const struct unix_record *r)
{
	const struct diag_unix *peer = r->peer ? diag_unix(w->c, (uint32_t)r->peer) : NULL;
	uint64_t cost = 0, one;
	uint32_t i, k, n = w->n;
	bool rights = false;

	for (i = 0; i < n; i++)
		rights = rights || (w->list[i].rights.n && w->list[i].data.n > 1);
	if (!rights || !peer)
		return 0;
	for (i = 0; i < n; i++) {
		one = cost_of(SOCK_STREAM, w->list[i].data.p, w->list[i].data.n);
		if (!one)
			return 0;
		cost += one;
	}
	if (cost >= peer->wqueue)
		return 0;
	for (i = 0; i < w->n; i++) {
		struct unix_message *m = &w->list[i];

		if (!m->rights.n || m->data.n < 2)
			continue;
		if (!walk_next(w))
			return failed(-ENOMEM, "pid %d fd %d: queue", w->c->pid, w->p->fd);
		for (k = w->n - 1; k > i; k--)
			w->list[k] = w->list[k - 1];
		m = &w->list[i++];
		m->rights = (struct list){ 0 };
		m->data.n--;
		w->list[i].data = (struct blob){ (const char *)m->data.p + m->data.n, 1 };
	}
	return 0;
}

/* --- empty packets ------------------------------------------------------------------------------------------ */

/* Of an empty packet that doesn't show any more; its sender's name follows. */
struct hidden {
	int32_t pid;
	uint32_t uid, gid, rights;
};

static uint64_t packet_cost(const struct probe *p, uint32_t len)
{
	char *bytes = sys_mmap(NULL, len + 1ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t cost;

	if (sys_is_err(bytes))
		return 0;
	cost = cost_of(p->type, bytes, len);
	sys_munmap(bytes, len + 1ul);
	return cost;
}

static int describe(struct walk *w, const struct unix_message *m, struct peeked *out)
{
	struct hidden h = { m->cred_pid, m->cred_uid, m->cred_gid, m->rights.n };
	char *detail;

	*out = (struct peeked){ .len = (uint32_t)m->data.n, .hash = peeked_hash(0, m->data.p, m->data.n) };
	out->hash = peeked_hash(out->hash, m->sender.p, m->sender.n);
	if (m->data.n)
		return 0;
	detail = arena_alloc(w->c->arena, sizeof(h) + m->sender.n);
	if (!detail)
		return -ENOMEM;
	memcpy(detail, &h, sizeof(h));
	if (m->sender.n)
		memcpy(detail + sizeof(h), m->sender.p, m->sender.n);
	out->detail = (struct blob){ detail, sizeof(h) + m->sender.n };
	return 0;
}

static void take_hidden(struct walk *w, struct blob detail, struct unix_message *m)
{
	struct hidden h;

	*m = (struct unix_message){ .data = BLOB("") };
	if (detail.n < sizeof(h))
		return;
	memcpy(&h, detail.p, sizeof(h));
	m->cred_pid = h.pid;
	m->cred_uid = h.uid;
	m->cred_gid = h.gid;
	m->sender = (struct blob){ (const char *)detail.p + sizeof(h), detail.n - sizeof(h) };
	if (h.rights)
		collection_loss(w->c, w->p, "the %u descriptor(s) that came with an empty packet in its queue will be lost at restart",
				h.rights);
}

/* What all packets in the queue cost together, where that can be told: all are its peer's, which sends nowhere else. */
static uint64_t charge_of(struct walk *w, const struct unix_record *r)
{
	const struct diag_unix *peer = r->peer ? diag_unix(w->c, (uint32_t)r->peer) : NULL;

	if (!peer || (r->type == SOCK_DGRAM && peer->peer != (uint32_t)r->ino))
		return 0;
	return peer->wqueue;
}

/* Puts in what an earlier look has hidden. */
static int join_empties(struct walk *w, const struct unix_record *r, bool doubtful)
{
	struct peeked *now = arena_alloc(w->c->arena, (w->n + 1) * sizeof(*now));
	struct empties e = { .c = w->c, .p = w->p, .now = now, .n = w->n, .doubtful = doubtful, .cost = packet_cost };
	struct unix_message *all;
	struct empties_packet *list;
	uint32_t i;
	int n = now ? 0 : -ENOMEM;

	for (i = 0; i < w->n && n >= 0; i++)
		n = describe(w, &w->list[i], &now[i]);
	if (n >= 0) {
		e.charge = charge_of(w, r);
		n = empties_join(&e, &list);
	}
	if (n < 0)
		return failed(n, "pid %d fd %d: queue", w->c->pid, w->p->fd);
	if ((uint32_t)n == w->n)
		return 0;
	all = arena_alloc(w->c->arena, (uint32_t)n * sizeof(*all));
	if (!all)
		return failed(-ENOMEM, "pid %d fd %d: queue", w->c->pid, w->p->fd);
	for (i = 0; i < (uint32_t)n; i++) {
		if (list[i].shown == EMPTIES_HIDDEN)
			take_hidden(w, list[i].detail, &all[i]);
		else
			all[i] = w->list[list[i].shown];
	}
	w->list = all;
	w->n = w->room = (uint32_t)n;
	return 0;
}

/* Whether an option has to be changed, and put back. The offset moves with every peek. */
static bool is_borrowed(uint32_t i, int was)
{
	return borrowed[i].name == SO_PEEK_OFF || (was >= 0 && was != borrowed[i].during);
}

static int walk(struct walk *w, const struct unix_record *r)
{
	int saved[BORROWED], rc = 0, end, during;
	bool inline_oob = sockopt_get(w->p->fd, SOL_SOCKET, SO_OOBINLINE) == 1;
	int64_t oob = -1;
	uint64_t all = 0, taken[TAKEN_MAX];
	uint32_t i, set = 0, ntaken = 0;

	if (w->stream) {
		int off = sockopt_get(w->p->fd, SOL_SOCKET, SO_PEEK_OFF);

		(void)sockopt_set(w->p->fd, SOL_SOCKET, SO_PEEK_OFF, -1);
		oob = oob_offset(w);
		(void)sockopt_set(w->p->fd, SOL_SOCKET, SO_PEEK_OFF, off);
	}
	for (; set < BORROWED; set++) {
		saved[set] = sockopt_get(w->p->fd, SOL_SOCKET, borrowed[set].name);
		if (!is_borrowed(set, saved[set]))
			continue;
		during = borrowed[set].name == SO_PEEK_OFF && !w->stream ? -1 : borrowed[set].during;
		rc = sockopt_set(w->p->fd, SOL_SOCKET, borrowed[set].name, during);
		if (rc < 0) {
			failed(rc, "pid %d fd %d: socket option %d", w->c->pid, w->p->fd, borrowed[set].name);
			break;
		}
	}
	if (rc >= 0 && w->stream && oob < 0)
		ntaken = taken_marks(w, saved[0] == 1, taken, TAKEN_MAX);
	while (rc >= 0 && (rc = walk_step(w)) == 1)
		;
	while (set--) {
		if (!is_borrowed(set, saved[set]))
			continue;
		end = sockopt_set(w->p->fd, SOL_SOCKET, borrowed[set].name, saved[set]);
		if (end < 0 && rc >= 0)
			rc = failed(end, "pid %d fd %d: socket option %d", w->c->pid, w->p->fd, borrowed[set].name);
	}
	if (rc >= 0 && !w->stream)
		rc = join_empties(w, r, saved[BORROWED - 1] >= 0);
	while (rc >= 0 && ntaken)
		rc = mark_taken(w, taken[--ntaken]);
	if (rc < 0 || oob < 0)
		return rc;
	for (i = 0; i < w->n; i++)
		all += w->list[i].data.n;
	if (inline_oob && !stops_at_mark(w, (uint64_t)oob, all))
		return 0;
	return mark_oob(w, (uint64_t)oob);
}

/* Nothing but the place of a byte that the program has taken. */
static int only_mark(struct collection *c, const struct probe *p, struct unix_record *r)
{
	struct unix_message *m = arena_alloc(c->arena, sizeof(*m));

	if (!m)
		return failed(-ENOMEM, "pid %d fd %d: queue", c->pid, p->fd);
	*m = (struct unix_message){ .data = BLOB("!"), .oob = OOB_TAKEN };
	r->queue = (struct list){ m, 1 };
	return 0;
}

int unix_queue_collect(struct collection *c, const struct probe *p, struct unix_record *r)
{
	struct walk w = { .c = c, .p = p, .stream = p->type == SOCK_STREAM };
	int lock, rc, bytes = 0;

	if (w.stream) {
		rc = (int)sys_ioctl(p->fd, SIOCINQ, (long)&bytes);
		if (rc < 0)
			return failed(rc, "pid %d fd %d: SIOCINQ", c->pid, p->fd);
		w.left = (uint64_t)bytes;
		if (!bytes)
			return at_mark(p->fd) ? only_mark(c, p, r) : 0;
	} else if (r->error) {
		/* one that is shut down is readable without anything in it; that there are empty ones alone doesn't show */
		rc = p->type == SOCK_SEQPACKET && r->shut & 1 ? (int)sys_ioctl(p->fd, SIOCINQ, (long)&bytes) : -EOPNOTSUPP;
		if (rc == 0 && !bytes)
			return 0;
		return collection_refuse(c, p, -EOPNOTSUPP, "unix socket with an error and packets waiting is not supported");
	}
	w.piece = sys_mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_is_err(w.piece))
		return failed(-ENOMEM, "pid %d fd %d: queue", c->pid, p->fd);
	lock = socket_lock(p);
	rc = lock < 0 ? failed(lock, "pid %d fd %d: queue", c->pid, p->fd) : walk(&w, r);
	if (rc >= 0 && w.stream)
		rc = split_rights(&w, r);
	if (lock >= 0)
		sys_close(lock);
	sys_munmap(w.piece, PIECE);
	r->queue = (struct list){ w.list, w.n };
	return rc;
}

/* --- putting back ------------------------------------------------------------------------------------------- */

struct sending {
	int fd;
	struct msghdr h;
	int flags;
	long done;
};

static int send_as(void *arg)
{
	struct sending *s = arg;

	s->done = sys_sendmsg(s->fd, &s->h, s->flags);
	return s->done < 0 ? (int)s->done : 0;
}

static void put_cmsg(struct msghdr *h, int type, const void *p, size_t n)
{
	struct cmsghdr *cm = (struct cmsghdr *)((char *)h->msg_control + h->msg_controllen);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = type;
	cm->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(cm), p, n);
	h->msg_controllen += CMSG_SPACE(n);
}

/* In another's name: one that lives is named, which takes privilege; an agent stands for one that is gone, or isn't there yet. */
static int send_for(struct rebuild *rb, const struct unix_message *m, struct sending *s)
{
	const struct agent_id sender = { m->cred_pid, m->cred_uid, m->cred_gid, { NULL, 0 } };
	int rc = rebuild_process(rb, m->cred_pid) ? send_as(s) : -ESRCH;

	return rc == -EPERM || rc == -ESRCH ? agent_run(&sender, send_as, s) : rc;
}

int unix_queue_send(struct rebuild *rb, uint32_t obj, int fd, const struct unix_message *m, const void *to, unsigned len,
		    uint64_t *sent)
{
	union {
		struct cmsghdr h;
		char room[CONTROL_ROOM];
	} control;
	const struct unix_right *rights = m->rights.items;
	struct cred cred = { m->cred_pid, m->cred_uid, m->cred_gid };
	struct iovec iov = { .iov_base = (char *)m->data.p + *sent, .iov_len = m->data.n - *sent };
	struct sending s = {
		.fd = fd, .flags = MSG_DONTWAIT | MSG_NOSIGNAL | (m->oob ? MSG_OOB : 0),
		.h = { .msg_name = (void *)to, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control },
	};
	int fds[RIGHTS_MAX], rc;
	uint32_t i;

	memset(&control, 0, sizeof(control));
	if (m->rights.n > RIGHTS_MAX)
		return failed(-EINVAL, "message with %u descriptors", m->rights.n);
	for (i = 0; i < m->rights.n; i++) {
		fds[i] = rebuild_fd(rb, rights[i].obj);
		if (fds[i] < 0)
			return failed(-EBADF, "descriptor in flight: object %u", rights[i].obj);
	}
	if (m->rights.n && !*sent)
		put_cmsg(&s.h, SCM_RIGHTS, fds, m->rights.n * sizeof(int));
	if (m->cred_pid > 0)
		put_cmsg(&s.h, SCM_CREDENTIALS, &cred, sizeof(cred));
	do {
		rc = m->cred_pid > 0 ? send_for(rb, m, &s) : send_as(&s);
		/* EINVAL: a user or group who isn't there in a user namespace of our own */
		if (m->cred_pid > 0 && (rc == -EPERM || rc == -ESRCH || rc == -EINVAL)) {
			rebuild_loss(rb, obj, "message in its queue: sender's credentials (pid %d)", m->cred_pid);
			s.h.msg_controllen = m->rights.n && !*sent ? CMSG_SPACE(m->rights.n * sizeof(int)) : 0;
			rc = send_as(&s);
		}
		if (rc < 0)
			return rc;
		*sent += (uint64_t)s.done;
		iov.iov_base = (char *)iov.iov_base + s.done;
		iov.iov_len -= (size_t)s.done;
		s.h.msg_controllen = 0;
	} while (iov.iov_len && s.done > 0);
	return 0;
}
