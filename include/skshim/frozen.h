/*
 * frozen.h - the last include of every frozen source
 *
 * Frozen code runs in signal handlers and while other threads stand still,
 * perhaps inside malloc or the loader with its lock held. What may not be
 * called there does not compile. The gate in `make check` looks at the
 * undefined symbols of the objects as well.
 */
#ifndef SKSHIM_FROZEN_H
#define SKSHIM_FROZEN_H

/* Headers of the C library make macros of these; a macro can't be poisoned. */
#undef alloca
#undef assert
#undef errno
#undef strdup

#pragma GCC poison malloc calloc realloc free alloca
#pragma GCC poison printf fprintf snprintf sprintf vsnprintf puts fputs fopen fclose fread fwrite
#pragma GCC poison errno strerror perror abort assert
#pragma GCC poison pthread_mutex_lock pthread_mutex_unlock pthread_once dlsym dlopen dl_iterate_phdr
#pragma GCC poison getenv setenv strdup qsort opendir readdir

#endif
