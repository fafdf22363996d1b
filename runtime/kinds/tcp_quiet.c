/*
 * tcp_quiet.c - when the packets of connections to the outside are kept away (quiet.h)
 *
 * Each process has a table of its own, and so has a restart. While the process
 * stands, its table goes with a descriptor that it holds: whoever kills it leaves nothing behind.
 * When the image is there, one takes its place that stays.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <sys/stat.h>

#include "skshim/quiet.h"
#include "tcp.h"

#include "skshim/frozen.h"

/* One that is quiet until the tree has ended, or the checkpoint has failed. */
struct quieted {
	struct quieted *next;
	int fd;
	int reuse;
	struct quiet_pair pair;
};

/* What keeps a process's connections quiet. */
struct quieting {
	int fd;                      /* of netlink */
	uint64_t netns;
	bool owned;                  /* `now` goes with fd: the image is not there yet */
	char table[QUIET_NAME];      /* when it is */
	char now[QUIET_NAME];
	struct quieted *list;
};

static void release(struct collection *c)
{
	struct socket_memory *memory = socket_memory(c);
	struct quieting *k = memory ? memory->quieting : NULL;
	struct quieted *q;

	if (!k)
		return;
	memory->quieting = NULL;
	(void)quiet_drop(k->fd, k->now);
	sys_close(k->fd);
	for (q = k->list; q; q = q->next) {
		(void)sockopt_set(q->fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF);
		(void)sockopt_set(q->fd, SOL_SOCKET, SO_REUSEADDR, q->reuse);
	}
}

/* The image is there. The process ends, and with it the table that it owns: another one takes its place. */
static void leave(struct collection *c)
{
	struct socket_memory *memory = socket_memory(c);
	struct quieting *k = memory ? memory->quieting : NULL;
	struct quieted *q;
	int rc;

	if (!k || !k->owned)
		return;
	rc = quiet_make(k->fd, k->table, c->image, false);
	for (q = k->list; q && rc >= 0; q = q->next)
		rc = quiet_add(k->fd, k->table, &q->pair, 1);
	if (rc < 0)
		log_line(LOG_WARN, "pid %d: its connections with peers outside are not kept waiting: nftables: %s", c->pid, text_error(rc));
}

static struct quieting *quieting_begin(struct collection *c)
{
	struct quieting *k = arena_alloc(c->arena, sizeof(*k));
	struct __kernel_timespec now = { 0 };
	struct stat st = { 0 };
	char text[64];
	int rc;

	if (!k || !c->image)
		return NULL;
	(void)sys_clock_gettime(1 /* CLOCK_MONOTONIC */, &now);
	(void)sys_fstatat(AT_FDCWD, "/proc/self/ns/net", &st, 0);
	k->netns = st.st_ino;
	quiet_name(k->table, c->image, c->pid, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	text_format(k->now, sizeof(k->now), "%s_now", k->table);
	text_format(text, sizeof(text), "a checkpoint that pid %d takes part in", c->pid);
	k->fd = quiet_open();
	if (k->fd < 0)
		return NULL;
	rc = quiet_make(k->fd, k->now, text, true);
	k->owned = rc >= 0;
	if (rc == -EOPNOTSUPP || rc == -EINVAL) { /* before Linux 5.12 */
		memcpy(k->now, k->table, sizeof(k->now));
		rc = quiet_make(k->fd, k->now, c->image, false);
	}
	if (rc >= 0)
		return k;
	sys_close(k->fd);
	return NULL;
}

static bool pair_of(const struct tcp_record *r, struct quiet_pair *pair)
{
	struct inet_key own, peer;

	if (!inet_key(r->name, &own) || !inet_key(r->peer, &peer))
		return false;
	*pair = (struct quiet_pair){ .own_port = own.port, .peer_port = peer.port };
	memcpy(pair->own, own.ip, sizeof(pair->own));
	memcpy(pair->peer, peer.ip, sizeof(pair->peer));
	return true;
}

int tcp_quiet_now(struct collection *c, const struct probe *p, const struct tcp_record *r)
{
	struct socket_memory *memory = socket_memory(c);
	struct quieted *q = arena_alloc(c->arena, sizeof(*q));
	int rc;

	if (!memory || !q)
		return failed(-ENOMEM, "pid %d fd %d: TCP connection", c->pid, p->fd);
	*q = (struct quieted){ .fd = p->fd, .reuse = (int)r->reuse };
	if (!pair_of(r, &q->pair))
		return -EINVAL;
	if (!memory->quieting)
		memory->quieting = quieting_begin(c);
	if (!memory->quieting)
		return -EOPNOTSUPP;
	c->release = release;
	c->leave = leave;
	c->leave_fd = memory->quieting->fd;
	rc = quiet_add(memory->quieting->fd, memory->quieting->now, &q->pair, 1);
	if (rc < 0)
		return rc;
	q->next = memory->quieting->list;
	memory->quieting->list = q;
	return 0;
}

int tcp_quiet_note(struct collection *c, const struct probe *p, struct tcp_repair *t)
{
	const struct quieting *k = socket_memory(c)->quieting;

	t->table = arena_blob(c->arena, k->table, strlen(k->table));
	t->netns = k->netns;
	return t->table.p ? 0 : failed(-ENOMEM, "pid %d fd %d: TCP connection", c->pid, p->fd);
}

/* --- while they are made again ------------------------------------------------------------------------------ */

static int quiet_fd = -1;            /* of the builder's table, which goes with it */

void tcp_quiet_begin(struct rebuild *rb)
{
	uint32_t i, n = rebuild_objects(rb);
	char table[QUIET_NAME];
	struct quiet_pair pair;
	int rc = 0;

	for (i = 0; i < n && rc >= 0; i++) {
		const struct tcp_record *r = rebuild_kind(rb, i) == &kind_tcp ? rebuild_record(rb, i) : NULL;

		if (!r || !tcp_resumes(rb, r) || !pair_of(r, &pair))
			continue;
		if (quiet_fd < 0) {
			quiet_name(table, "/restart", sys_getpid(), 0);
			rc = quiet_fd = quiet_open();
			if (rc >= 0)
				rc = quiet_make(quiet_fd, table, "a restart", true);
		}
		if (rc >= 0)
			rc = quiet_add(quiet_fd, table, &pair, 1);
	}
}

/* A name that nobody but us gives to tables. */
static bool is_ours(struct blob table)
{
	return blob_starts(table, QUIET_PREFIX) && table.n < QUIET_NAME;
}

/* Each process that had a connection has put it into a table of its own: *last is the one that was dropped before. */
static void drop_table(struct rebuild *rb, uint32_t process, uint32_t obj, int fd, struct blob *last)
{
	const struct tcp_record *all = rebuild_kind(rb, obj) == &kind_tcp ? rebuild_record(rb, obj) : NULL;
	const struct tcp_record *r = all && all->repair.quiet ? rebuild_held(rb, process, obj) : NULL;
	char table[QUIET_NAME];

	if (!r || !r->repair.quiet || !is_ours(r->repair.table) || blob_eq(r->repair.table, *last))
		return;
	*last = r->repair.table;
	memcpy(table, last->p, last->n);
	table[last->n] = 0;
	if (quiet_drop(fd, table) == -ENOENT)
		quiet_drop_in(r->repair.netns, table);
}

void tcp_quiet_end(struct rebuild *rb)
{
	uint32_t p, i, n = rebuild_objects(rb);
	struct blob last = { 0 };
	int fd;

	for (i = 0; i < n; i++)
		if (rebuild_kind(rb, i) == &kind_tcp && ((const struct tcp_record *)rebuild_record(rb, i))->repair.quiet)
			break;
	fd = i < n ? quiet_open() : -1;
	for (p = 0; fd >= 0 && p < rebuild_processes(rb); p++)
		for (i = 0; i < n; i++)
			drop_table(rb, p, i, fd, &last);
	if (fd >= 0)
		sys_close(fd);
	if (quiet_fd >= 0)
		sys_close(quiet_fd);
	quiet_fd = -1;
}
