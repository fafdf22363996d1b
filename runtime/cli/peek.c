/*
 * peek.c - a process's memory, read out of its image
 *
 * A page is in the pages file, or it is a page of the mapped file that nobody
 * changed, or it was never touched and is zero. That is enough to walk a stack
 * without the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "skshim/elf.h"

#include "peek.h"

#define PAGE ARCH_PAGE

static int peek_order(const void *a, const void *b)
{
	const struct run_record *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

int peek_open(struct peek *m, const struct image *image, const struct image_process *p)
{
	char name[IMAGE_NAME_MAX];

	*m = (struct peek){ .image = image, .process = p, .pages = -1 };
	m->files = malloc((p->task->files.n + 1) * sizeof(int));
	m->runs = malloc((p->runs.n + 1) * sizeof(*m->runs));
	if (m->files == NULL || m->runs == NULL)
		return failed(-ENOMEM, "pid %d: its memory", p->task->pid);
	if (p->runs.n > 0)
		memcpy(m->runs, p->runs.items, p->runs.n * sizeof(*m->runs));
	qsort(m->runs, p->runs.n, sizeof(*m->runs), peek_order);
	for (uint32_t i = 0; i < p->task->files.n; i++)
		m->files[i] = -1;
	if (p->pages_name.n == 0 || p->pages_name.n >= sizeof(name))
		return 0;
	memcpy(name, p->pages_name.p, p->pages_name.n);
	name[p->pages_name.n] = '\0';
	m->pages = openat(image->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (m->pages < 0)
		return failed(-errno, "%s/%s", image->dir, name);
	return 0;
}

void peek_close(struct peek *m)
{
	for (uint32_t i = 0; m->files != NULL && i < m->process->task->files.n; i++)
		if (m->files[i] >= 0)
			close(m->files[i]);
	free(m->files);
	free(m->runs);
	m->files = NULL;
	m->runs = NULL;
	if (m->pages >= 0)
		close(m->pages);
}

const struct vma_record *peek_region(const struct peek *m, uint64_t address)
{
	const struct vma_record *v = m->process->task->vmas.items;
	uint32_t low = 0, high = m->process->task->vmas.n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (v[mid].end <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->process->task->vmas.n && v[low].start <= address ? &v[low] : NULL;
}

const struct file_record *peek_file(const struct peek *m, const struct vma_record *v)
{
	const struct list *files = &m->process->task->files;

	if (v == NULL || v->file >= files->n)
		return NULL;
	return (const struct file_record *)files->items + v->file;
}

int peek_open_file(const struct file_record *f)
{
	char path[4096];
	struct stat st;
	int fd;

	if (f->path.n == 0 || f->path.n >= sizeof(path))
		return -ENOENT;
	memcpy(path, f->path.p, f->path.n);
	path[f->path.n] = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == f->size &&
	    st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec == f->mtime_ns)
		return fd;
	close(fd);
	return -ESTALE;
}

/* The run that holds a page, or NULL. */
static const struct run_record *peek_run(const struct peek *m, uint64_t page)
{
	const struct run_record *r = m->runs;
	uint32_t low = 0, high = m->process->runs.n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (r[mid].start + r[mid].pages * PAGE <= page)
			low = mid + 1;
		else
			high = mid;
	}
	return low < m->process->runs.n && r[low].start <= page ? &r[low] : NULL;
}

static int peek_pread(int fd, void *buf, size_t n, uint64_t at)
{
	ssize_t got = pread(fd, buf, n, (off_t)at);

	if (got < 0)
		return -errno;
	memset((char *)buf + got, 0, n - (size_t)got);  /* behind a file's end the last page is zero */
	return 0;
}

static int peek_read_file(struct peek *m, const struct vma_record *v, uint64_t address, void *buf, size_t n)
{
	const struct file_record *f = peek_file(m, v);
	int *fd;

	if (f == NULL)
		return -EFAULT;
	fd = &m->files[v->file];
	if (*fd == -1) {
		*fd = peek_open_file(f);
		if (*fd < 0)
			*fd = -2;
	}
	if (*fd < 0)
		return -ESTALE;
	return peek_pread(*fd, buf, n, address - v->start + v->offset);
}

const void *peek_vdso(const struct image_process *p, size_t *size)
{
	const char *own = (const char *)getauxval(AT_SYSINFO_EHDR);
	const struct vma_record *v = p->task->vmas.items;
	struct blob id;

	for (uint32_t i = 0; own != NULL && i < p->task->vmas.n; i++) {
		if (!blob_is(v[i].name, "[vdso]"))
			continue;
		*size = v[i].end - v[i].start;
		id = elf_build_id(own, PAGE);
		return id.n > 0 && blob_eq(id, p->task->vdso_build_id) ? own : NULL;
	}
	return NULL;
}

static int peek_read_page(struct peek *m, uint64_t address, void *buf, size_t n)
{
	const struct run_record *run = peek_run(m, address & ~(PAGE - 1));
	const struct vma_record *v;
	const char *vdso;
	size_t size;

	if (run != NULL)
		return m->pages < 0 ? -EFAULT : peek_pread(m->pages, buf, n, run->at + (address - run->start));
	v = peek_region(m, address);
	if (v == NULL)
		return -EFAULT;
	switch (v->content) {
	case VMA_ANON:
		memset(buf, 0, n);
		return 0;
	case VMA_FILE_PRIVATE:
	case VMA_FILE_SHARED:
		return peek_read_file(m, v, address, buf, n);
	case VMA_VDSO:
		vdso = peek_vdso(m->process, &size);
		if (vdso == NULL || !blob_is(v->name, "[vdso]") || address + n > v->start + size)
			return -EFAULT;
		memcpy(buf, vdso + (address - v->start), n);
		return 0;
	default:
		return -EFAULT;
	}
}

int peek_read(struct peek *m, uint64_t address, void *buf, size_t n)
{
	while (n > 0) {
		size_t part = PAGE - (address & (PAGE - 1));
		int rc;

		if (part > n)
			part = n;
		rc = peek_read_page(m, address, buf, part);
		if (rc < 0)
			return rc;
		address += part;
		buf = (char *)buf + part;
		n -= part;
	}
	return 0;
}
