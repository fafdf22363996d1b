/*
 * ledger.c - the tree's shared memory, made anew
 *
 * Sockets have new cookies, so each entry gets the new one of the socket that
 * was made for it, and names of other sockets in it (mate, listener) are
 * looked up the same way.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/lineages.h"
#include "skshim/treefile.h"

static void put(char *to, size_t room, struct blob from)
{
	snprintf(to, room, "%.*s", (int)from.n, (const char *)from.p);
}

static uint64_t new_cookie(const struct rebuild *rb, uint32_t obj)
{
	uint64_t cookie = 0;
	socklen_t n = sizeof(cookie);
	int fd = rebuild_fd(rb, obj);

	if (rb->cookies[obj])
		return rb->cookies[obj];
	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) == 0 ? cookie : 0;
}

/* The sockets of the image, by the cookies they had. */
struct old_cookie {
	uint64_t cookie;
	uint32_t obj;
};

static int by_cookie(const void *a, const void *b)
{
	const struct old_cookie *x = a, *y = b;

	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

static struct old_cookie *old_cookies(const struct image *image)
{
	struct old_cookie *list = malloc((image->nobjects + 1) * sizeof(*list));

	for (uint32_t i = 0; list && i < image->nobjects; i++)
		list[i] = (struct old_cookie){ image->objects[i].common->cookie, i };
	if (list)
		qsort(list, image->nobjects, sizeof(*list), by_cookie);
	return list;
}

static uint64_t translate(const struct rebuild *rb, const struct image *image, const struct old_cookie *list, uint64_t old)
{
	struct old_cookie key = { .cookie = old }, *found;

	found = old ? bsearch(&key, list, image->nobjects, sizeof(*list), by_cookie) : NULL;
	return found ? new_cookie(rb, found->obj) : 0;
}

/* Where a unix socket's file is: a field of its record. */
static struct blob file_of(const struct image_object *o)
{
	for (const struct field *f = o->kind->fields; !strcmp(o->kind->tag, "unix") && f->type != FIELD_END_T; f++)
		if (f->type == FIELD_STR_T && !strcmp(f->name, "file"))
			return *(const struct blob *)((const char *)o->rec + f->offset);
	return (struct blob){ 0 };
}

/* A number among a record's fields, 0 where it has none. */
static int32_t number_in(const struct field *f, const void *rec, const char *name)
{
	for (; f->type != FIELD_END_T; f++)
		if ((f->type == FIELD_I32_T || f->type == FIELD_U32_T) && !strcmp(f->name, name))
			return *(const int32_t *)((const char *)rec + f->offset);
	return 0;
}

static int32_t number_of(const struct image_object *o, const char *name)
{
	return number_in(o->kind->fields, o->rec, name);
}

/* Which of its options differ from a fresh socket's: its record lists them. */
static uint32_t touched(const struct image_object *o)
{
	const struct field *f = o->kind->fields;
	const struct list *options;
	uint32_t bits = 0;

	while (f->type != FIELD_END_T && (f->type != FIELD_LIST_T || strcmp(f->name, "options") != 0))
		f++;
	if (f->type == FIELD_END_T)
		return TOUCHED_ANY;
	options = (const struct list *)((const char *)o->rec + f->offset);
	for (uint32_t i = 0; i < options->n; i++) {
		const char *option = (const char *)options->items + (size_t)i * f->size;

		bits |= lineages_touch(number_in(f->sub, option, "level"), number_in(f->sub, option, "name"));
	}
	return bits;
}

/* The error that waits on it. */
static uint32_t error_of(const struct image_object *o)
{
	for (const struct field *f = o->kind->fields; !strcmp(o->kind->tag, "tcp") && f->type != FIELD_END_T; f++)
		if (f->type == FIELD_U32_T && !strcmp(f->name, "error"))
			return *(const uint32_t *)((const char *)o->rec + f->offset);
	return 0;
}

static int put_entry(struct ledger *l, const struct image *image, const struct rebuild *rb, uint32_t obj)
{
	const struct lineage_record *r = image->objects[obj].lineage;
	const struct frame_record *f = r->frames.items;
	uint64_t cookie = new_cookie(rb, obj);
	struct blob file;
	struct lineage *e = cookie ? lineages_claim(l->tree) : NULL;

	if (!cookie)
		return 0;
	if (!e)
		return failed(-ENOSPC, "%s: where object %u comes from", l->tree->path, obj);
	e->origin = r->origin;
	if (number_of(&image->objects[obj], "cred_pid") > 0)
		e->peer_process = number_of(&image->objects[obj], "cred_lives") ? number_of(&image->objects[obj], "cred_pid") : PEER_WAS_GONE;
	e->pid = r->pid;
	e->tid = r->tid;
	e->when = r->when;
	memcpy(e->program, r->program.p, r->program.n < sizeof(e->program) ? r->program.n : sizeof(e->program));
	e->mate = translate(rb, image, l->old, r->mate);
	e->listener = translate(rb, image, l->old, r->listener);
	e->backlog = r->backlog;
	e->error = error_of(&image->objects[obj]);
	e->touched = touched(&image->objects[obj]);
	for (uint32_t i = 0; i < r->frames.n && i < LINEAGE_FRAMES; i++)
		e->frames[e->nframes++] = f[i].address;
	if (r->bound.n <= sizeof(e->bound))
		memcpy(e->bound, r->bound.p, e->bound_len = (uint32_t)r->bound.n);
	if (r->peer.n <= sizeof(e->peer))
		memcpy(e->peer, r->peer.p, e->peer_len = (uint32_t)r->peer.n);
	e->cwd_dev = r->cwd_dev;
	e->cwd_ino = r->cwd_ino;
	e->file_dev = r->file_dev;
	e->file_ino = r->file_ino;
	e->file_anchor = rebuild_kept_of(rb, obj);
	file = file_of(&image->objects[obj]);
	if (file.n <= sizeof(e->file) && e->file_anchor < 0)
		memcpy(e->file, file.p, e->file_len = (uint32_t)file.n);
	if (r->cwd.n <= sizeof(e->cwd))
		memcpy(e->cwd, r->cwd.p, e->cwd_len = (uint32_t)r->cwd.n);
	if (r->notes.n <= sizeof(e->notes))
		memcpy(e->notes, r->notes.p, e->notes_len = (uint32_t)r->notes.n);
	e->notes_lost = r->notes_lost;
	if (lineages_publish(l->tree, e, cookie))
		l->entries++;
	else if (memchr(l->tree->lineage_index_ready, 2, sizeof(l->tree->lineage_index_ready)))
		return failed(-ENOSPC, "%s: where object %u comes from", l->tree->path, obj);
	return 0;
}

int ledger_make(struct ledger *l, struct image *image, const struct rebuild *rb, uint64_t outer)
{
	const struct manifest_record *m = image->manifest;
	struct tree *t;
	int rc = treefile_create(getenv("TMPDIR"), &l->tree);

	if (rc < 0)
		return rc;
	t = l->tree;
	/* root_pid stays ours until that process is there: who sweeps asks whether it lives */
	t->outer = outer;
	t->signal = m->signal;
	t->after_exit = m->after_exit;
	t->after_code = m->after_code;
	t->keep = m->keep;
	t->log_level = m->log_level;
	t->backtrace = m->backtrace;
	t->files_written = m->files_written;
	t->files_most = m->files_most;
	t->generation = m->generation + 1;
	put(t->dir, sizeof(t->dir), m->checkpoint_dir);
	put(t->log_path, sizeof(t->log_path), m->log_path);
	put(t->shim_path, sizeof(t->shim_path), m->shim_path);
	put(t->preload, sizeof(t->preload), m->preload);
	l->old = old_cookies(image);
	if (!l->old)
		return failed(-ENOMEM, "memory for %u sockets", image->nobjects);
	for (uint32_t i = 0; rc == 0 && i < image->nobjects; i++)
		if (image->objects[i].lineage && rb->fds[i] != REBUILD_LEFT)
			rc = put_entry(l, image, rb, i);
	return rc;
}

int ledger_own(struct ledger *l, struct image *image, const struct rebuild *rb, uint32_t process)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < image->nobjects; i++)
		if (image->objects[i].lineage && rb->fds[i] == REBUILD_LEFT && rb->only[i] == (int32_t)process)
			rc = put_entry(l, image, rb, i);
	return rc;
}

void ledger_remove(struct ledger *l)
{
	if (l->tree)
		treefile_remove(l->tree);
}
