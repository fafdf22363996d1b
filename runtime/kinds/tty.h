/*
 * tty.h - what the two ends of a terminal share
 */
#ifndef TTY_H
#define TTY_H

#include "file.h"

#define TTY_PTS 136u         /* major number of the first pseudo terminals */
#define TTY_TERMIOS 44       /* struct termios2 */
#define TTY_WINSIZE 8        /* struct winsize */

/* A pseudo terminal's master. */
struct ptmx {
	uint32_t index;          /* N of /dev/pts/N */
	uint32_t flags;
	uint32_t locked, packet, exclusive;
	uint32_t hung_up;        /* the other end was open and is closed */
	struct blob termios, winsize;
};
extern const struct kind kind_ptmx;

/* The terminal's settings, read and written through either end; nothing is told. */
int tty_settings(struct arena *, int fd, struct blob *termios, struct blob *winsize);
int tty_set(int fd, struct blob termios, struct blob winsize);

/* The builder's master of terminal `index`, made now if it isn't yet; -ENOENT when the image has none. */
int ptmx_of(struct rebuild *, uint32_t index);
/* Opens the other end of a master. */
int ptmx_slave(int master, uint32_t flags);

#endif
