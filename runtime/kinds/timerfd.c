/*
 * timerfd.c - timers behind a descriptor
 *
 * Asking for the time left brings the count of expirations up to date without
 * consuming it; fdinfo, read after that, tells all (tests/kernel/timerfd_ticks.c).
 * A relative timer goes on with the time that was left, counted from the
 * moment the program runs again. An absolute one keeps its deadline on its
 * clock, since that is what the program compares it with.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <sys/timerfd.h>

#include "skshim/kind.h"

#include "skshim/frozen.h"

#define TIMERFD_SET_TICKS 0x40085400ul  /* TFD_IOC_SET_TICKS */
#define NSEC 1000000000ll

struct timerfd {
	uint32_t clock;
	uint32_t settime_flags;
	uint64_t ticks;
	int64_t left_ns;         /* 0: disarmed */
	int64_t deadline_ns;     /* on its clock */
	int64_t interval_ns;
};

static const struct field timerfd_fields[] = {
	FIELD_U32(struct timerfd, clock),
	FIELD_U32(struct timerfd, settime_flags),
	FIELD_U64(struct timerfd, ticks),
	FIELD_I64(struct timerfd, left_ns),
	FIELD_I64(struct timerfd, deadline_ns),
	FIELD_I64(struct timerfd, interval_ns),
	FIELD_END
};

static bool timerfd_match(const struct probe *p)
{
	return blob_is(p->path, "anon_inode:[timerfd]");
}

static int timerfd_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct timerfd *t = rec;
	struct __kernel_itimerspec left;
	struct __kernel_timespec now;
	uint64_t clock = 0, flags = 0;
	struct blob info;
	char path[40];
	int rc = sys_timerfd_gettime(p->fd, &left);

	text_format(path, sizeof(path), "/proc/thread-self/fdinfo/%d", p->fd);
	if (rc == 0)
		rc = arena_read_file(c->arena, AT_FDCWD, path, &info);
	if (rc == 0 && (!text_field(info, "clockid:", 10, &clock) || !text_field(info, "ticks:", 10, &t->ticks) ||
			!text_field(info, "settime flags:", 8, &flags)))
		rc = -EINVAL;
	/* A clock of alarms can be read by everybody, but only under its plain name where there is no RTC. */
	if (rc == 0)
		rc = sys_clock_gettime(clock == CLOCK_REALTIME_ALARM ? CLOCK_REALTIME :
				       clock == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME : (int)clock, &now);
	if (rc < 0)
		return collection_refuse(c, p, rc, "timerfd");
	t->clock = (uint32_t)clock;
	t->settime_flags = (uint32_t)flags & (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	t->left_ns = left.it_value.tv_sec * NSEC + left.it_value.tv_nsec;
	t->interval_ns = left.it_interval.tv_sec * NSEC + left.it_interval.tv_nsec;
	t->deadline_ns = now.tv_sec * NSEC + now.tv_nsec + t->left_ns;
	return 0;
}

static int timerfd_make(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct timerfd *t = rec;
	int fd = sys_timerfd_create((int)t->clock, TFD_CLOEXEC);

	(void)r;
	(void)obj;
	return fd < 0 ? failed(fd, "timerfd on clock %u", t->clock) : fd;
}

static int timerfd_arm(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct timerfd *t = rec;
	bool absolute = t->settime_flags & TFD_TIMER_ABSTIME;
	int64_t value = absolute ? t->deadline_ns : t->left_ns;
	struct __kernel_itimerspec set = {
		.it_value = { .tv_sec = value / NSEC, .tv_nsec = value % NSEC },
		.it_interval = { .tv_sec = t->interval_ns / NSEC, .tv_nsec = t->interval_ns % NSEC },
	};
	unsigned long at;
	int rc = 0;

	(void)obj;
	if (t->left_ns > 0) {
		at = rebuild_data(r, &set, sizeof(set));
		rc = at ? rebuild_call(r, "timerfd_settime", __NR_timerfd_settime, fd, (long)t->settime_flags, (long)at, 0) : -ENOMEM;
	}
	/* After it was set, which begins a new count. */
	if (rc >= 0 && t->ticks) {
		at = rebuild_data(r, &t->ticks, sizeof(t->ticks));
		rc = at ? rebuild_call(r, "timerfd ticks", __NR_ioctl, fd, TIMERFD_SET_TICKS, (long)at, 0) : -ENOMEM;
	}
	return rc < 0 ? failed(rc, "timerfd") : 0;
}

const struct kind kind_timerfd = {
	.tag = "timerfd", .size = sizeof(struct timerfd), .fields = timerfd_fields,
	.match = timerfd_match, .collect = timerfd_collect, .create = timerfd_make, .arm = timerfd_arm,
};
