/*
 * ledger_clean.c - dropping the entries of sockets that are gone
 *
 * Nobody sees a socket being closed. Two ways to find out, both taken before a
 * new entry is made, when many were made since the last time:
 *
 *   clean   a process looks at its own descriptors: of the entries it made after
 *           its last fork, those whose cookie none of them has are dropped. This
 *           keeps one that makes and closes sockets all day in a few entries.
 *   sweep   one process asks the kernel for all sockets (sock_diag, some
 *           milliseconds at most) when the whole tree has many entries: those of
 *           processes that are gone, and of connections that a server accepted
 *           and left to its children.
 *
 * The kernel doesn't list internet sockets that are neither bound nor
 * connected, so one that a living process made itself is left to `clean`. A
 * socket that was handed to another process and closed here may lose its
 * lineage: a hint is lost, the kernel still knows the socket.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "family.h"
#include "skshim/lineages.h"
#include "skshim/frozen.h"

#define CLEAN_MIN 256
#define SWEEP_MIN 4096
#define SWEEP_SOCKETS (1u << 17)
#define REPLY_ROOM 32768
#define UNNAMED_NS (60 * 1000000000ll)
/* From here on the table is nearly full, perhaps of living sockets: every so many new ones are worth a look. */
#define NEARLY_FULL (TREE_LINEAGES / 8 * 7)
#define PRESSED_EVERY 8192

/* Of this process: sockets noted since the last cleaning, and when to clean again. */
static struct {
	uint32_t made, limit;
	int64_t born;                /* of the fork that it came out of, 0 none */
	int64_t forked;              /* CLOCK_REALTIME ns of the last fork that this process made or came out of */
	uint32_t cleaning;           /* a thread does */
	uint32_t pressed;            /* sockets made while the table was nearly full */
} mine = { .limit = CLEAN_MIN };

int32_t clean_sweeper;

/* libc's clock_gettime is the vdso's: a tenth of a system call. */
int64_t clean_now(void)
{
	struct timespec t = { 0, 0 };

	real.clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

void clean_forked(void)
{
	mine.made = 0;
	mine.limit = CLEAN_MIN;
	mine.cleaning = 0;
	mine.forked = mine.born = clean_now();
}

int64_t clean_born(void)
{
	return mine.born;
}

void clean_shared(void)
{
	mine.forked = clean_now();
}

/* --- a set of cookies --------------------------------------------------------------------------------------- */

/* Open addressing; at most half of `size`, a power of two, is used. */
struct set {
	uint64_t *slots;
	uint32_t size, used;
};

static bool set_begin(struct set *s, uint32_t atleast)
{
	for (s->size = 1024; s->size < atleast; s->size *= 2)
		;
	s->used = 0;
	s->slots = sys_mmap(NULL, s->size * sizeof(uint64_t), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return !sys_is_err(s->slots);
}

static void set_end(struct set *s)
{
	sys_munmap(s->slots, s->size * sizeof(uint64_t));
}

static uint64_t *set_at(const struct set *s, uint64_t cookie)
{
	uint32_t i = (uint32_t)(cookie * 0x9e3779b97f4a7c15ull >> 32);

	while (s->slots[i & (s->size - 1)] && s->slots[i & (s->size - 1)] != cookie)
		i++;
	return &s->slots[i & (s->size - 1)];
}

static bool set_put(struct set *s, uint64_t cookie)
{
	uint64_t *at = set_at(s, cookie);

	if (!*at && ++s->used > s->size / 2)
		return false;
	*at = cookie;
	return true;
}

/* --- own descriptors ---------------------------------------------------------------------------------------- */

uint32_t clean_fds(void)
{
	char text[4096];
	struct blob b = { text, 0 };
	uint64_t size;
	long n;
	int fd = sys_openat(AT_FDCWD, "/proc/thread-self/status", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	n = sys_read(fd, text, sizeof(text));
	sys_close(fd);
	b.n = n > 0 ? (uint64_t)n : 0;
	return text_field(b, "FDSize:", 10, &size) && size < (1u << 24) ? (uint32_t)size : 0;
}

/* Entries made before `until` by this process alone, and open nowhere in it. Returns how many remain. */
static uint32_t drop_closed(const struct set *open, int64_t until)
{
	struct lineage *e;
	uint32_t at = 0, kept = 0;

	while ((e = lineages_next(shim.tree, &at))) {
		uint64_t cookie = __atomic_load_n(&e->cookie, __ATOMIC_ACQUIRE);

		if (!cookie || e->pid != shim.pid || e->when >= until)
			continue;
		if (e->when <= mine.forked || *set_at(open, cookie))
			kept++;
		else
			lineages_free(shim.tree, e, cookie);
	}
	return kept;
}

/* The set is filled after `until` is taken: a socket made meanwhile is not looked for. */
static void clean(void)
{
	int64_t until = clean_now();
	uint32_t nfds = clean_fds(), kept, fd;
	struct set open;

	mine.made = 0;
	mine.limit = mine.limit < 1u << 30 ? mine.limit * 2 : mine.limit;
	if (!nfds || sys_getpid() != shim.pid || !set_begin(&open, nfds * 2))
		return;
	for (fd = 0; fd < nfds; fd++) {
		uint64_t cookie = ledger_cookie((int)fd);

		if (cookie)
			set_put(&open, cookie);
	}
	kept = drop_closed(&open, until);
	set_end(&open);
	mine.limit = kept > nfds ? kept * 2 : nfds * 2;
	if (mine.limit < CLEAN_MIN)
		mine.limit = CLEAN_MIN;
}

/* --- all sockets -------------------------------------------------------------------------------------------- */

static bool take_reply(struct set *live, const struct nlmsghdr *h)
{
	const uint32_t *cookie;

	if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct unix_diag_msg)) &&
	    ((const struct unix_diag_msg *)NLMSG_DATA(h))->udiag_family == AF_UNIX)
		cookie = ((const struct unix_diag_msg *)NLMSG_DATA(h))->udiag_cookie;
	else if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		cookie = ((const struct inet_diag_msg *)NLMSG_DATA(h))->id.idiag_cookie;
	else
		return false;
	return set_put(live, (uint64_t)cookie[1] << 32 | cookie[0]);
}

/* One dump. False when it was not complete. */
static bool dump(int fd, char *room, struct set *live, const void *request, size_t n)
{
	if (sys_sendto(fd, request, n, 0, NULL, 0) != (long)n)
		return false;
	for (;;) {
		long got = sys_recvfrom(fd, room, REPLY_ROOM, 0, NULL, NULL);
		const struct nlmsghdr *h = (const struct nlmsghdr *)room;

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return false;
		for (; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return !(h->nlmsg_flags & NLM_F_DUMP_INTR);
			if (h->nlmsg_type == NLMSG_ERROR || !take_reply(live, h))
				return false;
		}
	}
}

static bool dump_all(int fd, char *room, struct set *live)
{
	static const struct { uint8_t family, protocol; } inet[] = {
		{ AF_INET, IPPROTO_TCP }, { AF_INET6, IPPROTO_TCP }, { AF_INET, IPPROTO_UDP }, { AF_INET6, IPPROTO_UDP },
	};
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} u = { .h = { .nlmsg_len = sizeof(u), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = AF_UNIX, .udiag_states = ~0u } };
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} i = { .h = { .nlmsg_len = sizeof(i), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .idiag_states = ~0u } };

	if (!dump(fd, room, live, &u, sizeof(u)))
		return false;
	for (size_t k = 0; k < sizeof(inet) / sizeof(inet[0]); k++) {
		i.r.sdiag_family = inet[k].family;
		i.r.sdiag_protocol = inet[k].protocol;
		if (!dump(fd, room, live, &i, sizeof(i)))
			return false;
	}
	return true;
}

/* Would the kernel have listed it, if it were there? */
static bool is_listed(const struct lineage *e)
{
	if (e->family == AF_UNIX)
		return true;
	return (e->family == AF_INET || e->family == AF_INET6) && e->origin == LINEAGE_ACCEPT;
}

static void drop_dead(const struct set *live, int64_t until)
{
	bool pressed = __atomic_load_n(&shim.tree->nlineages, __ATOMIC_RELAXED) > TREE_LINEAGES / 2;
	struct lineage *e;
	uint32_t at = 0;

	while ((e = lineages_next(shim.tree, &at))) {
		uint64_t cookie = __atomic_load_n(&e->cookie, __ATOMIC_ACQUIRE);

		if (!cookie || e->when >= until || *set_at(live, cookie))
			continue;
		/* when there is little room, one that was for a minute neither bound nor connected is given up, too */
		if (is_listed(e) || sys_kill(e->pid, 0) == -ESRCH || (pressed && e->when < until - UNNAMED_NS))
			lineages_free(shim.tree, e, cookie);
	}
}

static void sweep(void)
{
	int64_t until = clean_now();
	char *room = sys_mmap(NULL, REPLY_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct set live;
	int fd;

	if (sys_is_err(room))
		return;
	fd = sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd >= 0 && set_begin(&live, SWEEP_SOCKETS)) {
		if (dump_all(fd, room, &live))
			drop_dead(&live, until);
		set_end(&live);
	}
	if (fd >= 0)
		sys_close(fd);
	sys_munmap(room, REPLY_ROOM);
}

/*
 * While it asks the kernel, this thread doesn't stop for a checkpoint: the
 * socket it asks by would be taken for the program's.
 */
static void sweep_undisturbed(void)
{
	bool was_blocked;

	__atomic_store_n(&clean_sweeper, sys_gettid(), __ATOMIC_SEQ_CST);
	was_blocked = window_open();
	sweep();
	window_close(was_blocked);
	__atomic_store_n(&clean_sweeper, 0, __ATOMIC_SEQ_CST);
}

static void maybe_sweep(void)
{
	struct tree *t = shim.tree;
	uint32_t limit = __atomic_load_n(&t->lineage_sweep, __ATOMIC_RELAXED), n;
	int32_t other = 0;

	n = __atomic_load_n(&t->nlineages, __ATOMIC_RELAXED);
	if (n < (limit > SWEEP_MIN ? limit : SWEEP_MIN))
		return;
	if (n >= NEARLY_FULL && __atomic_fetch_add(&mine.pressed, 1, __ATOMIC_RELAXED) % PRESSED_EVERY != 0)
		return;
	if (!__atomic_compare_exchange_n(&t->lineage_sweeper, &other, shim.pid, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
		/* the sweeper may have been killed */
		if (sys_kill(other, 0) == -ESRCH)
			__atomic_compare_exchange_n(&t->lineage_sweeper, &other, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
		return;
	}
	sweep_undisturbed();
	n = __atomic_load_n(&t->nlineages, __ATOMIC_RELAXED) * 2;
	__atomic_store_n(&t->lineage_sweep, n < NEARLY_FULL ? n : NEARLY_FULL, __ATOMIC_RELAXED);
	__atomic_store_n(&t->lineage_sweeper, 0, __ATOMIC_SEQ_CST);
}

void clean_maybe(void)
{
	uint32_t none = 0;

	if (__atomic_add_fetch(&mine.made, 1, __ATOMIC_RELAXED) >= mine.limit &&
	    __atomic_compare_exchange_n(&mine.cleaning, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		clean();
		__atomic_store_n(&mine.cleaning, 0, __ATOMIC_RELEASE);
	}
	maybe_sweep();
}
