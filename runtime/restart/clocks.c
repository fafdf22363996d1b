/*
 * clocks.c - CLOCK_MONOTONIC and CLOCK_BOOTTIME never run backwards
 *
 * They count from the machine's start. After a reboot, or on another machine,
 * they may be behind what the program has seen; then the tree gets a time
 * namespace in which they go on from there (time_namespaces(7)). Where they are
 * ahead they stay: to the program it is as if it had slept.
 *
 * A time namespace takes offsets from the machine's clocks until its first
 * process enters, which the caller's next child does.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "restart.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define NS 1000000000ll

/* Whole seconds by which a clock has to be advanced, at least 1 if any: start times are counted in ticks. */
static int64_t behind(clockid_t clock, int64_t then)
{
	struct timespec t;
	int64_t now;

	clock_gettime(clock, &t);
	now = t.tv_sec * NS + t.tv_nsec;
	return now >= then ? 0 : (then - now) / NS + 1;
}

struct clocks clocks_needed(const struct image *image)
{
	return (struct clocks){ behind(CLOCK_MONOTONIC, image->manifest->monotonic_ns),
				behind(CLOCK_BOOTTIME, image->manifest->boottime_ns) };
}

/* Offsets of the namespace we are in count from the machine's clocks as well. */
static void add_own(struct clocks *c)
{
	FILE *f = fopen("/proc/self/timens_offsets", "re");
	char name[32];
	long sec, ns;

	while (f && fscanf(f, "%31s %ld %ld", name, &sec, &ns) == 3) {
		if (strcmp(name, "monotonic") == 0)
			c->monotonic += sec;
		else if (strcmp(name, "boottime") == 0)
			c->boottime += sec;
	}
	if (f)
		fclose(f);
}

int clocks_enter(struct clocks c)
{
	char text[128];
	int fd, n, rc = 0;

	if (!c.monotonic && !c.boottime)
		return 0;
	add_own(&c);
	n = snprintf(text, sizeof(text), "monotonic %ld 0\nboottime %ld 0\n", c.monotonic, c.boottime);
	if (unshare(CLONE_NEWTIME) < 0) {
		rc = -errno;
	} else {
		fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, text, (size_t)n) != n)
			rc = -errno;
		if (fd >= 0)
			close(fd);
	}
	if (rc < 0)
		log_line(LOG_WARN, "CLOCK_MONOTONIC and CLOCK_BOOTTIME are behind the image's here, and a time namespace can't be had "
			 "(%s): the program sees them run backwards", strerror(-rc));
	return rc;
}
