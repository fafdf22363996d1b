/*
 * lend.c - an environment lent to the program, for calls of libc's that take the one in `environ`
 *
 * popen() runs the shell with `environ`. Where that lacks what the shim needs
 * (the program emptied it, or the tree has been restarted under another name)
 * it leads to a list of ours for the moment of the call. Other threads read it
 * meanwhile, and may go on reading afterwards: the list is no call's own, but
 * stays until another one has taken its place. One in which a variable was set
 * meanwhile, or of which libc has made a copy, is the program's from then on.
 */
#include <sys/mman.h>

#include "family.h"
#include "skshim/frozen.h"

extern char **environ;

struct lent {
	struct carried env;
	size_t n;                    /* variables */
	uint64_t sum;                /* of the list as it was lent */
};

static struct {
	uint32_t lock, users;        /* calls that are under way with `last` */
	struct lent *last;
	char **was;                  /* what environ was */
} lend;

static void lock(void)
{
	while (__atomic_exchange_n(&lend.lock, 1, __ATOMIC_ACQUIRE))
		sys_sched_yield();
}

static void unlock(void)
{
	__atomic_store_n(&lend.lock, 0, __ATOMIC_RELEASE);
}

static uint64_t sum_of(char *const *list, size_t *n)
{
	uint64_t sum = 0;

	for (*n = 0; list[*n]; (*n)++)
		sum += (uint64_t)list[*n] * (2 * *n + 1);
	return sum;
}

static bool own(const struct carried *c, const char *p)
{
	return (p >= c->text && p < c->text + sizeof(c->text)) ||
	       (c->map && p >= (const char *)c->map && p < (const char *)c->map + c->size);
}

static bool same(const struct lent *a, const struct lent *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const char *x = a->env.envp[i], *y = b->env.envp[i];

		if (x != y && !(own(&a->env, x) && own(&b->env, y) && blob_is((struct blob){ x, strlen(x) }, y)))
			return false;
	}
	return true;
}

static void end(struct lent *l)
{
	carry_unpack(&l->env);
	sys_munmap(l, sizeof(*l));
}

/* A list for `was`: the last one if it says the same. NULL: none is needed, or there is no memory. */
static struct lent *list_for(char **was)
{
	struct lent *l = sys_mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (sys_is_err(l))
		return NULL;
	carry_pack(&l->env, was, CARRY_SHIM);
	if (l->env.envp == was) {
		end(l);
		return NULL;
	}
	l->sum = sum_of(l->env.envp, &l->n);
	if (lend.last && same(l, lend.last)) {
		end(l);
		return lend.last;
	}
	if (lend.last)
		end(lend.last);
	return lend.last = l;
}

bool lend_begin(void)
{
	struct lent *l;
	bool lent = false;

	lock();
	if (lend.users && environ == lend.last->env.envp) {
		lend.users++;
		lent = true;
	} else if (!lend.users && (l = list_for(environ))) {
		lend.was = environ;
		lend.users = 1;
		environ = (char **)(uintptr_t)l->env.envp;
		lent = true;
	}
	unlock();
	return lent;
}

void lend_end(void)
{
	size_t n;

	lock();
	if (--lend.users == 0) {
		if (environ == lend.last->env.envp && sum_of(environ, &n) == lend.last->sum)
			environ = lend.was;
		else
			lend.last = NULL;
	}
	unlock();
}

void lend_forked(void)
{
	if (lend.users)
		lend.last = NULL;    /* environ may lead there for good */
	lend.lock = lend.users = 0;
}
