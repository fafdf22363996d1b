/*
 * ledger.c - what is noted of the program's sockets
 *
 * Called by the wrappers of calls that POSIX allows in signal handlers, so all
 * of it is lock-free; the table is base/lineages.c. The key is the socket's
 * SO_COOKIE, so close, dup and fork need no wrapper: an entry whose socket is
 * gone stays until ledger_clean.c drops it.
 *
 * An anchor is an O_PATH descriptor of a bound socket's file, which follows the
 * file wherever it is moved. Beside anchors the shim only holds the descriptors of
 * jail.c. They lie where a program looks last (away.c), so that it hardly runs
 * out of numbers earlier. It may close them: then there are none.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "family.h"
#include "skshim/away.h"
#include "skshim/view.h"
#include "skshim/lineages.h"
#include "skshim/frozen.h"

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#define ANCHORS 64

static __thread int my_tid, my_tid_pid;

struct anchor {
	int32_t fd;                  /* 0: free */
	uint64_t cookie, dev, ino;
};
static struct anchor anchors[ANCHORS];
static uint32_t nanchors;            /* high-water mark */
static uint32_t anchors_wait;        /* binds that do without an anchor before it is looked whether some are unused */

/* --- small things ------------------------------------------------------------------------------------------- */

uint64_t ledger_cookie(int fd)
{
	uint64_t cookie = 0;
	unsigned len = sizeof(cookie);

	return sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

static int option_of(int fd, int name)
{
	int value = 0;
	unsigned len = sizeof(value);

	return sys_getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? 0 : value;
}

static int tid_now(void)
{
	if (my_tid_pid != shim.pid) {
		my_tid = sys_gettid();
		my_tid_pid = shim.pid;
	}
	return my_tid;
}

/* --- new entries -------------------------------------------------------------------------------------------- */

static struct lineage *entry_new(enum lineage_origin origin, int family, int type, int protocol)
{
	struct member *m;
	struct lineage *e;

	clean_maybe();
	e = lineages_claim(shim.tree);
	if (!e)
		return NULL;
	e->seq = (e->seq | 1) + 1;
	e->part = LINEAGE_PART_NONE;
	e->origin = origin;
	e->peer_process = 0;
	e->pid = shim.pid;
	e->tid = tid_now();
	e->when = clean_now();
	m = members_self();
	if (m)
		memcpy(e->program, m->comm, sizeof(e->program));
	else
		memset(e->program, 0, sizeof(e->program));
	e->error = 0;
	e->mate = 0;
	e->listener = 0;
	e->family = family;
	e->type = type;
	e->protocol = protocol;
	e->backlog = -1;
	e->touched = 0;
	e->nframes = origin == LINEAGE_ADOPTED ? 0 : unwind_here(e->frames);
	e->bound_len = 0;
	e->peer_len = 0;
	e->cwd_dev = e->cwd_ino = e->file_dev = e->file_ino = 0;
	e->file_anchor = -1;
	e->cwd_len = 0;
	e->file_len = 0;
	e->notes_len = 0;
	e->notes_lost = 0;
	return e;
}

/* A checkpoint between the call and this may have adopted the socket already; now it is known how it was made. */
static void publish(struct lineage *e, uint64_t cookie)
{
	struct lineage *adopted = lineages_lookup(shim.tree, cookie);

	if (adopted)
		lineages_free(shim.tree, adopted, cookie);
	lineages_publish(shim.tree, e, cookie);
}

static bool noting(void)
{
	return shim.active && shim.tree;
}

void ledger_socket(int fd, int family, int type, int protocol)
{
	uint64_t cookie;
	struct lineage *e;

	if (!noting() || !(cookie = ledger_cookie(fd)))
		return;
	e = entry_new(LINEAGE_SOCKET, family, type, protocol);
	if (e)
		publish(e, cookie);
}

void ledger_pair(const int fd[2], int family, int type, int protocol)
{
	uint64_t cookie[2];
	struct lineage *e;
	int i;

	if (!noting())
		return;
	cookie[0] = ledger_cookie(fd[0]);
	cookie[1] = ledger_cookie(fd[1]);
	for (i = 0; i < 2 && cookie[0] && cookie[1]; i++) {
		e = entry_new(LINEAGE_PAIR, family, type, protocol);
		if (!e)
			return;
		e->mate = cookie[!i];
		publish(e, cookie[i]);
	}
}

/* The entry of an open socket; one that was not seen being made is adopted. */
static struct lineage *entry_with(int fd, uint64_t cookie)
{
	struct lineage *e;

	if (!cookie)
		return NULL;
	e = lineages_lookup(shim.tree, cookie);
	if (e)
		return e;
	e = entry_new(LINEAGE_ADOPTED, option_of(fd, SO_DOMAIN), option_of(fd, SO_TYPE), option_of(fd, SO_PROTOCOL));
	if (!e)
		return NULL;
	e->touched = TOUCHED_ANY;
	return lineages_publish(shim.tree, e, cookie) ? e : NULL;
}

static struct lineage *entry_of(int fd)
{
	return noting() ? entry_with(fd, ledger_cookie(fd)) : NULL;
}

uint64_t ledger_adopt(int fd)
{
	uint64_t cookie = noting() ? ledger_cookie(fd) : 0;

	(void)entry_with(fd, cookie);
	return cookie;
}

void ledger_accepted(int fd, int listener_fd)
{
	uint64_t cookie;
	struct lineage *l, *e;

	if (!noting() || !(cookie = ledger_cookie(fd)))
		return;
	l = entry_of(listener_fd);
	e = entry_new(LINEAGE_ACCEPT, l ? l->family : option_of(fd, SO_DOMAIN), l ? l->type : option_of(fd, SO_TYPE),
		      l ? l->protocol : option_of(fd, SO_PROTOCOL));
	if (!e)
		return;
	e->listener = l ? l->cookie : 0;
	e->touched = l ? l->touched : TOUCHED_ANY; /* some options come along */
	publish(e, cookie);
}

void ledger_touched(int fd, uint32_t what)
{
	struct lineage *e = entry_of(fd);

	if (e && (e->touched & what) != what)
		__atomic_fetch_or(&e->touched, what, __ATOMIC_RELAXED);
}

/* --- anchors ------------------------------------------------------------------------------------------------ */

static bool anchor_valid(const struct anchor *a)
{
	struct stat st;

	return (sys_fcntl(a->fd, F_GETFL, 0) & O_PATH) && sys_fstat(a->fd, &st) == 0 && st.st_dev == a->dev &&
	       st.st_ino == a->ino;
}

static struct anchor *anchor_find(int fd)
{
	uint32_t n = __atomic_load_n(&nanchors, __ATOMIC_ACQUIRE), i;

	for (i = 0; i < n; i++)
		if (__atomic_load_n(&anchors[i].fd, __ATOMIC_ACQUIRE) == fd)
			return &anchors[i];
	return NULL;
}

bool ledger_owns_fd(int fd)
{
	struct anchor *a = fd > 0 ? anchor_find(fd) : NULL;

	return a && anchor_valid(a);
}

/*
 * An anchor whose socket nobody here has open any more is closed, unless the
 * program has closed it already. Looking costs a call a descriptor, so it is
 * not done again before as many sockets were bound, about.
 */
static void anchors_clean(void)
{
	uint32_t nfds = clean_fds(), i, fd;
	bool open[ANCHORS] = { false };

	for (fd = 0; fd < nfds; fd++) {
		uint64_t cookie = ledger_cookie((int)fd);

		for (i = 0; cookie && i < nanchors; i++)
			if (anchors[i].cookie == cookie)
				open[i] = true;
	}
	for (i = 0; nfds && i < nanchors; i++) {
		int32_t n = anchors[i].fd;

		if (!n || open[i])
			continue;
		if (anchor_valid(&anchors[i]))
			sys_close(n);
		__atomic_store_n(&anchors[i].fd, 0, __ATOMIC_RELEASE);
	}
	anchors_wait = nfds / 4;
}

void ledger_unanchor(void)
{
	for (uint32_t i = 0; i < nanchors; i++) {
		if (anchors[i].fd && anchor_valid(&anchors[i]))
			sys_close(anchors[i].fd);
		__atomic_store_n(&anchors[i].fd, 0, __ATOMIC_RELEASE);
	}
}

static struct anchor *anchor_slot(void)
{
	int pass;
	uint32_t i;

	if (fdtable_shared)
		return NULL;
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < ANCHORS; i++)
			if (anchors[i].fd == 0)
				return &anchors[i];
		if (anchors_wait && anchors_wait--)
			break;
		anchors_clean();
	}
	return NULL;
}

/* A descriptor of a socket's file becomes its anchor: it, or a duplicate where `move` says so. */
static int anchor_note(uint64_t cookie, int fd, bool move, struct stat *st)
{
	struct anchor *a;

	if (sys_fstat(fd, st) < 0 || !S_ISSOCK(st->st_mode)) {
		st->st_ino = 0;
		return -1;
	}
	a = anchor_slot();
	if (a && move)
		fd = away_move(fd);
	if (!a || fd <= 0)
		return -1;
	a->cookie = cookie;
	a->dev = st->st_dev;
	a->ino = st->st_ino;
	__atomic_store_n(&a->fd, fd, __ATOMIC_RELEASE);
	if (a - anchors >= (long)nanchors)
		__atomic_store_n(&nanchors, (uint32_t)(a - anchors) + 1, __ATOMIC_RELEASE);
	return fd;
}

/* The file of a socket that has just been bound. */
static int anchor_make(uint64_t cookie, const char *path, struct stat *st)
{
	int fd = sys_openat(AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0), anchor;

	if (fd < 0)
		return -1;
	anchor = anchor_note(cookie, fd, true, st);
	sys_close(fd);
	return anchor;
}

/* --- names -------------------------------------------------------------------------------------------------- */

/* A unix path that is meant from the working directory. */
static bool is_relative(const void *addr, unsigned len)
{
	const struct sockaddr *sa = addr;

	return len > sizeof(sa->sa_family) && sa->sa_family == AF_UNIX && sa->sa_data[0] && sa->sa_data[0] != '/';
}

static void note_cwd(struct lineage *e)
{
	struct stat st;
	long n;

	e->cwd_len = 0;
	if (sys_fstatat(AT_FDCWD, ".", &st, 0) < 0)
		return;
	e->cwd_dev = st.st_dev;
	e->cwd_ino = st.st_ino;
	if (view.root_len >= sizeof(e->cwd))
		return;
	memcpy(e->cwd, view.root, view.root_len);
	n = SYS2(__NR_getcwd, e->cwd + view.root_len, sizeof(e->cwd) - view.root_len);
	/* A directory outside the root, or deleted, has no path: "(unreachable)..." or ENOENT. */
	if (n > 1 && e->cwd[view.root_len] == '/')
		e->cwd_len = view.root_len + (uint32_t)n - 1;
}

static void note_file(struct lineage *e, const struct sockaddr_un *sun, unsigned len)
{
	size_t n = len - offsetof(struct sockaddr_un, sun_path);
	char path[sizeof(sun->sun_path) + 1];
	struct stat st = { .st_ino = 0 };

	memcpy(path, sun->sun_path, n < sizeof(sun->sun_path) ? n : sizeof(sun->sun_path));
	path[n < sizeof(sun->sun_path) ? n : sizeof(sun->sun_path)] = 0;
	if (path[0] != '/')
		note_cwd(e);
	e->file_anchor = anchor_make(e->cookie, path, &st);
	if (st.st_ino) {
		e->file_dev = st.st_dev;
		e->file_ino = st.st_ino;
	}
}

/* By the descriptor that the restart has left in all who have the socket: there may be no other way to the file. */
static bool follow_kept(const struct lineage *e)
{
	struct stat st = { .st_ino = 0 };
	long flags;

	/* in a process that hasn't the socket another of the shim's own may have the number */
	if (e->file_anchor <= 0 || e->file_len || jail_owns_fd(e->file_anchor))
		return false;
	flags = sys_fcntl(e->file_anchor, F_GETFL, 0);
	if (flags < 0 || !(flags & O_PATH))
		return false;
	if (anchor_note(e->cookie, e->file_anchor, false, &st) > 0)
		return true;
	sys_close(e->file_anchor);
	return false;
}

static bool follow_path(struct lineage *e)
{
	char path[LINEAGE_PATH + 1];
	struct stat st = { .st_ino = 0 };
	uint32_t ticket;
	int fd;

	if (e->pid != shim.pid || !e->bound_len || !e->file_len || e->file_len > LINEAGE_PATH)
		return false;
	memcpy(path, e->file, e->file_len);
	path[e->file_len] = 0;
	fd = anchor_make(e->cookie, path, &st);
	if (fd < 0)
		return false;
	ticket = lineages_begin(e, LINEAGE_PART_BOUND);
	e->file_anchor = fd;
	e->file_dev = st.st_dev;
	e->file_ino = st.st_ino;
	lineages_end(e, ticket);
	return true;
}

/* The restart put the socket files where they were; who was bound here follows its own again. */
void ledger_restarted(void)
{
	struct lineage *e;
	uint32_t at, made = 0;

	memset(anchors, 0, sizeof(anchors));
	nanchors = 0;
	for (at = 0; (e = lineages_next(shim.tree, &at));)
		made += follow_kept(e);
	for (at = 0; made < ANCHORS && (e = lineages_next(shim.tree, &at));)
		made += follow_path(e);
}

void ledger_named(int fd, const void *addr, unsigned len)
{
	const struct sockaddr *sa = addr;
	struct lineage *e = entry_of(fd);
	uint32_t ticket;

	if (!e || len > sizeof(e->bound))
		return;
	ticket = lineages_begin(e, LINEAGE_PART_BOUND);
	e->bound_len = 0;
	memcpy(e->bound, addr, len);
	if (len > offsetof(struct sockaddr_un, sun_path) && len <= sizeof(struct sockaddr_un) && sa->sa_family == AF_UNIX &&
	    ((const struct sockaddr_un *)addr)->sun_path[0])
		note_file(e, addr, len);
	e->bound_len = len;
	lineages_end(e, ticket);
}

void ledger_peer(int fd, const void *addr, unsigned len)
{
	const struct sockaddr *sa = addr;
	struct lineage *e = entry_of(fd);
	uint32_t ticket;

	if (!e || len > sizeof(e->peer) || len < sizeof(sa->sa_family))
		return;
	ticket = lineages_begin(e, LINEAGE_PART_PEER);
	e->peer_len = 0;
	memcpy(e->peer, addr, len);
	if (is_relative(addr, len) && !is_relative(e->bound, e->bound_len))
		note_cwd(e);
	e->peer_len = sa->sa_family == AF_UNSPEC ? 0 : len;
	e->error = 0;
	lineages_end(e, ticket);
}

void ledger_backlog(int fd, int backlog)
{
	struct lineage *e = entry_of(fd);

	if (e)
		__atomic_store_n(&e->backlog, backlog < 0 ? 0x7fffffff : backlog, __ATOMIC_RELAXED);
}

/* --- options that can't be read back ------------------------------------------------------------------------ */

struct note {
	uint32_t level, name, len;
};

static uint32_t note_size(uint32_t len)
{
	return (uint32_t)sizeof(struct note) + ((len + 3) & ~3u);
}

/* Takes out the notes of (level, name) whose value begins with val; all of them when len is 0. */
static void notes_drop(struct lineage *e, uint32_t level, uint32_t name, const void *val, uint32_t len)
{
	uint32_t at = 0;

	while (at + sizeof(struct note) <= e->notes_len) {
		struct note n;
		uint32_t size;

		memcpy(&n, e->notes + at, sizeof(n));
		size = note_size(n.len);
		if (n.len > sizeof(e->notes) || at + size > e->notes_len)
			break;
		if (n.level == level && n.name == name && n.len >= len && memcmp(e->notes + at + sizeof(n), val, len) == 0) {
			memmove(e->notes + at, e->notes + at + size, e->notes_len - at - size);
			e->notes_len -= size;
			continue;
		}
		at += size;
	}
}

void ledger_option(int fd, int level, int name, const void *val, unsigned len)
{
	struct note n = { (uint32_t)level, (uint32_t)name, len };
	struct lineage *e = entry_of(fd);
	uint32_t ticket;

	if (!e)
		return;
	ticket = lineages_begin(e, LINEAGE_PART_NOTES);
	if (len < sizeof(e->notes) && e->notes_len + note_size(len) <= sizeof(e->notes)) {
		memcpy(e->notes + e->notes_len, &n, sizeof(n));
		memcpy(e->notes + e->notes_len + sizeof(n), val, len);
		memset(e->notes + e->notes_len + sizeof(n) + len, 0, note_size(len) - sizeof(n) - len);
		e->notes_len += note_size(len);
	} else {
		e->notes_lost++;
	}
	lineages_end(e, ticket);
}

void ledger_drop_option(int fd, int level, int name, const void *val, unsigned len)
{
	struct lineage *e = entry_of(fd);
	uint32_t ticket;

	if (!e || !e->notes_len)
		return;
	ticket = lineages_begin(e, LINEAGE_PART_NOTES);
	notes_drop(e, (uint32_t)level, (uint32_t)name, val, len);
	lineages_end(e, ticket);
}

/* --- reading ------------------------------------------------------------------------------------------------ */

int ledger_find(uint64_t cookie, struct lineage *out)
{
	struct lineage *e;
	struct anchor *a;

	if (!shim.tree || !(e = lineages_lookup(shim.tree, cookie)))
		return 0;
	if (!out)
		return 1;
	if (!lineages_copy(e, cookie, out))
		return 0;
	if (out->file_anchor > 0) {
		a = anchor_find(out->file_anchor);
		if (!a || a->cookie != cookie || !anchor_valid(a))
			out->file_anchor = -1;
	}
	return 1;
}
