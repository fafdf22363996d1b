/*
 * ipcs.c - SysV objects of a tree, noted in its shared memory
 */
#include "skshim/ipcs.h"
#include "skshim/treefile.h"

#include "skshim/frozen.h"

/* Never 0: ids begin with 0, types are counted from 1. */
static uint64_t object_of(enum ipc_type type, int id)
{
	return ((uint64_t)type + 1) << 32 | (uint32_t)id;
}

void ipcs_note(struct tree *t, enum ipc_type type, int id)
{
	uint64_t object = object_of(type, id);

	if (!treefile_backed(&t->ipcs_ready, t->ipcs, sizeof(t->ipcs))) {
		__atomic_store_n(&t->ipcs_lost, 1, __ATOMIC_RELEASE);
		return;
	}
	for (uint32_t i = 0; i < TREE_IPCS; i++) {
		uint64_t now = __atomic_load_n(&t->ipcs[i].object, __ATOMIC_ACQUIRE);

		if (now == object || (now == 0 && __atomic_compare_exchange_n(&t->ipcs[i].object, &now, object, false,
									     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)))
			return;
	}
	__atomic_store_n(&t->ipcs_lost, 1, __ATOMIC_RELEASE);
}

bool ipcs_next(struct tree *t, uint32_t *at, enum ipc_type *type, int *id)
{
	if (__atomic_load_n(&t->ipcs_ready, __ATOMIC_ACQUIRE) != 1)
		return false;
	while (*at < TREE_IPCS) {
		uint64_t object = __atomic_load_n(&t->ipcs[(*at)++].object, __ATOMIC_ACQUIRE);

		if (!object)
			continue;
		*type = (enum ipc_type)((object >> 32) - 1);
		*id = (int)(uint32_t)object;
		return true;
	}
	return false;
}

void ipcs_drop(struct tree *t, uint32_t at)
{
	__atomic_store_n(&t->ipcs[at - 1].object, 0, __ATOMIC_RELEASE);
}
