/* Socket options that change no other one: whoever has seen only these being set needs to ask for no others. */
#include "fact.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define NAMES 128
#define SO_BUF_LOCK 72

static const int levels[] = { SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP };

struct value {
	socklen_t len;
	unsigned char bytes[64];
};

static struct value all[2][4][NAMES];

static void ask(int fd, struct value v[4][NAMES])
{
	memset(v, 0, sizeof(all[0]));
	for (int l = 0; l < 4; l++)
		for (int n = 0; n < NAMES; n++) {
			/* no options: they tell what goes on */
			if (levels[l] == SOL_SOCKET && n == SO_MEMINFO)
				continue;
			if (levels[l] == IPPROTO_TCP && (n == TCP_INFO || n == TCP_CC_INFO || n == TCP_ZEROCOPY_RECEIVE || n == TCP_TIMESTAMP))
				continue;
			v[l][n].len = sizeof(v[l][n].bytes);
			if (getsockopt(fd, levels[l], n, v[l][n].bytes, &v[l][n].len) < 0)
				v[l][n].len = 0;
		}
}

/* `with`: an option that is the same one under another name, or is allowed to go with it. */
static void alone(int family, int type, int level, int name, const void *value, socklen_t len, const int with[3])
{
	int fd = socket(family, type, 0), changed = 0;

	FACT(fd >= 0);
	ask(fd, all[0]);
	FACT(setsockopt(fd, level, name, value, len) == 0);
	ask(fd, all[1]);
	for (int l = 0; l < 4; l++)
		for (int n = 0; n < NAMES; n++) {
			if (memcmp(&all[0][l][n], &all[1][l][n], sizeof(all[0][l][n])) == 0)
				continue;
			changed++;
			FACT(levels[l] == level && (n == name || n == with[0] || n == with[1] || n == with[2]));
		}
	FACT(changed > 0);
	close(fd);
}

int main(void)
{
	static const struct {
		int level, name, value, with[3];
	} numbers[] = {
		{ SOL_SOCKET, SO_REUSEADDR, 1, { 0 } }, { SOL_SOCKET, SO_REUSEPORT, 1, { 0 } }, { SOL_SOCKET, SO_KEEPALIVE, 1, { 0 } },
		{ SOL_SOCKET, SO_OOBINLINE, 1, { 0 } }, { SOL_SOCKET, SO_SNDBUF, 30000, { SO_BUF_LOCK } },
		{ SOL_SOCKET, SO_RCVBUF, 30000, { SO_BUF_LOCK } }, { IPPROTO_IPV6, IPV6_V6ONLY, 1, { 0 } }, { IPPROTO_TCP, TCP_KEEPIDLE, 9, { 0 } },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 9, { 0 } }, { IPPROTO_TCP, TCP_KEEPCNT, 4, { 0 } }, { IPPROTO_TCP, TCP_USER_TIMEOUT, 900, { 0 } },
		{ IPPROTO_TCP, TCP_DEFER_ACCEPT, 3, { 0 } }, { IPPROTO_TCP, TCP_SYNCNT, 3, { 0 } }, { IPPROTO_TCP, TCP_NOTSENT_LOWAT, 5000, { 0 } },
	};
	static const int none[3], receive[3] = { 66 }, send[3] = { 67 };
	const struct timeval time = { 3, 0 };
	const struct linger linger = { 1, 5 };
	const int on = 1;

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		alone(AF_INET6, SOCK_STREAM, numbers[i].level, numbers[i].name, &numbers[i].value, sizeof(int), numbers[i].with);
	for (int family = 0; family < 2; family++) {
		alone(family ? AF_UNIX : AF_INET, SOCK_STREAM, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time), receive);
		alone(family ? AF_UNIX : AF_INET, SOCK_STREAM, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time), send);
		alone(family ? AF_UNIX : AF_INET, SOCK_STREAM, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger), none);
	}
	alone(AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on), none);
	alone(AF_UNIX, SOCK_STREAM, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on), none);
	return 0;
}
