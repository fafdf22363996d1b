/*
 * pages.c - are all pages what they were when they were written?
 *
 * The files are read, not mapped: a file that shrinks meanwhile must not kill
 * us. Pieces are small enough to be hashed while they are in the cache. Two
 * threads take runs in turn; writers cut long runs (IMAGE_RUN_PAGES).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "skshim/err.h"

#include "load.h"

#define PAGES_PIECE (256u << 10)
#define PAGES_THREADS 2
/* Runs taken at a time. */
#define PAGES_BATCH 8

struct work {
	const struct image *image;
	uint64_t nruns;          /* of all processes */
	uint64_t next;           /* atomic */
	int rc;                  /* atomic; the first failure stops all */
};

struct worker {
	struct work *work;
	char *piece;
	uint32_t process;        /* whose pages file is open */
	uint64_t before;         /* runs of the processes before that one */
	int fd;
};

static int run_verify(struct worker *w, const struct run_record *run)
{
	const struct image_process *p = &w->work->image->processes[w->process];
	uint64_t left = run->pages * ARCH_PAGE, at = run->at;
	XXH3_state_t state;
	ssize_t n;

	XXH3_64bits_reset(&state);
	while (left) {
		n = pread(w->fd, w->piece, left < PAGES_PIECE ? left : PAGES_PIECE, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(-errno, "image: %s: at %lu", (char *)p->pages_name.p, at);
		if (n == 0)
			return image_damaged(w->work->image, "%s: ends early, at %lu", (char *)p->pages_name.p, at);
		XXH3_64bits_update(&state, w->piece, (size_t)n);
		left -= (uint64_t)n;
		at += (uint64_t)n;
	}
	if (XXH3_64bits_digest(&state) != run->hash)
		return image_damaged(w->work->image, "%s: the pages of 0x%lx-0x%lx are damaged", (char *)p->pages_name.p,
				     run->start, run->start + run->pages * ARCH_PAGE);
	return 0;
}

/* The n-th run of the whole image; runs are asked for in ascending order. */
static int nth_verify(struct worker *w, uint64_t n)
{
	const struct image *image = w->work->image;
	uint64_t size;

	while (n - w->before >= image->processes[w->process].runs.n) {
		w->before += image->processes[w->process++].runs.n;
		if (w->fd >= 0)
			close(w->fd);
		w->fd = -1;
	}
	if (w->fd < 0)
		w->fd = image_open(image, image->processes[w->process].pages_name.p, &size);
	if (w->fd < 0)
		return w->fd;
	return run_verify(w, (const struct run_record *)image->processes[w->process].runs.items + (n - w->before));
}

static void *work_thread(void *arg)
{
	struct worker w = { .work = arg, .fd = -1 };
	uint64_t from, n;
	int rc = 0;

	w.piece = malloc(PAGES_PIECE);
	if (!w.piece)
		rc = failed(-ENOMEM, "image: checking pages");
	while (rc == 0 && __atomic_load_n(&w.work->rc, __ATOMIC_RELAXED) == 0) {
		from = __atomic_fetch_add(&w.work->next, PAGES_BATCH, __ATOMIC_RELAXED);
		if (from >= w.work->nruns)
			break;
		for (n = from; n < from + PAGES_BATCH && n < w.work->nruns && rc == 0; n++)
			rc = nth_verify(&w, n);
	}
	if (rc < 0)
		__atomic_store_n(&w.work->rc, rc, __ATOMIC_RELAXED);
	if (w.fd >= 0)
		close(w.fd);
	free(w.piece);
	return NULL;
}

int pages_verify(const struct image *image)
{
	struct work work = { .image = image };
	pthread_t threads[PAGES_THREADS - 1];
	int started = 0;

	for (uint32_t i = 0; i < image->nprocesses; i++)
		work.nruns += image->processes[i].runs.n;
	if (work.nruns > PAGES_BATCH)
		while (started < PAGES_THREADS - 1 && pthread_create(&threads[started], NULL, work_thread, &work) == 0)
			started++;
	work_thread(&work);
	while (started > 0)
		pthread_join(threads[--started], NULL);
	return work.rc;
}
