/*
 * hash.c - image_hash() for much memory
 *
 * The same with the processor's wider registers, where it has them: then the
 * memory is what it waits for. This file alone is compiled for them.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "load.h"

#if XXH_VECTOR != XXH_AVX2
#error "xxhash.h doesn't see AVX2"
#endif

uint64_t hash_wide(const void *p, uint64_t n)
{
	return XXH3_64bits(p, n);
}
