/*
 * A thread that acts on files as another user (setfsuid): ids, what they
 * forbid, whether others may look at the process, and
 * the signal that it wants when its parent ends.
 *
 * scenario-only: root
 */
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile int ready, go;

static void *other(void *arg)
{
	(void)arg;
	setfsuid(33);
	ready = 1;
	while (!go)
		usleep(1000);
	SAME(setfsuid((uid_t)-1), 33);
	return NULL;
}

int main(void)
{
	struct stat st;
	pthread_t t;
	int fd, wanted;

	MUST(chmod(".", 0777));
	close(MUST(open("roots", O_CREAT | O_WRONLY, 0600)));
	SAME(pthread_create(&t, NULL, other, NULL), 0);
	while (!ready)
		usleep(1000);
	setfsgid(1000);
	setfsuid(1000);
	MUST(prctl(PR_SET_DUMPABLE, 1));
	MUST(prctl(PR_SET_PDEATHSIG, SIGURG));

	scenario_wait();

	SAME(prctl(PR_GET_DUMPABLE), 1);
	MUST(prctl(PR_GET_PDEATHSIG, &wanted));
	SAME(wanted, SIGURG);
	SAME(setfsuid((uid_t)-1), 1000);
	SAME(setfsgid((gid_t)-1), 1000);
	SAME(geteuid(), 0);
	SAME(open("roots", O_RDONLY), -1);
	SAME(errno, EACCES);
	fd = MUST(open("new", O_CREAT | O_WRONLY, 0600));
	MUST(fstat(fd, &st));
	SAME(st.st_uid, 1000);
	go = 1;
	SAME(pthread_join(t, NULL), 0);
	setfsuid(0);
	MUST(open("roots", O_RDONLY));
	scenario_ok();
}
