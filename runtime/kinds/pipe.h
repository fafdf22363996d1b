/*
 * pipe.h - what pipes and fifos share: bytes in flight
 */
#ifndef PIPE_H
#define PIPE_H

#include "file.h"

/* What one read returns: a packet, or all bytes of a stream. */
struct pipe_chunk {
	struct blob bytes;
};
extern const struct field fields_pipe_chunk[];

/* Looks at what is in the pipe; only through a description that may read. */
int pipe_peek(struct collection *, const struct probe *, uint32_t capacity, struct list *chunks);
/* Puts it into an empty pipe. `packets`: single chunks are packets too. Leaves the description non-blocking. */
int pipe_refill(int fd, const struct list *chunks, bool packets);
uint64_t pipe_bytes(const struct list *chunks);
/* Whether the other side exists at this moment (poll says neither HUP nor ERR). */
bool pipe_has_peer(int fd);

static inline bool pipe_reads(uint32_t flags)
{
	return (flags & 3) != 1 /* O_WRONLY */;
}
static inline bool pipe_writes(uint32_t flags)
{
	return (flags & 3) != 0 /* O_RDONLY */;
}

#endif
