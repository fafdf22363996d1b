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

/* A field that holds a struct sockaddr, by its name: bytes alone can't tell. */
static bool is_address(const struct field *f)
{
	static const char *const names[] = { "name", "addr", "address", "bound", "peer", "local", "remote", "from",
					     "sender", "peer_name", "to", "source", "asked", "client" };

	if (f->type != FIELD_BIN_T)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(f->name, names[i]) == 0)
			return true;
	return false;
}

/* What only a restart wants to know; --json shows it. */
static bool is_hidden(const char *name)
{
	static const char *const names[] = {
		"dev", "ino", "rdev", "mtime_ns", "hash", "hashed", "going_on", "own", "uid", "gid", "mode", "pid",
		"file_mode", "file_uid", "file_gid", "cred_pid", "cred_uid", "cred_gid", "vfs", "options", "notes",
		"origin", "flags", "order", "bound", "pseudo", "size", "standard", "settime_flags", "capacity", "cwd",
		"what", "protocol", "reuse", "cred_lives", "cred_groups",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void describe_blob(struct words *w, const struct field *f, struct blob b)
{
	const char *said = strcmp(f->name, "name") == 0 || strcmp(f->name, "path") == 0 ? "" :
			   strcmp(f->name, "peer_name") == 0 || strcmp(f->name, "peer") == 0 ? "-> " : f->name;
	const char *space = *said && said[strlen(said) - 1] != ' ' ? " " : "";
	bool abstract = b.n > 0 && *(const char *)b.p == '\0';
	char shown[600];

	if (b.n == 0)
		return;
	if (is_address(f) && print_address(b.p, b.n, shown, sizeof(shown)))
		words_add(w, "  %s%s%s", said, space, shown);
	else if (f->type == FIELD_STR_T && abstract)
		words_add(w, "  %s%s@%s", said, space,
			  print_text((struct blob){ (const char *)b.p + 1, b.n - 1 }, shown, sizeof(shown)));
	else if (f->type == FIELD_STR_T)
		words_add(w, "  %s%s%s", said, space, print_text(b, shown, sizeof(shown)));
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

static void describe_duration(struct words *w, const char *name, int64_t ns)
{
	size_t n = strlen(name) - 3;

	if (ns != 0)
		words_add(w, "  %.*s %ld.%03ld s", (int)n, name, (long)(ns / 1000000000), (long)(ns / 1000000 % 1000));
}

static void describe_number(struct words *w, const struct field *f, uint64_t v)
{
	bool is_signed = f->type == FIELD_I32_T || f->type == FIELD_I64_T;
	size_t n = strlen(f->name);

	if (n > 3 && strcmp(f->name + n - 3, "_ns") == 0)
		describe_duration(w, f->name, (int64_t)v);
	else if (v == 0 || (is_signed && (int64_t)v == -1))
		return;
	else if (is_signed)
		words_add(w, "  %s %ld", f->name, (int64_t)v);
	else if (strcmp(f->name, "mask") == 0 || strcmp(f->name, "events") == 0 || v > 0xffffffffu)
		words_add(w, "  %s %#lx", f->name, v);
	else
		words_add(w, "  %s %lu", f->name, v);
}

/* Numbers that people know by a word. False when it is none of them. */
static bool describe_word(struct words *w, const struct kind *kind, const char *name, uint64_t v)
{
	static const char *const types[] = { "?", "stream", "dgram", "raw", "rdm", "seqpacket" };
	static const char *const unix_states[] = { NULL, "listening", "connected" };
	static const char *const tcp_states[] = { NULL, "connected", "connecting", "connecting", "FIN-WAIT-1",
						  "FIN-WAIT-2", "TIME-WAIT", "closed", "CLOSE-WAIT", "LAST-ACK",
						  "listening", "CLOSING" };
	static const char *const shuts[] = { NULL, "shut for receiving", "shut for sending", "shut down" };
	static const char *const tcp_shuts[] = { NULL, "peer has ended", "we have ended", "both have ended",
						 "shut for receiving", "peer has ended, shut for receiving",
						 "shut down", "both have ended, shut down" };
	const char *word = NULL;
	bool known = true;

	if (strcmp(name, "type") == 0 && v < sizeof(types) / sizeof(types[0]))
		word = types[v];
	else if (strcmp(name, "family") == 0)
		word = v == AF_INET ? "IPv4" : v == AF_INET6 ? "IPv6" : NULL;
	else if (strcmp(name, "state") == 0 && strcmp(kind->tag, "unix") == 0 &&
		 v < sizeof(unix_states) / sizeof(unix_states[0]))
		word = unix_states[v];
	else if (strcmp(name, "state") == 0 && strcmp(kind->tag, "tcp") == 0 &&
		 v < sizeof(tcp_states) / sizeof(tcp_states[0]))
		word = tcp_states[v];
	else if (strcmp(name, "shut") == 0 && strcmp(kind->tag, "tcp") == 0 &&
		 v < sizeof(tcp_shuts) / sizeof(tcp_shuts[0]))
		word = tcp_shuts[v];
	else if (strcmp(name, "shut") == 0 && v < sizeof(shuts) / sizeof(shuts[0]))
		word = shuts[v];
	else if (strcmp(name, "outside") == 0)
		word = v ? "to outside the tree" : NULL;
	else if (strcmp(name, "deleted") == 0)
		word = v ? "(deleted)" : NULL;
	else if (strcmp(name, "listening") == 0 || strcmp(name, "connected") == 0)
		word = v ? name : NULL;
	else
		known = strcmp(name, "peer") == 0;
	if (word != NULL)
		words_add(w, "  %s", word);
	return known;
}

static uint64_t field_number(const struct field *f, const void *p)
{
	switch (f->type) {
	case FIELD_U32_T:
		return *(const uint32_t *)p;
	case FIELD_I32_T:
		return (uint64_t)(int64_t)*(const int32_t *)p;
	case FIELD_U64_T:
	case FIELD_I64_T:
		return *(const uint64_t *)p;
	default:
		return 0;
	}
}

static void describe_fields(const struct inspect *in, struct words *w, const struct kind *kind, const struct field *f,
			    const char *rec)
{
	for (; f->type != FIELD_END_T; f++) {
		const void *p = rec + f->offset;
		const struct list *l = p;
		char place[64];

		if (is_hidden(f->name))
			continue;
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
			describe_fields(in, w, kind, f->sub, p);
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
			if (!describe_word(w, kind, f->name, field_number(f, p)))
				describe_number(w, f, field_number(f, p));
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
	char place[64];

	words_add(&w, "%s", o->kind->tag);
	describe_fields(in, &w, o->kind, o->kind->fields, o->rec);
	if (in->joined[obj] != OBJ_NONE) {
		inspect_place(in, in->joined[obj], place, sizeof(place));
		words_add(&w, "  peer #%u (%s)", in->joined[obj], place);
	}
	if (in->waits[obj] != OBJ_NONE) {
		inspect_place(in, in->waits[obj], place, sizeof(place));
		words_add(&w, "  not yet accepted by #%u (%s)", in->waits[obj], place);
	}
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

	words_add(&w, "%s", o->kind->tag);
	if (o->common->cookie == 0 && in->joined[obj] != OBJ_NONE)
		describe_flags(&w, o->common->flags & O_ACCMODE);
	for (const struct field *f = o->kind->fields; f->type != FIELD_END_T; f++) {
		const void *p = (const char *)o->rec + f->offset;
		const struct list *l = p;

		if (is_hidden(f->name))
			continue;
		if (f->type == FIELD_STR_T || is_address(f))
			describe_blob(&w, f, *(const struct blob *)p);
		else if (f->type == FIELD_BIN_T && ((const struct blob *)p)->n > 0)
			words_add(&w, "  %s %lu bytes", f->name, ((const struct blob *)p)->n);
		else if (f->type == FIELD_U32_T)
			describe_word(&w, o->kind, f->name, *(const uint32_t *)p);
		else if (f->type == FIELD_LIST_T && l->n > 0 && list_bytes(f, l) > 0)
			words_add(&w, "  %lu bytes waiting", list_bytes(f, l));
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
		[__NR_read] = "read",
		[__NR_write] = "write",
		[__NR_poll] = "poll",
		[__NR_select] = "select",
		[__NR_readv] = "readv",
		[__NR_writev] = "writev",
		[__NR_pread64] = "pread64",
		[__NR_pwrite64] = "pwrite64",
		[__NR_pselect6] = "pselect6",
		[__NR_ppoll] = "ppoll",
		[__NR_epoll_wait] = "epoll_wait",
		[__NR_epoll_pwait] = "epoll_pwait",
		[__NR_epoll_pwait2] = "epoll_pwait2",
		[__NR_futex] = "futex",
		[__NR_nanosleep] = "nanosleep",
		[__NR_clock_nanosleep] = "clock_nanosleep",
		[__NR_pause] = "pause",
		[__NR_rt_sigsuspend] = "rt_sigsuspend",
		[__NR_rt_sigtimedwait] = "rt_sigtimedwait",
		[__NR_wait4] = "wait4",
		[__NR_waitid] = "waitid",
		[__NR_accept] = "accept",
		[__NR_accept4] = "accept4",
		[__NR_connect] = "connect",
		[__NR_recvfrom] = "recvfrom",
		[__NR_recvmsg] = "recvmsg",
		[__NR_recvmmsg] = "recvmmsg",
		[__NR_sendto] = "sendto",
		[__NR_sendmsg] = "sendmsg",
		[__NR_sendmmsg] = "sendmmsg",
		[__NR_msgrcv] = "msgrcv",
		[__NR_msgsnd] = "msgsnd",
		[__NR_semop] = "semop",
		[__NR_semtimedop] = "semtimedop",
		[__NR_flock] = "flock",
		[__NR_fcntl] = "fcntl",
		[__NR_fsync] = "fsync",
		[__NR_fdatasync] = "fdatasync",
		[__NR_sendfile] = "sendfile",
		[__NR_splice] = "splice",
		[__NR_io_getevents] = "io_getevents",
		[__NR_restart_syscall] = "restart_syscall",
		[__NR_openat] = "openat",
		[__NR_open] = "open",
		[__NR_ioctl] = "ioctl",
		[__NR_mq_timedreceive] = "mq_timedreceive",
		[__NR_mq_timedsend] = "mq_timedsend",
		[__NR_sched_yield] = "sched_yield",
	};

	if (number < 0 || (size_t)number >= sizeof(names) / sizeof(names[0]))
		return NULL;
	return names[number];
}
