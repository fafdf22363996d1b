/*
 * kind.h - one file, one kernel object
 *
 * A kind is an open file description, not a descriptor: numbers, CLOEXEC and
 * sharing belong to the descriptor table (task.h). collect() runs frozen with
 * the world stopped and consumes nothing. The other calls run in
 * skshim-restart; between two phases every object is done with the former:
 *
 *   readdress  before check: internet addresses of the record and of its lineage (may be NULL) become those that
 *            --map-address puts in their place; negative when out of memory. NULL: the kind has none
 *   lends    whether a descriptor of the launcher's may take its place (--inherit-fd), and which: then none of the
 *            following is called for it but ready. NULL: never
 *   check    before anything is made: can it be made? (may be NULL)
 *   create   in the builder, a process that becomes the tree's ancestor; returns a descriptor, any number.
 *            A description that is made together with another (a pipe's other end, a socketpair's)
 *            leaves that one's descriptor with rebuild_give().
 *   connect  in the builder, all objects exist: bind order, connect, accept
 *   fill     in the builder, all are connected: bytes in flight, counters, shutdown
 *   late     in the builder, when all processes exist and none has its descriptors yet: what is done with
 *            processes. Of kinds that asked rebuild_waits(), and first of those without a fill, which others carry
 *   own      in the one process that has it, while its descriptors get their numbers: of those that create left to it
 *   link     in the lowest process that has it, descriptors at their numbers: epoll, locks, owners
 *   each     beside link, in every process that has it, with that process's own record: what belongs to
 *            processes, such as POSIX locks and watches of descriptions that only this process has
 *   arm      as link, last: what starts to run. Mostly rebuild_call()s, which the restorer performs
 *            after memory is back
 *   settle   to arm what each is to link
 *   ready    in the builder, when all processes stand as they stood, and none has run: what others see. Until here
 *            a restart that fails has told them nothing
 *
 * All of a kind's code obeys the frozen rules, since it is linked into both
 * worlds; report with failed() and return a negative errno.
 */
#ifndef SKSHIM_KIND_H
#define SKSHIM_KIND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "skshim/arena.h"
#include "skshim/err.h"
#include "skshim/field.h"
#include "skshim/lineage.h"
#include "skshim/str.h"
#include "skshim/sys.h"

struct collection;
struct lineage_record;
struct rebuild;
struct sigevent;
struct tree;
struct process_record;

/* What is known of one open file description before a kind looks closer. */
struct probe {
	int fd;                      /* the lowest number it has in this process */
	uint32_t obj;                /* this process's number for it */
	struct stat st;
	uint32_t flags;              /* F_GETFL, with O_PATH */
	uint64_t pos;                /* from fdinfo */
	uint64_t mnt_id;
	struct blob path;            /* /proc/self/fd/N as readlink gives it, " (deleted)" included */
	struct blob fdinfo;          /* whole text */
	int family, type, protocol;  /* a socket's, else -1 */
	uint64_t cookie;             /* a socket's SO_COOKIE, else 0 */
	const struct lineage *lineage; /* a stable copy, or NULL */
};

/* One descriptor of the process being collected. */
struct descriptor {
	int32_t fd;
	uint32_t cloexec;
	uint32_t obj;
};

/* The process being collected: what kinds may ask. */
struct collection {
	struct arena *arena;         /* lives until the image is written */
	int pid;
	struct descriptor *fds;      /* ascending */
	uint32_t nfds;
	uint64_t *cookies;           /* by their order: those of sockets, where they have been asked for; else NULL */
	struct probe *probes;        /* by object number */
	uint32_t nprobes;
	struct blob *losses;         /* by object number: what collection_loss() said, for object_record.loss */
	void *diag;                  /* base/diag's tables, made at the first question; see diag.h */
	struct tree *tree;           /* the shared memory of all processes; NULL: there is none */
	bool going_on;               /* false with --stop: the tree ends after this checkpoint */
	const char *image;           /* the directory that the checkpoint will have; NULL: not known */
	/* Whose sockets are the tree's: 1 and a copy (into out, unless that is NULL) when the ledger knows the cookie. NULL: there is no ledger. */
	int (*lineage_of)(uint64_t cookie, struct lineage *out);
	/* Whether the process that SO_PEERCRED tells for a socket is the one that has the number now. May be NULL: not known. */
	bool (*peer_lives)(const struct probe *, int pid);
	/* Whether no other process of the tree has this socket. May be NULL: not known. */
	bool (*alone)(int pid, uint64_t ino);
	/* Whether another process has the description behind fd, whose link in /proc/PID/fd is `link`. May be NULL: not known. */
	bool (*elsewhere)(int pid, int fd, const char *link);
	/* Whether this process belongs to the tree. May be NULL: not known. */
	bool (*member)(int pid);
	/* How collection_adopt() looks at a descriptor; set by probe_all(). */
	int (*look)(struct collection *, struct probe *, int fd);
	/* Where an inotify watch was put when it was added, by inode: length of the path, 0 unknown. May be NULL. */
	int (*watch_path)(uint64_t dev, uint64_t ino, char *path, size_t size);
	/*
	 * How this process asked to be told of a message in the queue (mq_notify), as the kernel was told; NULL: not seen. It
	 * will ask again after a restart, through `fd`, if it is `registered` now. May be NULL.
	 */
	const struct sigevent *(*notification)(uint64_t dev, uint64_t ino, int fd, bool registered);
	void (*release)(struct collection *); /* what a kind has to take back; called by collection_release(). May be NULL */
	/* With --stop, the image is there: what stays behind the process, made through this descriptor. May be NULL. */
	void (*leave)(struct collection *);
	int leave_fd;
	/* Bytes [start, end) of a file are in memory that this process maps shared, so that its pages are carried. May be NULL. */
	bool (*mapped)(uint64_t dev, uint64_t ino, uint64_t start, uint64_t end);
	uint64_t files_most;         /* bytes of one file that an image carries (SKSHIM_FILES_MAX) */
	bool files_written;          /* also of files that have a name and are open for writing (SKSHIM_FILES) */
	/* Bytes [at, at + n) of an open file go into the image; *where says at which address. May be NULL: then into the record. */
	int (*carry)(int fd, uint64_t at, uint64_t n, uint64_t *where);
	/* Whether this process carries what is in this file, the first of the tree to ask. May be NULL: then each does. */
	bool (*carries)(uint64_t dev, uint64_t ino);
	int *adopted;                /* descriptors that collecting installed; closed by collection_release() */
	uint32_t nadopted, room_adopted, room_probes;
};

/* The object behind number `fd`, OBJ_NONE when it is not open. */
uint32_t collection_object(const struct collection *, int fd);
/*
 * A descriptor found elsewhere than in the table (in flight in a queue): says
 * which object it is, appending a probe when it is a new one. Takes fd over:
 * it is closed at once, or, for a new object, by collection_release(), so that
 * the collecting loop, which must look at nprobes again each time round, can
 * ask about it. OBJ_NONE with failed() called.
 */
uint32_t collection_adopt(struct collection *, int fd);
/* Closes what was adopted: when the checkpoint is made, or has failed. */
void collection_release(struct collection *);
/* Takes the process's POSIX locks again, where files had to be closed that have some: no other task could be made. */
void collection_relock(struct collection *);
/* Announces a loss ("fd 9: tcp 10.0.0.1:80 -> ...: the peer is outside, will be reset at restart"); kept in the image. */
void collection_loss(struct collection *, const struct probe *, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Refuses the checkpoint with "pid P fd N: text"; returns rc for the caller to return. */
int collection_refuse(struct collection *, const struct probe *, int rc, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* What own() made: the object asked for, and one that is made together with it. */
struct own {
	uint32_t obj[2];
	int fd[2];
	int n;
};

/* What a descriptor of the launcher's has to be: a listening socket. */
struct lends {
	int domain, type;
	char name[128];              /* a KEY beside the number */
};

struct kind {
	const char *tag;             /* its name in the image; never reused */
	uint32_t size;
	const struct field *fields;
	bool (*match)(const struct probe *);
	int (*collect)(struct collection *, const struct probe *, void *rec);
	int (*readdress)(struct rebuild *, uint32_t obj, void *rec, struct lineage_record *);
	bool (*lends)(const void *rec, struct lends *);
	int (*check)(struct rebuild *, uint32_t obj, void *rec);
	int (*create)(struct rebuild *, uint32_t obj, void *rec);
	int (*connect)(struct rebuild *, uint32_t obj, void *rec, int fd);
	int (*fill)(struct rebuild *, uint32_t obj, void *rec, int fd);
	int (*late)(struct rebuild *, uint32_t obj, void *rec, int fd);
	int (*own)(struct rebuild *, uint32_t obj, void *rec, struct own *);
	int (*link)(struct rebuild *, uint32_t obj, void *rec, int fd);
	int (*each)(struct rebuild *, uint32_t obj, void *rec, int fd);
	int (*arm)(struct rebuild *, uint32_t obj, void *rec, int fd);
	int (*settle)(struct rebuild *, uint32_t obj, void *rec, int fd);
	int (*ready)(struct rebuild *, uint32_t obj, void *rec, int fd);
};

/* Every kind, in the order match() is asked; ends with NULL. From kinds.def. */
extern const struct kind *const kinds[];
const struct kind *kind_by_tag(struct blob tag);

/* --- what kinds may ask of the restart ------------------------------------------------------------------- */

/* How connections to outside the tree are treated (--tcp, --unix-external). */
enum rebuild_policy { POLICY_RESET, POLICY_RECONNECT, POLICY_FAIL, POLICY_REPAIR };

/* The builder's descriptor of an object, -1 before it is created. */
int rebuild_fd(const struct rebuild *, uint32_t obj);
/*
 * In create: takes over a descriptor of the file of a listener whose name leads nowhere any more. The processes that
 * have the listener get it, and the ledger is told its number.
 */
int rebuild_keep(struct rebuild *, uint32_t obj, int fd);
/* Hands in a descriptor for another object; its create() is then not called. */
void rebuild_give(struct rebuild *, uint32_t obj, int fd);
/*
 * In create: whether an object that is finished had better make room in the builder's table of descriptors, and
 * rebuild_park(), which does that: its flags are set, its descriptor (given with rebuild_give()) goes to the one
 * process that has it, and rebuild_fd() is negative from then on.
 */
bool rebuild_parks(const struct rebuild *, uint32_t obj);
int rebuild_park(struct rebuild *, uint32_t obj);
/* Whether any process has a descriptor of it; else it is in flight in a queue. */
bool rebuild_in_table(const struct rebuild *, uint32_t obj);
/*
 * In create: the pid of the one process that has the object, 0 none or several; and rebuild_leave(): that process makes
 * it (own), so it takes neither a number nor a call here, and its maker is who it was. rebuild_fd() is negative from then on.
 */
int32_t rebuild_alone(const struct rebuild *, uint32_t obj);
void rebuild_leave(struct rebuild *, uint32_t obj);
/* In own: whether the object's number has FD_CLOEXEC, which its descriptor is to have from the start. */
bool rebuild_cloexec(const struct rebuild *, uint32_t obj);
/* The object's kind and record; NULL when there is no such object. */
const struct kind *rebuild_kind(const struct rebuild *, uint32_t obj);
void *rebuild_record(const struct rebuild *, uint32_t obj);
uint32_t rebuild_objects(const struct rebuild *);
/* F_GETFL flags recorded for the object. The restart applies the status flags (O_NONBLOCK, O_APPEND, O_ASYNC, ...) itself, after fill. */
uint32_t rebuild_flags(const struct rebuild *, uint32_t obj);
/* In link and arm: the process's own number for another object, -1 when it has none. */
int rebuild_number(const struct rebuild *, uint32_t obj);
struct arena *rebuild_arena(struct rebuild *);
/* The tree's process of that number, NULL when there is none. */
const struct process_record *rebuild_process(const struct rebuild *, int32_t pid);
/* In fill: whether late() will be called. It isn't where no processes are made. */
bool rebuild_waits(const struct rebuild *);
enum rebuild_policy rebuild_tcp_policy(const struct rebuild *);
enum rebuild_policy rebuild_unix_policy(const struct rebuild *);
/*
 * In readdress: the internet address (4 or 16 bytes, and the interface of a link-local one, which may be NULL) becomes
 * the one that --map-address puts in its place. False: none does.
 */
bool rebuild_address(struct rebuild *, uint32_t obj, int family, void *address, uint32_t *scope);
/* Nanoseconds that CLOCK_MONOTONIC / CLOCK_BOOTTIME / CLOCK_REALTIME stood at when the world was stopped. */
int64_t rebuild_clock_then(const struct rebuild *, int clock);
/* The launcher's standard descriptor that stands for `fd` (0..2 or an --inherit-fd KEY); -1 when there is none. Duplicate it. */
int rebuild_launcher_fd(const struct rebuild *, int fd);
/* The launcher's descriptor that --inherit-fd N:KEY gives for an object, KEY being its number or a name (its peer's); -1 none. */
int rebuild_inherited(const struct rebuild *, uint32_t obj, struct blob name);
/* In create: the object is one that was handed in, whose owner and mode stay what they are. */
void rebuild_lent(struct rebuild *, uint32_t obj);
/*
 * In create: the object is one of the launcher's standard descriptors, so at the numbers 0, 1 and 2 it is given
 * the launcher's own of that number, which need not be one description as the program's were.
 */
void rebuild_stand_in(struct rebuild *, uint32_t obj);
bool rebuild_stands_in(const struct rebuild *, uint32_t obj);
/* The other end, opened, of the pseudo terminal that was device `dev`; -ENOENT when its master is not in the image. */
int rebuild_terminal(struct rebuild *, uint64_t dev);
/* arm only: a system call for the restorer to make after memory is back; fails the restart when the result is negative. */
int rebuild_call(struct rebuild *, const char *what, long nr, long a, long b, long c, long d);
/* arm only: bytes the restorer will have; returns the address they will have there, 0 when out of memory. */
unsigned long rebuild_data(struct rebuild *, const void *p, size_t n);
/* Announces, once per object, what is given up. */
void rebuild_loss(struct rebuild *, uint32_t obj, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The record that one process has of an object, NULL when it doesn't have it; rebuild_record() is the lowest process's. */
uint32_t rebuild_processes(const struct rebuild *);
const void *rebuild_held(struct rebuild *, uint32_t process, uint32_t obj);
/* n bytes of a file that the image carries, `where` being what a record of this process says; 0 or a negative errno, told. */
int rebuild_carried(struct rebuild *, uint32_t process, uint64_t where, void *buf, size_t n);
/* Notes a path to unlink if the restart fails before the tree runs (a socket file, a temporary). */
int rebuild_undo_file(struct rebuild *, const char *path);

#endif
