/*
 * watch.h - what the inotify wrapper knows, for probe.c
 */
#ifndef WATCH_H
#define WATCH_H

#include <stddef.h>
#include <stdint.h>

/* Where a watched inode was when the watch was added: length of the path, 0 unknown. */
int watch_path(uint64_t dev, uint64_t ino, char *path, size_t size);

#endif
