/*
 * check.h - what the files of `skshim check` share
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Something the kernel allows here or not, found by trying it. */
enum fact_key {
	FACT_SHM, FACT_SET_TID, FACT_USERNS, FACT_PIDNS, FACT_PIDNS_PROC, FACT_PIDNS_SET_TID, FACT_MOVED_SOCKETS,
	FACT_TIMENS, FACT_TCP_REPAIR, FACT_UNIX_FILE, FACT_NFTABLES, FACT_TRANSPARENT, FACT_BUFFER_FORCE,
	FACT_DIAG_UNIX, FACT_DIAG_TCP, FACT_DIAG_UDP, FACT_DIAG_RAW, FACT_DIAG_NETLINK, FACT_DIAG_PACKET,
	FACT_KCMP, FACT_PAGEMAP_SCAN, FACT_WP_ASYNC, FACT_HUGE_PAGES, FACT_TIMER_IDS, FACT_SCHED, FACT_OVERCOMMIT,
	FACTS
};

struct fact {
	const char *key;             /* in the JSON document; never changed */
	const char *text;
	int (*try)(void);            /* in a child of its own: 0 or a negative errno */
	int result;                  /* 0 allowed, else the negative errno */
};

extern struct fact facts[FACTS];
/* Tries all of them. 0 or a negative errno with failed() called. */
int check_try(void);

/* Traces of killed runs: calls back with what it is and its name. */
void check_leftovers(void (*found)(const char *what, const char *name, void *arg), void *arg);

#endif
