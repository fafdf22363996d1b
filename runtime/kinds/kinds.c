/*
 * kinds.c - the list of kinds
 */
#include "skshim/kind.h"

#include "skshim/frozen.h"

#define KIND(file) extern const struct kind kind_##file;
#include "skshim/kinds.def"
#undef KIND

const struct kind *const kinds[] = {
#define KIND(file) &kind_##file,
#include "skshim/kinds.def"
#undef KIND
	NULL
};

const struct kind *kind_by_tag(struct blob tag)
{
	for (const struct kind *const *k = kinds; *k; k++)
		if (blob_is(tag, (*k)->tag))
			return *k;
	return NULL;
}
