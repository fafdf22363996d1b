/*
 * sys_fault.c - the seam of sys.h: the n-th system call fails
 *
 * Linked into what is built with -DSKSHIM_FAULT (make build/fault). The file
 * that SKSHIM_FAULT names is mapped shared, so a test arms and reads it from
 * outside, and the process that writes the image counts on where the program
 * was. Calls that no kernel lets fail the way they are used here are let through.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct control {
	uint32_t fail;               /* the call that fails, counted from 1; 0 none; the test */
	uint32_t count;              /* calls so far; reset by the test */
	uint32_t nr;                 /* the number of the one that failed */
	uint32_t error;
};

long sys_fault(long nr, long level, long name);

static struct control *control;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("SKSHIM_FAULT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd >= 0 ? mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (fd >= 0)
		close(fd);
	if (p != MAP_FAILED)
		control = p;
}

static uint32_t error_of(long nr)
{
	switch (nr) {
	case SYS_futex: case SYS_close: case SYS_close_range: case SYS_munmap: case SYS_exit: case SYS_exit_group: case SYS_getpid:
	case SYS_gettid: case SYS_getppid: case SYS_sched_yield: case SYS_clock_gettime: case SYS_rt_sigprocmask: case SYS_wait4:
	case SYS_rt_sigaction: case SYS_rt_sigpending: case SYS_rt_sigtimedwait: case SYS_umask: case SYS_prctl: case SYS_setsid:
	case SYS_kill: case SYS_arch_prctl: case SYS_getuid: case SYS_getgid: case SYS_set_robust_list: case SYS_rseq:
	case SYS_rt_tgsigqueueinfo: case SYS_rt_sigqueueinfo: case SYS_tgkill: case SYS_sigaltstack: case SYS_set_tid_address: case SYS_brk:
	case SYS_get_robust_list: case SYS_capget: case SYS_sched_getattr: case SYS_sched_getaffinity: case SYS_sched_setaffinity:
	case SYS_kcmp: case SYS_uname: case SYS_fstat: case SYS_geteuid: case SYS_getegid: case SYS_personality: case SYS_setfsuid: case SYS_setfsgid: case SYS_getresuid: case SYS_getresgid: case SYS_getgroups: case SYS_prlimit64: case SYS_getitimer: case SYS_ioprio_get:
		return 0;
	case SYS_openat: case SYS_socket: case SYS_dup3: case SYS_dup: case SYS_pipe2: case SYS_memfd_create:
		return EMFILE;
	case SYS_clone: case SYS_clone3:
		return EAGAIN;
	case SYS_read: case SYS_pread64: case SYS_write: case SYS_pwrite64: case SYS_fsync: case SYS_fdatasync: case SYS_lseek:
		return EIO;
	default:
		return ENOMEM;
	}
}

/* Options of a socket that are words of its own, which cannot fail to be told or set. */
static int plain_option(long nr, long level, long name)
{
	if ((nr != SYS_getsockopt && nr != SYS_setsockopt) || level != SOL_SOCKET)
		return 0;
	return name == SO_PASSCRED || name == SO_PEERCRED || name == SO_PEEK_OFF;
}

long sys_fault(long nr, long level, long name)
{
	struct control *c = control;
	uint32_t error;

	if (!c || !c->fail)
		return 0;
	error = plain_option(nr, level, name) ? 0 : error_of(nr);
	if (!error || __atomic_add_fetch(&c->count, 1, __ATOMIC_SEQ_CST) != c->fail)
		return 0;
	c->nr = (uint32_t)nr;
	c->error = error;
	return -(long)error;
}
