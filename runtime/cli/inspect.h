/*
 * inspect.h - what the ways of showing an image share
 */
#ifndef INSPECT_H
#define INSPECT_H

#include "cli.h"
#include "peek.h"
#include "skshim/image.h"
#include "stack.h"

/* A number under which a process holds an open file description. */
struct holder {
	uint32_t process;            /* index in the image */
	int32_t fd;
	uint32_t cloexec;
};

struct inspect {
	struct image image;
	struct symbols symbols;
	struct peek *memories;     /* by process */
	struct holder *holders;      /* grouped by object */
	uint32_t *first;             /* by object: its first holder; one more entry ends the last */
	uint32_t nopened;            /* memories that are open */
	uint32_t *joined;            /* by object: its peer, OBJ_NONE */
	uint32_t *waits;             /* by object: the listener that has not accepted it, OBJ_NONE */
	uint32_t *carrier;           /* by object: in whose queue it waits as a descriptor in flight, or in whose backlog; OBJ_NONE */
	bool *backlog;               /* by object: in a backlog */
	uint32_t *by_cookie;         /* objects that are sockets, ascending by cookie */
	uint32_t ncookies;
};

/* came.c: how a process came by a socket, and all that came by it so; returns how many, also those beyond `room`. */
enum came { CAME_UNKNOWN, CAME_MADE, CAME_INHERITED, CAME_PASSED };
enum came came_how(const struct inspect *, uint32_t obj, uint32_t process);
size_t came_pids(const struct inspect *, uint32_t obj, enum came, int32_t *pids, size_t room);

/* joins.c: fills `joined`, `waits` and `by_cookie`. */
int joins_make(struct inspect *);

int inspect_tree(struct inspect *);
int inspect_json(struct inspect *);
int inspect_dot(struct inspect *);

/* A short name for an object: "pid 812 fd 6", or "in flight" when it has no number anywhere. */
void inspect_place(const struct inspect *, uint32_t obj, char *out, size_t size);
/* The object with a socket cookie, OBJ_NONE. */
uint32_t inspect_cookie(const struct inspect *, uint64_t cookie);
/* Where a lineage's frame is, as seen in the process: its function is looked up now. */
void inspect_frame(struct inspect *, uint32_t process, const struct frame_record *, struct stack_frame *out);
/* The words of a process's command line with blanks between. */
void inspect_command(const struct process_record *, char *out, size_t size);

/* --- describe.c: records in words ------------------------------------------------------------------------- */

/* One line for an object: its kind and what is worth knowing of its record. */
void describe_object(const struct inspect *, uint32_t obj, char *out, size_t size);
/* Shorter, for a picture: kind and name. */
void describe_label(const struct inspect *, uint32_t obj, char *out, size_t size);
const char *describe_origin(uint32_t origin);
/* The name of a system call, NULL when it is none of the usual ones. */
const char *describe_call(int32_t number);

#endif
