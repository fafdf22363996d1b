/*
 * pipe.c - pipes, with what is in them
 *
 * An end is an object of its own. Ends with the same inode belong together,
 * wherever in the tree they are, and are made together by the first of them.
 * The bytes are copied with tee(2) into a scratch pipe of the same capacity:
 * nothing is consumed, and packets stay packets (tests/kernel/tee_pipe.c).
 *
 * Where the other side exists but not in the tree, an end at a standard
 * number becomes the launcher's; anywhere else it finds the other side closed.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "pipe.h"

#include "skshim/frozen.h"

#define PIPE_SPLICE_NONBLOCK 2u
#define PIPE_SLOT 4096u

struct pipe {
	uint64_t dev, ino;
	uint32_t flags;
	uint32_t capacity;
	uint32_t peer;           /* 1: somebody holds the other side */
	uint32_t standard;       /* bits: which of 0, 1, 2 it stands at */
	struct list chunks;      /* of an end that reads; of one that writes when nobody reads */
};

const struct field fields_pipe_chunk[] = {
	FIELD_BIN(struct pipe_chunk, bytes),
	FIELD_U32(struct pipe_chunk, packet),
	FIELD_END
};

static const struct field pipe_fields[] = {
	FIELD_U64(struct pipe, dev),
	FIELD_U64(struct pipe, ino),
	FIELD_U32(struct pipe, flags),
	FIELD_U32(struct pipe, capacity),
	FIELD_U32(struct pipe, peer),
	FIELD_U32(struct pipe, standard),
	FIELD_LIST(struct pipe, chunks, struct pipe_chunk, fields_pipe_chunk),
	FIELD_END
};

extern const struct kind kind_pipe;

static bool pipe_match(const struct probe *p)
{
	return S_ISFIFO(p->st.st_mode) && !(p->flags & O_PATH) && blob_starts(p->path, "pipe:[");
}

bool pipe_has_peer(int fd)
{
	struct pollfd p = { .fd = fd };

	sys_poll(&p, 1, 0);
	return !(p.revents & (POLLHUP | POLLERR));
}

uint64_t pipe_bytes(const struct list *chunks)
{
	const struct pipe_chunk *chunk = chunks->items;
	uint64_t n = 0;

	for (uint32_t i = 0; i < chunks->n; i++)
		n += chunk[i].bytes.n;
	return n;
}

static int pipe_scratch(int both[2], uint32_t capacity)
{
	int rc = sys_pipe2(both, O_CLOEXEC | O_NONBLOCK);

	/* Refused above the user's share of pipe memory: whoever uses it looks at what came over. */
	if (rc >= 0 && capacity)
		sys_fcntl(both[1], F_SETPIPE_SZ, (long)capacity);
	return rc;
}

static void pipe_close(int both[2])
{
	for (int i = 0; i < 2; i++)
		if (both[i] >= 0)
			sys_close(both[i]);
}

static long pipe_splice(int from, int to, size_t n)
{
	return SYS6(__NR_splice, from, 0, to, 0, n, PIPE_SPLICE_NONBLOCK);
}

/* Is what lies in the one slot of `one` a packet? A read ends with it, though a byte is behind it. */
static bool pipe_is_packet(int one, int other[2], long n)
{
	char room[PIPE_SLOT + 1];
	bool packet;

	if (n > PIPE_SLOT || sys_tee(one, other[1], (size_t)n, PIPE_SPLICE_NONBLOCK) != n)
		return false;
	packet = sys_write(other[1], "", 1) == 1 && sys_read(other[0], room, (size_t)n + 1) == n;
	while (sys_read(other[0], room, sizeof(room)) > 0)
		;
	return packet;
}

/* Reads the scratch pipe empty, slot by slot: a pipe of one slot takes no more at a time. */
static int pipe_drain(struct arena *arena, int from, uint32_t bytes, struct list *chunks)
{
	int one[2] = { -1, -1 }, other[2] = { -1, -1 };
	struct pipe_chunk *items = chunks->items;
	char *p = arena_alloc(arena, bytes);
	uint32_t done = 0;
	long n, rc = -ENOMEM;

	if (p)
		rc = pipe_scratch(one, PIPE_SLOT);
	if (rc >= 0)
		rc = pipe_scratch(other, 2 * PIPE_SLOT);
	while (rc >= 0 && done < bytes) {
		n = rc = pipe_splice(from, one[1], bytes);
		if (n <= 0)
			break;
		items[chunks->n].packet = pipe_is_packet(one[0], other, n);
		rc = sys_read(one[0], p + done, (size_t)n);
		if (rc != n)
			break;
		items[chunks->n++].bytes = (struct blob){ p + done, (uint64_t)n };
		done += (uint32_t)n;
	}
	pipe_close(one);
	pipe_close(other);
	return rc < 0 ? (int)rc : done == bytes ? 0 : -EIO;
}

static int pipe_peek(struct collection *c, const struct probe *p, uint32_t capacity, struct list *chunks)
{
	int scratch[2] = { -1, -1 }, bytes = 0, rc;
	long n = 0;

	rc = (int)sys_ioctl(p->fd, FIONREAD, (long)&bytes);
	if (rc < 0)
		return collection_refuse(c, p, rc, "pipe: how much is in it");
	if (bytes == 0)
		return 0;
	/* Never more chunks than slots. */
	chunks->items = arena_alloc(c->arena, (capacity / PIPE_SLOT + 1) * sizeof(struct pipe_chunk));
	rc = chunks->items ? pipe_scratch(scratch, capacity) : -ENOMEM;
	if (rc >= 0) {
		n = sys_tee(p->fd, scratch[1], 0x7fffffff, PIPE_SPLICE_NONBLOCK);
		rc = n < 0 ? (int)n : n != bytes ? -ENOBUFS : pipe_drain(c->arena, scratch[0], (uint32_t)bytes, chunks);
	}
	pipe_close(scratch);
	if (rc == -ENOBUFS)
		return collection_refuse(c, p, -EOPNOTSUPP,
					 "a pipe with %d bytes, and no room to look at them: raise fs.pipe-user-pages-soft", bytes);
	return rc < 0 ? collection_refuse(c, p, rc, "pipe: what is in it") : 0;
}

/*
 * What the last reader left behind when it closed: who opens the pipe anew (a
 * FIFO, /proc/PID/fd) finds it. To look at it there has to be a reader for a moment.
 */
static int pipe_peek_left(struct collection *c, const struct probe *p, uint32_t capacity, struct list *chunks)
{
	struct probe reader = *p;
	int bytes = 0, rc;

	if (sys_ioctl(p->fd, FIONREAD, (long)&bytes) < 0 || bytes == 0)
		return 0;
	reader.fd = file_reopen(p->fd, O_RDONLY | O_NONBLOCK);
	if (reader.fd < 0) {
		collection_loss(c, p, "pipe: %d bytes in it, which nobody reads, can't be looked at: %s", bytes, text_error(reader.fd));
		return 0;
	}
	rc = pipe_peek(c, &reader, capacity, chunks);
	sys_close(reader.fd);
	return rc;
}

int pipe_contents(struct collection *c, const struct probe *p, uint32_t capacity, bool peer, struct list *chunks)
{
	*chunks = (struct list){ NULL, 0 };
	if (pipe_reads(p->flags))
		return pipe_peek(c, p, capacity, chunks);
	return peer ? 0 : pipe_peek_left(c, p, capacity, chunks);
}

/* One slot through a scratch pipe, since written bytes would join those before them. */
static int pipe_refill_slot(int fd, const int scratch[2], const struct pipe_chunk *chunk)
{
	long rc = sys_fcntl(scratch[1], F_SETFL, O_NONBLOCK | (chunk->packet ? O_DIRECT : 0));
	uint64_t done;

	if (rc >= 0)
		rc = sys_write(scratch[1], chunk->bytes.p, chunk->bytes.n);
	if (rc >= 0 && (uint64_t)rc != chunk->bytes.n)
		rc = -EIO;
	for (done = 0; rc >= 0 && done < chunk->bytes.n; done += (uint64_t)rc)
		rc = pipe_splice(scratch[0], fd, chunk->bytes.n - done);
	return rc < 0 ? (int)rc : 0;
}

int pipe_refill(int fd, const struct list *chunks)
{
	const struct pipe_chunk *chunk = chunks->items;
	int scratch[2] = { -1, -1 };
	long rc = sys_fcntl(fd, F_SETFL, O_NONBLOCK);

	if (rc < 0 || chunks->n == 0)
		return (int)rc;
	if (chunks->n == 1 && !chunk->packet) {
		rc = sys_write(fd, chunk->bytes.p, chunk->bytes.n);
		return rc < 0 ? (int)rc : (uint64_t)rc != chunk->bytes.n ? -EIO : 0;
	}
	rc = pipe_scratch(scratch, 0);
	for (uint32_t i = 0; rc >= 0 && i < chunks->n; i++)
		rc = pipe_refill_slot(fd, scratch, &chunk[i]);
	pipe_close(scratch);
	return rc < 0 ? (int)rc : 0;
}

static int pipe_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct pipe *pipe = rec;
	long capacity = sys_fcntl(p->fd, F_GETPIPE_SZ, 0);

	if (capacity < 0)
		return collection_refuse(c, p, (int)capacity, "pipe: capacity");
	pipe->dev = p->st.st_dev;
	pipe->ino = p->st.st_ino;
	pipe->flags = p->flags;
	pipe->capacity = (uint32_t)capacity;
	pipe->peer = pipe_has_peer(p->fd);
	pipe->standard = stdio_numbers(c, p);
	return pipe_contents(c, p, pipe->capacity, pipe->peer, &pipe->chunks);
}

/* The next object of the same pipe. */
static uint32_t pipe_next(struct rebuild *r, const struct pipe *pipe, uint32_t obj)
{
	do
		obj = file_same_inode(r, pipe->dev, pipe->ino, obj);
	while (obj != OBJ_NONE && rebuild_kind(r, obj) != &kind_pipe);
	return obj;
}

/* What the image has of one pipe. */
struct pipe_ends {
	uint32_t readers, writers;
	const struct list *chunks;
};

static void pipe_survey(struct rebuild *r, const struct pipe *pipe, struct pipe_ends *ends)
{
	*ends = (struct pipe_ends){ .chunks = &pipe->chunks };
	for (uint32_t o = OBJ_NONE; (o = pipe_next(r, pipe, o)) != OBJ_NONE;) {
		const struct pipe *end = rebuild_record(r, o);

		ends->readers += pipe_reads(end->flags);
		ends->writers += pipe_writes(end->flags);
		if (ends->chunks->n == 0)
			ends->chunks = &end->chunks;
	}
}

/* An end whose other side is outside the tree: 1 with *fd when the launcher's takes its place. */
static int pipe_outside(struct rebuild *r, uint32_t obj, const struct pipe *pipe, const struct pipe_ends *ends, int *fd)
{
	uint64_t bytes = pipe_bytes(ends->chunks);

	*fd = stdio_create(r, obj, pipe->standard);
	if (*fd >= 0) {
		if (bytes)
			rebuild_loss(r, obj, "%lu bytes that were in the pipe from outside are lost", (unsigned long)bytes);
		return 1;
	}
	rebuild_loss(r, obj, "the other side of the pipe is outside: it is found closed");
	return 0;
}

/*
 * Every end of the pipe from the two that pipe2 made, which go to the first of
 * each side (and are -1 then); obj's own is returned.
 */
static int pipe_hand_out(struct rebuild *r, uint32_t obj, const struct pipe *pipe, const int made[2], int both[2])
{
	int own = -EINVAL, fd, side;

	for (uint32_t o = OBJ_NONE; (o = pipe_next(r, pipe, o)) != OBJ_NONE;) {
		const struct pipe *end = rebuild_record(r, o);

		side = (end->flags & O_ACCMODE) == O_WRONLY;
		if (both[side] >= 0 && (end->flags & O_ACCMODE) != O_RDWR) {
			fd = both[side];
			both[side] = -1;
		} else {
			fd = file_reopen(made[side], (int)(end->flags & O_ACCMODE));
		}
		if (fd >= 0)
			sys_fcntl(fd, F_SETFL, (long)(end->flags & (O_NONBLOCK | O_DIRECT)));
		if (o == obj)
			own = fd;
		else if (fd >= 0)
			rebuild_give(r, o, fd);
		if (fd < 0)
			return fd;
	}
	return own;
}

static int pipe_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct pipe *pipe = rec;
	int both[2] = { -1, -1 }, made[2], rc, fd;
	struct pipe_ends ends;
	long capacity;

	pipe_survey(r, pipe, &ends);
	if (pipe->peer && (ends.readers == 0 || ends.writers == 0) && pipe_outside(r, obj, pipe, &ends, &fd))
		return fd;
	rc = sys_pipe2(both, O_CLOEXEC);
	if (rc < 0)
		return failed(rc, "pipe");
	capacity = sys_fcntl(both[1], F_GETPIPE_SZ, 0);
	if (capacity != (long)pipe->capacity) {
		rc = (int)sys_fcntl(both[1], F_SETPIPE_SZ, (long)pipe->capacity);
		if (rc < 0) {
			failed(rc, "pipe: capacity %u", pipe->capacity);
			goto out;
		}
	}
	rc = pipe_refill(both[1], ends.chunks);
	if (rc < 0) {
		failed(rc, "pipe: %lu bytes", (unsigned long)pipe_bytes(ends.chunks));
		goto out;
	}
	memcpy(made, both, sizeof(made));
	rc = pipe_hand_out(r, obj, pipe, made, both);
	if (rc < 0)
		failed(rc, "pipe: an end of it");
out:
	pipe_close(both);
	return rc;
}

const struct kind kind_pipe = {
	.tag = "pipe", .size = sizeof(struct pipe), .fields = pipe_fields,
	.match = pipe_match, .collect = pipe_collect, .create = pipe_create,
};
