/*
 * wrap_sysv.c - SysV objects that this tree makes
 *
 * Only what the tree made is its own: an object that was there before belongs
 * to somebody outside and is not carried in an image. With IPC_CREAT alone
 * the kernel doesn't say which it was, so these ask first.
 */
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "shim.h"
#include "skshim/ipcs.h"
#include "stop.h"

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
