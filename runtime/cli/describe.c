/*
 * describe.c - records in words
 *
 * A kind's record is known only through its field table, so a new kind is
 * shown without a line here: names first, then every number that isn't zero.
 * What has a name people know (access modes, socket states) is said in words.
 */
#include <asm/unistd.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "inspect.h"

/* Text growing in a buffer. */
struct words {
	char *out;
	size_t n, size;
};

static void words_add(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void words_add(struct words *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (w->n + 1 >= w->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(w->out + w->n, w->size - w->n, fmt, ap);
	va_end(ap);
	w->n = n < 0 ? w->n : w->n + (size_t)n < w->size ? w->n + (size_t)n : w->size - 1;
}

static bool printable(struct blob b)
{
	const unsigned char *p = b.p;

	for (uint64_t i = 0; i < b.n; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return false;
	return b.n > 0;
}

/* A field that holds a struct sockaddr, by its name: bytes alone can't tell. */
static bool is_address(const struct field *f)
{
	static const char *const names[] = { "name", "addr", "address", "bound", "peer", "local", "remote", "from", "sender",
					     "peer_name", "sockname", "peername", "to", "dest", "source" };

	if (f->type != FIELD_BIN_T)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(f->name, names[i]) == 0)
			return true;
	return false;
}

static void describe_blob(struct words *w, const struct field *f, struct blob b)
{
	char shown[600];

	if (b.n == 0)
		return;
	if (is_address(f) && print_address(b.p, b.n, shown, sizeof(shown)))
		words_add(w, "  %s %s", f->name, shown);
	else if (f->type == FIELD_STR_T || (printable(b) && b.n <= 100))
		words_add(w, "  %s %s", f->name, print_text(b, shown, sizeof(shown)));
	else
		words_add(w, "  %s %lu bytes", f->name, b.n);
}

/* Bytes in all BIN fields of a list's items. */
static uint64_t list_bytes(const struct field *f, const struct list *l)
{
	uint64_t bytes = 0;

	for (const struct field *s = f->sub; s->type != FIELD_END_T; s++)
		for (uint32_t i = 0; s->type == FIELD_BIN_T && !is_address(s) && i < l->n; i++)
			bytes += ((const struct blob *)((const char *)l->items + (size_t)i * f->size + s->offset))->n;
	return bytes;
}

static void describe_number(struct words *w, const char *name, uint64_t v, bool is_signed, bool is_wide)
{
	if (v == 0 || (is_signed && (int64_t)v == -1))
		return;
	if (is_signed)
		words_add(w, "  %s %ld", name, (int64_t)v);
	else if (is_wide && v > 0xffffffffu)
		words_add(w, "  %s %#lx", name, v);
	else
		words_add(w, "  %s %lu", name, v);
}

static void describe_socket_word(struct words *w, const char *name, uint64_t v, bool *done)
{
	static const char *const types[] = { "?", "stream", "dgram", "raw", "rdm", "seqpacket", "dccp", "?", "?", "?", "packet" };

	*done = true;
	if (strcmp(name, "type") == 0 && v < sizeof(types) / sizeof(types[0]))
		words_add(w, "  %s", types[v]);
	else if (strcmp(name, "family") == 0 && v == AF_UNIX)
		words_add(w, "  unix");
	else if (strcmp(name, "family") == 0 && v == AF_INET)
		words_add(w, "  IPv4");
	else if (strcmp(name, "family") == 0 && v == AF_INET6)
		words_add(w, "  IPv6");
	else if ((strcmp(name, "listening") == 0 || strcmp(name, "connected") == 0) && v == 1)
		words_add(w, "  %s", name);
	else
		*done = false;
}

static void describe_fields(const struct inspect *in, struct words *w, const struct field *f, const char *rec)
{
	for (; f->type != FIELD_END_T; f++) {
		const void *p = rec + f->offset;
		const struct list *l = p;
		char place[64];
		bool done = false;
		uint64_t v = f->type == FIELD_U32_T ? *(const uint32_t *)p : f->type == FIELD_I32_T ? (uint64_t)*(const int32_t *)p
			     : f->type == FIELD_U64_T || f->type == FIELD_I64_T ? *(const uint64_t *)p : 0;

		switch (f->type) {
		case FIELD_STR_T:
		case FIELD_BIN_T:
			describe_blob(w, f, *(const struct blob *)p);
			break;
		case FIELD_OBJ_T:
			if (*(const uint32_t *)p == OBJ_NONE)
				break;
			inspect_place(in, *(const uint32_t *)p, place, sizeof(place));
			words_add(w, "  %s #%u (%s)", f->name, *(const uint32_t *)p, place);
			break;
		case FIELD_REC_T:
			describe_fields(in, w, f->sub, p);
			break;
		case FIELD_LIST_T:
			if (l->n > 0 && list_bytes(f, l) > 0)
				words_add(w, "  %s %u (%lu bytes)", f->name, l->n, list_bytes(f, l));
			else if (l->n > 0)
				words_add(w, "  %s %u", f->name, l->n);
			break;
		case FIELD_END_T:
			break;
		default:
			describe_socket_word(w, f->name, v, &done);
			if (!done)
				describe_number(w, f->name, v, f->type == FIELD_I32_T || f->type == FIELD_I64_T,
						f->type == FIELD_U64_T);
		}
	}
}

static void describe_flags(struct words *w, uint32_t flags)
{
	static const struct { uint32_t bit; const char *name; } names[] = {
		{ O_NONBLOCK, "nonblocking" }, { O_APPEND, "append" }, { O_ASYNC, "async" }, { O_DIRECT, "direct" },
		{ O_PATH, "path-only" }, { O_DIRECTORY, "directory" },
	};
	static const char *const modes[] = { "read", "write", "read-write", "no access" };

	words_add(w, "  %s", modes[flags & O_ACCMODE]);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (flags & names[i].bit)
			words_add(w, " %s", names[i].name);
}

void describe_object(const struct inspect *in, uint32_t obj, char *out, size_t size)
{
	const struct image_object *o = &in->image.objects[obj];
	struct words w = { out, 0, size };

	words_add(&w, "%s", o->kind->tag);
	describe_fields(in, &w, o->kind->fields, o->rec);
	if (o->common->cookie == 0)
		describe_flags(&w, o->common->flags);
	else if (o->common->flags & O_NONBLOCK)
		words_add(&w, "  nonblocking");
	if (o->common->owner != 0)
		words_add(&w, "  owner %d", o->common->owner);
}

void describe_label(const struct inspect *in, uint32_t obj, char *out, size_t size)
{
	const struct image_object *o = &in->image.objects[obj];
	struct words w = { out, 0, size };
	bool done;

	words_add(&w, "%s", o->kind->tag);
	for (const struct field *f = o->kind->fields; f->type != FIELD_END_T; f++) {
		const void *p = (const char *)o->rec + f->offset;

		if (f->type == FIELD_STR_T || is_address(f))
			describe_blob(&w, f, *(const struct blob *)p);
		else if (f->type == FIELD_U32_T && o->common->cookie != 0)
			describe_socket_word(&w, f->name, *(const uint32_t *)p, &done);
	}
}

void describe_edges(const struct field *f, const void *rec, void (*edge)(const char *name, uint32_t obj, void *arg), void *arg)
{
	for (; f->type != FIELD_END_T; f++) {
		const void *p = (const char *)rec + f->offset;
		const struct list *l = p;

		if (f->type == FIELD_OBJ_T && *(const uint32_t *)p != OBJ_NONE)
			edge(f->name, *(const uint32_t *)p, arg);
		else if (f->type == FIELD_REC_T)
			describe_edges(f->sub, p, edge, arg);
		else if (f->type == FIELD_LIST_T)
			for (uint32_t i = 0; i < l->n; i++)
				describe_edges(f->sub, (const char *)l->items + (size_t)i * f->size, edge, arg);
	}
}

const char *describe_origin(uint32_t origin)
{
	static const char *const words[] = { "adopted", "made", "made as a pair", "accepted", "adopted" };

	return origin < sizeof(words) / sizeof(words[0]) ? words[origin] : "?";
}

const char *describe_call(int32_t number)
{
	static const char *const names[] = {
		[__NR_read] = "read", [__NR_write] = "write", [__NR_poll] = "poll", [__NR_select] = "select",
		[__NR_readv] = "readv", [__NR_writev] = "writev", [__NR_pread64] = "pread64", [__NR_pwrite64] = "pwrite64",
		[__NR_pselect6] = "pselect6", [__NR_ppoll] = "ppoll", [__NR_epoll_wait] = "epoll_wait",
		[__NR_epoll_pwait] = "epoll_pwait", [__NR_epoll_pwait2] = "epoll_pwait2", [__NR_futex] = "futex",
		[__NR_nanosleep] = "nanosleep", [__NR_clock_nanosleep] = "clock_nanosleep", [__NR_pause] = "pause",
		[__NR_rt_sigsuspend] = "rt_sigsuspend", [__NR_rt_sigtimedwait] = "rt_sigtimedwait", [__NR_wait4] = "wait4",
		[__NR_waitid] = "waitid", [__NR_accept] = "accept", [__NR_accept4] = "accept4", [__NR_connect] = "connect",
		[__NR_recvfrom] = "recvfrom", [__NR_recvmsg] = "recvmsg", [__NR_recvmmsg] = "recvmmsg",
		[__NR_sendto] = "sendto", [__NR_sendmsg] = "sendmsg", [__NR_sendmmsg] = "sendmmsg", [__NR_msgrcv] = "msgrcv",
		[__NR_msgsnd] = "msgsnd", [__NR_semop] = "semop", [__NR_semtimedop] = "semtimedop", [__NR_flock] = "flock",
		[__NR_fcntl] = "fcntl", [__NR_fsync] = "fsync", [__NR_fdatasync] = "fdatasync", [__NR_sendfile] = "sendfile",
		[__NR_splice] = "splice", [__NR_io_getevents] = "io_getevents", [__NR_restart_syscall] = "restart_syscall",
		[__NR_openat] = "openat", [__NR_open] = "open", [__NR_ioctl] = "ioctl", [__NR_mq_timedreceive] = "mq_timedreceive",
		[__NR_mq_timedsend] = "mq_timedsend", [__NR_sched_yield] = "sched_yield",
	};

	if (number < 0 || (size_t)number >= sizeof(names) / sizeof(names[0]))
		return NULL;
	return names[number];
}
