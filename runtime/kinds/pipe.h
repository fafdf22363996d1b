/*
 * pipe.h - what pipes and fifos share: bytes in flight
 */
#ifndef PIPE_H
#define PIPE_H

#include "file.h"

/*
 * What is in one slot of the pipe. A pipe is full when its slots are, however
 * little is in each, so slots are kept.
 */
struct pipe_chunk {
	struct blob bytes;
	uint32_t packet;         /* 1: one read takes it, and no more */
};
extern const struct field fields_pipe_chunk[];

/* Looks at what is in the pipe, at an end that reads, or one that writes when there is nobody at the other side (peer). */
int pipe_contents(struct collection *, const struct probe *, uint32_t capacity, bool peer, struct list *chunks);
/* Puts it into an empty pipe. Leaves the description non-blocking. */
int pipe_refill(int fd, const struct list *chunks);
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
