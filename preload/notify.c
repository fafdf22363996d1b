/*
 * notify.c - message queues that tell when a message has come
 *
 * The kernel shows who is to be told and by which signal, not with which
 * value. So what mq_notify() is given is noted here, in the program's own
 * memory, by inode; whether it still holds a checkpoint asks the kernel.
 */
#include <sys/stat.h>

#include "signals.h"
#include "stop.h"

#include "skshim/frozen.h"

#define NOTES 64

static struct note {
	uint64_t dev, ino;
	struct sigevent event;
	int fd;                      /* of a queue that is to be asked again, -1 */
	bool used;
} notes[NOTES];
static uint32_t lock;

static struct note *find(uint64_t dev, uint64_t ino)
{
	for (int i = 0; i < NOTES; i++)
		if (notes[i].used && notes[i].ino == ino && notes[i].dev == dev)
			return &notes[i];
	return NULL;
}

/* Of queues that are gone the notes stay, until there is no other place. */
static struct note *place(uint64_t dev, uint64_t ino)
{
	static unsigned next;
	struct note *n = find(dev, ino);

	for (int i = 0; i < NOTES && !n; i++)
		n = notes[i].used ? NULL : &notes[i];
	return n ? n : &notes[next++ % NOTES];
}

SHIM_EXPORT int mq_notify(mqd_t queue, const struct sigevent *ev)
{
	struct sigevent copy, *told = timer_event((struct sigevent *)(uintptr_t)ev, &copy);
	int rc = real.mq_notify(queue, told);
	struct stat st;
	struct note *n;

	/* With SIGEV_THREAD libc tells the kernel something else. */
	if (rc < 0 || !told || told->sigev_notify == SIGEV_THREAD || sys_fstat(queue, &st) < 0)
		return rc;
	if (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		return rc;
	n = place(st.st_dev, st.st_ino);
	*n = (struct note){ .dev = st.st_dev, .ino = st.st_ino, .event = *told, .fd = -1, .used = true };
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	return rc;
}

const struct sigevent *notify_of(uint64_t dev, uint64_t ino, int fd, bool registered)
{
	struct note *n = find(dev, ino);

	if (!n)
		return NULL;
	n->fd = registered ? fd : -1;
	return &n->event;
}

void notify_restore(void)
{
	for (int i = 0; i < NOTES; i++)
		if (notes[i].used && notes[i].fd >= 0)
			SYS2(__NR_mq_notify, notes[i].fd, &notes[i].event);
}
