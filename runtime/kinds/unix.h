/*
 * unix.h - the record of a unix socket, and what its files tell each other
 *
 * unix.c        record, match, collect, check
 * unix_queue.c  bytes, packets and what travels with them: look and put back
 * unix_pending.c connections that nobody has accepted
 * unix_file.c   where the socket file is
 * unix_name.c   addresses and socket files: bind exactly, reach, replace stale ones
 * unix_join.c   which of an image's sockets belong together
 * unix_build.c  the net of all of them, made at once
 * unix_fill.c   queues, ends and options of them
 */
#ifndef KINDS_UNIX_H
#define KINDS_UNIX_H

#include "agent.h"
#include "skshim/diag.h"
#include "socket.h"

enum unix_state { UNIX_PLAIN, UNIX_LISTENING, UNIX_CONNECTED };

/* A descriptor in flight. */
struct unix_right {
	uint32_t obj;
};

/* Sent with MSG_OOB: waits, or was taken already and has left its place. */
enum unix_oob { OOB_NONE, OOB_WAITS, OOB_TAKEN };

/* What one recvmsg gives, or a stretch of a stream that came from one sender. */
struct unix_message {
	struct blob data, sender;    /* sender: its name, "" unbound */
	int32_t cred_pid;            /* 0: no credentials attached */
	uint32_t cred_uid, cred_gid;
	uint32_t oob;                /* enum unix_oob */
	struct list rights;          /* struct unix_right */
};

/* A connection that nobody has accepted, in the order of coming. */
struct unix_pending {
	uint64_t client;             /* its inode, 0: closed again */
	uint32_t obj;                /* what it would be once accepted, looked into because it held data; else OBJ_NONE */
};

/* A further name of the socket file. */
struct unix_link {
	struct blob path;
};

struct unix_record {
	uint32_t type;               /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
	uint64_t ino;
	uint32_t state;              /* enum unix_state */
	uint64_t peer;               /* inode of the peer, 0: gone, never there, or has not accepted */
	uint32_t origin;             /* enum lineage_origin */
	struct blob name, peer_name; /* as the kernel has them: "" none, leading zero abstract; paths without the closing zero */
	int32_t backlog;             /* listening */
	int32_t pid;                 /* of the process it was found in */
	int32_t cred_pid;            /* SO_PEERCRED, pid 0 none */
	uint32_t cred_uid, cred_gid;
	struct blob cred_groups;     /* SO_PEERGROUPS, 4 bytes each */
	uint32_t cred_lives;         /* that process was there at the checkpoint, which SO_PEERPIDFD tells */
	uint32_t shut;               /* 1 receiving, 2 sending */
	uint32_t error;              /* ECONNRESET waits to be told */
	uint64_t vfs;                /* inode of the socket file, 0 none */
	struct blob file;            /* where that file is now; "" nowhere */
	uint32_t file_mode, file_uid, file_gid;
	struct list links;           /* struct unix_link: hard links of it */
	struct blob asked;           /* address as given to connect, when that differs from the peer's name */
	struct blob cwd;             /* directory against which that and a relative name are meant */
	uint32_t outside;            /* the peer was no socket of the tree's when the checkpoint was made */
	uint32_t standard;           /* then, of a stream that has no name: 1 << n for each standard number n that it has (stdio.c) */
	struct list options;         /* struct sockopt */
	struct blob notes;
	struct list queue;           /* struct unix_message */
	struct list pending;         /* struct unix_pending */
	bool unseen;                 /* restart: the file's directory may not be looked into; no field */
};

static inline bool unix_is_path(struct blob name)
{
	return name.n && *(const char *)name.p != '\0';
}

/* --- unix_queue.c ------------------------------------------------------------------------------------------- */

extern const struct field unix_message_fields[];

/* Peeks at everything that waits in the socket's receive queue; nothing is consumed. */
int unix_queue_collect(struct collection *, const struct probe *, struct unix_record *);
/* Sends one message from `fd`; `to` of `len` bytes, NULL for the peer. -EAGAIN when there is no room. */
/* Sends what is behind the first *sent bytes; a stream that is full keeps a part, and *sent says how much. */
int unix_queue_send(struct rebuild *, uint32_t obj, int fd, const struct unix_message *, const void *to, unsigned len,
		    uint64_t *sent);

/* --- unix_pending.c ----------------------------------------------------------------------------------------- */

/* Connections to a listener that nobody has accepted, and what they hold. */
int unix_pending_collect(struct collection *, const struct probe *, struct unix_record *);

#define SIOCUNIXFILE_ 0x89e0  /* linux/un.h of newer headers */

/* --- unix_file.c -------------------------------------------------------------------------------------------- */

extern const struct field unix_link_fields[];

/* Finds where the socket file is now; fills vfs, cwd, file, file_mode, ... links. */
int unix_file_collect(struct collection *, const struct probe *, struct unix_record *);
/*
 * Before somebody connects to a socket's file that its mode forbids to him: the owner gives himself leave. 1: *mode is to be
 * given back by file_forbid(); 0 there was no need; or a negative errno.
 */
int unix_file_permit(const char *path, uint32_t *mode);

/* --- unix_name.c -------------------------------------------------------------------------------------------- */

/* A sockaddr_un and its length from a name. */
struct unix_addr {
	uint16_t family;
	char path[110];
	unsigned len;
};
int unix_addr(struct unix_addr *, struct blob name);
/* Reads a name with getsockname or getpeername. */
int unix_name_read(struct arena *, int fd, bool peer, struct blob *out);
/* Whether the name can be had: nobody listens there, nothing else stands there. */
int unix_name_check(struct unix_record *);
/*
 * Binds fd so that getsockname says rec->name and the file, if there is one,
 * appears at rec->file. *anchor gets an O_PATH descriptor by which the file
 * can be reached when the name doesn't lead there, else -1.
 */
int unix_name_bind(struct rebuild *, uint32_t obj, int fd, const struct unix_record *rec, int *anchor);
/* Binds fd to a name without leaving a file anywhere. */
int unix_name_borrow(int fd, struct blob name, int *anchor);
/* Mode and owner of the file, last. */
void unix_name_finish(const struct unix_record *);
void unix_name_end(void);

/* --- unix_build.c ------------------------------------------------------------------------------------------- */

int unix_build(struct rebuild *);
/* Once: late, where a message names a process that lives, or carries it. */
int unix_fill(struct rebuild *, bool late);
/* kind.h: own() */
int unix_own(struct rebuild *, uint32_t obj, void *record, struct own *);

extern const struct kind kind_unix;

#endif
