/*
 * kinds_test.c - files, pipes, memory and terminals, looked at, thrown away and made again
 */
#include <errno.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#include "kinds_cycle.h"
#include "kinds_place.h"

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

/* --- files -------------------------------------------------------------------------------------------------- */

START_TEST(file_position_and_flags)
{
	char got[8] = "";
	int a, b, twice;

	enter();
	put("f", "0123456789", 0);
	a = open("f", O_RDONLY);
	b = open("f", O_RDWR | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(lseek(a, 4, SEEK_SET), 4);
	twice = dup(a);
	cycle();
	ck_assert_int_eq(read(twice, got, 2), 2);
	ck_assert_str_eq(got, "45");
	ck_assert_int_eq(lseek(a, 0, SEEK_CUR), 6);
	ck_assert_int_eq(fcntl(b, F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
	ck_assert_int_eq(fcntl(b, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(a, F_GETFD), 0);
	ck_assert_int_eq(write(a, "x", 1), -1);
	leave();
}
END_TEST

static void rewrite_f(void)
{
	put("f", "other", O_TRUNC);
}
static void append_f(void)
{
	put("f", "more", O_APPEND);
}
static void replace_f(void)
{
	put("g", "0123456789a", 0);
	rename("g", "f");
}
static void remove_f(void)
{
	unlink("f");
}
static void scribble_f(void)
{
	int fd = open("f", O_WRONLY);

	ck_assert_int_eq(pwrite(fd, "x", 1, 0), 1);
	close(fd);
}

/* Another file with the same bytes, in another order of events. */
static void copy_f(void)
{
	put("g", "0123456789", 0);
	ck_assert_int_eq(rename("g", "f"), 0);
}
static void copy_times_f(void)
{
	struct timespec times[2];
	struct stat st;

	ck_assert_int_eq(stat("f", &st), 0);
	times[0] = st.st_atim;
	times[1] = (struct timespec){ .tv_sec = st.st_mtim.tv_sec };
	put("g", "abcdefghij", 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, "g", times, 0), 0);
	ck_assert_int_eq(rename("g", "f"), 0);
}

/* How a file that is open with `flags` bears a change: the words of the refusal, NULL where it is taken. */
static void changed(int flags, void (*change)(void), const char *words)
{
	int fd, rc;

	enter();
	put("f", "0123456789", 0);
	fd = open("f", flags);
	rc = cycle_with(change);
	if (words) {
		ck_assert_int_lt(rc, 0);
		ck_failed(words);
		ck_failed("/f");
	} else {
		ck_assert_msg(rc == 0, "%s", err_text());
		ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
		close(fd);
	}
	leave();
}

START_TEST(file_changed)
{
	changed(O_RDONLY, rewrite_f, "changed since the checkpoint");
	changed(O_RDONLY, append_f, "changed since the checkpoint");
	changed(O_RDONLY, replace_f, "replaced");
	changed(O_RDONLY, remove_f, "is gone");
	changed(O_RDWR, scribble_f, "changed since the checkpoint");
	changed(O_RDWR, rewrite_f, "changed since the checkpoint");
	changed(O_RDWR, append_f, NULL);
	changed(O_RDWR, replace_f, "replaced");
	changed(O_RDWR, copy_f, NULL);
	changed(O_RDONLY, copy_times_f, NULL);
	changed(O_WRONLY, append_f, NULL);
	changed(O_WRONLY, rewrite_f, "changed since the checkpoint");
	changed(O_WRONLY | O_APPEND, rewrite_f, NULL);
	changed(O_WRONLY | O_APPEND, append_f, NULL);
	cycle_stop = true;
	changed(O_WRONLY, append_f, NULL);
	changed(O_RDWR, append_f, "changed since the checkpoint");
	changed(O_RDONLY, copy_f, NULL);
}
END_TEST

START_TEST(file_deleted)
{
	int fd, again, hole;
	struct stat st;
	char got[16] = "";

	enter();
	put("f", "0123456789", 0);
	fd = open("f", O_RDONLY);
	again = open("f", O_RDWR);
	ck_assert_int_eq(fchmod(fd, 0400), 0);
	ck_assert_int_eq(unlink("f"), 0);
	hole = open(".", O_TMPFILE | O_RDWR, 0600);
	ck_assert_int_eq(pwrite(hole, "end", 3, 1l << 40), 3);
	ck_assert_int_eq(lseek(fd, 3, SEEK_SET), 3);
	cycle();
	ck_assert_int_eq(read(fd, got, 3), 3);
	ck_assert_str_eq(got, "345");
	ck_assert_int_eq(pwrite(again, "X", 1, 0), 1);
	ck_assert_int_eq(pread(fd, got, 1, 0), 1);
	ck_assert_int_eq(got[0], 'X');
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0400);
	ck_assert_int_eq(st.st_nlink, 0);
	ck_assert_int_eq(fstat(hole, &st), 0);
	ck_assert_int_eq(st.st_size, (1l << 40) + 3);
	ck_assert_int_lt(st.st_blocks, 1000);
	ck_assert_int_eq(pread(hole, got, 3, 1l << 40), 3);
	ck_assert_mem_eq(got, "end", 3);
	leave();
}
END_TEST

START_TEST(file_linked_elsewhere)
{
	char got[16] = "";
	int fd;

	enter();
	put("f", "0123456789", 0);
	fd = open("f", O_RDWR);
	ck_assert_int_eq(link("f", "other"), 0);
	ck_assert_int_eq(unlink("f"), 0);
	cycle();
	put("other", "AB", 0);
	ck_assert_int_eq(read(fd, got, 3), 3);
	ck_assert_str_eq(got, "AB2");
	leave();
}
END_TEST

/* Whether another process could lock it. */
static bool locked(const char *name, short type, off_t start)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct flock fl = { .l_type = type, .l_start = start, .l_len = 1 };
		int fd = open(name, O_RDWR);

		_exit(fcntl(fd, F_SETLK, &fl) == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status) == 1;
}

START_TEST(file_locks)
{
	struct flock posix = { .l_type = F_WRLCK, .l_start = 2, .l_len = 3 };
	struct flock ofd = { .l_type = F_RDLCK, .l_start = 100, .l_len = 0 };
	int fd, other;

	enter();
	put("f", "0123456789", 0);
	put("g", "0123456789", 0);
	fd = open("f", O_RDWR);
	other = open("g", O_RDONLY);
	ck_assert_int_eq(fcntl(fd, F_SETLK, &posix), 0);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &ofd), 0);
	ck_assert_int_eq(flock(other, LOCK_EX), 0);
	cycle();
	ck_assert(!locked("f", F_RDLCK, 1));
	ck_assert(locked("f", F_RDLCK, 2));
	ck_assert(locked("f", F_RDLCK, 4));
	ck_assert(!locked("f", F_RDLCK, 5));
	ck_assert(locked("f", F_WRLCK, 1000));
	ck_assert(!locked("f", F_RDLCK, 1000));
	ck_assert_int_eq(flock(open("g", O_RDONLY), LOCK_SH | LOCK_NB), -1);
	leave();
}
END_TEST

START_TEST(directories)
{
	int fd, gone, path;
	char name[300], got[400] = "";
	struct stat a, b;

	enter();
	ck_assert_int_eq(mkdir("d", 0711), 0);
	fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	gone = open("d", O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(rmdir("d"), 0);
	put("f", "", 0);
	path = open("f", O_PATH);
	fstat(path, &a);
	cycle();
	ck_assert_int_eq(faccessat(fd, "f", R_OK, 0), 0);
	fstat(path, &b);
	ck_assert_uint_eq(a.st_ino, b.st_ino);
	ck_assert_int_ne(fcntl(path, F_GETFL) & O_PATH, 0);
	ck_assert_int_eq(fstat(gone, &b), 0);
	ck_assert_int_eq(b.st_nlink, 0);
	ck_assert_int_eq(b.st_mode & 07777, 0711);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", gone);
	ck_assert_int_gt(readlink(name, got, sizeof(got) - 1), 0);
	snprintf(name, sizeof(name), "%s/d (deleted)", where);
	ck_assert_str_eq(got, name);
	ck_assert_int_eq(access("d", F_OK), -1);
	leave();
}
END_TEST

START_TEST(devices)
{
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), full = open("/dev/full", O_WRONLY);
	int random = open("/dev/urandom", O_RDONLY | O_NONBLOCK);
	char got[2] = "xx";

	cycle();
	ck_assert_int_eq(read(null, got, 2), 0);
	ck_assert_int_eq(read(zero, got, 2), 2);
	ck_assert_mem_eq(got, "\0\0", 2);
	ck_assert_int_eq(write(full, got, 1), -1);
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_int_eq(read(random, got, 2), 2);
	ck_assert_int_ne(fcntl(random, F_GETFL) & O_NONBLOCK, 0);
}
END_TEST

START_TEST(refused)
{
	struct iovec none = { 0 };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);

	(void)none;
	if (fd < 0)
		return;
	ck_assert_int_eq(cycle_with(NULL), -EOPNOTSUPP);
	ck_failed("userfaultfd is not supported");
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
}
END_TEST

/* --- pipes --------------------------------------------------------------------------------------------------- */

START_TEST(pipe_data)
{
	char got[32] = "";
	int p[2], q[2], left;

	ck_assert_int_eq(pipe2(p, O_NONBLOCK), 0);
	ck_assert_int_eq(pipe(q), 0);
	ck_assert_int_eq(fcntl(q[0], F_SETPIPE_SZ, 1 << 18), 1 << 18);
	ck_assert_int_eq(write(p[1], "hello", 5), 5);
	ck_assert_int_eq(fcntl(p[1], F_SETFL, 0), 0);
	for (int i = 0; i < 2; i++) {
		cycle();
		ck_assert_int_eq(ioctl(p[0], FIONREAD, &left), 0);
		ck_assert_int_eq(left, 5);
	}
	ck_assert_int_eq(fcntl(q[1], F_GETPIPE_SZ), 1 << 18);
	ck_assert_int_eq(fcntl(p[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert_int_eq(fcntl(p[1], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(read(p[0], got, sizeof(got)), 5);
	ck_assert_str_eq(got, "hello");
	ck_assert_int_eq(read(p[0], got, sizeof(got)), -1);
	close(p[1]);
	ck_assert_int_eq(read(p[0], got, sizeof(got)), 0);
}
END_TEST

START_TEST(pipe_full_and_packets)
{
	char block[4096], got[5000];
	int full[2], packets[2];

	ck_assert_int_eq(pipe2(full, O_NONBLOCK), 0);
	for (int i = 0; i < 16; i++) {
		memset(block, 'a' + i, sizeof(block));
		ck_assert_int_eq(write(full[1], block, sizeof(block)), sizeof(block));
	}
	ck_assert_int_eq(write(full[1], block, 1), -1);
	ck_assert_int_eq(pipe2(packets, O_DIRECT), 0);
	for (int i = 1; i < 9; i++)
		ck_assert_int_eq(write(packets[1], block, (size_t)(i * 11)), i * 11);
	cycle();
	ck_assert_int_eq(write(full[1], block, 1), -1);
	ck_assert_int_eq(errno, EAGAIN);
	for (int i = 1; i < 9; i++)
		ck_assert_int_eq(read(packets[0], got, sizeof(got)), i * 11);
	ck_assert_int_ne(fcntl(packets[1], F_GETFL) & O_DIRECT, 0);
	ck_assert_int_eq(fcntl(packets[1], F_GETFL) & O_NONBLOCK, 0);
	for (int i = 0; i < 16; i++) {
		memset(block, 'a' + i, sizeof(block));
		ck_assert_int_eq(read(full[0], got, sizeof(block)), sizeof(block));
		ck_assert_mem_eq(got, block, sizeof(block));
	}
}
END_TEST

START_TEST(pipe_half_open)
{
	int r[2], w[2], both[2], rdwr;
	struct sigaction ign = { .sa_handler = SIG_IGN };
	char path[40], got[8] = "";

	sigaction(SIGPIPE, &ign, NULL);
	ck_assert_int_eq(pipe(r), 0);
	ck_assert_int_eq(pipe(w), 0);
	ck_assert_int_eq(pipe(both), 0);
	ck_assert_int_eq(write(r[1], "left", 4), 4);
	close(r[1]);
	close(w[0]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", both[0]);
	rdwr = open(path, O_RDWR);
	ck_assert_int_eq(write(both[1], "x", 1), 1);
	cycle();
	ck_assert_int_eq(cycle_rebuild.losses, 0);
	ck_assert_int_eq(read(r[0], got, 8), 4);
	ck_assert_int_eq(read(r[0], got, 8), 0);
	ck_assert_int_eq(write(w[1], "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	ck_assert_int_eq(write(rdwr, "y", 1), 1);
	ck_assert_int_eq(read(both[0], got, 8), 2);
	ck_assert_mem_eq(got, "xy", 2);
}
END_TEST

static int outside[2];

START_TEST(pipe_of_the_launcher)
{
	int p[2], other[2];
	char got[8];

	/* Descriptor 1 is a pipe whose reader is nobody of the tree's. */
	ck_assert_int_eq(pipe(p), 0);
	cycle_launcher[0] = fcntl(p[0], F_DUPFD, 100);
	ck_assert_int_eq(pipe(other), 0);
	cycle_launcher[1] = fcntl(other[1], F_DUPFD, 100);
	outside[0] = cycle_launcher[2] = fcntl(other[0], F_DUPFD, 100);
	ck_assert_int_eq(dup2(p[1], 1), 1);
	close(p[0]);
	close(p[1]);
	close(other[0]);
	close(other[1]);
	cycle_standard = true;
	close(0);
	close(2);
	ck_assert_int_eq(open("/dev/null", O_RDWR), 0);
	ck_assert_int_eq(open("/dev/null", O_RDWR), 2);
	cycle();
	ck_assert_int_eq(write(1, "out", 3), 3);
	ck_assert_int_eq(read(outside[0], got, 8), 3);
	ck_assert_mem_eq(got, "out", 3);
}
END_TEST

START_TEST(fifos)
{
	int r, w, gone, fresh, block;
	char got[16] = "";

	enter();
	ck_assert_int_eq(mkfifo("p", 0600), 0);
	ck_assert_int_eq(mkfifo("q", 0640), 0);
	ck_assert_int_eq(mkfifo("fresh", 0600), 0);
	r = open("p", O_RDONLY | O_NONBLOCK);
	w = open("p", O_WRONLY);
	ck_assert_int_eq(write(w, "hello", 5), 5);
	gone = open("q", O_RDWR);
	ck_assert_int_eq(write(gone, "unlinked", 8), 8);
	unlink("q");
	fresh = open("fresh", O_RDONLY | O_NONBLOCK);
	block = open("fresh", O_PATH);
	cycle();
	cycle();
	ck_assert_int_eq(read(r, got, 16), 5);
	ck_assert_mem_eq(got, "hello", 5);
	close(w);
	ck_assert_int_eq(read(r, got, 16), 0);
	ck_assert_int_eq(read(gone, got, 16), 8);
	ck_assert_mem_eq(got, "unlinked", 8);
	ck_assert_int_eq(access("q", F_OK), -1);
	ck_assert(!readable(fresh));
	w = open("fresh", O_WRONLY | O_NONBLOCK);
	ck_assert_int_ge(w, 0);
	ck_assert_int_eq(write(w, "x", 1), 1);
	ck_assert(readable(fresh));
	close(block);
	leave();
}
END_TEST

/* --- memory and terminals ------------------------------------------------------------------------------------- */

START_TEST(memfds)
{
	int plain = memfd_create("a name", MFD_CLOEXEC), sealed = memfd_create("sealed", MFD_ALLOW_SEALING), ro;
	char path[64], got[64] = "";

	ck_assert_int_eq(write(plain, "contents", 8), 8);
	ck_assert_int_eq(ftruncate(plain, 1l << 30), 0);
	ck_assert_int_eq(write(sealed, "fixed", 5), 5);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", sealed);
	ro = open(path, O_RDONLY);
	ck_assert_int_eq(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK), 0);
	for (int i = 0; i < 2; i++) {
		cycle();
		ck_assert_int_eq(lseek(plain, 0, SEEK_CUR), 8);
		ck_assert_int_eq(lseek(plain, 0, SEEK_END), 1l << 30);
		ck_assert_int_eq(lseek(plain, 8, SEEK_SET), 8);
		ck_assert_int_eq(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
		ck_assert_int_eq(fcntl(ro, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK);
		ck_assert_int_eq(pread(ro, got, 6, 0), 5);
		ck_assert_mem_eq(got, "fixed", 5);
		ck_assert_int_eq(pwrite(sealed, "x", 1, 0), -1);
	}
	ck_assert_int_eq(fcntl(ro, F_ADD_SEALS, F_SEAL_GROW), -1);
	ck_assert_int_eq(fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW), 0);
	ck_assert_int_eq(fcntl(ro, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", plain);
	ck_assert_int_gt(readlink(path, got, sizeof(got) - 1), 0);
	ck_assert_str_eq(got, "/memfd:a name (deleted)");
}
END_TEST

START_TEST(terminals)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, other, index, lonely = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	struct winsize ws = { .ws_row = 33, .ws_col = 77 }, got;
	struct termios t;
	char name[64], text[64] = "";

	ck_assert_int_eq(grantpt(master), 0);
	ck_assert_int_eq(unlockpt(master), 0);
	ck_assert_int_eq(ptsname_r(master, name, sizeof(name)), 0);
	slave = open(name, O_RDWR | O_NOCTTY);
	other = open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK);
	ck_assert_int_eq(tcgetattr(slave, &t), 0);
	cfmakeraw(&t);
	ck_assert_int_eq(tcsetattr(slave, TCSANOW, &t), 0);
	ck_assert_int_eq(ioctl(slave, TIOCSWINSZ, &ws), 0);
	for (int i = 0; i < 2; i++) {
		cycle();
		ck_assert_int_eq(cycle_rebuild.losses, 0);
		ck_assert_int_eq(ioctl(master, TIOCGPTN, &index), 0);
		snprintf(text, sizeof(text), "/dev/pts/%d", index);
		ck_assert_str_eq(text, name);
		ck_assert_int_eq(ioctl(slave, TIOCGWINSZ, &got), 0);
		ck_assert_int_eq(got.ws_row, 33);
		ck_assert_int_eq(got.ws_col, 77);
		ck_assert_int_eq(tcgetattr(other, &t), 0);
		ck_assert_int_eq(t.c_lflag & (ICANON | ECHO), 0);
		ck_assert_int_eq(write(slave, "out\n", 4), 4);
		ck_assert_int_eq(read(master, text, sizeof(text)), 4);
		ck_assert_int_eq(write(master, "in", 2), 2);
		ck_assert_int_eq(read(other, text, sizeof(text)), 2);
	}
	ck_assert_int_eq(ioctl(lonely, TIOCGPTLCK, &index), 0);
	ck_assert_int_eq(index, 1);
	ck_assert_int_eq(read(lonely, text, 1), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(slave);
	close(other);
	cycle();
	ck_assert_int_eq(read(master, text, 1), -1);
	ck_assert_int_eq(errno, EIO);
}
END_TEST

UNIT_MAIN("kinds", file_position_and_flags, file_changed, file_deleted, file_linked_elsewhere, file_locks, directories,
	  devices, refused, pipe_data, pipe_full_and_packets, pipe_half_open, pipe_of_the_launcher, fifos, memfds, terminals)

/* Last: its poisoned names are used above. */
#include "preload/probe.c"
