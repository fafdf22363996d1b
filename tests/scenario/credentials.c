/*
 * Children of root as other users: real, effective and saved ids that differ,
 * groups, and one that gave up everything; each keeps its ids and what
 * they allow.
 *
 * scenario-only: root
 */
#include "scenario.h"

#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct ids {
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid, groups[8];
	int ngroups;
};

static volatile int *ready;

static void look(struct ids *i)
{
	memset(i, 0, sizeof(*i));
	MUST(getresuid(&i->ruid, &i->euid, &i->suid));
	MUST(getresgid(&i->rgid, &i->egid, &i->sgid));
	i->ngroups = MUST(getgroups(8, i->groups));
}

static void stand(int go, int dumpable)
{
	struct ids before, after;
	char c;

	look(&before);
	SAME(prctl(PR_GET_DUMPABLE), dumpable);
	__atomic_add_fetch(ready, 1, __ATOMIC_SEQ_CST);
	SAME(read(go, &c, 1), 0);
	look(&after);
	CHECK(memcmp(&before, &after, sizeof(before)) == 0);
	SAME(prctl(PR_GET_DUMPABLE), dumpable);
}

/* A server's worker: nothing of root is left. */
static void worker(int go)
{
	gid_t groups[] = { 2001, 2002, 2003 };

	MUST(setgroups(3, groups));
	MUST(setresgid(1234, 1234, 1234));
	MUST(setresuid(1234, 1234, 1234));
	stand(go, 0);
	SAME(setuid(0), -1);
	SAME(open("/etc/shadow", O_RDONLY), -1);
	_exit(1);
}

/* A set-user-id program between its uses of privilege. */
static void between(int go)
{
	gid_t group = 2005;

	MUST(setgroups(1, &group));
	MUST(setresgid(1235, 1235, 0));
	MUST(setresuid(1235, 1235, 0));
	stand(go, 0);
	SAME(open("/etc/shadow", O_RDONLY), -1);
	MUST(seteuid(0));
	MUST(open("/etc/shadow", O_RDONLY));
	MUST(setegid(0));
	_exit(2);
}

int main(void)
{
	void (*const all[])(int) = { worker, between };
	pid_t pid[2];
	int go[2], status;

	ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(ready != MAP_FAILED);
	MUST(pipe(go));
	for (int i = 0; i < 2; i++) {
		pid[i] = MUST(fork());
		if (pid[i] == 0) {
			close(go[1]);
			all[i](go[0]);
		}
	}
	while (*ready < 2)
		usleep(500);

	scenario_wait();

	close(go[1]);
	for (int i = 0; i < 2; i++) {
		SAME(waitpid(pid[i], &status, 0), pid[i]);
		SAME(status, (i + 1) << 8);
	}
	scenario_ok();
}
