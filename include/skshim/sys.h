/*
 * sys.h - system calls without libc
 *
 * Every call returns a result or a negative errno and never touches `errno`,
 * so frozen code may run anywhere in the application without saving it.
 * Types are the kernel's where they differ from libc's; see man 2 NAME.
 *
 * Built with -DSKSHIM_FAULT, every call passes sys_fault() first, through
 * which tests/fault makes the n-th call fail.
 */
#ifndef SKSHIM_SYS_H
#define SKSHIM_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/sched.h>
#include <linux/time_types.h>
#include <asm/unistd.h>

#include "skshim/arch_x86_64.h"

struct stat;
struct msghdr;
struct iovec;
struct epoll_event;
struct pollfd;
struct sockaddr;
struct rlimit64;

#ifdef SKSHIM_FAULT
/* Returns 0 to let call `nr` through, or the negative errno it shall fail with. */
long sys_fault(long nr, long b, long c);
#endif

static inline long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
#ifdef SKSHIM_FAULT
	long rc = sys_fault(nr, b, c);

	if (rc < 0)
		return rc;
#endif
	return arch_syscall(nr, a, b, c, d, e, f);
}

#define SYS0(nr)                sys_call(nr, 0, 0, 0, 0, 0, 0)
#define SYS1(nr, a)             sys_call(nr, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(nr, a, b)          sys_call(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(nr, a, b, c)       sys_call(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(nr, a, b, c, d)    sys_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS5(nr, a, b, c, d, e) sys_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS6(nr, a, b, c, d, e, f) \
	sys_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* A process in another root directory: its names for paths (view.h). 0, or a negative errno. */
extern bool sys_view_on;
int sys_view_at(int *dirfd, const char **path);
#define SYS_VIEW(dir, path) (__builtin_expect(sys_view_on, 0) && (dir) == -100 /* AT_FDCWD */ ? sys_view_at(&(dir), &(path)) : 0)

/* Files. */
static inline int sys_openat(int dir, const char *path, int flags, int mode)
{
	int rc = SYS_VIEW(dir, path);

	if (rc < 0)
		return rc;
	return (int)SYS4(__NR_openat, dir, path, flags | 0100000 /* O_LARGEFILE */, mode);
}
static inline int sys_close(int fd) { return (int)SYS1(__NR_close, fd); }
static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)SYS3(__NR_close_range, first, last, flags);
}
static inline long sys_read(int fd, void *buf, size_t n) { return SYS3(__NR_read, fd, buf, n); }
static inline long sys_write(int fd, const void *buf, size_t n) { return SYS3(__NR_write, fd, buf, n); }
static inline long sys_pread(int fd, void *buf, size_t n, int64_t at) { return SYS4(__NR_pread64, fd, buf, n, at); }
static inline long sys_pwrite(int fd, const void *buf, size_t n, int64_t at) { return SYS4(__NR_pwrite64, fd, buf, n, at); }
static inline long sys_writev(int fd, const struct iovec *iov, int n) { return SYS3(__NR_writev, fd, iov, n); }
static inline int64_t sys_lseek(int fd, int64_t at, int whence) { return SYS3(__NR_lseek, fd, at, whence); }
static inline int sys_fstat(int fd, struct stat *st) { return (int)SYS2(__NR_fstat, fd, st); }
static inline int sys_fstatat(int dir, const char *path, struct stat *st, int flags)
{
	int rc = SYS_VIEW(dir, path);

	if (rc < 0)
		return rc;
	return (int)SYS4(__NR_newfstatat, dir, path, st, flags);
}
static inline long sys_readlinkat(int dir, const char *path, char *buf, size_t n)
{
	int rc = SYS_VIEW(dir, path);

	if (rc < 0)
		return rc;
	return SYS4(__NR_readlinkat, dir, path, buf, n);
}
static inline int sys_unlinkat(int dir, const char *path, int flags) { return (int)SYS3(__NR_unlinkat, dir, path, flags); }
static inline int sys_mkdirat(int dir, const char *path, int mode) { return (int)SYS3(__NR_mkdirat, dir, path, mode); }
static inline int sys_renameat2(int od, const char *o, int nd, const char *n, unsigned flags)
{
	return (int)SYS5(__NR_renameat2, od, o, nd, n, flags);
}
static inline int sys_symlinkat(const char *to, int dir, const char *path) { return (int)SYS3(__NR_symlinkat, to, dir, path); }
static inline int sys_fsync(int fd) { return (int)SYS1(__NR_fsync, fd); }
static inline int sys_fdatasync(int fd) { return (int)SYS1(__NR_fdatasync, fd); }
static inline int sys_ftruncate(int fd, int64_t n) { return (int)SYS2(__NR_ftruncate, fd, n); }
static inline int sys_flock(int fd, int op) { return (int)SYS2(__NR_flock, fd, op); }
static inline long sys_fcntl(int fd, int cmd, long arg) { return SYS3(__NR_fcntl, fd, cmd, arg); }
static inline long sys_ioctl(int fd, unsigned long cmd, long arg) { return SYS3(__NR_ioctl, fd, cmd, arg); }
static inline long sys_getdents64(int fd, void *buf, size_t n) { return SYS3(__NR_getdents64, fd, buf, n); }
static inline int sys_dup(int fd) { return (int)SYS1(__NR_dup, fd); }
static inline int sys_dup3(int from, int to, int flags) { return (int)SYS3(__NR_dup3, from, to, flags); }
static inline int sys_pipe2(int fd[2], int flags) { return (int)SYS2(__NR_pipe2, fd, flags); }
static inline long sys_tee(int in, int out, size_t n, unsigned flags) { return SYS4(__NR_tee, in, out, n, flags); }
static inline int sys_memfd_create(const char *name, unsigned flags) { return (int)SYS2(__NR_memfd_create, name, flags); }
static inline int sys_umask(int mask) { return (int)SYS1(__NR_umask, mask); }
static inline int sys_poll(struct pollfd *p, unsigned n, int ms) { return (int)SYS3(__NR_poll, p, n, ms); }

/* Event descriptors. */
static inline int sys_eventfd2(unsigned count, int flags) { return (int)SYS2(__NR_eventfd2, count, flags); }
static inline int sys_timerfd_create(int clock, int flags) { return (int)SYS2(__NR_timerfd_create, clock, flags); }
static inline int sys_timerfd_settime(int fd, int flags, const struct __kernel_itimerspec *n, struct __kernel_itimerspec *o)
{
	return (int)SYS4(__NR_timerfd_settime, fd, flags, n, o);
}
static inline int sys_timerfd_gettime(int fd, struct __kernel_itimerspec *cur) { return (int)SYS2(__NR_timerfd_gettime, fd, cur); }
static inline int sys_epoll_create1(int flags) { return (int)SYS1(__NR_epoll_create1, flags); }
static inline int sys_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev) { return (int)SYS4(__NR_epoll_ctl, ep, op, fd, ev); }
static inline int sys_signalfd4(int fd, const uint64_t *mask, int flags) { return (int)SYS4(__NR_signalfd4, fd, mask, 8, flags); }

/* Sockets. */
static inline int sys_socket(int family, int type, int proto) { return (int)SYS3(__NR_socket, family, type, proto); }
static inline int sys_socketpair(int family, int type, int proto, int fd[2]) { return (int)SYS4(__NR_socketpair, family, type, proto, fd); }
static inline int sys_bind(int fd, const void *addr, unsigned len) { return (int)SYS3(__NR_bind, fd, addr, len); }
static inline int sys_connect(int fd, const void *addr, unsigned len) { return (int)SYS3(__NR_connect, fd, addr, len); }
static inline int sys_listen(int fd, int backlog) { return (int)SYS2(__NR_listen, fd, backlog); }
static inline int sys_accept4(int fd, void *addr, unsigned *len, int flags) { return (int)SYS4(__NR_accept4, fd, addr, len, flags); }
static inline int sys_shutdown(int fd, int how) { return (int)SYS2(__NR_shutdown, fd, how); }
static inline int sys_getsockname(int fd, void *addr, unsigned *len) { return (int)SYS3(__NR_getsockname, fd, addr, len); }
static inline int sys_getpeername(int fd, void *addr, unsigned *len) { return (int)SYS3(__NR_getpeername, fd, addr, len); }
static inline int sys_getsockopt(int fd, int level, int name, void *val, unsigned *len)
{
	return (int)SYS5(__NR_getsockopt, fd, level, name, val, len);
}
static inline int sys_setsockopt(int fd, int level, int name, const void *val, unsigned len)
{
	return (int)SYS5(__NR_setsockopt, fd, level, name, val, len);
}
static inline long sys_sendto(int fd, const void *buf, size_t n, int flags, const void *addr, unsigned len)
{
	return SYS6(__NR_sendto, fd, buf, n, flags, addr, len);
}
static inline long sys_recvfrom(int fd, void *buf, size_t n, int flags, void *addr, unsigned *len)
{
	return SYS6(__NR_recvfrom, fd, buf, n, flags, addr, len);
}
static inline long sys_sendmsg(int fd, const struct msghdr *m, int flags) { return SYS3(__NR_sendmsg, fd, m, flags); }
static inline long sys_recvmsg(int fd, struct msghdr *m, int flags) { return SYS3(__NR_recvmsg, fd, m, flags); }

/* Memory. */
static inline void *sys_mmap(void *at, size_t n, int prot, int flags, int fd, int64_t off)
{
	return (void *)SYS6(__NR_mmap, at, n, prot, flags, fd, off);
}
/* mmap, mremap answer an address or a negative errno in the same register. */
static inline bool sys_is_err(const void *p) { return (unsigned long)p >= -4095UL; }
static inline int sys_munmap(void *at, size_t n) { return (int)SYS2(__NR_munmap, at, n); }
static inline int sys_mprotect(void *at, size_t n, int prot) { return (int)SYS3(__NR_mprotect, at, n, prot); }
static inline int sys_madvise(void *at, size_t n, int advice) { return (int)SYS3(__NR_madvise, at, n, advice); }

/* Processes, threads, signals. */
static inline int sys_getpid(void) { return (int)SYS0(__NR_getpid); }
static inline int sys_gettid(void) { return (int)SYS0(__NR_gettid); }
static inline int sys_getppid(void) { return (int)SYS0(__NR_getppid); }
static inline int sys_kill(int pid, int sig) { return (int)SYS2(__NR_kill, pid, sig); }
static inline int sys_tgkill(int pid, int tid, int sig) { return (int)SYS3(__NR_tgkill, pid, tid, sig); }
static inline int sys_rt_sigqueueinfo(int pid, int sig, const void *info) { return (int)SYS3(__NR_rt_sigqueueinfo, pid, sig, info); }
static inline int sys_rt_tgsigqueueinfo(int pid, int tid, int sig, const void *info)
{
	return (int)SYS4(__NR_rt_tgsigqueueinfo, pid, tid, sig, info);
}
/* Masks are the kernel's 64 bits: bit (sig - 1). */
static inline int sys_rt_sigprocmask(int how, const uint64_t *set, uint64_t *old) { return (int)SYS4(__NR_rt_sigprocmask, how, set, old, 8); }
static inline int sys_rt_sigaction(int sig, const struct arch_sigaction *set, struct arch_sigaction *old)
{
	return (int)SYS4(__NR_rt_sigaction, sig, set, old, 8);
}
static inline int sys_rt_sigpending(uint64_t *set) { return (int)SYS2(__NR_rt_sigpending, set, 8); }
static inline int sys_rt_sigtimedwait(const uint64_t *set, void *info, const struct __kernel_timespec *t)
{
	return (int)SYS4(__NR_rt_sigtimedwait, set, info, t, 8);
}
static inline int sys_wait4(int pid, int *status, int options) { return (int)SYS4(__NR_wait4, pid, status, options, 0); }
static inline int sys_futex(uint32_t *word, int op, uint32_t val, const struct __kernel_timespec *t)
{
	return (int)SYS4(__NR_futex, word, op, val, t);
}
static inline long sys_prctl(int op, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	return SYS5(__NR_prctl, op, a, b, c, d);
}
static inline int sys_prlimit(int pid, int which, const struct rlimit64 *set, struct rlimit64 *old)
{
	return (int)SYS4(__NR_prlimit64, pid, which, set, old);
}
static inline int sys_clock_gettime(int clock, struct __kernel_timespec *t) { return (int)SYS2(__NR_clock_gettime, clock, t); }
static inline int sys_kcmp(int a, int b, int type, unsigned long x, unsigned long y)
{
	return (int)SYS5(__NR_kcmp, a, b, type, x, y);
}
static inline int sys_sched_yield(void) { return (int)SYS0(__NR_sched_yield); }
__attribute__((noreturn)) static inline void sys_exit_group(int code)
{
	for (;;)
		SYS1(__NR_exit_group, code);
}
__attribute__((noreturn)) static inline void sys_exit(int code)
{
	for (;;)
		SYS1(__NR_exit, code);
}

#endif
