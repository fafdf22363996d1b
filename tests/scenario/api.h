/* api.h - for scenarios of programs that use the public API: include/skshim.h, where the program runs under the shim */
#ifndef API_H
#define API_H

#include <dlfcn.h>

#include "../../include/skshim.h"

static inline void *api_function(const char *name)
{
	void *fn = dlsym(RTLD_DEFAULT, name);

	if (!fn)
		scenario_skip("not under the shim");
	return fn;
}

/* The program's own request. */
static inline int api_checkpoint(void)
{
	int (*fn)(void) = (int (*)(void))api_function("skshim_checkpoint");

	return fn();
}

static inline int api_before(int (*before)(void *))
{
	int (*fn)(const struct skshim_hooks *) = (int (*)(const struct skshim_hooks *))api_function("skshim_hooks");
	const struct skshim_hooks hooks = { .before = before };

	return fn(&hooks);
}

#endif
