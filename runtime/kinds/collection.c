/*
 * collection.c - what a kind may ask and say while it collects
 */
#include <asm/errno.h>

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
