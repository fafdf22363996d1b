/*
 * away.h - descriptors of the shim's own that outlive a checkpoint. Frozen code.
 */
#ifndef SKSHIM_AWAY_H
#define SKSHIM_AWAY_H

#define AWAY_FLOOR 4096u     /* where the program's limit leaves room behind it */
#define AWAY_ROOM 128u       /* numbers above the program's limit that are used for them */

/* A duplicate out of the program's way, close-on-exec; or a negative errno. The old one stays open. */
int away_move(int fd);
/* Opens a file for a moment, also where the program has used up the numbers that its soft limit allows. */
int away_open(const char *path, int flags);

#endif
