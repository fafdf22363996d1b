/*
 * Threads that differ from the first in what the kernel keeps for each: users,
 * groups, working directory and umask, personality, capabilities, seccomp
 * filters. Set by system calls; libc's functions would have set them for all.
 */
#include "scenario.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char home[4096];
static unsigned char ready, go;

static void stand(void)
{
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
		usleep(1000);
}

static void *other_user(void *arg)
{
	gid_t groups[] = {3000, 3001}, now[2] = {0};
	uid_t r, e, s;
	int fd;

	MUST(syscall(SYS_setgroups, 2, groups));
	MUST(syscall(SYS_setresgid, 2000, 2001, 2002));
	MUST(syscall(SYS_setresuid, 1000, 1001, 1002));
	stand();
	SAME(syscall(SYS_getresuid, &r, &e, &s), 0);
	SAME(r * 1000000 + e * 1000 + s % 1000, 1000 * 1000000 + 1001 * 1000 + 1002 % 1000);
	SAME(syscall(SYS_getresgid, &r, &e, &s), 0);
	SAME(r * 1000000 + e * 1000 + s % 1000, 2000 * 1000000 + 2001 * 1000 + 2002 % 1000);
	SAME(syscall(SYS_getgroups, 2, now), 2);
	CHECK(now[0] == 3000 && now[1] == 3001);
	/* the kernel agrees */
	fd = syscall(SYS_open, "/etc/shadow", 0);
	CHECK(fd < 0);
	return arg;
}

/* As a file server does it: the effective ids only, and back again. */
static void *effective(void *arg)
{
	uid_t r, e, s;

	MUST(syscall(SYS_setresgid, -1, 2000, -1));
	MUST(syscall(SYS_setresuid, -1, 1000, -1));
	stand();
	SAME(syscall(SYS_getresuid, &r, &e, &s), 0);
	CHECK(r == 0 && e == 1000 && s == 0);
	MUST(syscall(SYS_setresuid, -1, 0, -1));
	CHECK(access("/etc/shadow", R_OK) == 0);
	return arg;
}

static void *without_capability(void *arg)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	MUST(syscall(SYS_capget, &head, data));
	data[0].effective &= ~(1u << CAP_CHOWN);
	data[0].permitted &= ~(1u << CAP_CHOWN);
	data[0].inheritable &= ~(1u << CAP_CHOWN);
	MUST(syscall(SYS_capset, &head, data));
	MUST(prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0));
	stand();
	MUST(syscall(SYS_capget, &head, data));
	CHECK(!(data[0].permitted & 1u << CAP_CHOWN) && (data[0].permitted & 1u << CAP_FOWNER));
	SAME(prctl(PR_CAPBSET_READ, CAP_MKNOD, 0, 0, 0), 0);
	return arg;
}

static void *elsewhere(void *arg)
{
	char path[4096];

	MUST(unshare(CLONE_FS));
	MUST(chdir("sub"));
	umask(0137);
	stand();
	CHECK(getcwd(path, sizeof(path)) && !strncmp(path, home, strlen(home)) && !strcmp(path + strlen(home), "/sub"));
	SAME(umask(0), 0137);
	return arg;
}

static void *another_personality(void *arg)
{
	MUST(personality(ADDR_NO_RANDOMIZE));
	stand();
	SAME(personality(0xffffffff), ADDR_NO_RANDOMIZE);
	return arg;
}

static void install(int nr, int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(*code), code};

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog));
}

static int result_of(int nr)
{
	errno = 0;
	return syscall(nr) >= 0 ? 0 : errno;
}

static void *filtered(void *arg)
{
	bool second = arg != NULL;

	install(SYS_getppid, second ? EBADE : EXDEV);
	if (second)
		install(SYS_getpgrp, EBADF);
	stand();
	SAME(result_of(SYS_getppid), second ? EBADE : EXDEV);
	SAME(result_of(SYS_getpgrp), second ? EBADF : 0);
	SAME(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	return arg;
}

int main(void)
{
	void *(*const bodies[])(void *) = {elsewhere, another_personality, filtered, filtered, other_user, effective, without_capability};
	pthread_t t[sizeof(bodies) / sizeof(*bodies)];
	int n = getuid() == 0 ? 7 : 4, groups = getgroups(0, NULL);
	mode_t mask = umask(022);
	char path[4096];

	umask(mask);
	CHECK(getcwd(home, sizeof(home)));
	MUST(mkdir("sub", 0755));
	for (int i = 0; i < n; i++)
		SAME(pthread_create(&t[i], NULL, bodies[i], i == 3 ? home : NULL), 0);
	while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < n)
		usleep(1000);
	scenario_wait();
	CHECK(getcwd(path, sizeof(path)) && !strcmp(path, home));
	SAME(umask(mask), mask);
	SAME(personality(0xffffffff), 0);
	SAME(result_of(SYS_getppid), 0);
	SAME(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	if (n == 7) {
		SAME(getuid() + geteuid() + getgid(), 0);
		SAME(getgroups(0, NULL), groups);
		CHECK(prctl(PR_CAPBSET_READ, CAP_MKNOD, 0, 0, 0) == 1);
	}
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < n; i++)
		SAME(pthread_join(t[i], NULL), 0);
	scenario_ok();
}
