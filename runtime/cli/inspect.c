/*
 * inspect.c - skshim inspect: what is inside a checkpoint
 *
 * Loads the metadata (all of it checked, pages not read), and offers what the
 * three ways of showing it share: who holds an object, and names of functions.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspect.h"

/* Groups the descriptors of all processes by object: count, add up, place. */
static int inspect_holders(struct inspect *in)
{
	const struct image *image = &in->image;
	uint32_t total = 0, *at;

	in->first = calloc(image->nobjects + 2, sizeof(*in->first));
	for (uint32_t p = 0; p < image->nprocesses; p++)
		total += image->processes[p].task->fds.n;
	in->holders = calloc(total + 1, sizeof(*in->holders));
	if (in->first == NULL || in->holders == NULL)
		return failed(-ENOMEM, "inspect");
	for (uint32_t p = 0; p < image->nprocesses; p++) {
		const struct fd_record *fds = image->processes[p].task->fds.items;

		for (uint32_t i = 0; i < image->processes[p].task->fds.n; i++)
			if (fds[i].obj < image->nobjects)
				in->first[fds[i].obj + 2]++;
	}
	for (uint32_t i = 2; i < image->nobjects + 2; i++)
		in->first[i] += in->first[i - 1];
	at = in->first + 1;  /* where the next of each goes; ends as the start of the following */
	for (uint32_t p = 0; p < image->nprocesses; p++) {
		const struct fd_record *fds = image->processes[p].task->fds.items;

		for (uint32_t i = 0; i < image->processes[p].task->fds.n; i++)
			if (fds[i].obj < image->nobjects)
				in->holders[at[fds[i].obj]++] = (struct holder){ p, fds[i].fd, fds[i].cloexec };
	}
	return 0;
}

static int inspect_open(struct inspect *in, const char *dir)
{
	int rc = image_load(&in->image, dir, IMAGE_METADATA);

	if (rc < 0)
		return rc;
	in->memories = calloc(in->image.nprocesses + 1, sizeof(*in->memories));
	if (in->memories == NULL)
		rc = failed(-ENOMEM, "inspect");
	else
		rc = inspect_holders(in);
	if (rc == 0)
		rc = joins_make(in);
	for (uint32_t p = 0; rc == 0 && p < in->image.nprocesses; p++) {
		rc = peek_open(&in->memories[p], &in->image, &in->image.processes[p]);
		in->nopened = p + 1;
	}
	return rc;
}

static void inspect_close(struct inspect *in)
{
	symbols_free(&in->symbols);
	for (uint32_t p = 0; p < in->nopened; p++)
		peek_close(&in->memories[p]);
	free(in->memories);
	free(in->holders);
	free(in->first);
	free(in->joined);
	free(in->waits);
	free(in->carrier);
	free(in->backlog);
	free(in->by_cookie);
	image_unload(&in->image);
}

void inspect_place(const struct inspect *in, uint32_t obj, char *out, size_t size)
{
	const struct holder *h;

	if (obj >= in->image.nobjects || in->first[obj] == in->first[obj + 1]) {
		snprintf(out, size, "in flight");
		return;
	}
	h = &in->holders[in->first[obj]];
	snprintf(out, size, "pid %d fd %d", in->image.processes[h->process].task->pid, h->fd);
}

void inspect_frame(struct inspect *in, uint32_t process, const struct frame_record *frame, struct stack_frame *out)
{
	struct peek *peek = &in->memories[process];
	const struct file_record *file = peek_file(peek, peek_region(peek, frame->address));
	const struct list *files = &in->image.processes[process].task->files;
	struct symbol_file *f;

	/* Mapped there still: the address tells more than the offset. */
	if (file != NULL && blob_eq(file->path, frame->module)) {
		stack_locate(peek, &in->symbols, frame->address, true, out);
		return;
	}
	*out = (struct stack_frame){ .address = frame->address, .module = frame->module, .offset = frame->offset };
	file = files->items;
	for (uint32_t i = 0; frame->module.n > 0 && i < files->n; i++)
		if (blob_eq(file[i].path, frame->module)) {
			f = stack_symbols(&in->symbols, &file[i]);
			if (f != NULL && frame->offset > 0)
				out->function = symbols_find(f, frame->offset - 1, &out->into);
			return;
		}
}

void inspect_command(const struct process_record *t, char *out, size_t size)
{
	char words[512];
	size_t n = t->cmdline.n < sizeof(words) ? t->cmdline.n : sizeof(words);

	memcpy(words, t->cmdline.p, n);
	while (n > 0 && words[n - 1] == '\0')
		n--;
	for (size_t i = 0; i < n; i++)
		if (words[i] == '\0' || words[i] == '\n')
			words[i] = ' ';
	if (n > 0)
		print_text((struct blob){ words, n }, out, size);
	else
		print_text(t->comm, out, size);
}

int command_inspect(int argc, char **argv)
{
	static const struct option options[] = {
		{ "tree", no_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "dot", no_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	static struct inspect in;
	int c, how = 0, status = CLI_FAILED;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return usage_error("inspect", "'%s' is not an option", argv[optind - 1]);
		if (how != 0 && how != c)
			return usage_error("inspect", "--tree, --json and --dot exclude each other");
		how = c;
	}
	if (optind + 1 != argc)
		return usage_error("inspect", "one checkpoint directory is expected");
	if (inspect_open(&in, argv[optind]) == 0)
		status = how == 'j' ? inspect_json(&in) : how == 'd' ? inspect_dot(&in) : inspect_tree(&in);
	if (in.image.manifest != NULL)
		inspect_close(&in);
	return status;
}
