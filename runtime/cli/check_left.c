/*
 * check_left.c - traces of runs that were killed
 *
 * Trees nobody lives in, and firewall tables that keep packets of a stopped
 * tree's connections away. Both are named after what they belong to. A table whose image is gone is removed, and said to be
 * so when it is.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"
#include "skshim/quiet.h"
#include "skshim/treefile.h"
#include "trees.h"

struct left {
	void (*found)(const char *what, const char *name, void *arg);
	void *arg;
	ino_t *mapped;               /* files that living processes have mapped */
	size_t nmapped;
	struct quiet_table *stale;   /* as they were before they were removed */
	size_t nstale;
};

static int left_mapped(const struct tree_process *p, void *arg)
{
	struct left *l = arg;
	ino_t *grown = realloc(l->mapped, (l->nmapped + 1) * sizeof(*grown));

	if (grown == NULL)
		return failed(-ENOMEM, "check");
	l->mapped = grown;
	l->mapped[l->nmapped++] = p->ino;
	return 0;
}

/* Somebody lives in it whose mappings we may not see. */
static bool left_inhabited(const char *path)
{
	struct tree *tree;
	bool lives;

	if (treefile_attach(path, &tree) < 0)
		return false;
	lives = !__atomic_load_n(&tree->ready, __ATOMIC_ACQUIRE) || treefile_inhabited(tree, 0);
	treefile_detach(tree);
	return lives;
}

static void left_file(struct left *l, const char *folder, const char *name)
{
	char path[PATH_MAX], shown[PATH_MAX];
	unsigned uid;
	int end = 0;
	struct stat st;

	if (sscanf(name, TREE_PREFIX "%u-%*16[0-9a-f]%n", &uid, &end) != 1 || end == 0 || name[end] != '\0' ||
	    (size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
		return;
	if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || (geteuid() != 0 && st.st_uid != geteuid()))
		return;
	for (size_t i = 0; i < l->nmapped; i++)
		if (l->mapped[i] == st.st_ino)
			return;
	if (!left_inhabited(path))
		l->found("tree without processes", print_text(text(path), shown, sizeof(shown)), l->arg);
}

static void left_trees(struct left *l)
{
	const char *const folders[] = { "/dev/shm", "/tmp", getenv("TMPDIR") };

	if (trees_each_process(left_mapped, l) < 0)
		return;
	for (size_t i = 0; i < 3 && folders[i] != NULL; i++) {
		DIR *dir = i == 2 && strcmp(folders[i], "/tmp") == 0 ? NULL : opendir(folders[i]);
		struct dirent *e;

		while (dir != NULL && (e = readdir(dir)) != NULL)
			left_file(l, folders[i], e->d_name);
		if (dir != NULL)
			closedir(dir);
	}
	free(l->mapped);
}

static void left_tell(const struct left *l, const struct quiet_table *t, const char *what)
{
	char shown[QUIET_NAME + QUIET_COMMENT + 64], printed[sizeof(shown)];

	snprintf(shown, sizeof(shown), t->image[0] ? "%s of %s" : "%s", t->name, t->image);
	l->found(what, print_text(text(shown), printed, sizeof(printed)), l->arg);
}

static int left_stale(const struct quiet_table *t, void *arg)
{
	struct left *l = arg;
	struct quiet_table *grown;

	if (!quiet_stale(t))
		return 0;
	grown = realloc(l->stale, (l->nstale + 1) * sizeof(*grown));
	if (grown == NULL)
		return failed(-ENOMEM, "check");
	l->stale = grown;
	l->stale[l->nstale++] = *t;
	return 0;
}

/* One that is there still. */
static int left_table(const struct quiet_table *t, void *arg)
{
	struct left *l = arg;
	size_t i = 0;

	if (t->owned)
		return 0;
	while (i < l->nstale && strcmp(l->stale[i].name, t->name) != 0)
		i++;
	left_tell(l, t, i < l->nstale ? "nftables table, its image is gone" : "nftables table, waiting for a restart");
	if (i < l->nstale)
		l->stale[i] = l->stale[--l->nstale];
	return 0;
}

static void left_tables(struct left *l)
{
	if (quiet_each(left_stale, l) < 0)
		return;
	quiet_sweep();
	if (quiet_each(left_table, l) == 0)
		for (size_t i = 0; i < l->nstale; i++)
			left_tell(l, &l->stale[i], "nftables table, removed since its image is gone");
	free(l->stale);
}

void check_leftovers(void (*found)(const char *what, const char *name, void *arg), void *arg)
{
	struct left l = { .found = found, .arg = arg };

	left_trees(&l);
	if (facts[FACT_NFTABLES].result == 0)
		left_tables(&l);
}
