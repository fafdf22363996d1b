/*
 * collection.c - what a kind may ask and say while it collects
 */
#include <asm/errno.h>
#include <linux/kcmp.h>

#include "skshim/kind.h"

#include "skshim/frozen.h"

#define COLLECTION_TEXT 512

uint32_t collection_object(const struct collection *c, int fd)
{
	uint32_t lo = 0, hi = c->nfds;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->fds[mid].fd == fd)
			return c->fds[mid].obj;
		if (c->fds[mid].fd < fd)
			lo = mid + 1;
		else
			hi = mid;
	}
	return OBJ_NONE;
}

/* Whether two descriptors are one description. Sockets have one an inode. */
static bool same_description(const struct probe *a, const struct probe *b)
{
	int self = sys_gettid();

	if (a->st.st_ino != b->st.st_ino || a->st.st_dev != b->st.st_dev || a->flags != b->flags)
		return false;
	if (a->cookie || b->cookie)
		return a->cookie == b->cookie;
	return sys_kcmp(self, self, KCMP_FILE, (unsigned long)a->fd, (unsigned long)b->fd) == 0;
}

/* An array in the arena, grown by copying; what it was stays readable for those who point into it. */
static void *grown(struct arena *arena, const void *old, uint32_t n, uint32_t *room, size_t item)
{
	void *p;

	if (n < *room)
		return (void *)old;
	*room = n * 2 + 8;
	p = arena_alloc(arena, *room * item);
	if (p && n)
		memcpy(p, old, n * item);
	return p;
}

static uint32_t adopt_new(struct collection *c, const struct probe *found)
{
	uint32_t room = c->room_probes;
	void *probes = grown(c->arena, c->probes, c->nprobes, &c->room_probes, sizeof(*c->probes));
	void *losses = grown(c->arena, c->losses, c->nprobes, &room, sizeof(*c->losses));
	void *adopted = grown(c->arena, c->adopted, c->nadopted, &c->room_adopted, sizeof(*c->adopted));

	if (!probes || !losses || !adopted)
		return OBJ_NONE;
	c->probes = probes;
	c->losses = losses;
	c->adopted = adopted;
	c->adopted[c->nadopted++] = found->fd;
	c->probes[c->nprobes] = *found;
	c->probes[c->nprobes].obj = c->nprobes;
	return c->nprobes++;
}

uint32_t collection_adopt(struct collection *c, int fd)
{
	struct probe found = { .fd = fd };
	uint32_t i, obj;

	if (!c->look || c->look(c, &found, fd) < 0) {
		sys_close(fd);
		return OBJ_NONE;
	}
	for (i = 0; i < c->nprobes; i++)
		if (same_description(&c->probes[i], &found)) {
			sys_close(fd);
			return i;
		}
	obj = adopt_new(c, &found);
	if (obj == OBJ_NONE) {
		failed(-ENOMEM, "pid %d: descriptors in flight", c->pid);
		sys_close(fd);
	}
	return obj;
}

void collection_release(struct collection *c)
{
	if (c->release)
		c->release(c);
	c->release = NULL;
	while (c->nadopted)
		sys_close(c->adopted[--c->nadopted]);
}

void collection_loss(struct collection *c, const struct probe *p, const char *fmt, ...)
{
	char text[COLLECTION_TEXT];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(LOG_WARN, "pid %d fd %d: %s", c->pid, p->fd, text);
	if (c->losses && p->obj < c->nprobes)
		c->losses[p->obj] = arena_blob(c->arena, text, (size_t)n);
}

int collection_refuse(struct collection *c, const struct probe *p, int rc, const char *fmt, ...)
{
	char text[COLLECTION_TEXT];
	va_list ap;

	va_start(ap, fmt);
	text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* "Operation not supported" behind "is not supported" says nothing new. */
	failed(rc == -EOPNOTSUPP ? ERR_PLAIN : rc, "pid %d fd %d: %s", c->pid, p->fd, text);
	return rc;
}
