/*
 * sysv.c - SysV shared memory, semaphores and message queues
 *
 * Programs know them by id, so they come back with the old one or not at all.
 * A killed program's objects stay in the kernel: one with the old id, key and
 * size is the old one, for ids are not used again soon, and gets the image's
 * contents. One that is gone is made again, with shm_next_id and its like in /proc/sys/kernel,
 * which an ordinary user may set in an IPC namespace of his own only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include "restart.h"
#include "skshim/ipcs.h"

#define HUGE_FLAG_SHIFT 26

/* The next object of that sort gets this id. */
static int next_id(const char *sort, int id)
{
	char path[64], number[16];
	int fd, n = snprintf(number, sizeof(number), "%d", id), rc = 0;

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s_next_id", sort);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, number, (size_t)n) != n)
		rc = -errno;
	close(fd);
	return rc;
}

/* 1: the old one is there; 0: there is none with its id; or a negative errno. */
static int memory_there(const struct shared_record *r)
{
	struct shmid_ds ds;

	if (shmctl((int)r->ino, IPC_STAT, &ds) < 0)
		return errno == EINVAL || errno == EIDRM ? 0 : failed(-errno, "SysV shared memory %d", (int)r->ino);
	if (ds.shm_segsz == r->size && ds.shm_perm.__key == r->key)
		return 1;
	return failed(ERR_PLAIN, "SysV shared memory %d is another's now (key %x, %zu bytes): remove it with ipcrm -m %d", (int)r->ino,
		      (unsigned)ds.shm_perm.__key, ds.shm_segsz, (int)r->ino);
}

static int make_memory(const struct shared_record *r)
{
	int flags = (int)(r->mode & 0777) | IPC_CREAT | IPC_EXCL, id, rc = next_id("shm", (int)r->ino);
	struct shmid_ds ds;

	if (rc < 0)
		return failed(rc, "SysV shared memory %d is gone and can't be had under its old id", (int)r->ino);
	if (r->flags & SHARED_HUGE)
		flags |= SHM_HUGETLB | (int)(SHARED_HUGE_SHIFT(r->flags) << HUGE_FLAG_SHIFT);
	/* once removed, its key is nobody's */
	id = shmget(r->key, r->size, flags);
	if (id < 0)
		return failed(-errno, "SysV shared memory %d (key %x)", (int)r->ino, (unsigned)r->key);
	if (id != (int)r->ino) {
		shmctl(id, IPC_RMID, NULL);
		return failed(ERR_PLAIN, "SysV shared memory %d is gone, and its id is taken", (int)r->ino);
	}
	if (shmctl(id, IPC_STAT, &ds) == 0 && (ds.shm_perm.uid != r->uid || ds.shm_perm.gid != r->gid)) {
		ds.shm_perm.uid = r->uid;
		ds.shm_perm.gid = r->gid;
		if (shmctl(id, IPC_SET, &ds) < 0)
			log_line(LOG_INFO, "SysV shared memory %d: its owner %u: %s", id, r->uid, strerror(errno));
	}
	if ((r->flags & SHARED_LOCKED) && shmctl(id, SHM_LOCK, NULL) < 0)
		log_line(LOG_WARN, "SysV shared memory %d is no longer locked: %s", id, strerror(errno));
	return 0;
}

int sysv_memory(struct shm *m)
{
	int rc = memory_there(m->rec);

	if (rc == 0) {
		rc = make_memory(m->rec);
		m->made = m->empty = rc == 0;
	}
	return rc < 0 ? rc : 0;
}

/* --- semaphores and message queues ---------------------------------------------------------------------------- */

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

static const struct {
	const char *name, *sort, *remove;
} types[] = {
	[IPC_MEMORY] = { "shared memory", "shm", "-m" }, [IPC_SEMAPHORES] = { "semaphores", "sem", "-s" },
	[IPC_MESSAGES] = { "message queue", "msg", "-q" },
};

/* 1: what has the record's id is it; 0: nothing has; -EEXIST: something else; or another negative errno. Tells nothing. */
static int there(const struct ipc_record *r)
{
	struct shmid_ds shm;
	struct semid_ds sem;
	struct msqid_ds msg;
	bool same = false;
	int rc;

	if (r->type == IPC_MEMORY) {
		rc = shmctl(r->id, IPC_STAT, &shm);
		same = rc == 0 && shm.shm_perm.__key == r->key && shm.shm_segsz == r->size;
	} else if (r->type == IPC_SEMAPHORES) {
		rc = semctl(r->id, 0, IPC_STAT, (union semun){ .buf = &sem });
		same = rc >= 0 && sem.sem_perm.__key == r->key && sem.sem_nsems == r->size;
	} else {
		rc = msgctl(r->id, IPC_STAT, &msg);
		same = rc == 0 && msg.msg_perm.__key == r->key;
	}
	if (rc < 0)
		return errno == EINVAL || errno == EIDRM ? 0 : -errno;
	return same ? 1 : -EEXIST;
}

static void remove_one(const struct ipc_record *r)
{
	if (r->type == IPC_MEMORY)
		shmctl(r->id, IPC_RMID, NULL);
	else if (r->type == IPC_SEMAPHORES)
		semctl(r->id, 0, IPC_RMID);
	else
		msgctl(r->id, IPC_RMID, NULL);
}

/* What was made, to be removed again. */
static const struct ipc_record **made;
static uint32_t nmade;

void sysv_undo(void)
{
	while (nmade)
		remove_one(made[--nmade]);
}

static void give_owner(const struct ipc_record *r)
{
	struct semid_ds sem;
	struct msqid_ds msg;
	int rc = 0;

	if (r->type == IPC_SEMAPHORES && semctl(r->id, 0, IPC_STAT, (union semun){ .buf = &sem }) >= 0 &&
	    (sem.sem_perm.uid != r->uid || sem.sem_perm.gid != r->gid)) {
		sem.sem_perm.uid = r->uid;
		sem.sem_perm.gid = r->gid;
		rc = semctl(r->id, 0, IPC_SET, (union semun){ .buf = &sem });
	} else if (r->type == IPC_MESSAGES && msgctl(r->id, IPC_STAT, &msg) == 0) {
		msg.msg_perm.uid = r->uid;
		msg.msg_perm.gid = r->gid;
		msg.msg_qbytes = r->size;
		rc = msgctl(r->id, IPC_SET, &msg);
	}
	if (rc < 0)
		log_line(LOG_WARN, "SysV %s %d: owner %u and size %lu: %s", types[r->type].name, r->id, r->uid, r->size, strerror(errno));
}

static int make_object(const struct ipc_record *r)
{
	int flags = (int)(r->mode & 0777) | IPC_CREAT | IPC_EXCL, rc = next_id(types[r->type].sort, r->id), id;

	if (rc < 0)
		return failed(rc, "SysV %s %d: gone and can't be had under its old id", types[r->type].name, r->id);
	id = r->type == IPC_SEMAPHORES ? semget(r->key, (int)r->size, flags) : msgget(r->key, flags);
	if (id < 0)
		return failed(-errno, "SysV %s %d (key %x)", types[r->type].name, r->id, (unsigned)r->key);
	if (id != r->id) {
		struct ipc_record other = *r;

		other.id = id;
		remove_one(&other);
		return failed(ERR_PLAIN, "SysV %s %d: gone, and its id is taken", types[r->type].name, r->id);
	}
	made[nmade++] = r;
	give_owner(r);
	return 0;
}

/* What the killed program left in it goes. */
static int send_messages(const struct ipc_record *r)
{
	const struct piece_record *p = r->pieces.items;
	size_t room = 1 << 16;
	struct msgbuf *m = NULL;
	int rc = 0;

	for (uint32_t i = 0; i < r->pieces.n; i++)
		room = p[i].bytes.n > room ? p[i].bytes.n : room;
	m = malloc(sizeof(*m) + room);
	if (!m)
		return failed(-ENOMEM, "SysV message queue %d", r->id);
	while (msgrcv(r->id, m, room, 0, IPC_NOWAIT | MSG_NOERROR) >= 0)
		;
	for (uint32_t i = 0; rc == 0 && i < r->pieces.n; i++) {
		m->mtype = (long)p[i].at;
		memcpy(m->mtext, p[i].bytes.p, p[i].bytes.n);
		if (msgsnd(r->id, m, p[i].bytes.n, IPC_NOWAIT) < 0)
			rc = failed(-errno, "SysV message queue %d: message %u", r->id, i);
	}
	free(m);
	return rc;
}

static int make_one(const struct ipc_record *r)
{
	int rc = there(r);

	if (rc == -EEXIST)
		return failed(ERR_PLAIN, "SysV %s %d is another's now: remove it with ipcrm %s %d", types[r->type].name, r->id,
			      types[r->type].remove, r->id);
	if (rc < 0)
		return failed(rc, "SysV %s %d", types[r->type].name, r->id);
	if (rc == 0)
		rc = make_object(r);
	if (rc < 0)
		return rc;
	if (r->type == IPC_MESSAGES)
		return send_messages(r);
	rc = semctl(r->id, 0, SETALL, (union semun){ .array = (unsigned short *)r->values.p });
	return rc < 0 ? failed(-errno, "SysV semaphores %d: their values", r->id) : 0;
}

int sysv_make(const struct shms *s, const struct image *image, struct tree *tree)
{
	uint32_t n = 0;
	int rc = 0;

	for (uint32_t p = 0; p < image->nprocesses; p++)
		n += image->processes[p].task->ipc.n;
	made = calloc(n + 1, sizeof(*made));
	if (!made)
		return failed(-ENOMEM, "memory for %u SysV objects", n);
	for (uint32_t p = 0; p < image->nprocesses; p++) {
		const struct list *l = &image->processes[p].task->ipc;
		const struct ipc_record *r = l->items;

		for (uint32_t i = 0; rc == 0 && i < l->n; i++) {
			if (r[i].type != IPC_MEMORY)
				rc = make_one(&r[i]);
			ipcs_note(tree, (enum ipc_type)r[i].type, r[i].id);
		}
	}
	for (uint32_t i = 0; i < s->n; i++)
		if (s->list[i].rec->kind == SHARED_SYSV && !(s->list[i].rec->flags & SHARED_REMOVED))
			ipcs_note(tree, IPC_MEMORY, (int)s->list[i].rec->ino);
	return rc;
}

/* --- an IPC namespace of our own ------------------------------------------------------------------------------ */

/* Calls one() for every object of the image until that says stop. */
static bool each(const struct shms *s, const struct image *image, bool (*one)(const struct ipc_record *))
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct shared_record *m = s->list[i].rec;
		struct ipc_record r = { .type = IPC_MEMORY, .id = (int)m->ino, .key = m->key, .size = m->size };

		if (m->kind == SHARED_SYSV && one(&r))
			return true;
	}
	for (uint32_t p = 0; p < image->nprocesses; p++) {
		const struct list *l = &image->processes[p].task->ipc;

		for (uint32_t i = 0; i < l->n; i++)
			if (one((const struct ipc_record *)l->items + i))
				return true;
	}
	return false;
}

static bool is_missing(const struct ipc_record *r)
{
	return there(r) != 1;
}

static bool leave_one(const struct ipc_record *r)
{
	if (there(r) == 1)
		remove_one(r);
	return false;
}

bool sysv_missing(const struct shms *s, const struct image *image)
{
	return each(s, image, is_missing);
}

void sysv_leave(const struct shms *s, const struct image *image)
{
	each(s, image, leave_one);
}
