/*
 * inet.h - internet addresses, and what tcp.c and udp.c share
 */
#ifndef KINDS_INET_H
#define KINDS_INET_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "socket.h"

#define RDHUP 0x2000           /* POLLRDHUP */

union inet_addr {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* An address for comparing: IPv4 mapped, port in host order. */
struct inet_key {
	uint8_t ip[16];
	uint16_t port;
};

/* As getsockname or getpeername gives it; "" (n 0) when there is none. */
int inet_name_read(struct arena *, int fd, bool peer, struct blob *out);
/* false: not an internet address of full length. */
bool inet_addr_of(struct blob name, union inet_addr *out, unsigned *len);
bool inet_key(struct blob name, struct inet_key *out);
bool inet_key_eq(const struct inet_key *, const struct inet_key *);
uint32_t inet_hash(const struct inet_key *, const struct inet_key *);
/* An address of IPv4 hidden in an IPv6 one becomes what it is, for a socket of IPv4; its length now. */
unsigned inet_unmap(union inet_addr *, unsigned len);
/* 0.0.0.0, :: and their mapped forms. */
bool inet_is_any(const struct inet_key *);
/* The address as text, "10.0.0.1:80" or "[::1]:80". */
void inet_text(struct blob name, char out[64]);
/* inet_readdress.c, for the hook of that name: 1 it is another now, 0 it isn't, or failed(). */
int inet_readdress(struct rebuild *, uint32_t obj, struct blob *name);
int inet_readdress_options(struct rebuild *, uint32_t obj, struct list *options, struct blob *notes);
int inet_readdress_groups(struct rebuild *, uint32_t obj, struct list *groups);
int inet_readdress_lineage(struct rebuild *, uint32_t obj, struct lineage_record *);
/* Whether a fresh socket with these options can be bound there (and listen): 0, or failed() with what is in the way. */
int inet_check(const char *what, int family, int type, int protocol, struct blob name, const struct list *options,
	       bool reuse, bool listening);
/* Whether what is sent there stays on this machine, and is for one receiver. */
bool inet_is_here(struct blob name);
/* Whether this machine has the address, whatever the port: 0, or failed() with what would help. */
int inet_check_address(const char *what, int family, int type, struct blob name, const struct list *options);
/* The same as inet_check(), once and in silence: 0 or a negative errno. */
int inet_probe(int family, int type, int protocol, struct blob name, const struct list *options, bool reuse, bool listening);
/*
 * bind() with a port that the kernel chooses, from a range of one: it is given up when the socket is disconnected.
 * -ERANGE: it has chosen another; -ENOPROTOOPT before Linux 6.3. The socket has no IP_LOCAL_PORT_RANGE afterwards.
 */
int inet_bind_open(int fd, const union inet_addr *own, unsigned len);
/* connect() to a peer's name; without its flow label, which is told, where that can't be had. */
int inet_connect(int fd, const union inet_addr *peer, unsigned len);
/*
 * connect() with a port that connect itself chooses, from a range of one: it may be shared, and may take the place of
 * a TIME_WAIT. With pin the address is bound, else it is the route's. -ENOPROTOOPT before Linux 6.3. The socket is a
 * fresh one, and has no IP_LOCAL_PORT_RANGE afterwards.
 */
int inet_connect_from(int fd, const union inet_addr *own, bool pin, const union inet_addr *peer, unsigned len);
/* Who has the other end of a connection that is seen from `name`. */
enum inet_peer {
	INET_PEER_OUTSIDE,
	INET_PEER_INSIDE,            /* a socket that the ledger knows */
	INET_PEER_GONE,              /* nobody any more, on this machine */
	INET_PEER_UNKNOWN,           /* there is no ledger */
};
enum inet_peer inet_peer_inside(struct collection *, int protocol, struct blob name, struct blob peer);

#endif
