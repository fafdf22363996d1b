/*
 * tty.h - what the two ends of a terminal share
 */
#ifndef TTY_H
#define TTY_H

#include "file.h"

#define TTY_PTS 136u         /* major number of the first pseudo terminals */
#define TTY_TERMIOS 44       /* struct termios2 */
#define TTY_WINSIZE 8        /* struct winsize */

/* What one read of the other end would give: ended by its last byte (1) or an end-of-file character (2), or not (0). */
struct ptmx_line {
	uint32_t end;
	struct blob bytes;
};

/* A pseudo terminal's master. */
struct ptmx {
	uint32_t index;          /* N of /dev/pts/N */
	uint32_t flags;
	uint32_t locked, packet, exclusive;
	uint32_t hung_up;        /* the other end was open and is closed */
	struct blob termios, winsize;
	struct list input;       /* of struct ptmx_line: typed, not yet read */
	struct blob output;      /* written by the other end, not yet read */
	uint32_t stopped;        /* the output: 1 by tcflow, 2 by its stop character */
};
extern const struct kind kind_ptmx;

/* The terminal's settings, read and written through either end; nothing is told. */
int tty_settings(struct arena *, int fd, struct blob *termios, struct blob *winsize);
int tty_set(int fd, struct blob termios, struct blob winsize);

/* The builder's master of terminal `index`, made now if it isn't yet; -ENOENT when the image has none. */
int ptmx_of(struct rebuild *, uint32_t index);
bool ptmx_known(struct rebuild *, uint32_t index);
/*
 * ptmx_queue.c: looks at what is under way in both directions and leaves it there; puts it into a new terminal. While one
 * process looks, settings and state are not as they were: whoever asks for them waits for its turn.
 */
extern const struct field fields_ptmx_line[];
long ptmx_queue_turn(int master, uint32_t index, bool mine);
int ptmx_queue_collect(struct collection *, const struct probe *, struct ptmx *);
int ptmx_queue_fill(struct rebuild *, const struct ptmx *, int fd);
/* Opens the other end of a master. */
int ptmx_slave(int master, uint32_t flags);

#endif
