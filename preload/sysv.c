/*
 * sysv.c - SysV objects that no mapping shows
 *
 * The leader describes them while everybody stands: values of semaphores, the
 * messages of a queue (MSG_COPY leaves them where they are), shared memory that
 * nobody has attached. What SEM_UNDO would undo when a process ends is counted
 * where it is asked for (wrap_sysv.c).
 */
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "skshim/ipcs.h"
#include "stop.h"

#include "skshim/frozen.h"

#define EINVAL_ 22
#define EIDRM_ 43
#define ENOSYS_ 38
#define MSG_COPY_ 040000

static void permissions(struct ipc_record *r, const struct ipc_perm *p)
{
	r->key = p->__key;
	r->mode = p->mode & 0777;
	r->uid = p->uid;
	r->gid = p->gid;
}

static int out_of_memory(const struct ipc_record *r)
{
	return failed(-12, "memory for the SysV object %d", r->id);
}

static int semaphores(struct arena *a, struct ipc_record *r)
{
	struct semid_ds ds;
	int rc = (int)SYS4(__NR_semctl, r->id, 0, IPC_STAT, &ds);
	uint16_t *values;

	if (rc < 0)
		return rc;
	permissions(r, &ds.sem_perm);
	r->size = ds.sem_nsems;
	values = arena_alloc(a, r->size * sizeof(*values));
	if (!values)
		return out_of_memory(r);
	r->values = (struct blob){ values, r->size * sizeof(*values) };
	return (int)SYS4(__NR_semctl, r->id, 0, GETALL, values);
}

static int messages(struct arena *a, struct ipc_record *r)
{
	struct msqid_ds ds;
	int rc = (int)SYS3(__NR_msgctl, r->id, IPC_STAT, &ds);
	struct piece_record *pieces;
	struct { long type; char text[]; } *buf;

	if (rc < 0)
		return rc;
	permissions(r, &ds.msg_perm);
	r->size = ds.msg_qbytes;
	pieces = arena_alloc(a, (ds.msg_qnum + 1) * sizeof(*pieces));
	/* no message is longer than all together */
	buf = arena_alloc(a, sizeof(*buf) + ds.__msg_cbytes + 1);
	if (!pieces || !buf)
		return out_of_memory(r);
	for (uint32_t i = 0; i < ds.msg_qnum; i++) {
		long n = SYS5(__NR_msgrcv, r->id, buf, ds.__msg_cbytes, i, IPC_NOWAIT | MSG_COPY_);

		if (n == -ENOSYS_)
			return failed(ERR_PLAIN, "SysV message queue %d: this kernel can't show its messages (CONFIG_CHECKPOINT_RESTORE)",
				      r->id);
		if (n < 0)
			return failed((int)n, "SysV message queue %d: message %u", r->id, i);
		pieces[i].at = (uint64_t)buf->type;
		pieces[i].bytes = arena_blob(a, buf->text, (uint64_t)n);
		if (!pieces[i].bytes.p)
			return out_of_memory(r);
	}
	r->pieces = (struct list){ pieces, (uint32_t)ds.msg_qnum };
	return 0;
}

/* Memory that is attached is described by those who have it. 1: this is. */
static int memory(struct arena *a, struct ipc_record *r)
{
	struct shmid_ds ds;
	int rc = (int)SYS3(__NR_shmctl, r->id, IPC_STAT, &ds);
	struct piece_record *pieces;
	char *at;
	uint64_t first = 0, page = 0;

	if (rc < 0)
		return rc;
	if (ds.shm_nattch)
		return 1;
	permissions(r, &ds.shm_perm);
	r->size = ds.shm_segsz;
	pieces = arena_alloc(a, (r->size / ARCH_PAGE / 2 + 2) * sizeof(*pieces));
	if (!pieces)
		return out_of_memory(r);
	at = (char *)SYS3(__NR_shmat, r->id, 0, SHM_RDONLY);
	if (sys_is_err(at))
		return (int)(long)at;
	r->pieces.items = pieces;
	for (; first < r->size; first = page + ARCH_PAGE) {
		unsigned char in = 0;

		for (page = first; page < r->size && SYS3(__NR_mincore, at + page, 1, &in) == 0 && (in & 1); page += ARCH_PAGE)
			;
		if (page > first) {
			uint64_t end = page < r->size ? page : r->size;

			pieces[r->pieces.n++] = (struct piece_record){ first, arena_blob(a, at + first, end - first) };
			if (!pieces[r->pieces.n - 1].bytes.p)
				rc = out_of_memory(r);
		}
	}
	SYS1(__NR_shmdt, at);
	return rc;
}

int sysv_collect(struct arena *a, struct process_record *p)
{
	static int (*const collect[])(struct arena *, struct ipc_record *) = { memory, semaphores, messages };
	static const char *const names[] = { "shared memory", "semaphores", "message queue" };
	struct ipc_record *list = NULL;
	uint32_t at = 0, n = 0;
	enum ipc_type type;
	int id;

	p->ipc = (struct list){ NULL, 0 };
	if (__atomic_load_n(&shim.tree->ipcs_lost, __ATOMIC_ACQUIRE))
		return failed(ERR_PLAIN, "the tree has made more than %d SysV objects", TREE_IPCS);
	while (ipcs_next(shim.tree, &at, &type, &id)) {
		struct ipc_record *r;
		int rc;

		if (!list)
			list = arena_alloc(a, TREE_IPCS * sizeof(*list));
		if (!list)
			return failed(-12, "pid %d: memory for SysV objects", shim.pid);
		r = &list[n];
		*r = (struct ipc_record){ .type = type, .id = id, .values = BLOB("") };
		rc = collect[type](a, r);
		if (rc == -EINVAL_ || rc == -EIDRM_)
			ipcs_drop(shim.tree, at);
		else if (rc < 0)
			return failed(rc, "SysV %s %d", names[type], id);
		else
			n += rc == 0;
	}
	p->ipc = (struct list){ list, n };
	return 0;
}
