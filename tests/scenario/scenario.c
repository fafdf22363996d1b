/*
 * scenario.c - the scenario's half of the talk with the runner
 *
 * In $SCENARIO: the scenario makes `ready`; the runner makes `go`, whose mode
 * says how the program came here; `ping` is renamed to `pong` by whoever is
 * waiting, which shows that the program runs.
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char ready_path[PATH_MAX], go_path[PATH_MAX], ping_path[PATH_MAX], pong_path[PATH_MAX];

__attribute__((constructor)) static void scenario_init(void)
{
	const char *dir = getenv("SCENARIO");

	if (dir == NULL)
		return; /* run by hand: waits a moment, then goes on */
	snprintf(ready_path, sizeof(ready_path), "%s/ready", dir);
	snprintf(go_path, sizeof(go_path), "%s/go", dir);
	snprintf(ping_path, sizeof(ping_path), "%s/ping", dir);
	snprintf(pong_path, sizeof(pong_path), "%s/pong", dir);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

void scenario_ready(void)
{
	int fd;

	if (ready_path[0] == '\0')
		return;
	fd = MUST(open(ready_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
	close(fd);
}

bool scenario_go(void)
{
	if (go_path[0] == '\0')
		return true;
	rename(ping_path, pong_path);
	return access(go_path, F_OK) == 0;
}

void scenario_wait(void)
{
	const struct timespec moment = {.tv_nsec = 3000000};

	scenario_ready();
	while (!scenario_go())
		nanosleep(&moment, NULL);
}

bool scenario_turn(void)
{
	const struct timespec moment = {.tv_nsec = 3000000};

	for (;; nanosleep(&moment, NULL)) {
		if (rename(ping_path, pong_path) == 0)
			return true;
		if (go_path[0] == '\0' || access(go_path, F_OK) == 0)
			return false;
	}
}

bool scenario_killed(void)
{
	struct stat st;

	return go_path[0] != '\0' && stat(go_path, &st) == 0 && (st.st_mode & S_IXUSR) != 0;
}

void scenario_ok(void)
{
	exit(0);
}

void scenario_skip(const char *why, ...)
{
	va_list ap;

	va_start(ap, why);
	printf("skipped: ");
	vprintf(why, ap);
	printf("\n");
	va_end(ap);
	exit(77);
}

void scenario_fail(const char *file, int line, const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "%s:%d: ", file, line);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, " (pid %d, errno %d: %s)\n", getpid(), err, strerror(err));
	va_end(ap);
	_exit(1);
}
