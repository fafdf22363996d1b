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
#include <sys/shm.h>
#include <unistd.h>

#include "restart.h"

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

bool sysv_missing(const struct shms *s, const struct image *image)
{
	struct shmid_ds ds;

	(void)image;
	for (uint32_t i = 0; i < s->n; i++) {
		const struct shared_record *r = s->list[i].rec;

		if (r->kind == SHARED_SYSV && (shmctl((int)r->ino, IPC_STAT, &ds) < 0 || ds.shm_perm.__key != r->key ||
					       ds.shm_segsz != r->size))
			return true;
	}
	return false;
}

void sysv_leave(const struct shms *s, const struct image *image)
{
	struct shmid_ds ds;

	(void)image;
	for (uint32_t i = 0; i < s->n; i++) {
		const struct shared_record *r = s->list[i].rec;

		if (r->kind == SHARED_SYSV && shmctl((int)r->ino, IPC_STAT, &ds) == 0 && ds.shm_perm.__key == r->key &&
		    ds.shm_segsz == r->size)
			shmctl((int)r->ino, IPC_RMID, NULL);
	}
}
