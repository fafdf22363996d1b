/*
 * carry.c - the tree's shared memory across fork and exec
 *
 * fork inherits the mapping. exec loses it, and finds it again by the path in
 * SKSHIM_TREE, which the exec wrappers put into whatever environment the new
 * program is given, with the library itself in LD_PRELOAD. A path that leads
 * nowhere (the tree is dead, another user's, another pid namespace's) means
 * that this process is the root of a tree of its own.
 */
#include <asm/errno.h>
#include <sys/mman.h>

#include "family.h"
#include "skshim/treefile.h"
#include "skshim/view.h"
#include "skshim/frozen.h"

#define VAR_TREE "SKSHIM_TREE"
#define VAR_ROOT "SKSHIM_ROOT"        /* outer path of the root directory, where it isn't the tree's: jail.c */
#define VAR_PRELOAD "LD_PRELOAD"

extern char **environ;

const char *carry_getenv(char *const envp[], const char *name)
{
	size_t n = strlen(name);

	for (; envp && *envp; envp++)
		if (memcmp(*envp, name, strlen(*envp) < n ? strlen(*envp) + 1 : n) == 0 && (*envp)[n] == '=')
			return *envp + n + 1;
	return NULL;
}

const char *carry_root(void)
{
	return carry_getenv(environ, VAR_ROOT);
}

const char *carry_name(void)
{
	return shim.tree ? shim.tree->path : "";
}

int carry_open(void)
{
	const char *path = carry_getenv(environ, VAR_TREE);
	int rc;

	if (path && *path) {
		rc = treefile_attach(path, &shim.tree);
		if (rc == 0 && (!__atomic_load_n(&shim.tree->ready, __ATOMIC_ACQUIRE) ||
				!(members_find(shim.pid) || treefile_inhabited(shim.tree, 0)))) {
			treefile_detach(shim.tree);
			shim.tree = NULL;
			rc = -ENOENT;
		}
		if (rc == 0)
			return 0;
		if (rc == -EPROTO)
			log_line(LOG_WARN, "%s is of another version of skshim: starting a tree of its own", path);
		else if (rc == -ENOMEM)
			return failed(rc, "mapping %s", path);
	}
	rc = treefile_create(carry_getenv(environ, "TMPDIR"), &shim.tree);
	return rc < 0 ? rc : 1;
}

void carry_leave(void)
{
	struct member *m, *parent;
	bool was_blocked;

	if (!shim.tree || sys_getpid() != shim.pid)
		return;
	m = members_self();
	if (m)
		__atomic_store_n(&m->leaving, 1, __ATOMIC_SEQ_CST);
	/* the usual case, cheaply: who is a parent lives */
	parent = members_find(sys_getppid());
	if (parent && !parent->leaving)
		return;
	/* a checkpoint must not find the descriptors with which others are looked at */
	was_blocked = window_open();
	if (!treefile_inhabited(shim.tree, shim.pid))
		treefile_remove(shim.tree);
	window_close(was_blocked);
}

/* --- environments ------------------------------------------------------------------------------------------- */

static const char *base_name(const char *p, size_t n)
{
	size_t i = n;

	while (i > 0 && p[i - 1] != '/')
		i--;
	return p + i;
}

/* Cuts the next word off a list separated by colons or blanks. */
static bool next_word(const char **at, struct blob *word)
{
	const char *p = *at;

	while (*p == ':' || *p == ' ')
		p++;
	if (!*p)
		return false;
	word->p = p;
	while (*p && *p != ':' && *p != ' ')
		p++;
	word->n = (uint64_t)(p - (const char *)word->p);
	*at = p;
	return true;
}

/* A word of LD_PRELOAD that means this library, by whatever path. */
static bool is_shim(struct blob word)
{
	const char *mine = base_name(shim.tree->shim_path, strlen(shim.tree->shim_path));
	const char *end = (const char *)word.p + word.n, *base = base_name(word.p, word.n);

	return blob_is((struct blob){ base, (uint64_t)(end - base) }, mine);
}

static bool preload_right(const char *value, enum carry_how how)
{
	struct blob word;
	bool there = false;

	for (; value && next_word(&value, &word);) {
		if (blob_is(word, shim.tree->shim_path))
			there = true;
		else if (how == CARRY_WITHOUT && is_shim(word))
			return false;
	}
	return there == (how == CARRY_SHIM);
}

/* "LD_PRELOAD=..." with this library by its path (or without it) and the program's others in their order. Returns the length. */
static size_t preload_make(char *out, size_t size, const char *value, enum carry_how how)
{
	size_t n = (size_t)text_format(out, size, VAR_PRELOAD "=%s", how == CARRY_SHIM ? shim.tree->shim_path : "");
	bool first = how != CARRY_SHIM;
	struct blob word;

	while (value && next_word(&value, &word)) {
		if (is_shim(word))
			continue;
		n += (size_t)text_format(out + n, size - n, "%s%.*s", first ? "" : ":", (int)word.n, (const char *)word.p);
		first = false;
	}
	return first ? 0 : n;
}

static bool room(struct carried *c, size_t vars, size_t text, char ***list, char **buf, size_t *size)
{
	*list = c->vars;
	*buf = c->text;
	*size = sizeof(c->text);
	if (vars <= CARRY_VARS && text <= sizeof(c->text))
		return true;
	c->size = vars * sizeof(char *) + text;
	c->map = sys_mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_err(c->map)) {
		c->map = NULL;
		return false;
	}
	*list = c->map;
	*buf = (char *)c->map + vars * sizeof(char *);
	*size = text;
	return true;
}

void carry_pack(struct carried *c, char *const envp[], enum carry_how how)
{
	const char *tree, *preload, *root;
	size_t n = 0, at = 0, size, len;
	char **list, *buf;

	c->envp = envp;
	c->map = NULL;
	if (!shim.active || !shim.tree || how == CARRY_NOTHING)
		return;
	tree = carry_getenv(envp, VAR_TREE);
	preload = carry_getenv(envp, VAR_PRELOAD);
	root = carry_getenv(envp, VAR_ROOT);
	if (preload_right(preload, how) && !sys_view_on &&
	    (how != CARRY_SHIM || (tree && blob_is((struct blob){ tree, strlen(tree) }, shim.tree->path))))
		return;
	while (envp && envp[n])
		n++;
	if (!room(c, n + 4, (preload ? strlen(preload) : 0) + TREE_DIR + TREE_PATH + VIEW_PATH + 64, &list, &buf, &size))
		return;
	len = preload_make(buf, size, preload, how);
	if (len)
		list[at++] = buf;
	for (size_t i = 0; i < n; i++) {
		if ((preload && envp[i] + sizeof(VAR_PRELOAD) == preload) || (root && envp[i] + sizeof(VAR_ROOT) == root) ||
		    (how == CARRY_SHIM && tree && envp[i] + sizeof(VAR_TREE) == tree))
			continue;
		list[at++] = envp[i];
	}
	if (how == CARRY_SHIM) {
		list[at++] = buf + len + 1;
		len += 2 + (size_t)text_format(buf + len + 1, size - len - 1, VAR_TREE "=%s", shim.tree->path);
		if (sys_view_on) {
			list[at++] = buf + len;
			text_format(buf + len, size - len, VAR_ROOT "=%s", view.root);
		}
	}
	list[at] = NULL;
	c->envp = list;
}

void carry_unpack(struct carried *c)
{
	if (c->map)
		sys_munmap(c->map, c->size);
	c->map = NULL;
}
