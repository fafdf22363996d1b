/*
 * quiet.h - connections whose packets are kept away while nobody has them
 *
 * Between the end of a stopped tree and its restart the kernel would answer
 * the peer's packets with a reset; and so would another host to which the
 * address has been moved, until all is made again there. So a table of
 * nftables drops the packets of exactly these connections, in and out. One
 * process of an image has one table, with the image's path as its comment:
 *
 *	table inet skshim_000003_812_5f1e22c9d4a0b763 { comment "/srv/checkpoints/000003"; sets of the connections; two chains }
 *
 * Until the image is there the table belongs to a netlink socket of whoever
 * made it, and goes with that socket, however its owner ends (Linux 5.12;
 * tests/kernel/nft_owner.c). All of it needs CAP_NET_ADMIN. Frozen code.
 */
#ifndef SKSHIM_QUIET_H
#define SKSHIM_QUIET_H

#include <stdbool.h>
#include <stdint.h>

#define QUIET_PREFIX "skshim_"
#define QUIET_NAME 80        /* room for a table's name */
#define QUIET_COMMENT 253    /* the longest comment; of a longer path nothing is kept */

/* A connection; IPv4 addresses are mapped (::ffff:a.b.c.d), ports in host order. */
struct quiet_pair {
	uint8_t own[16], peer[16];
	uint16_t own_port, peer_port;
};

/* What a table is called: by image, process, and moment. */
void quiet_name(char name[QUIET_NAME], const char *image, int pid, uint64_t moment);

/* A descriptor to give to the others, or a negative errno. */
int quiet_open(void);
/* A table without connections. owned: it goes when fd is closed; -EOPNOTSUPP where there is no such thing. */
int quiet_make(int fd, const char *table, const char *comment, bool owned);
/* The packets of n more connections are dropped from now on. */
int quiet_add(int fd, const char *table, const struct quiet_pair *, uint32_t n);
/* -ENOENT: it is gone already. */
int quiet_drop(int fd, const char *table);
/* The same in another network namespace of this machine, if it can be found and entered (CAP_SYS_ADMIN). */
void quiet_drop_in(uint64_t netns, const char *table);

/* One of ours as it is found; image "" where the table doesn't say. */
struct quiet_table {
	char name[QUIET_NAME];
	char image[QUIET_COMMENT + 1];
	bool owned;                  /* somebody is at work */
};
/* Calls found() for every table of ours. 0 or a negative errno, or what found() returns if that is negative. */
int quiet_each(int (*found)(const struct quiet_table *, void *arg), void *arg);
/* Nobody will come for it: the directory of its image is there, and the image isn't, nor is it being written. */
bool quiet_stale(const struct quiet_table *);
/* Removes those that are stale. */
void quiet_sweep(void);

#endif
