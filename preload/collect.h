/*
 * collect.h - one process's part of the image
 */
#ifndef COLLECT_H
#define COLLECT_H

#include "conduct.h"

int collect_begin(struct work *);
/* Notes sockets that no interposed call has noted, so that all of the tree's are known when their ends are collected. */
int collect_adopt(struct work *);
int collect_process(struct work *);
void collect_end(struct work *);
int collect_encode(struct work *, struct encode *);

#endif
