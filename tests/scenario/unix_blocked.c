/* scenario-checkpoints: 3 */
/* Writers asleep in send, both ways, on every type of socket, and clients asleep in connect; then all comes, in order, once. */
#include "un.h"

#define MESSAGES 1500
#define LENGTH 400
#define CLIENTS 5

static void fill(char *text, int from, int i)
{
	memset(text, 'a' + (from + i) % 26, LENGTH);
	snprintf(text, LENGTH, "%d %d ", from, i);
}

static void pour(int fd, int from)
{
	char text[LENGTH];

	for (int i = 0; i < MESSAGES; i++) {
		fill(text, from, i);
		SAME(send(fd, text, LENGTH, MSG_NOSIGNAL), LENGTH);
	}
	_exit(0);
}

static void drink(int fd, int from)
{
	char text[LENGTH], got[LENGTH];

	for (int i = 0; i < MESSAGES; i++) {
		fill(text, from, i);
		SAME(recv(fd, got, LENGTH, MSG_WAITALL), LENGTH);
		if (memcmp(text, got, LENGTH) != 0)
			FAIL("message %d of %d is \"%.10s\"", i, from, got);
	}
	TEXT(un_recv(fd), "EAGAIN");
}

static void knock(const char *name, int i)
{
	int fd = un_connected(SOCK_STREAM, name), got;

	SAME(send(fd, &i, sizeof(i), MSG_NOSIGNAL), sizeof(i));
	SAME(recv(fd, &got, sizeof(got), 0), sizeof(got));
	SAME(got, i);
	_exit(0);
}

/* Until the child sleeps in a system call: nothing else makes one of these sleep. */
static void until_asleep(pid_t pid)
{
	char path[40], line[200], state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	do {
		usleep(1000);
		f = fopen(path, "r");
		CHECK(f && fgets(line, sizeof(line), f));
		fclose(f);
		state = strrchr(line, ')')[2];
	} while (state != 'S');
}

static pid_t child(void (*work)(int, int), int fd, int i)
{
	pid_t pid = MUST(fork());

	if (pid == 0)
		work(fd, i);
	until_asleep(pid);
	return pid;
}

static void accept_all(int listener)
{
	bool seen[CLIENTS] = { false };
	int fd[CLIENTS], i, k;

	for (k = 0; k < CLIENTS; k++) {
		fd[k] = MUST(accept(listener, NULL, NULL));
		SAME(recv(fd[k], &i, sizeof(i), 0), sizeof(i));
		CHECK(i >= 0 && i < CLIENTS && !seen[i]);
		seen[i] = true;
		/* those in the backlog were there first */
		CHECK(k > 2 || i == k);
		SAME(send(fd[k], &i, sizeof(i), MSG_NOSIGNAL), sizeof(i));
	}
}

int main(void)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int pair[4][2], listener = un_listener(SOCK_STREAM, "busy", 2), status, met;

	for (int i = 0; i < 3; i++)
		MUST(socketpair(AF_UNIX, types[i], 0, pair[i]));
	met = un_listener(SOCK_STREAM, "met", 2);
	un_meet(met, SOCK_STREAM, "met", &pair[3][0], &pair[3][1]);
	for (int i = 0; i < 4; i++) {
		child(pour, pair[i][0], 2 * i);
		child(pour, pair[i][1], 2 * i + 1);
	}
	for (int i = 0; i < CLIENTS; i++) {
		pid_t pid = MUST(fork());

		if (pid == 0)
			knock("busy", i);
		until_asleep(pid);
	}

	scenario_wait();
	for (int i = 0; i < 4; i++) {
		drink(pair[i][1], 2 * i);
		drink(pair[i][0], 2 * i + 1);
	}
	accept_all(listener);
	while (wait(&status) > 0)
		SAME(status, 0);
	scenario_ok();
}
