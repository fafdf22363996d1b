/*
 * ps.c - skshim ps: the trees running under the shim
 *
 * Of the caller's user; root sees everybody's. Which process belongs to which
 * tree is what the kernel says of its mappings; the tree's file adds the rest.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "skshim/show.h"
#include "skshim/treefile.h"
#include "sockets.h"
#include "trees.h"

struct ps_tree {
	struct tree *head;           /* private copy, strings terminated */
	struct tree_process via;     /* who showed the file: a process of the tree, a writer, its skshim-restart */
	struct tree_process *processes;
	size_t n, room;
	struct ps_tree *next;
};

struct ps {
	struct ps_tree *trees;
	struct socket_table *sockets;
	int skipped;                 /* trees of another version */
};

/* A private copy of the tree's head: the file may change or shrink under us. NULL when it isn't one we know. */
static struct tree *ps_copy(const struct tree_process *p)
{
	struct tree *head = mmap(NULL, sizeof(*head), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int fd;
	ssize_t n;

	if (head == MAP_FAILED)
		return NULL;
	fd = trees_open(p, O_RDONLY);
	n = fd >= 0 ? pread(fd, head, TREES_HEAD, 0) : -1;
	if (fd >= 0)
		close(fd);
	err_reset();
	if (n != (ssize_t)TREES_HEAD || !trees_valid(head)) {
		munmap(head, sizeof(*head));
		return NULL;
	}
	head->dir[TREE_DIR - 1] = head->result_dir[TREE_DIR - 1] = '\0';
	head->result_text[ERR_TEXT - 1] = '\0';
	return head;
}

static int ps_add(const struct tree_process *p, void *arg)
{
	struct ps *ps = arg;
	struct ps_tree *t;

	for (t = ps->trees; t != NULL; t = t->next)
		if (t->via.dev == p->dev && t->via.ino == p->ino)
			break;
	if (t == NULL) {
		struct tree *head = ps_copy(p);

		if (head == NULL) {
			ps->skipped++;
			return 0;
		}
		t = calloc(1, sizeof(*t));
		if (t == NULL)
			return failed(-ENOMEM, "ps");
		t->head = head;
		t->via = *p;
		t->next = ps->trees;
		ps->trees = t;
	}
	if (trees_member(t->head, p->inner) == NULL)
		return 0;  /* a writer of a checkpoint, a restart that waits */
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 8;
		struct tree_process *grown = realloc(t->processes, room * sizeof(*grown));

		if (grown == NULL)
			return failed(-ENOMEM, "ps");
		t->processes = grown;
		t->room = room;
	}
	t->processes[t->n++] = *p;
	return 0;
}

/* The command line with blanks between the words, else the short name. */
static void ps_program(int pid, char *out, size_t size)
{
	char path[64], raw[1024];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, raw, sizeof(raw)) : -1;
	if (fd >= 0)
		close(fd);
	while (n > 0 && raw[n - 1] == '\0')
		n--;
	if (n <= 0) {
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd >= 0 ? read(fd, raw, sizeof(raw)) : -1;
		if (fd >= 0)
			close(fd);
		if (n > 0 && raw[n - 1] == '\n')
			n--;
	}
	for (ssize_t i = 0; i < n; i++)
		if (raw[i] == '\0')
			raw[i] = ' ';
	print_text((struct blob){ raw, n > 0 ? (uint64_t)n : 0 }, out, size);
}

/* Calls back with the number and name of each socket the process has. */
static void ps_each_socket(struct ps *ps, int pid, void (*each)(int fd, const char *name, void *arg), void *arg)
{
	const struct socket_table *table = sockets_of(&ps->sockets, pid);
	char path[64];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		char target[64];
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		const char *name;
		unsigned long ino;

		target[n > 0 ? n : 0] = '\0';
		if (sscanf(target, "socket:[%lu]", &ino) != 1)
			continue;
		name = sockets_find(table, ino);
		each(atoi(e->d_name), name ? name : "socket", arg);
	}
	if (dir != NULL)
		closedir(dir);
}

static void ps_print_socket(int fd, const char *name, void *arg)
{
	size_t *n = arg;

	if (++*n <= 20)
		printf("             fd %-4d %s\n", fd, name);
}

static void ps_show_socket(int fd, const char *name, void *arg)
{
	show_open(arg, NULL, '{');
	show_signed(arg, "fd", fd);
	show_string(arg, "name", text(name));
	show_close(arg, '}');
}

/* Where `latest` of the tree's directory leads, as the tree itself would see it; false when there is none yet. */
static bool ps_latest(const struct ps_tree *t, char *out, size_t size)
{
	char path[PATH_MAX * 2], target[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/root%s/latest", t->via.pid, t->head->dir);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	snprintf(out, size, "%s/%s", t->head->dir, target);
	return true;
}

static const char *ps_state(const struct tree *t)
{
	static const char *const names[] = { "idle", "stopping", "collecting", "forking", "writing" };

	if (t->leader == 0)
		return "idle";
	return t->phase < sizeof(names) / sizeof(names[0]) ? names[t->phase] : "?";
}

/* Processes of the tree that the shim could not be loaded into, and which a checkpoint therefore refuses. */
static void ps_print_shimless(const struct tree *t)
{
	uint32_t n = t->nmembers < TREE_MEMBERS ? t->nmembers : TREE_MEMBERS;
	char comm[80];

	for (uint32_t i = 0; i < n; i++) {
		const struct member *m = &t->members[i];

		if (m->pid > 0 && m->shimless != SHIMLESS_NO && treefile_lives(m))
			printf("  %8d  %s  (without the shim: no checkpoint while it runs)\n", m->pid,
			       print_text((struct blob){ m->comm, strnlen(m->comm, sizeof(m->comm)) }, comm,
					  sizeof(comm)));
	}
}

static void ps_print(struct ps *ps, const struct ps_tree *t)
{
	char program[256], dir[TREE_DIR * 4], latest[TREE_DIR + 256], why[ERR_TEXT * 4], sig[16];
	size_t sockets;

	text_signal_name((int)t->head->signal, sig);
	printf("tree of %d  signal %s  generation %u  %s\n", t->head->root_pid, sig, t->head->generation,
	       ps_state(t->head));
	printf("  directory        %s\n", print_text(text(t->head->dir), dir, sizeof(dir)));
	if (ps_latest(t, latest, sizeof(latest)))
		printf("  last checkpoint  %s\n", print_text(text(latest), dir, sizeof(dir)));
	else
		puts("  last checkpoint  none");
	if (t->head->result == RESULT_FAILED)
		printf("  last attempt     failed: %s\n", print_text(text(t->head->result_text), why, sizeof(why)));
	for (size_t i = 0; i < t->n; i++) {
		ps_program(t->processes[i].pid, program, sizeof(program));
		if (t->processes[i].inner != t->processes[i].pid)
			printf("  %8d  (%d inside)  %s\n", t->processes[i].pid, t->processes[i].inner, program);
		else
			printf("  %8d  %s\n", t->processes[i].pid, program);
		sockets = 0;
		ps_each_socket(ps, t->processes[i].pid, ps_print_socket, &sockets);
		if (sockets > 20)
			printf("             ... and %zu sockets more\n", sockets - 20);
	}
	if (t->head->pidns == treefile_pidns())
		ps_print_shimless(t->head);
}

static void ps_show(struct ps *ps, const struct ps_tree *t, struct show *show)
{
	char program[1024], latest[TREE_DIR + 256], sig[16];

	text_signal_name((int)t->head->signal, sig);
	show_open(show, NULL, '{');
	show_signed(show, "root_pid", t->head->root_pid);
	show_string(show, "signal", text(sig));
	show_unsigned(show, "generation", t->head->generation);
	show_string(show, "state", text(ps_state(t->head)));
	show_string(show, "directory", text(t->head->dir));
	if (ps_latest(t, latest, sizeof(latest)))
		show_string(show, "last_checkpoint", text(latest));
	else
		show_null(show, "last_checkpoint");
	if (t->head->result == RESULT_FAILED)
		show_string(show, "last_error", text(t->head->result_text));
	else
		show_null(show, "last_error");
	show_open(show, "processes", '[');
	for (size_t i = 0; i < t->n; i++) {
		ps_program(t->processes[i].pid, program, sizeof(program));
		show_open(show, NULL, '{');
		show_signed(show, "pid", t->processes[i].pid);
		show_signed(show, "inner_pid", t->processes[i].inner);
		show_string(show, "program", text(program));
		show_open(show, "sockets", '[');
		ps_each_socket(ps, t->processes[i].pid, ps_show_socket, show);
		show_close(show, ']');
		show_close(show, '}');
	}
	show_close(show, ']');
	show_close(show, '}');
}

static void ps_free(struct ps *ps)
{
	while (ps->trees != NULL) {
		struct ps_tree *next = ps->trees->next;

		munmap(ps->trees->head, sizeof(struct tree));
		free(ps->trees->processes);
		free(ps->trees);
		ps->trees = next;
	}
	sockets_free(ps->sockets);
}

int command_ps(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	struct ps ps = { 0 };
	struct show show;
	bool json = false;
	int c, status = CLI_OK;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return usage_error("ps", "'%s' is not an option", argv[optind - 1]);
		json = true;
	}
	if (optind != argc)
		return usage_error("ps", "'%s': no argument is expected", argv[optind]);
	if (trees_each_process(ps_add, &ps) < 0) {
		ps_free(&ps);
		return CLI_FAILED;
	}
	if (json) {
		show_begin(&show, stdout);
		show_open(&show, NULL, '{');
		show_open(&show, "trees", '[');
	}
	for (const struct ps_tree *t = ps.trees; t != NULL; t = t->next) {
		if (json)
			ps_show(&ps, t, &show);
		else
			ps_print(&ps, t);
	}
	if (ps.skipped > 0 && !json)
		log_line(LOG_WARN, "processes whose tree is of another skshim, or can't be read: %d", ps.skipped);
	if (json) {
		show_close(&show, ']');
		show_signed(&show, "unreadable", ps.skipped);
		show_close(&show, '}');
		status = print_show_end(&show);
	}
	ps_free(&ps);
	return status;
}
