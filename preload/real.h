/*
 * real.h - the calls behind the interposed ones
 *
 * A row a call: REAL(result, name, arguments) in real.def. real.c fills `real`
 * with dlsym(RTLD_NEXT, ...). A call that libc lacks answers -1 with ENOSYS.
 * Until real_load() every member points to a stub that loads and goes on, so
 * a wrapper may be called before the library's constructor has run.
 */
#ifndef REAL_H
#define REAL_H

#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <time.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct sembuf;
struct termios;
struct winsize;

#define REAL(result, name, arguments) result(*name) arguments;
struct real {
#include "real.def"
};
#undef REAL
extern struct real real;

/* Finds all of them; the constructor calls it first. */
void real_load(void);

/*
 * Makes every module loaded now, libc and this library excepted, call `to`
 * where it would have called libc's `name`, by changing its GOT. Not to be
 * called from a signal handler: takes the loader's lock.
 */
void real_redirect(const char *name, void *to);

#endif
