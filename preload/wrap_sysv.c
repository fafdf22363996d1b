/*
 * wrap_sysv.c - SysV objects that this tree makes
 *
 * Only what the tree made is its own: an object that was there before belongs
 * to somebody outside and is not carried in an image. With IPC_CREAT alone
 * the kernel doesn't say which it was, so these ask first.
 *
 * What SEM_UNDO would undo at a process's end nobody can read, so it is
 * counted here, in the program's own memory, and brought about again after a
 * restart by an operation that changes nothing else. It is the process's: a
 * child has none of it.
 */
#include <stdarg.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "shim.h"
#include "skshim/ipcs.h"
#include "stop.h"
#include "wait.h"

#include "skshim/frozen.h"

/* After a get that asked to make an object if there is none. */
static int made(enum ipc_type type, bool was_there, long id)
{
	if (id >= 0 && !was_there && shim.active && shim.tree)
		ipcs_note(shim.tree, type, (int)id);
	return (int)syscall_result(id);
}

/* Could an object be found without making one? Then the call finds it as well. */
static bool there(key_t key, int flags, long found)
{
	return !(flags & IPC_CREAT || key == IPC_PRIVATE) || (key != IPC_PRIVATE && !(flags & IPC_EXCL) && found != -2 /* ENOENT */);
}

SHIM_EXPORT int shmget(key_t key, size_t size, int flags)
{
	bool was = there(key, flags, key == IPC_PRIVATE ? 0 : SYS3(__NR_shmget, key, 0, 0));

	return made(IPC_MEMORY, was, SYS3(__NR_shmget, key, size, flags));
}

SHIM_EXPORT int semget(key_t key, int n, int flags)
{
	bool was = there(key, flags, key == IPC_PRIVATE ? 0 : SYS3(__NR_semget, key, 0, 0));

	return made(IPC_SEMAPHORES, was, SYS3(__NR_semget, key, n, flags));
}

SHIM_EXPORT int msgget(key_t key, int flags)
{
	bool was = there(key, flags, key == IPC_PRIVATE ? 0 : SYS2(__NR_msgget, key, 0));

	return made(IPC_MESSAGES, was, SYS2(__NR_msgget, key, flags));
}

/* --- SEM_UNDO --------------------------------------------------------------------------------------------------- */

#define UNDOS 256

static struct undo {
	int pid, id, num;
	int left;                    /* what is added at the end */
} undos[UNDOS];
static uint32_t undo_holder;             /* pid, so that a child doesn't wait for a thread that it hasn't got */
static bool undo_lost;

static void undo_take(void)
{
	uint32_t was;

	for (;;) {
		was = __atomic_load_n(&undo_holder, __ATOMIC_RELAXED);
		if (was != (uint32_t)shim.pid &&
		    __atomic_compare_exchange_n(&undo_holder, &was, (uint32_t)shim.pid, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
		sys_sched_yield();
	}
}

static void undo_note(int id, const struct sembuf *op)
{
	struct undo *u = NULL;

	for (int i = 0; i < UNDOS; i++) {
		bool used = undos[i].pid == shim.pid && undos[i].left;

		if (used && undos[i].id == id && undos[i].num == op->sem_num) {
			u = &undos[i];
			break;
		}
		if (!used && !u)
			u = &undos[i];
	}
	undo_lost |= !u;
	if (!u)
		return;
	if (u->pid != shim.pid || !u->left)
		*u = (struct undo){ shim.pid, id, op->sem_num, 0 };
	u->left -= op->sem_op;
}

int undo_done(int rc, int id, const struct sembuf *ops, size_t n)
{
	bool any = false;

	for (size_t i = 0; rc == 0 && i < n; i++)
		any |= ops[i].sem_flg & SEM_UNDO;
	if (!any || !shim.active)
		return rc;
	undo_take();
	for (size_t i = 0; i < n; i++)
		if ((ops[i].sem_flg & SEM_UNDO) && ops[i].sem_op)
			undo_note(id, &ops[i]);
	__atomic_store_n(&undo_holder, 0, __ATOMIC_RELEASE);
	return rc;
}

SHIM_EXPORT int semop(int id, struct sembuf *ops, size_t n)
{
	int rc;

	do
		rc = real.semop(id, ops, n);
	while (wait_stolen(rc));
	return undo_done(rc, id, ops, n);
}

/* A value that is set takes what was to be undone away, everybody's. */
SHIM_EXPORT int semctl(int id, int num, int cmd, ...)
{
	va_list ap;
	int rc;

	va_start(ap, cmd);
	rc = real.semctl(id, num, cmd, va_arg(ap, unsigned long));
	va_end(ap);
	if (rc < 0 || !(cmd == SETVAL || cmd == SETALL || cmd == IPC_RMID) || !shim.active)
		return rc;
	undo_take();
	for (int i = 0; i < UNDOS; i++)
		if (undos[i].id == id && (cmd != SETVAL || undos[i].num == num))
			undos[i].left = 0;
	__atomic_store_n(&undo_holder, 0, __ATOMIC_RELEASE);
	return rc;
}

int undo_check(void)
{
	return undo_lost ? failed(ERR_PLAIN, "pid %d: more than %d semaphores with SEM_UNDO", shim.pid, UNDOS) : 0;
}

/* Both operations happen or none, so nobody sees a value between. */
void undo_restore(void)
{
	for (int i = 0; i < UNDOS; i++) {
		const struct undo *u = &undos[i];
		unsigned short num = (unsigned short)u->num;
		short left = (short)u->left;
		struct sembuf later[2] = { { num, left, IPC_NOWAIT }, { num, (short)-left, IPC_NOWAIT | SEM_UNDO } };
		struct sembuf sooner[2] = { { num, (short)-left, IPC_NOWAIT | SEM_UNDO }, { num, left, IPC_NOWAIT } };
		int rc;

		if (u->pid != shim.pid || !u->left)
			continue;
		rc = (int)SYS3(__NR_semop, u->id, left > 0 ? later : sooner, 2);
		if (rc < 0)
			log_line(LOG_WARN, "pid %d: semaphore %d of set %d: SEM_UNDO: %s", shim.pid, u->num, u->id, text_error(rc));
	}
}
