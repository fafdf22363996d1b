/*
 * SysV semaphores and message queues: values, messages in their order, a child
 * blocked in semop, one in msgrcv, one in msgsnd; shared memory that nobody has
 * attached; a set that was removed.
 *
 * scenario-limit: 20
 */
#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

struct message {
	long type;
	char text[3000];
};

static void asleep(pid_t pid)
{
	char path[64], state[400];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (int i = 0; i < 5000; i++) {
		FILE *f = fopen(path, "re");
		char c = 0;

		if (f != NULL && fgets(state, sizeof(state), f) != NULL)
			sscanf(strrchr(state, ')'), ") %c", &c);
		if (f != NULL)
			fclose(f);
		if (c == 'S')
			return;
		usleep(1000);
	}
	FAIL("pid %d doesn't sleep", pid);
}

static pid_t child(int (*fn)(int), int id)
{
	pid_t pid = MUST(fork());

	if (pid == 0)
		_exit(fn(id) == 0 ? 0 : errno);
	return pid;
}

static int wait_sem(int id)
{
	struct sembuf op = {.sem_num = 2, .sem_op = -5};

	return semop(id, &op, 1);
}

static int wait_msg(int id)
{
	struct message m;

	return msgrcv(id, &m, sizeof(m.text), 77, 0) == 5 && memcmp(m.text, "hello", 5) == 0 ? 0 : -1;
}

static int send_msg(int id)
{
	struct message m = {.type = 9};

	return msgsnd(id, &m, 3000, 0);
}

static void put(int id, long type, const char *text, size_t n)
{
	struct message m = {.type = type};

	memcpy(m.text, text, n < sizeof(m.text) ? n : sizeof(m.text));
	MUST(msgsnd(id, &m, n, IPC_NOWAIT));
}

int main(void)
{
	key_t key = ftok(".", 's');
	int sem = MUST(semget(key, 3, IPC_CREAT | 0600)), none = MUST(semget(IPC_PRIVATE, 1, 0600));
	int msg = MUST(msgget(key, IPC_CREAT | IPC_EXCL | 0660)), full = MUST(msgget(IPC_PRIVATE, 0600));
	int shm = MUST(shmget(key, 100000, IPC_CREAT | 0600)), status;
	unsigned short values[3] = {7, 0, 3};
	static const char big[3000] = "big";
	struct message m;
	struct msqid_ds ds;
	char *p = shmat(shm, NULL, 0);
	pid_t pids[3];

	CHECK(p != (char *)-1);
	strcpy(p + 50000, "nobody looks");
	MUST(shmdt(p));
	MUST(semctl(none, 0, IPC_RMID));
	MUST(semctl(sem, 0, SETALL, values));
	put(msg, 3, "third", 5);
	put(msg, 1, "first", 5);
	put(msg, 3, "", 0);
	MUST(msgctl(full, IPC_STAT, &ds));
	ds.msg_qbytes = 8000;
	MUST(msgctl(full, IPC_SET, &ds));
	put(full, 5, big, 3000);
	put(full, 6, big, 3000);
	pids[0] = child(wait_sem, sem);
	pids[1] = child(wait_msg, msg);
	pids[2] = child(send_msg, full);
	for (int i = 0; i < 3; i++)
		asleep(pids[i]);

	scenario_wait();

	memset(values, 0, sizeof(values));
	MUST(semctl(sem, 0, GETALL, values));
	CHECK(values[0] == 7 && values[1] == 0 && values[2] == 3);
	SAME(semget(key, 3, 0), sem);
	SAME(msgget(key, 0), msg);
	SAME(shmget(key, 0, 0), shm);
	MUST(msgctl(msg, IPC_STAT, &ds));
	SAME(ds.msg_qnum, 3);
	SAME(ds.msg_perm.mode & 0777, 0660);
	for (int i = 0; i < 3; i++)
		SAME(waitpid(pids[i], &status, WNOHANG), 0);
	put(msg, 77, "hello", 5);
	SAME(waitpid(pids[1], &status, 0), pids[1]);
	SAME(status, 0);
	MUST(semctl(sem, 2, SETVAL, 6));
	SAME(waitpid(pids[0], &status, 0), pids[0]);
	SAME(status, 0);
	SAME(semctl(sem, 2, GETVAL), 1);
	SAME(msgrcv(full, &m, sizeof(m.text), 0, 0), 3000);
	SAME(m.type, 5);
	CHECK(memcmp(m.text, big, 3000) == 0);
	SAME(waitpid(pids[2], &status, 0), pids[2]);
	SAME(status, 0);
	MUST(msgctl(full, IPC_STAT, &ds));
	SAME(ds.msg_qbytes, 8000);
	SAME(ds.msg_qnum, 2);
	SAME(msgrcv(msg, &m, sizeof(m.text), 0, 0), 5);
	CHECK(m.type == 3 && memcmp(m.text, "third", 5) == 0);
	SAME(msgrcv(msg, &m, sizeof(m.text), 0, 0), 5);
	CHECK(m.type == 1);
	SAME(msgrcv(msg, &m, sizeof(m.text), 3, 0), 0);
	p = shmat(shm, NULL, 0);
	CHECK(p != (char *)-1 && strcmp(p + 50000, "nobody looks") == 0 && p[60000] == 0);
	MUST(shmctl(shm, IPC_RMID, NULL));
	MUST(semctl(sem, 0, IPC_RMID));
	MUST(msgctl(msg, IPC_RMID, NULL));
	MUST(msgctl(full, IPC_RMID, NULL));
	scenario_ok();
}
