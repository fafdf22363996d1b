/*
 * peer.c - the process behind SO_PEERPIDFD
 *
 * The kernel remembers who made a connection as a process, not as a number.
 * After a restart that is the agent that made the call (runtime/kinds/agent.c),
 * which is gone, while the process it stood for lives again under the same
 * number. So the answer is exchanged: for a process that the restart made, and
 * only where the peer lived at the checkpoint.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "family.h"
#include "skshim/lineages.h"
#include "skshim/treefile.h"
#include "skshim/frozen.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#define TICK_NS 10000000ll
#define NS 1000000000ll

/* The process that was asked for last; there are many sockets of few processes. */
static struct {
	uint32_t taken;              /* in which checkpoint */
	int pid;
	bool lives;
	uint64_t start;              /* ticks */
	int64_t when;                /* CLOCK_REALTIME by which it had been started */
} asked;

static int64_t clock_ns(int clock)
{
	struct __kernel_timespec t = { 0, 0 };

	sys_clock_gettime(clock, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static void ask(int pid)
{
	struct member *m = members_find(pid);
	struct treefile_stat st, own;
	int rc;

	if (asked.taken == shim.tree->taken && asked.pid == pid)
		return;
	asked.taken = shim.tree->taken;
	asked.pid = pid;
	asked.lives = false;
	rc = m ? treefile_stat(pid, &st) : -ESRCH;
	if (rc < 0 && rc != -ENOENT && rc != -ESRCH) {      /* it can't be looked at, and is a member's all the same */
		st.state = 'S';
		st.start_time = m->start_time;
		rc = sys_kill(pid, 0);
	}
	asked.lives = rc == 0 && st.state != 'Z' && st.start_time == m->start_time;
	if (!asked.lives || treefile_stat(0, &own) < 0)
		return;
	asked.start = st.start_time;
	/* the reader of start times in a time namespace has its clock moved alike */
	asked.when = clock_ns(0 /* CLOCK_REALTIME */) - clock_ns(7 /* CLOCK_BOOTTIME */) +
		     (int64_t)(st.start_time + treefile_added_ticks() + 1) * TICK_NS;
}

/* Whether the kernel means the process that has the number now. */
static bool is_same(int fd, int pid)
{
	struct stat peer, now;
	int named = -1, own = (int)SYS2(__NR_pidfd_open, pid, 0);
	unsigned len = sizeof(named);
	bool same;

	if (sys_getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &named, &len) < 0)
		named = -1;
	same = own >= 0 && named >= 0 && sys_fstat(own, &now) == 0 && sys_fstat(named, &peer) == 0 && now.st_ino == peer.st_ino &&
	       now.st_dev == peer.st_dev;
	if (own >= 0)
		sys_close(own);
	if (named >= 0)
		sys_close(named);
	return same;
}

bool peer_lives(const struct probe *p, int pid)
{
	const struct lineage *l = p->lineage;

	ask(pid);
	if (!asked.lives || (l && l->peer_process == PEER_WAS_GONE))
		return false;
	if (l && l->peer_process)
		return l->peer_process == pid && asked.start <= shim.tree->youngest;
	/* older than the socket: nobody else had the number since */
	if (l && l->origin != LINEAGE_ADOPTED && l->origin != LINEAGE_UNKNOWN && asked.when <= l->when)
		return true;
	return is_same(p->fd, pid) || (shim.tree->generation && asked.start <= shim.tree->youngest);
}

void peer_restarted(void)
{
	const struct member *m = members_self();
	uint64_t known = __atomic_load_n(&shim.tree->youngest, __ATOMIC_RELAXED);

	while (m && m->start_time > known &&
	       !__atomic_compare_exchange_n(&shim.tree->youngest, &known, m->start_time, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

static bool has_ended(int pidfd)
{
	struct pollfd poll = { .fd = pidfd, .events = POLLIN };

	return sys_poll(&poll, 1, 0) != 0;
}

/* A pidfd of a process that the restart made, or a negative errno. */
static int restarted_process(int pid)
{
	int fd = (int)SYS2(__NR_pidfd_open, pid, 0);
	struct treefile_stat st;

	/* asked for behind that, so that it isn't another one's by now */
	if (fd >= 0 && (treefile_stat(pid, &st) < 0 || st.start_time > shim.tree->youngest)) {
		sys_close(fd);
		return -ESRCH;
	}
	return fd;
}

int peer_pidfd(int fd, int rc, void *value, unsigned *len)
{
	struct {
		int32_t pid;
		uint32_t uid, gid;
	} cred;
	unsigned n = sizeof(cred);
	const struct lineage *e;
	int named = -1, own;

	if (!value || !len || *len < sizeof(named))
		return rc;
	if (rc == 0)
		memcpy(&named, value, sizeof(named));
	if ((rc == 0 && !has_ended(named)) || sys_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 || cred.pid <= 0)
		return rc;
	e = lineages_lookup(shim.tree, ledger_cookie(fd));
	if (e && e->peer_process == PEER_WAS_GONE)
		return rc;
	own = restarted_process(cred.pid);
	if (own < 0)
		return rc;
	if (rc == 0) {
		sys_dup3(own, named, O_CLOEXEC);
		sys_close(own);
	} else {
		memcpy(value, &own, sizeof(own));
		*len = sizeof(own);
	}
	return 0;
}
