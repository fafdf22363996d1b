/*
 * scan.h - msgpack bytes, believed no further than they go
 */
#ifndef IMAGE_SCAN_H
#define IMAGE_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum scan_what { SCAN_UNSIGNED, SCAN_NEGATIVE, SCAN_STR, SCAN_BIN, SCAN_ARRAY, SCAN_MAP };

struct scan_value {
	enum scan_what what;
	uint64_t n;              /* the number (negative: its two's complement); bytes; elements, pairs of a map */
	const uint8_t *bytes;    /* of str and bin */
};

/*
 * Takes a value off [*p, end): of arrays and maps the head, of others all. NULL, or
 * what is wrong with it, in words.
 */
const char *scan_take(const uint8_t **p, const uint8_t *end, struct scan_value *);

/*
 * Walks one value at p[n] to its end. NULL and its length in *used when it is whole and
 * made of what images are made of; else what is wrong with it, in words.
 */
const char *scan(const uint8_t *p, uint64_t n, uint64_t *used);

#endif
