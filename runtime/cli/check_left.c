/*
 * check_left.c - traces of runs that were killed
 *
 * Trees nobody lives in, and firewall tables that keep packets of a stopped
 * tree's connections away. Both are named after what they belong to. A table whose image is gone is removed.
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

static int left_table(const struct quiet_table *t, void *arg)
{
	const struct left *l = arg;
	char shown[QUIET_NAME + QUIET_COMMENT + 64], printed[sizeof(shown)];

	if (t->owned)
		return 0;
	snprintf(shown, sizeof(shown), t->image[0] ? "%s of %s" : "%s", t->name, t->image);
	l->found(quiet_stale(t) ? "nftables table, removed since its image is gone" : "nftables table, waiting for a restart",
		 print_text(text(shown), printed, sizeof(printed)), l->arg);
	return 0;
}

void check_leftovers(void (*found)(const char *what, const char *name, void *arg), void *arg)
{
	struct left l = { .found = found, .arg = arg };

	left_trees(&l);
	if (facts[FACT_NFTABLES].result == 0) {
		(void)quiet_each(left_table, &l);
		quiet_sweep();
	}
}
