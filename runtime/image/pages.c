/*
 * pages.c - are all pages what they were when they were written?
 *
 * The files are mapped: they are as large as the program was, and are read
 * once more when its memory comes back, so they aren't copied for this. A file
 * that shrinks meanwhile, or can't be read, shows as SIGBUS. Two threads take
 * runs in turn; writers cut long runs (IMAGE_RUN_PAGES).
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "skshim/err.h"

#include "load.h"

#define PAGES_THREADS 2
/* Runs taken at a time. */
#define PAGES_BATCH 8

struct work {
	const struct image *image;
	uint64_t (*hash)(const void *, uint64_t);
	uint64_t nruns;          /* of all processes */
	uint64_t next;           /* atomic */
	int rc;                  /* atomic; the first failure stops all */
};

struct worker {
	struct work *work;
	uint32_t process;        /* whose pages file is mapped */
	uint64_t before;         /* runs of the processes before that one */
	const char *map;         /* NULL none */
	uint64_t size;
};

/* Where a thread goes on after SIGBUS; NULL: that is none of ours. */
static _Thread_local sigjmp_buf *back;

static void on_sigbus(int sig)
{
	if (back)
		siglongjmp(*back, 1);
	signal(sig, SIG_DFL);
}

static int run_verify(struct worker *w, const struct run_record *run)
{
	const struct image *image = w->work->image;
	const char *name = image->processes[w->process].pages_name.p;
	volatile uint64_t hash = 0;
	sigjmp_buf here;
	int gone;

	if (run->at > w->size || run->pages > (w->size - run->at) / ARCH_PAGE)
		return image_damaged(image, "%s: ends early, at %lu", name, w->size);
	gone = sigsetjmp(here, 0);
	if (!gone) {
		back = &here;
		hash = w->work->hash(w->map + run->at, run->pages * ARCH_PAGE);
	}
	back = NULL;
	if (gone)
		return image_damaged(image, "%s: can't be read, or became shorter", name);
	if (hash != run->hash)
		return image_damaged(image, "%s: the pages of 0x%lx-0x%lx are damaged", name, run->start,
				     run->start + run->pages * ARCH_PAGE);
	return 0;
}

static void worker_unmap(struct worker *w)
{
	if (w->map)
		munmap((void *)w->map, w->size);
	w->map = NULL;
}

static int worker_map(struct worker *w)
{
	const struct image *image = w->work->image;
	const char *name = image->processes[w->process].pages_name.p;
	void *map;
	int fd = image_open(image, name, &w->size), rc = 0;

	if (fd < 0)
		return fd;
	if (w->size == 0) {
		rc = image_damaged(image, "%s: is empty", name);
		goto out;
	}
	map = mmap(NULL, w->size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		rc = failed(-errno, "image: %s: mapping it", name);
	else
		w->map = map;
out:
	close(fd);
	return rc;
}

/* The n-th run of the whole image; runs are asked for in ascending order. */
static int nth_verify(struct worker *w, uint64_t n)
{
	const struct image *image = w->work->image;
	int rc = 0;

	while (n - w->before >= image->processes[w->process].runs.n) {
		w->before += image->processes[w->process++].runs.n;
		worker_unmap(w);
	}
	if (!w->map)
		rc = worker_map(w);
	return rc < 0 ? rc : run_verify(w, (const struct run_record *)image->processes[w->process].runs.items + (n - w->before));
}

static void *work_thread(void *arg)
{
	struct worker w = { .work = arg };
	uint64_t from, n;
	int rc = 0;

	while (rc == 0 && __atomic_load_n(&w.work->rc, __ATOMIC_RELAXED) == 0) {
		from = __atomic_fetch_add(&w.work->next, PAGES_BATCH, __ATOMIC_RELAXED);
		if (from >= w.work->nruns)
			break;
		for (n = from; n < from + PAGES_BATCH && n < w.work->nruns && rc == 0; n++)
			rc = nth_verify(&w, n);
	}
	if (rc < 0)
		__atomic_store_n(&w.work->rc, rc, __ATOMIC_RELAXED);
	worker_unmap(&w);
	return NULL;
}

int pages_verify(const struct image *image)
{
	struct work work = { .image = image, .hash = __builtin_cpu_supports("avx2") ? hash_wide : image_hash };
	struct sigaction act = { .sa_handler = on_sigbus, .sa_flags = SA_NODEFER }, before;
	pthread_t threads[PAGES_THREADS - 1];
	int started = 0;

	for (uint32_t i = 0; i < image->nprocesses; i++)
		work.nruns += image->processes[i].runs.n;
	sigaction(SIGBUS, &act, &before);
	if (work.nruns > PAGES_BATCH)
		while (started < PAGES_THREADS - 1 && pthread_create(&threads[started], NULL, work_thread, &work) == 0)
			started++;
	work_thread(&work);
	while (started > 0)
		pthread_join(threads[--started], NULL);
	sigaction(SIGBUS, &before, NULL);
	return work.rc;
}
