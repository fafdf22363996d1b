/*
 * scan.h - a look at msgpack bytes before msgpack-c believes them
 */
#ifndef IMAGE_SCAN_H
#define IMAGE_SCAN_H

#include <stddef.h>
#include <stdint.h>

/*
 * Walks one value at p[n]. NULL and its length in *used when it is whole and
 * made of what images are made of; else what is wrong with it, in words.
 */
const char *scan(const uint8_t *p, uint64_t n, uint64_t *used);

#endif
