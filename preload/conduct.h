/*
 * conduct.h - what checkpoint.c, meet.c, directory.c and manifest.c share
 */
#ifndef CONDUCT_H
#define CONDUCT_H

#include "stop.h"

/*
 * One process's part of a checkpoint. Lies in the shim's data, which is in the
 * image: after a restart only `restored` means anything.
 */
enum part { FILE_TASK, FILE_RUNS, FILE_PAGES, FILE_KEYS, FILES };

/* member.written: not yet; on disk; failed; by a writer that has let go of what is the program's; by itself, as it can't fork. */
enum written { WRITTEN_NOT, WRITTEN_DONE, WRITTEN_FAILED, WRITTEN_DETACHED, WRITTEN_STANDING };

struct work {
	struct arena arena;          /* not in the image */
	struct process_record task;
	struct collection all;
	struct descriptor *fds;      /* nfds of them, and their cookies: as they were when the world had just stopped; NULL: not known */
	uint64_t *cookies;
	uint32_t nfds;
	struct object_record *objects;
	void **records;
	const struct kind **kinds;
	uint32_t room;               /* of the three lists above */
	struct memory memory;
	struct pages pages;
	int parent, partial;         /* the directories, open while it is being made; a member has none */
	int files[FILES];            /* this process's part */
	uint32_t dumpable;           /* as the program had it; 1 while it stands, or /proc/self would not be readable */
	bool leader;
	int detached;                /* in the writer: what memory_detach() said */
	/* RLIMIT_NOFILE and RLIMIT_FSIZE as the program had them; raised while it stands */
	struct raised { uint64_t soft, hard; } nofile, fsize;
	bool stood;                  /* its threads are known: its file system ids are the effective ones */
	bool subreaper;              /* it is one; switched off while the world stands */
	int32_t writer;
	char *writer_stack;
	struct member_record *members;    /* the leader's: the image's numbers */
	uint32_t nmembers, nglobal;
	struct pid_record *pids;     /* the leader's: processes of the image */
	uint32_t npids;
	struct dead_record *dead;    /* the leader's: children of those that have ended */
	uint32_t ndead, dead_room;
	int64_t realtime, monotonic, boottime;
	uint32_t number;             /* tree->number when the world stood */
	char image[TREE_DIR + 16];   /* the directory that comes about, if all goes well */
};
extern struct work work;

/* meet.c: the processes of a tree go through a checkpoint together. */
int meet_claim(void);                 /* 1: this process leads; 0: another does, or is still writing */
void meet_abandon(void);
void meet_leave(int32_t writer);
void meet_ask_again(void);
int meet_untraced(void);             /* leader: no process of the tree traces another */
int meet_stop(void);                  /* leader: everybody stands */
int meet_phase(enum tree_phase phase, enum member_state reached);  /* leader: moves on, waits for all */
int meet_wait(enum tree_phase phase); /* member: until the leader moves on; 1 when it moved to PHASE_GO instead */
bool meet_over(void);                 /* member: the leader has given up, or is gone */
void meet_reached(enum member_state state);
void meet_go(void);                   /* leader: everybody runs again */
void meet_tell(void);                 /* this process's failure becomes the checkpoint's */
void meet_result(enum tree_result result, const char *dir);
bool meet_alive(int pid);
bool meet_answers(void);
void trigger_answered(void);
bool trigger_served(uint32_t number);    /* the request of that number has its checkpoint, or is having it; 0 is none */

/* directory.c */
int directory_path(const char *path); /* makes it, like mkdir -p */
int directory_begin(void);            /* leader: makes .NNNNNN.partial */
int directory_join(void);             /* member: opens its files in it, or has the leader do it */
int directory_open(int dirfd, int pid, int files[FILES]);
void directory_abandon(int parent, uint32_t number);   /* removes what was written */
int directory_commit(int parent, int partial, uint32_t number, uint32_t keep);
int directory_put(int fd, const char *name, const struct encode *e);   /* all of it, synced */

/*
 * fdtable.c: with whom this process shares its table of descriptors. Begin; when all stand: look, and whoever describes
 * the descriptors waits for the others; they tell what is the shim's of it; before the program runs again: leave, behind
 * which this process opens nothing, and await that the others have.
 */
void fdtable_begin(void);
int fdtable_look(void);
int32_t fdtable_owner(void);          /* pid of the one that describes them, mostly this */
bool fdtable_quiet(void);             /* another does: nothing may be opened while that is at it */
int fdtable_await(void);
void fdtable_tell(const int *fds, uint32_t n);
bool fdtable_owns(int fd);
void fdtable_leave(void);
void fdtable_await_left(void);
bool fdtable_alive(const struct member *);    /* neither gone nor a zombie; a member that stands */

/* hand.c: descriptors of its files for a member of another user */
int hand_give(struct member *);
int hand_all(void);                   /* to all that ask */
int hand_take(int files[FILES]);

/* stopped.c: members that stand stopped by a signal */
void stopped_entered(void);           /* each process, before it is stopped by us */
bool stopped_any(void);
void stopped_look(void);              /* then, before it reaches MEMBER_STOPPED: its children */
void stopped_continue(struct member *);   /* leader */
void stopped_settle(void);            /* each process, about to go on: its children */
void stopped_again(void);             /* and itself */
bool stopped_held(void);              /* a thread: has this process been continued, and not yet taken its order? */

/* zombies.c: fills work.dead */
int zombies_collect(void);

/* manifest.c: what belongs together across processes, and the manifest */
int manifest_keys_write(void);        /* member: .PID.keys */
int manifest_unify(void);             /* leader: reads them, asks kcmp, numbers the image's objects */
int manifest_write(struct arena *a, struct file_sum_record *sums, uint32_t nsums, int partial);

#endif
