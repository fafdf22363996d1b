/*
 * verify.c - skshim verify: is a checkpoint whole?
 *
 * Everything a restart reads is read and cross-checked, pages included, and
 * nothing is made.
 */
#include "cli.h"
#include "skshim/image.h"

static void tell(const struct image *image)
{
	uint64_t threads = 0, pages = 0, sockets = 0;
	char size[32], dir[4096];

	for (uint32_t i = 0; i < image->nprocesses; i++) {
		const struct image_process *p = &image->processes[i];
		const struct run_record *runs = p->runs.items;

		threads += p->task->threads.n;
		for (uint32_t j = 0; j < p->runs.n; j++)
			pages += runs[j].pages;
	}
	for (uint32_t i = 0; i < image->nobjects; i++)
		sockets += image->objects[i].common->cookie != 0;
	print_size(pages * image->manifest->page_size, size, sizeof(size));
	printf("OK %s: processes %u, threads %lu, open file descriptions %u, sockets %lu, files %u, memory %s\n",
	       print_text(text(image->dir), dir, sizeof(dir)), image->nprocesses, threads,
	       image->nobjects, sockets, image->manifest->files.n + 1, size);
}

int command_verify(int argc, char **argv)
{
	static struct image image;

	if (argc > 1 && argv[1][0] == '-' && strcmp(argv[1], "--") != 0)
		return usage_error("verify", "there is no option '%s'", argv[1]);
	if (argc > 1 && strcmp(argv[1], "--") == 0)
		argc--, argv++;
	if (argc != 2)
		return usage_error("verify", "one checkpoint directory is expected");
	if (image_load(&image, argv[1], IMAGE_EVERYTHING) < 0)
		return CLI_FAILED;
	tell(&image);
	image_unload(&image);
	return CLI_OK;
}
