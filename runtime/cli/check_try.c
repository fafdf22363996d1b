/*
 * check_try.c - finding out what is allowed by trying it
 *
 * Each attempt is made in a child of its own, since most of them can't be
 * undone (a namespace, a root directory), and nothing of it survives the
 * child. Sandboxes answer in many ways; only trying tells.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/inet_diag.h>
#include <linux/kcmp.h>
#include <linux/netlink.h>
#include <linux/packet_diag.h>
#include <linux/netlink_diag.h>
#include <linux/sched.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"

/* Newer than the headers of Debian 12. */
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define SIO_UNIX_FILE 0x89e0
#define FEATURE_WP_UNPOPULATED (1 << 13)
#define FEATURE_WP_ASYNC (1 << 15)
#define TIMER_RESTORE_IDS 77
#define TIMER_RESTORE_IDS_GET 2

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
		category_anyof_mask, return_mask;
};
#define SCAN _IOWR('f', 16, struct scan_arg)
#define SCAN_PRESENT (1 << 3)

#define TRY_SECONDS 10

static int answer(long rc)
{
	return rc < 0 ? -errno : 0;
}

static int write_text(const char *path, const char *words)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = answer(write(fd, words, strlen(words)));
	close(fd);
	return rc;
}

static int try_shm(void)
{
	char path[] = "/dev/shm/skshim-check-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		return -errno;
	unlink(path);
	return answer(ftruncate(fd, 1 << 20));
}

/* Takes the next pid the kernel would give, lets it go, and asks for it by number. */
static int try_set_tid(void)
{
	for (int attempt = 0; attempt < 5; attempt++) {
		pid_t pid = fork();
		struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };
		long rc;

		if (pid == 0)
			_exit(0);
		if (pid < 0)
			return -errno;
		waitpid(pid, NULL, 0);
		rc = syscall(SYS_clone3, &args, sizeof(args));
		if (rc == 0)
			_exit(0);
		if (rc > 0) {
			waitpid((pid_t)rc, NULL, 0);
			return rc == pid ? 0 : -EIO;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* A user namespace with the own ids mapped to themselves, and what else is in flags. */
static int enter_namespaces(int flags)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];
	int rc;

	if (unshare(CLONE_NEWUSER | flags) != 0)
		return -errno;
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	rc = write_text("/proc/self/uid_map", map);
	if (rc == 0)
		rc = write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	if (rc == 0)
		rc = write_text("/proc/self/gid_map", map);
	return rc;
}

static int try_userns(void)
{
	return enter_namespaces(0);
}

/* Runs fn as the first process of a fresh pid namespace. */
static int in_pidns(int (*fn)(void))
{
	int rc = enter_namespaces(CLONE_NEWPID | CLONE_NEWNS), status;
	pid_t pid;

	if (rc < 0)
		return rc;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(fn ? -fn() : 0);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -EIO;
	return -WEXITSTATUS(status);
}

static int mount_proc(void)
{
	return answer(mount("proc", "/proc", "proc", 0, NULL));
}

static int try_pidns(void)
{
	return in_pidns(NULL);
}

static int try_pidns_proc(void)
{
	return in_pidns(mount_proc);
}

static int try_pidns_set_tid(void)
{
	return in_pidns(try_set_tid);
}

/* The way a socket gets back the name it had when its file was moved since: a root directory made for one bind. */
static int try_moved_sockets(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/old/socket" };
	int rc = enter_namespaces(CLONE_NEWNS), fd;

	if (rc < 0)
		return rc;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("tmpfs", "/tmp", "tmpfs", 0, NULL) != 0 ||
	    mkdir("/tmp/old", 0700) != 0 || mkdir("/tmp/proc", 0700) != 0 ||
	    mount("/proc", "/tmp/proc", NULL, MS_BIND | MS_REC, NULL) != 0 || chroot("/tmp") != 0)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	return answer(fd < 0 ? -1 : bind(fd, (struct sockaddr *)&name, sizeof(name)));
}

static int try_timens(void)
{
	int rc = enter_namespaces(CLONE_NEWTIME);

	return rc < 0 ? rc : write_text("/proc/self/timens_offsets", "monotonic 1 0");
}

static int try_tcp_repair(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	return answer(fd < 0 ? -1 : setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)));
}

/* The privilege is looked at before the socket, which has no file here. */
static int try_unix_file(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIO_UNIX_FILE, 0) >= 0 || errno == ENOENT)
		return 0;
	return -errno;
}

static int try_nftables(void)
{
	struct {
		struct nlmsghdr h;
		uint8_t family, version;
		uint16_t resource;
	} ask = { .h = { .nlmsg_len = sizeof(ask), .nlmsg_type = (10 << 8) | 1 /* nf_tables, get table */,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	struct {
		struct nlmsghdr h;
		int error;
		char rest[8192];
	} reply;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0 || send(fd, &ask, sizeof(ask), 0) < 0 ||
	    recv(fd, &reply, sizeof(reply), 0) < (ssize_t)sizeof(reply.h))
		return -errno;
	return reply.h.nlmsg_type == NLMSG_ERROR ? reply.error : 0;
}

static int try_transparent(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;

	return answer(fd < 0 ? -1 : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)));
}

static int try_buffer_force(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), size = 4 << 20;

	return answer(fd < 0 ? -1 : setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
}

static int try_diag(const void *request, size_t n)
{
	struct {
		struct nlmsghdr h;
		char body[128];
	} ask = { .h = { .nlmsg_len = (uint32_t)(NLMSG_HDRLEN + n), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	static char reply[65536] __attribute__((aligned(8)));
	const struct nlmsghdr *h = (const void *)reply;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	memcpy(ask.body, request, n);
	if (fd < 0 || send(fd, &ask, ask.h.nlmsg_len, 0) < 0 || recv(fd, reply, sizeof(reply), 0) < (ssize_t)sizeof(*h))
		return -errno;
	return h->nlmsg_type == NLMSG_ERROR ? *(const int *)NLMSG_DATA(h) : 0;
}

static int try_diag_unix(void)
{
	struct unix_diag_req r = { .sdiag_family = AF_UNIX, .udiag_states = ~0u };

	return try_diag(&r, sizeof(r));
}

static int try_diag_inet(uint8_t protocol)
{
	struct inet_diag_req_v2 r = { .sdiag_family = AF_INET, .sdiag_protocol = protocol, .idiag_states = ~0u };

	return try_diag(&r, sizeof(r));
}

static int try_diag_tcp(void)
{
	return try_diag_inet(IPPROTO_TCP);
}

static int try_diag_udp(void)
{
	return try_diag_inet(IPPROTO_UDP);
}

static int try_diag_raw(void)
{
	return try_diag_inet(IPPROTO_RAW);
}

static int try_diag_netlink(void)
{
	struct netlink_diag_req r = { .sdiag_family = AF_NETLINK, .sdiag_protocol = NDIAG_PROTO_ALL };

	return try_diag(&r, sizeof(r));
}

static int try_diag_packet(void)
{
	struct packet_diag_req r = { .sdiag_family = AF_PACKET };

	return try_diag(&r, sizeof(r));
}

static int try_kcmp(void)
{
	int fd = open("/dev/null", O_RDONLY);

	return answer(syscall(SYS_kcmp, getpid(), getppid(), KCMP_FILE, fd, 0));
}

static int try_pagemap_scan(void)
{
	static char page[8192];
	struct { uint64_t start, end, categories; } region;
	struct scan_arg arg = { .size = sizeof(arg),
				.start = (uintptr_t)page & ~4095ul,
				.vec = (uintptr_t)&region,
				.vec_len = 1,
				.category_anyof_mask = SCAN_PRESENT,
				.return_mask = SCAN_PRESENT };
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	page[0] = 1;
	arg.end = arg.start + 4096;
	return answer(fd < 0 ? -1 : ioctl(fd, SCAN, &arg));
}

static int try_wp_async(void)
{
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	return answer(fd < 0 ? -1 : ioctl(fd, UFFDIO_API, &api));
}

static int try_huge_pages(void)
{
	char words[64] = "";
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (read(fd, words, sizeof(words) - 1) < 0)
		return -errno;
	return strstr(words, "[never]") ? -EOPNOTSUPP : 0;
}

static int try_timer_ids(void)
{
	return answer(prctl(TIMER_RESTORE_IDS, TIMER_RESTORE_IDS_GET, 0, 0, 0));
}

static int try_sched(void)
{
	return answer(open("/proc/self/sched", O_RDONLY | O_CLOEXEC));
}

static int try_overcommit(void)
{
	char mode = '0';
	int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &mode, 1) != 1)
		return -errno;
	return mode == '2' ? -ENOMEM : 0;
}

struct fact facts[FACTS] = {
	[FACT_SHM] = { "shm", "shared memory files in /dev/shm", try_shm, 0 },
	[FACT_SET_TID] = { "set_tid", "choosing pids in the running pid namespace (clone3 set_tid)", try_set_tid, 0 },
	[FACT_USERNS] = { "userns", "a user namespace", try_userns, 0 },
	[FACT_PIDNS] = { "pidns", "a user, pid and mount namespace", try_pidns, 0 },
	[FACT_PIDNS_PROC] = { "pidns_proc", "mounting /proc there", try_pidns_proc, 0 },
	[FACT_PIDNS_SET_TID] = { "pidns_set_tid", "choosing pids there", try_pidns_set_tid, 0 },
	[FACT_MOVED_SOCKETS] = { "moved_sockets", "a private root directory to bind in (tmpfs, chroot)",
				 try_moved_sockets, 0 },
	[FACT_TIMENS] = { "timens", "a time namespace", try_timens, 0 },
	[FACT_TCP_REPAIR] = { "tcp_repair", "TCP_REPAIR", try_tcp_repair, 0 },
	[FACT_UNIX_FILE] = { "unix_file", "SIOCUNIXFILE (the file of a unix socket)", try_unix_file, 0 },
	[FACT_NFTABLES] = { "nftables", "nftables", try_nftables, 0 },
	[FACT_TRANSPARENT] = { "transparent", "source addresses of other machines (IP_TRANSPARENT)", try_transparent, 0 },
	[FACT_BUFFER_FORCE] = { "buffer_force", "socket buffers beyond the limits (SO_SNDBUFFORCE)", try_buffer_force,
				0 },
	[FACT_DIAG_UNIX] = { "diag_unix", "sock_diag: unix", try_diag_unix, 0 },
	[FACT_DIAG_TCP] = { "diag_tcp", "sock_diag: tcp", try_diag_tcp, 0 },
	[FACT_DIAG_UDP] = { "diag_udp", "sock_diag: udp", try_diag_udp, 0 },
	[FACT_DIAG_RAW] = { "diag_raw", "sock_diag: raw", try_diag_raw, 0 },
	[FACT_DIAG_NETLINK] = { "diag_netlink", "sock_diag: netlink", try_diag_netlink, 0 },
	[FACT_DIAG_PACKET] = { "diag_packet", "sock_diag: packet", try_diag_packet, 0 },
	[FACT_KCMP] = { "kcmp", "kcmp (which descriptors are one)", try_kcmp, 0 },
	[FACT_PAGEMAP_SCAN] = { "pagemap_scan", "PAGEMAP_SCAN (which pages were written)", try_pagemap_scan, 0 },
	[FACT_WP_ASYNC] = { "wp_async", "userfaultfd write tracking (WP_ASYNC)", try_wp_async, 0 },
	[FACT_HUGE_PAGES] = { "huge_pages", "transparent huge pages", try_huge_pages, 0 },
	[FACT_TIMER_IDS] = { "timer_ids", "POSIX timers with chosen ids", try_timer_ids, 0 },
	[FACT_SCHED] = { "sched", "/proc/PID/sched", try_sched, 0 },
	[FACT_OVERCOMMIT] = { "overcommit", "memory overcommit (fork of a big process)", try_overcommit, 0 },
};

static int try_in_child(struct fact *f)
{
	int pipes[2], status;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return failed(-errno, "check: a pipe");
	pid = fork();
	if (pid < 0)
		return failed(-errno, "check: a child to try %s in", f->key);
	if (pid == 0) {
		int rc;

		alarm(TRY_SECONDS);
		rc = f->try();
		_exit(write(pipes[1], &rc, sizeof(rc)) == (ssize_t)sizeof(rc) ? 0 : 1);
	}
	close(pipes[1]);
	/* No answer: a sandbox ended the child for asking. */
	if (read(pipes[0], &f->result, sizeof(f->result)) != (ssize_t)sizeof(f->result))
		f->result = -EACCES;
	close(pipes[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

int check_try(void)
{
	int rc = 0;

	fflush(stdout);
	for (int i = 0; i < FACTS && rc == 0; i++)
		rc = try_in_child(&facts[i]);
	return rc;
}
