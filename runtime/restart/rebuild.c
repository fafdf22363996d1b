/*
 * rebuild.c - kernel objects, phase by phase
 *
 * What kinds may ask of the restart is in kind.h; this is the other side.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/away.h"
#include "skshim/view.h"

int rebuild_begin(struct rebuild *rb, struct image *image, const struct options *options, struct arena *arena)
{
	memset(rb, 0, sizeof(*rb));
	rb->image = image;
	rb->options = options;
	rb->arena = arena;
	rb->fds = malloc((image->nobjects + 1) * sizeof(*rb->fds));
	rb->told = calloc(image->nobjects + 1, sizeof(*rb->told));
	rb->in_table = calloc(image->nobjects + 1, sizeof(*rb->in_table));
	rb->stand_in = calloc(image->nobjects + 1, sizeof(*rb->stand_in));
	rb->lent = calloc(image->nobjects + 1, sizeof(*rb->lent));
	rb->taken = calloc(INHERIT_MAX, sizeof(*rb->taken));
	if (!rb->fds || !rb->told || !rb->in_table || !rb->stand_in || !rb->lent || !rb->taken)
		return failed(-ENOMEM, "memory for %u objects", image->nobjects);
	for (uint32_t i = 0; i < image->nobjects; i++)
		rb->fds[i] = -1;
	for (uint32_t i = 0; i < image->nprocesses; i++) {
		const struct list *fds = &image->processes[i].task->fds;

		for (uint32_t k = 0; k < fds->n; k++)
			rb->in_table[((const struct fd_record *)fds->items)[k].obj] = true;
	}
	for (int i = 0; i < 3; i++)
		rb->launcher_std[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
	return 0;
}

/* --- what kinds ask ----------------------------------------------------------------------------------------- */

int rebuild_fd(const struct rebuild *rb, uint32_t obj)
{
	return obj < rb->image->nobjects ? rb->fds[obj] : -1;
}

void rebuild_give(struct rebuild *rb, uint32_t obj, int fd)
{
	if (obj >= rb->image->nobjects)
		return;
	if (rb->fds[obj] >= 0)
		close(rb->fds[obj]);
	rb->fds[obj] = fd;
}

bool rebuild_in_table(const struct rebuild *rb, uint32_t obj)
{
	return obj < rb->image->nobjects && rb->in_table[obj];
}

int rebuild_keep(struct rebuild *rb, uint32_t obj, int fd)
{
	struct kept *more = fd < 0 ? NULL : realloc(rb->kept, (rb->nkept + 1) * sizeof(*more));

	if (!more)
		return failed(fd < 0 ? fd : -ENOMEM, "the file of a listener");
	rb->kept = more;
	rb->kept[rb->nkept++] = (struct kept){ obj, fd };
	return 0;
}

/* A number from which on the tree's programs don't look, and that isn't below `above`. */
static int out_of_the_way(const struct rebuild *rb, int above)
{
	uint64_t soft = AWAY_FLOOR + AWAY_ROOM;
	struct rlimit own;

	for (uint32_t i = 0; i < rb->image->nprocesses; i++) {
		const struct blob *b = &rb->image->processes[i].task->rlimits;
		struct { uint64_t soft, hard; } limit;

		if (b->n < (RLIMIT_NOFILE + 1) * sizeof(limit))
			continue;
		memcpy(&limit, (const char *)b->p + RLIMIT_NOFILE * sizeof(limit), sizeof(limit));
		if (limit.soft < soft)
			soft = limit.soft;
	}
	if (soft >= AWAY_FLOOR + AWAY_ROOM)
		soft = AWAY_FLOOR;
	if (getrlimit(RLIMIT_NOFILE, &own) < 0 || soft + rb->nkept >= own.rlim_cur)
		return above;
	return soft > (uint64_t)above ? (int)soft : above;
}

/* Whether a process that has it shares its table of descriptors, in which the shim keeps nothing (preload/fdtable.c). */
static bool in_shared_table(const struct image *image, uint32_t obj)
{
	for (uint32_t i = 0; i < image->nprocesses; i++) {
		const struct process_record *t = image->processes[i].task, *of = NULL;
		const struct fd_record *f;

		for (uint32_t k = 0; t->files_of && k < image->nprocesses && !of; k++)
			if ((uint32_t)image->processes[k].task->pid == t->files_of)
				of = image->processes[k].task;
		f = of ? of->fds.items : NULL;
		for (uint32_t k = 0; of && k < of->fds.n; k++)
			if (f[k].obj == obj)
				return true;
	}
	return false;
}

int rebuild_kept_above(struct rebuild *rb, int above)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < rb->nkept; i++) {
		if (in_shared_table(rb->image, rb->kept[i].obj))
			close(rb->kept[i].fd);
		else
			rb->kept[n++] = rb->kept[i];
	}
	rb->nkept = n;
	if (rb->nkept)
		above = out_of_the_way(rb, above);
	for (uint32_t i = 0; i < rb->nkept; i++) {
		int fd = fcntl(rb->kept[i].fd, F_DUPFD_CLOEXEC, above);

		if (fd < 0)
			return failed(-errno, "a descriptor above %d (RLIMIT_NOFILE)", above);
		close(rb->kept[i].fd);
		rb->kept[i].fd = fd;
		above = fd + 1;
	}
	return 0;
}

void rebuild_kept_drop(struct rebuild *rb)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < rb->nkept; i++) {
		if (rb->numbers[rb->kept[i].obj] >= 0)
			rb->kept[n++] = rb->kept[i];
		else
			close(rb->kept[i].fd);
	}
	rb->nkept = n;
}

/* The lowest number from one on that stays open; UINT_MAX: none does. */
static unsigned next_kept(const struct rebuild *rb, const struct view_fds *outside, unsigned from)
{
	unsigned lowest = (unsigned)outside->proc >= from ? (unsigned)outside->proc : UINT_MAX;

	if ((unsigned)outside->dir >= from && (unsigned)outside->dir < lowest)
		lowest = (unsigned)outside->dir;
	for (uint32_t i = 0; i < rb->nkept; i++)
		if ((unsigned)rb->kept[i].fd >= from && (unsigned)rb->kept[i].fd < lowest)
			lowest = (unsigned)rb->kept[i].fd;
	return lowest;
}

void rebuild_close_rest(const struct rebuild *rb, struct script_builder *s, int above, const struct view_fds *outside)
{
	unsigned from = (unsigned)above, kept;

	while ((kept = next_kept(rb, outside, from)) != UINT_MAX) {
		if (kept > from)
			SCRIPT_CALL(s, "closing the image", __NR_close_range, from, kept - 1, 0, 0, 0);
		from = kept + 1;
	}
	SCRIPT_CALL(s, "closing the image", __NR_close_range, from, ~0u, 0, 0, 0);
}

int rebuild_kept_of(const struct rebuild *rb, uint32_t obj)
{
	for (uint32_t i = 0; i < rb->nkept; i++)
		if (rb->kept[i].obj == obj)
			return rb->kept[i].fd;
	return -1;
}

int32_t rebuild_alone(const struct rebuild *rb, uint32_t obj)
{
	return rb->only && obj < rb->image->nobjects && rb->only[obj] >= 0 ? rb->image->processes[rb->only[obj]].task->pid : 0;
}

void rebuild_leave(struct rebuild *rb, uint32_t obj)
{
	rb->fds[obj] = REBUILD_LEFT;
}

bool rebuild_cloexec(const struct rebuild *rb, uint32_t obj)
{
	return rb->cloexec && obj < rb->image->nobjects && rb->cloexec[obj];
}

const struct kind *rebuild_kind(const struct rebuild *rb, uint32_t obj)
{
	return obj < rb->image->nobjects ? rb->image->objects[obj].kind : NULL;
}

void *rebuild_record(const struct rebuild *rb, uint32_t obj)
{
	return obj < rb->image->nobjects ? rb->image->objects[obj].rec : NULL;
}

uint32_t rebuild_objects(const struct rebuild *rb)
{
	return rb->image->nobjects;
}

uint32_t rebuild_flags(const struct rebuild *rb, uint32_t obj)
{
	return rb->image->objects[obj].common->flags;
}

int rebuild_number(const struct rebuild *rb, uint32_t obj)
{
	return rb->numbers && obj < rb->image->nobjects ? rb->numbers[obj] : -1;
}

struct arena *rebuild_arena(struct rebuild *rb)
{
	return rb->arena;
}

const struct process_record *rebuild_process(const struct rebuild *rb, int32_t pid)
{
	for (uint32_t i = 0; i < rb->image->nprocesses; i++)
		if (rb->image->processes[i].task->pid == pid)
			return rb->image->processes[i].task;
	return NULL;
}

bool rebuild_waits(const struct rebuild *rb)
{
	return !rb->options->sockets_only;
}

enum rebuild_policy rebuild_tcp_policy(const struct rebuild *rb)
{
	return rb->options->tcp;
}

enum rebuild_policy rebuild_unix_policy(const struct rebuild *rb)
{
	return rb->options->unix_external;
}

int64_t rebuild_clock_then(const struct rebuild *rb, int clock)
{
	const struct manifest_record *m = rb->image->manifest;

	switch (clock) {
	case CLOCK_REALTIME: case CLOCK_REALTIME_ALARM:
		return m->realtime_ns;
	case CLOCK_BOOTTIME: case CLOCK_BOOTTIME_ALARM:
		return m->boottime_ns;
	default:
		return m->monotonic_ns;
	}
}

int rebuild_launcher_fd(const struct rebuild *rb, int fd)
{
	for (int i = 0; i < rb->options->ninherit; i++) {
		char *end;
		long n = strtol(rb->options->inherit[i].key, &end, 10);

		if (!*rb->options->inherit[i].key || *end || n != fd)
			continue;
		rb->taken[i] = true;
		return rb->options->inherit[i].fd;
	}
	return fd >= 0 && fd <= 2 ? rb->launcher_std[fd] : -1;
}

void rebuild_stand_in(struct rebuild *rb, uint32_t obj)
{
	rb->stand_in[obj] = rb->lent[obj] = true;
}

bool rebuild_stands_in(const struct rebuild *rb, uint32_t obj)
{
	return obj < rb->image->nobjects && rb->stand_in[obj];
}

void rebuild_lent(struct rebuild *rb, uint32_t obj)
{
	rb->lent[obj] = true;
}

int rebuild_inherited(const struct rebuild *rb, uint32_t obj, struct blob name)
{
	char number[16];

	if (obj >= rb->image->nobjects)
		return -1;
	text_format(number, sizeof(number), "%d", rb->image->objects[obj].common->fd);
	for (int i = 0; i < rb->options->ninherit; i++) {
		const struct inherit *given = &rb->options->inherit[i];

		if (strcmp(given->key, number) != 0 && (!name.n || !blob_is(name, given->key + (*given->key == '@'))))
			continue;
		rb->taken[i] = true;
		return given->fd;
	}
	return -1;
}

int rebuild_call(struct rebuild *rb, const char *what, long nr, long a, long b, long c, long d)
{
	if (!rb->script)
		return failed(-EINVAL, "%s: not in arm()", what);
	SCRIPT_CALL(rb->script, what, nr, a, b, c, d, 0);
	return rb->script->rc;
}

unsigned long rebuild_data(struct rebuild *rb, const void *p, size_t n)
{
	return rb->script ? script_put(rb->script, p, n) : 0;
}

void rebuild_loss(struct rebuild *rb, uint32_t obj, const char *fmt, ...)
{
	char text[512];
	const struct image_object *o = &rb->image->objects[obj];
	va_list ap;

	if (rb->told[obj])
		return;
	rb->told[obj] = true;
	va_start(ap, fmt);
	text_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(LOG_WARN, "pid %d fd %d: %s", rb->image->processes[o->process].task->pid, o->common->fd, text);
}

uint32_t rebuild_processes(const struct rebuild *rb)
{
	return rb->image->nprocesses;
}

/* By the image's number: position in the process's own list + 1. */
static const uint32_t *held_by(struct rebuild *rb, uint32_t process)
{
	const struct image_process *ip = &rb->image->processes[process];
	uint32_t *list;

	if (!rb->held)
		rb->held = calloc(rb->image->nprocesses, sizeof(*rb->held));
	if (!rb->held || rb->held[process])
		return rb->held ? rb->held[process] : NULL;
	list = calloc(rb->image->nobjects + 1, sizeof(*list));
	for (uint32_t i = 0; list && i < ip->nobjects; i++)
		list[ip->global[i]] = i + 1;
	rb->held[process] = list;
	return list;
}

const void *rebuild_held(struct rebuild *rb, uint32_t process, uint32_t obj)
{
	const uint32_t *list = process < rb->image->nprocesses ? held_by(rb, process) : NULL;

	return list && obj < rb->image->nobjects && list[obj] ? rb->image->processes[process].objects[list[obj] - 1].rec : NULL;
}

int rebuild_carried(struct rebuild *rb, uint32_t process, uint64_t where, void *buf, size_t n)
{
	struct image_process *ip = &rb->image->processes[process];
	const struct run_record *r = ip->runs.items;
	char name[IMAGE_NAME_MAX];
	int fd;

	load_sort_runs(ip);
	text_format(name, sizeof(name), IMAGE_PAGES, ip->task->pid);
	fd = openat(rb->image->dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(-errno, "%s/%s", rb->image->dir, name);
	for (uint32_t i = load_run_at(&ip->runs, where); n; i++) {
		uint64_t from = i < ip->runs.n ? where - r[i].start : 0, part;
		ssize_t got;

		/* where is what the record says, which nobody has checked */
		if (i >= ip->runs.n || where < IMAGE_CONTENTS || r[i].start > where)
			break;
		part = r[i].pages * ARCH_PAGE - from < n ? r[i].pages * ARCH_PAGE - from : n;
		got = pread(fd, buf, part, (off_t)(r[i].at + from));
		if (got != (ssize_t)part)
			break;
		buf = (char *)buf + part;
		where += part;
		n -= part;
	}
	close(fd);
	return n ? failed(ERR_PLAIN, "image %s: %s: contents of a file are missing", rb->image->dir, name) : 0;
}

int rebuild_undo_file(struct rebuild *rb, const char *path)
{
	char **more = realloc(rb->undo, (rb->nundo + 1) * sizeof(*more));

	if (!more)
		return failed(-ENOMEM, "%s", path);
	rb->undo = more;
	rb->undo[rb->nundo] = strdup(path);
	if (!rb->undo[rb->nundo])
		return failed(-ENOMEM, "%s", path);
	rb->nundo++;
	return 0;
}

void rebuild_undo(struct rebuild *rb)
{
	while (rb->nundo)
		unlink(rb->undo[--rb->nundo]);
}

/* --- phases ------------------------------------------------------------------------------------------------- */

/* A kind that failed has said why; one that didn't gets the object named. */
static int phase_failed(struct rebuild *rb, uint32_t obj, int rc)
{
	const struct image_object *o = &rb->image->objects[obj];

	return *err_text() ? rc : failed(rc, "pid %d fd %d: %s", rb->image->processes[o->process].task->pid, o->common->fd,
					 o->kind->tag);
}

/* Kinds know neither process nor number, but the object itself. */
static int check_failed(struct rebuild *rb, uint32_t obj, int rc)
{
	const struct image_object *o = &rb->image->objects[obj];
	char text[ERR_TEXT];

	if (!*err_text() || strncmp(err_text(), "pid ", 4) == 0)
		return phase_failed(rb, obj, rc);
	text_format(text, sizeof(text), "%s", err_text());
	err_reset();
	return failed(ERR_PLAIN, "pid %d fd %d: %s", rb->image->processes[o->process].task->pid, o->common->fd, text);
}

/* The launcher's descriptor for an object, -1 none. */
static int launchers(const struct rebuild *rb, uint32_t obj, struct lends *l)
{
	const struct image_object *o = &rb->image->objects[obj];

	*l = (struct lends){ 0 };
	return o->kind->lends && o->kind->lends(o->rec, l) ? rebuild_inherited(rb, obj, (struct blob){ l->name, strlen(l->name) }) : -1;
}

static int check_lent(int fd, const struct lends *l)
{
	static const int names[] = { SO_ACCEPTCONN, SO_DOMAIN, SO_TYPE };
	const int want[] = { 1, l->domain, l->type };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		int have = 0;
		socklen_t n = sizeof(have);

		if (getsockopt(fd, SOL_SOCKET, names[i], &have, &n) < 0 || have != want[i])
			return failed(ERR_PLAIN, "--inherit-fd %d: is no listening socket of the same sort", fd);
	}
	return 0;
}

int rebuild_check(struct rebuild *rb, const bool *wanted)
{
	int rc;

	for (uint32_t i = 0; i < rb->image->nobjects; i++) {
		const struct image_object *o = &rb->image->objects[i];
		struct lends l;
		int fd;

		if (wanted && !wanted[i])
			continue;
		fd = launchers(rb, i, &l);
		rc = fd >= 0 ? check_lent(fd, &l) : o->kind->check ? o->kind->check(rb, i, o->rec) : 0;
		if (rc < 0)
			return check_failed(rb, i, rc);
	}
	return 0;
}

/* What the launcher lends is there before anything is made. */
static int take_lent(struct rebuild *rb, const bool *wanted)
{
	for (uint32_t i = 0; i < rb->image->nobjects && rb->options->ninherit; i++) {
		struct lends l;
		int fd = wanted && !wanted[i] ? -1 : launchers(rb, i, &l);

		if (fd >= 0)
			rb->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		rb->lent[i] |= fd >= 0;
		if (fd >= 0 && rb->fds[i] < 0)
			return phase_failed(rb, i, -errno);
	}
	return 0;
}

static int check_taken(const struct rebuild *rb)
{
	for (int i = 0; i < rb->options->ninherit; i++)
		if (!rb->taken[i])
			return failed(ERR_PLAIN, "--inherit-fd %d:%s: nothing in the image takes it", rb->options->inherit[i].fd,
				      rb->options->inherit[i].key);
	return 0;
}

static int create_all(struct rebuild *rb, const bool *wanted)
{
	for (uint32_t i = 0; i < rb->image->nobjects; i++) {
		const struct image_object *o = &rb->image->objects[i];
		int fd;

		if (rb->fds[i] != -1 || (wanted && !wanted[i]))
			continue;
		fd = o->kind->create(rb, i, o->rec);
		if (rb->fds[i] == REBUILD_PARKED || rb->fds[i] == REBUILD_LEFT)
			continue;
		if (fd < 0)
			return phase_failed(rb, i, fd);
		rb->fds[i] = fd;
	}
	return 0;
}

#define STATUS_FLAGS (O_APPEND | O_NONBLOCK | O_ASYNC | O_NOATIME | O_DIRECT)

/* O_NONBLOCK and the like, who is signalled: after fill, which must not meet the program's flags. */
/*
 * Whose inode it is shows in fstat, in the firewall, and where a pipe is opened anew by /proc. Who may not give it
 * away keeps it.
 */
static void set_inode(const struct rebuild *rb, uint32_t i, int fd)
{
	const struct object_record *c = rb->image->objects[i].common;
	struct stat st;

	/* never of what isn't of the sort that was recorded: that would be a file of the machine's, /dev/null perhaps */
	if (!c->mode || rb->lent[i] || fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != (c->mode & S_IFMT))
		return;
	if ((c->uid != st.st_uid || c->gid != st.st_gid) && fchown(fd, c->uid, c->gid) < 0)
		log_line(LOG_INFO, "fd %d: its owner was %u:%u", c->fd, c->uid, c->gid);
	if (c->mode != st.st_mode)
		(void)fchmod(fd, c->mode & 07777);
}

int rebuild_set_flags(struct rebuild *rb, uint32_t i)
{
	const struct object_record *c = rb->image->objects[i].common;
	int flags = (int)c->flags & STATUS_FLAGS, now;

	if (c->flags & O_PATH)
		return 0;
	now = fcntl(rb->fds[i], F_GETFL);
	if (now < 0)
		return failed(-errno, "fd %d: its flags", c->fd);
	now &= STATUS_FLAGS;
	if ((now & ~O_ASYNC) != (flags & ~O_ASYNC) && fcntl(rb->fds[i], F_SETFL, flags & ~O_ASYNC) < 0)
		return failed(-errno, "fd %d: its flags %o", c->fd, c->flags);
	set_inode(rb, i, rb->fds[i]);
	return 0;
}

/* What the checkpoint has announced, once more, where the kind has said nothing of it. */
static void tell_losses(struct rebuild *rb, const bool *wanted)
{
	for (uint32_t i = 0; i < rb->image->nobjects; i++) {
		struct blob loss = rb->image->objects[i].common->loss;

		if (loss.n && (!wanted || wanted[i]))
			rebuild_loss(rb, i, "%.*s", (int)loss.n, (const char *)loss.p);
	}
}

int rebuild_some(struct rebuild *rb, const bool *wanted)
{
	int rc = take_lent(rb, wanted);

	if (rc >= 0)
		rc = create_all(rb, wanted);
	if (rc >= 0)
		rc = check_taken(rb);
	for (uint32_t i = 0; rc >= 0 && i < rb->image->nobjects; i++) {
		const struct image_object *o = &rb->image->objects[i];

		if (rb->fds[i] >= 0 && o->kind->connect && (rc = o->kind->connect(rb, i, o->rec, rb->fds[i])) < 0)
			return phase_failed(rb, i, rc);
	}
	for (uint32_t i = 0; rc >= 0 && i < rb->image->nobjects; i++) {
		const struct image_object *o = &rb->image->objects[i];

		if (rb->fds[i] >= 0 && o->kind->fill && (rc = o->kind->fill(rb, i, o->rec, rb->fds[i])) < 0)
			return phase_failed(rb, i, rc);
	}
	for (uint32_t i = 0; rc >= 0 && i < rb->image->nobjects; i++)
		if (rb->fds[i] >= 0)
			rc = rebuild_set_flags(rb, i);
	if (rc >= 0)
		tell_losses(rb, wanted);
	return rc < 0 ? rc : 0;
}

/* What is in flight only is finished here, and so stays what it names: an epoll's watches. */
static void keep_named(struct rebuild *rb, const struct field *f, const char *rec)
{
	for (; f->type != FIELD_END_T; f++) {
		const char *at = rec + f->offset;

		if (f->type == FIELD_OBJ_T && *(const uint32_t *)at != OBJ_NONE) {
			rb->only[*(const uint32_t *)at] = -2;
		} else if (f->type == FIELD_REC_T) {
			keep_named(rb, f->sub, at);
		} else if (f->type == FIELD_LIST_T) {
			const struct list *l = (const void *)at;

			for (uint32_t i = 0; i < l->n; i++)
				keep_named(rb, f->sub, (const char *)l->items + (size_t)i * f->size);
		}
	}
}

static int find_owners(struct rebuild *rb)
{
	const struct image *image = rb->image;

	rb->only = malloc((image->nobjects + 1) * sizeof(*rb->only));
	rb->cookies = calloc(image->nobjects + 1, sizeof(*rb->cookies));
	if (!rb->only || !rb->cookies)
		return failed(-ENOMEM, "memory for %u objects", image->nobjects);
	memset(rb->only, 0xff, image->nobjects * sizeof(*rb->only));
	for (uint32_t i = 0; i < image->nprocesses; i++) {
		const struct fd_record *f = image->processes[i].task->fds.items;

		for (uint32_t k = 0; k < image->processes[i].task->fds.n; k++) {
			int32_t *only = &rb->only[f[k].obj];

			*only = *only == -1 || *only == (int32_t)i ? (int32_t)i : -2;
		}
	}
	for (uint32_t i = 0; i < image->nobjects; i++)
		if (!rebuild_in_table(rb, i))
			keep_named(rb, image->objects[i].kind->fields, image->objects[i].rec);
	return 0;
}

int rebuild_build(struct rebuild *rb)
{
	int rc = find_owners(rb);

	if (rc >= 0)
		rc = park_begin(rb);

	if (rc >= 0)
		rc = rebuild_some(rb, NULL);
	return rc < 0 ? rc : park_end(rb);
}

int rebuild_late(struct rebuild *rb)
{
	int rc = 0;

	for (int filled = 0; filled < 2; filled++)
		for (uint32_t i = 0; i < rb->image->nobjects; i++) {
			const struct image_object *o = &rb->image->objects[i];

			if (rb->fds[i] < 0 || !o->kind->late || (o->kind->fill != NULL) != filled)
				continue;
			rc = o->kind->late(rb, i, o->rec, rb->fds[i]);
			if (rc < 0)
				return phase_failed(rb, i, rc);
		}
	return 0;
}

void rebuild_keep_cookie(struct rebuild *rb, uint32_t obj, int fd)
{
	socklen_t n = sizeof(rb->cookies[obj]);

	(void)getsockopt(fd, SOL_SOCKET, SO_COOKIE, &rb->cookies[obj], &n);
}

int rebuild_own(struct rebuild *rb, uint32_t obj, struct own *own)
{
	const struct image_object *o = &rb->image->objects[obj];
	int rc = o->kind->own(rb, obj, o->rec, own);

	for (int i = 0; i < own->n && rc >= 0; i++) {
		/* fresh ones have no flags */
		int flags = (int)rb->image->objects[own->obj[i]].common->flags & STATUS_FLAGS & ~O_ASYNC;

		if (flags && fcntl(own->fd[i], F_SETFL, flags) < 0)
			rc = failed(-errno, "fd %d: its flags %o", rb->image->objects[own->obj[i]].common->fd, flags);
		rebuild_keep_cookie(rb, own->obj[i], own->fd[i]);
		set_inode(rb, own->obj[i], own->fd[i]);
	}
	return rc < 0 ? phase_failed(rb, obj, rc) : 0;
}

/* Owners are processes, so they are set when all exist. */
static int set_owner(struct rebuild *rb, uint32_t i, int fd)
{
	const struct object_record *c = rb->image->objects[i].common;
	struct f_owner_ex owner = { .type = c->owner_type, .pid = c->owner };

	if (c->owner && fcntl(fd, F_SETOWN_EX, &owner) < 0)
		log_line(LOG_WARN, "fd %d: its owner %d is not given back: %s", c->fd, c->owner, strerror(errno));
	if (c->owner_sig && fcntl(fd, F_SETSIG, c->owner_sig) < 0)
		return failed(-errno, "fd %d: its signal %d", c->fd, c->owner_sig);
	if ((c->flags & O_ASYNC) && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) < 0)
		return failed(-errno, "fd %d: O_ASYNC", c->fd);
	return 0;
}

/* What belongs to the process itself, from its own records; `late` beside arm. */
static int each_of(struct rebuild *rb, uint32_t process, bool late)
{
	const struct image_process *p = &rb->image->processes[process];
	int rc;

	for (uint32_t i = 0; i < p->nobjects; i++) {
		const struct image_object *o = &p->objects[i];
		uint32_t obj = p->global[i];
		int (*fn)(struct rebuild *, uint32_t, void *, int) = !o->kind ? NULL : late ? o->kind->settle : o->kind->each;

		if (!fn || obj >= rb->image->nobjects || rb->numbers[obj] < 0)
			continue;
		rc = fn(rb, obj, o->rec, rb->numbers[obj]);
		if (rc < 0)
			return phase_failed(rb, obj, rc);
	}
	return 0;
}

int rebuild_link(struct rebuild *rb, const struct plan *plan, uint32_t who)
{
	int rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < rb->image->nobjects; i++) {
		const struct image_object *o = &rb->image->objects[i];

		if (plan->owner[i] != who || rb->numbers[i] < 0)
			continue;
		rc = set_owner(rb, i, rb->numbers[i]);
		if (rc == 0 && o->kind->link && (rc = o->kind->link(rb, i, o->rec, rb->numbers[i])) < 0)
			return phase_failed(rb, i, rc);
	}
	return rc < 0 ? rc : each_of(rb, plan->list[who].process, false);
}

int rebuild_ready(struct rebuild *rb, const bool *wanted)
{
	for (uint32_t i = 0; i < rb->image->nobjects; i++) {
		const struct image_object *o = &rb->image->objects[i];
		int rc;

		if ((wanted && !wanted[i]) || !o->kind->ready)
			continue;
		rc = o->kind->ready(rb, i, o->rec, rb->fds[i]);
		if (rc < 0)
			return phase_failed(rb, i, rc);
	}
	return 0;
}

int rebuild_arm(struct rebuild *rb, const struct plan *plan, uint32_t who)
{
	int rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < rb->image->nobjects; i++) {
		const struct image_object *o = &rb->image->objects[i];

		if (plan->owner[i] != who || rb->numbers[i] < 0)
			continue;
		if (o->kind->arm && (rc = o->kind->arm(rb, i, o->rec, rb->numbers[i])) < 0)
			return phase_failed(rb, i, rc);
	}
	return rc < 0 ? rc : each_of(rb, plan->list[who].process, true);
}
