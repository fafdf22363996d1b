/*
 * real.h - the calls behind the interposed ones
 *
 * A row a call: REAL(result, name, arguments). real.c fills `real` with
 * dlsym(RTLD_NEXT, ...).
 */
#ifndef REAL_H
#define REAL_H

#include <spawn.h>
#include <stdio.h>
#include <signal.h>
#include <poll.h>
#include <time.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "real.def"

#endif
