/*
 * err_test.c - one failure is kept, and lines of the log harm nobody
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "skshim/err.h"

#include "unit.h"

static char path[] = "/tmp/err_test.XXXXXX";

static const char *contents(void)
{
	static char buf[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	ck_assert_int_ge(n, 0);
	buf[n] = 0;
	close(fd);
	return buf;
}

START_TEST(first_failure_stays)
{
	char big[2000];

	ck_assert_str_eq(err_text(), "");
	ck_assert_int_eq(failed(-ENOENT, "file %s", "x"), -ENOENT);
	ck_assert_str_eq(err_text(), "file x: No such file or directory");
	ck_assert_int_eq(failed(-EPERM, "other"), -EPERM);
	ck_assert_str_eq(err_text(), "file x: No such file or directory");
	err_reset();
	ck_assert_str_eq(err_text(), "");
	failed(ERR_PLAIN, "just %d", 1);
	ck_assert_str_eq(err_text(), "just 1");
	err_reset();
	memset(big, 'y', sizeof(big));
	big[sizeof(big) - 1] = 0;
	failed(-EIO, "%s", big);
	ck_assert_uint_eq(strlen(err_text()), ERR_TEXT - 1);
}
END_TEST

static void *fail_often(void *arg)
{
	for (int i = 0; i < 1000; i++)
		failed(-EIO, "thread %d says so at length", *(int *)arg);
	return NULL;
}

START_TEST(threads_fail_at_once)
{
	int n[4] = { 0, 1, 2, 3 };
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, fail_often, &n[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_failed("says so at length: Input/output error");
}
END_TEST

START_TEST(log_to_file)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	log_setup("skshim", LOG_INFO, path);
	ck_assert_int_eq(log_current(), LOG_INFO);
	log_line(LOG_DEBUG, "not this");
	log_line(LOG_INFO, "pid %d", 7);
	log_line(LOG_ERROR, "and %s", "more");
	ck_assert_str_eq(contents(), "skshim: pid 7\nskshim: and more\n");
	unlink(path);
	log_setup("skshim", LOG_INFO, "/nonexistent/log");
	log_line(LOG_ERROR, "lost");
}
END_TEST

START_TEST(log_long_line_is_one_line)
{
	char big[5000];
	const char *s;

	close(mkstemp(path));
	memset(big, 'z', sizeof(big));
	big[sizeof(big) - 1] = 0;
	log_setup("skshim", LOG_INFO, path);
	log_line(LOG_INFO, "%s", big);
	s = contents();
	ck_assert_ptr_eq(strchr(s, '\n'), s + strlen(s) - 1);
	unlink(path);
}
END_TEST

/* A program closed standard error, and the number is now its data file, or its peer. */
START_TEST(log_spares_what_became_of_stderr)
{
	int sp[2], saved = dup(2), fd;
	char c;

	log_setup("skshim", LOG_INFO, NULL);
	fd = mkstemp(path);
	dup2(fd, 2);
	log_line(LOG_ERROR, "into the data");
	ck_assert_str_eq(contents(), "");
	fcntl(2, F_SETFL, O_APPEND);
	log_line(LOG_ERROR, "into the log");
	ck_assert_str_eq(contents(), "skshim: into the log\n");
	socketpair(AF_UNIX, SOCK_STREAM, 0, sp);
	dup2(sp[0], 2);
	log_line(LOG_ERROR, "to the peer");
	ck_assert_int_eq(recv(sp[1], &c, 1, MSG_DONTWAIT), -1);
	close(2);
	log_line(LOG_ERROR, "to nobody");
	dup2(saved, 2);
	unlink(path);
}
END_TEST

/* No SIGPIPE, no wait for a reader that sleeps, no SIGXFSZ. */
START_TEST(log_kills_nobody)
{
	struct rlimit r = { 5, RLIM_INFINITY };
	int p[2], saved = dup(2);
	char page[4096] = { 0 };

	ck_assert_int_eq(pipe(p), 0);
	dup2(p[1], 2);
	log_setup("skshim", LOG_INFO, NULL);
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	while (write(p[1], page, sizeof(page)) > 0)
		;
	fcntl(p[1], F_SETFL, 0);
	log_line(LOG_ERROR, "the reader sleeps");
	close(p[0]);
	log_line(LOG_ERROR, "the reader is gone");
	dup2(saved, 2);
	close(mkstemp(path));
	log_setup("skshim", LOG_INFO, path);
	setrlimit(RLIMIT_FSIZE, &r);
	log_line(LOG_ERROR, "longer than five");
	r.rlim_cur = RLIM_INFINITY;      /* Check writes files, too */
	setrlimit(RLIMIT_FSIZE, &r);
	ck_assert_str_eq(contents(), "");
	unlink(path);
}
END_TEST

UNIT_MAIN("err", first_failure_stays, threads_fail_at_once, log_to_file, log_long_line_is_one_line,
	  log_spares_what_became_of_stderr, log_kills_nobody)
