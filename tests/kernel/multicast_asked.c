/* A socket tells of a multicast group whether it has joined it, and with which filter, when it is asked (MCAST_MSFILTER). */
#include "fact.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct group_filter f;

static int ask(int fd, unsigned ifindex)
{
	struct sockaddr_in group = { .sin_family = AF_INET };
	socklen_t len = sizeof(f);

	group.sin_addr.s_addr = inet_addr("239.9.9.9");
	memset(&f, 0, sizeof(f));
	f.gf_interface = ifindex;
	f.gf_numsrc = 1;
	memcpy(&f.gf_group, &group, sizeof(group));
	return getsockopt(fd, IPPROTO_IP, MCAST_MSFILTER, &f, &len);
}

int main(void)
{
	struct ip_mreq_source r = { .imr_interface = { htonl(INADDR_LOOPBACK) } };
	char text[65536] = "";
	int fd = socket(AF_INET, SOCK_DGRAM, 0), list;

	r.imr_multiaddr.s_addr = inet_addr("239.9.9.9");
	r.imr_sourceaddr.s_addr = inet_addr("127.0.0.3");
	FACT(ask(fd, 1) < 0 && errno == EADDRNOTAVAIL);
	if (setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &r, sizeof(r)) < 0)
		SKIP("no multicast on the loopback here");
	FACT(ask(fd, 1) == 0 && f.gf_fmode == MCAST_INCLUDE && f.gf_numsrc == 1);
	FACT(((struct sockaddr_in *)&f.gf_slist[0])->sin_addr.s_addr == r.imr_sourceaddr.s_addr);
	list = open("/proc/self/net/igmp", O_RDONLY);
	FACT(list >= 0 && read(list, text, sizeof(text) - 1) > 0 && strstr(text, "\t090909EF "));
	return 0;
}
