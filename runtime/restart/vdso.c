/*
 * vdso.c - the kernel's own code in the program's memory
 *
 * A program has the addresses of the vdso's functions in its memory. Where the
 * running kernel's vdso is the image's, it is moved to its old place with the
 * data it reads ([vvar]). Another kernel's has its functions elsewhere, and its
 * code reads other data. Then the image's bytes come back as ordinary memory,
 * each function of theirs is made a jump to the running kernel's function of
 * the same name and version, and the running kernel's vdso stays where it was
 * put aside. The next checkpoint finds both, and the next kernel's will be
 * jumped to from there. A function the running kernel lacks makes the system
 * call it stands for.
 *
 * Only entries lead on. What becomes of those who stood behind one: vdso_inside.c.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vdso.h"
#include "skshim/elf.h"

#define FUNCTIONS 64
#define GETRANDOM 318

/* --- the launcher's, which all its children have at the same place ------------------------------------------- */

static struct {
	struct vdso_own list[VDSO_REGIONS];
	int n;
	bool sealed, known;
} own;

static void read_own(void)
{
	FILE *f = own.known ? NULL : fopen("/proc/self/smaps", "re");
	char line[4352], name[64], *flags;
	bool in = false;

	own.known = true;
	while (f && fgets(line, sizeof(line), f)) {
		uint64_t start, end;

		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %63s", &start, &end, name) == 3) {
			in = own.n < VDSO_REGIONS && (strcmp(name, "[vdso]") == 0 || strncmp(name, "[vvar", 5) == 0);
			if (!in)
				continue;
			snprintf(own.list[own.n].name, sizeof(own.list[own.n].name), "%.31s", name);
			own.list[own.n].at = start;
			own.list[own.n++].size = end - start;
		}
		flags = in && strncmp(line, "VmFlags:", 8) == 0 ? strstr(line, " sl") : NULL;
		own.sealed |= flags && (flags[3] == ' ' || flags[3] == '\n');
	}
	if (f)
		fclose(f);
}

static const struct vdso_own *own_region(const struct vdso *d, struct blob name)
{
	for (int k = 0; k < own.n; k++)
		if (blob_is(name, d->own[k].name))
			return &d->own[k];
	return NULL;
}

/* --- the image's -------------------------------------------------------------------------------------------- */

int vdso_read(const struct image *image, const struct image_process *p, uint64_t at, char *buf, uint64_t n)
{
	const struct run_record *r = p->runs.items;
	char name[IMAGE_NAME_MAX];
	int fd, rc = 0;

	memset(buf, 0, n);
	snprintf(name, sizeof(name), IMAGE_PAGES, p->task->pid);
	fd = openat(image->dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(-errno, "%s/%s", image->dir, name);
	for (uint32_t i = load_run_at(&p->runs, at); i < p->runs.n && r[i].start < at + n && rc == 0; i++) {
		uint64_t stop = r[i].start + r[i].pages * ARCH_PAGE;
		uint64_t lo = r[i].start > at ? r[i].start : at, hi = stop < at + n ? stop : at + n;

		if (lo < hi && pread(fd, buf + (lo - at), hi - lo, (off_t)(r[i].at + lo - r[i].start)) != (ssize_t)(hi - lo))
			rc = failed(-EIO, "%s/%s", image->dir, name);
	}
	close(fd);
	return rc;
}

static bool has_pages(const struct image_process *p, const struct vma_record *v)
{
	const struct run_record *r = p->runs.items;
	uint32_t i = load_run_at(&p->runs, v->start);

	return i < p->runs.n && r[i].start < v->end;
}

/* Its regions, from the first to the last in one piece: distances matter. */
static int read_old(struct vdso *d, const struct image *image, struct image_process *ip)
{
	const struct vma_record *v = ip->task->vmas.items;

	load_sort_runs(ip);
	if (!has_pages(ip, d->region))
		return 0;
	for (uint32_t i = 0; i < ip->task->vmas.n && d->nold < VDSO_REGIONS; i++)
		if (v[i].content == VMA_VDSO)
			d->old[d->nold++] = &v[i];
	d->start = d->old[0]->start;
	d->size = d->old[d->nold - 1]->end - d->start;
	if (d->size > VDSO_LARGEST)
		return 0;
	d->bytes = malloc(d->size);
	return d->bytes ? vdso_read(image, ip, d->start, d->bytes, d->size) : failed(-ENOMEM, "pid %d: its vdso", ip->task->pid);
}

/* Notes tell of the kernel's version; what runs is the same without them. */
static bool same_code(const char *a, const char *b, uint64_t size)
{
	const Elf64_Ehdr *e = (const void *)a;
	uint64_t from = 0, to = 0;

	for (unsigned i = 0; i < e->e_phnum && e->e_phoff + (i + 1) * sizeof(Elf64_Phdr) <= size; i++) {
		const Elf64_Phdr *ph = (const void *)(a + e->e_phoff + i * sizeof(*ph));

		if (ph->p_type == PT_NOTE && ph->p_offset < size && ph->p_filesz < size - ph->p_offset) {
			from = ph->p_offset;
			to = from + ph->p_filesz;
		}
	}
	return memcmp(a, b, from) == 0 && memcmp(a + to, b + to, size - to) == 0;
}

static bool same_sizes(const struct vdso *d, const struct process_record *p)
{
	const struct vma_record *v = p->vmas.items;

	for (uint32_t i = 0; i < p->vmas.n; i++) {
		const struct vdso_own *r = v[i].content == VMA_VDSO ? own_region(d, v[i].name) : NULL;

		if (v[i].content == VMA_VDSO && (!r || r->size != v[i].end - v[i].start))
			return false;
	}
	return true;
}

char *vdso_code(const struct vdso *d)
{
	return d->bytes + (d->region->start - d->start);
}

int vdso_begin(struct vdso *d, const struct image *image, uint32_t process)
{
	struct image_process *ip = &image->processes[process];
	const char *elf = (const char *)getauxval(AT_SYSINFO_EHDR);
	const struct vma_record *v = ip->task->vmas.items;
	const struct vdso_own *r;
	bool sizes, id;
	int rc;

	memset(d, 0, sizeof(*d));
	read_own();
	memcpy(d->own, own.list, sizeof(d->own));
	for (int k = 0; k < own.n; k++)
		d->own_size += own.list[k].size;
	for (uint32_t i = 0; i < ip->task->vmas.n; i++)
		if (v[i].content == VMA_VDSO && blob_is(v[i].name, "[vdso]"))
			d->region = &v[i];
	if (!d->region)
		return 0;
	r = own_region(d, BLOB("[vdso]"));
	sizes = r && elf && same_sizes(d, ip->task);
	id = sizes && blob_eq(elf_build_id(elf, r->size), ip->task->vdso_build_id);
	if (id && !(d->region->advice & ADVICE_CHANGED))
		return 0;
	rc = read_old(d, image, ip);
	d->other = !id && !(sizes && d->bytes && same_code(elf, vdso_code(d), r->size));
	return rc;
}

void vdso_end(struct vdso *d)
{
	vdso_inside_forget(d);
	free(d->bytes);
	d->bytes = NULL;
}

/* --- another kernel's --------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t nr;
} calls[] = {
	{ "clock_gettime", 228 }, { "gettimeofday", 96 }, { "time", 201 }, { "clock_getres", 229 }, { "getcpu", 309 },
	{ "getrandom", GETRANDOM },
};

uint32_t vdso_call(struct blob name)
{
	static const char prefix[] = "__vdso_";

	if (blob_starts(name, prefix)) {
		name.p = (const char *)name.p + sizeof(prefix) - 1;
		name.n -= sizeof(prefix) - 1;
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (blob_is(name, calls[i].name))
			return calls[i].nr;
	return 0;
}

static uint64_t put_call(unsigned char *code, uint32_t nr)
{
	code[0] = 0xb8;                          /* mov $nr, %eax */
	memcpy(code + 1, &nr, 4);
	memcpy(code + 5, "\x0f\x05\xc3", 3);     /* syscall; ret */
	return 8;
}

/*
 * Its fourth argument is memory laid out by the kernel that it was asked of, so no other kernel may have it; and the
 * question how it is laid out, asked with a size of ~0, is answered with ENOSYS: there is no such function.
 */
static uint64_t put_getrandom(unsigned char *code)
{
	memcpy(code, "\x49\x83\xf8\xff\x74\x08", 6);         /* cmp $-1, %r8; je behind the call */
	put_call(code + 6, GETRANDOM);
	memcpy(code + 14, "\xb8\xda\xff\xff\xff\xc3", 6);    /* mov $-ENOSYS, %eax; ret */
	return 20;
}

static uint64_t put_jump(unsigned char *code, uint64_t to)
{
	memcpy(code, "\xff\x25\0\0\0\0", 6);     /* jmp *0(%rip) */
	memcpy(code + 6, &to, 8);
	return 14;
}

/* Makes the functions lead to those of the running kernel's vdso, which is at `at`. */
static int redirect(struct vdso *d, int pid, uint64_t at)
{
	struct elf_function old[FUNCTIONS], new[FUNCTIONS];
	const char *elf = (const char *)getauxval(AT_SYSINFO_EHDR);
	const struct vdso_own *r = own_region(d, BLOB("[vdso]"));
	int nold = elf_functions(vdso_code(d), d->region->end - d->region->start, old, FUNCTIONS), nnew = 0;

	if (elf && r)
		nnew = elf_functions(elf, r->size, new, FUNCTIONS);
	if (nold < 0 || nnew < 0)
		return failed(ERR_PLAIN, "pid %d: the functions of %s vdso can't be found", pid, nold < 0 ? "the image's" : "this kernel's");
	for (int i = 0; i < nold; i++) {
		unsigned char code[VDSO_PATCH] = { 0 };
		uint32_t nr = vdso_call(old[i].name);
		uint64_t n = 0;

		for (int k = 0; k < nnew && !n && nr != GETRANDOM; k++)
			if (blob_eq(old[i].name, new[k].name) && blob_eq(old[i].version, new[k].version))
				n = put_jump(code, at + new[k].at);
		if (!n && nr)
			n = nr == GETRANDOM ? put_getrandom(code) : put_call(code, nr);
		if (!n || old[i].size < n)
			return failed(ERR_PLAIN, "pid %d: %.*s of the vdso of the kernel that the image was made on %s: restart there", pid,
				      (int)old[i].name.n, (const char *)old[i].name.p,
				      n ? "has no room for a jump" : "is unknown to this kernel");
		/* names and symbols lie elsewhere in the same bytes, and stay */
		memcpy(vdso_code(d) + old[i].at, code, n);
	}
	return 0;
}

int vdso_check(const struct image *image, uint32_t process)
{
	const struct process_record *p = image->processes[process].task;
	struct vdso d;
	int rc = vdso_begin(&d, image, process);

	if (rc == 0 && own.sealed)
		rc = failed(ERR_PLAIN, "this kernel doesn't let its vdso be moved (CONFIG_MSEAL_SYSTEM_MAPPINGS)");
	if (rc == 0 && d.other && !d.bytes)
		rc = failed(ERR_PLAIN, "pid %d: the kernel's vdso is another one, and the image has no copy of the old: restart on the "
			    "kernel the image was made on", p->pid);
	if (rc == 0 && d.other)
		rc = vdso_inside(&d, image, &image->processes[process]);
	if (rc == 0 && d.ninside && !vdso_inside_try(&d))
		rc = failed(ERR_PLAIN, "pid %d: a thread was inside the vdso of the kernel that the image was made on, whose data is "
			    "laid out otherwise: restart there, or from another checkpoint", p->pid);
	if (rc == 0 && d.other)
		rc = redirect(&d, p->pid, 0);
	if (rc == 0 && d.other)
		log_line(LOG_INFO, "pid %d: the kernel's vdso is another one: the old one's functions lead there (%u stood inside)", p->pid,
			 d.ninside);
	vdso_end(&d);
	return rc;
}

/* --- steps -------------------------------------------------------------------------------------------------- */

void vdso_park(struct script_builder *s, struct vdso *d, uint64_t at)
{
	for (int k = 0; k < own.n; k++) {
		d->own[k].parked = at;
		at += d->own[k].size;
		SCRIPT_CALL(s, d->own[k].name, __NR_mremap, d->own[k].at, d->own[k].size, d->own[k].size, MREMAP_MAYMOVE | MREMAP_FIXED,
			    d->own[k].parked);
	}
	d->spare = at;
}

void vdso_put(struct script_builder *s, const struct vdso *d, uint64_t distance)
{
	for (int i = 0; i < d->nold; i++) {
		const struct vma_record *v = d->old[i];
		uint64_t n = v->end - v->start, at = v->start + distance;

		script_step(s, "[vdso]", STEP_MAP, 0, at, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1, 0);
		script_step(s, "[vdso]", STEP_COPY, 0, script_put(s, d->bytes + (v->start - d->start), n), at, n, 0, 0, 0);
		SCRIPT_CALL(s, "[vdso]", __NR_mprotect, at, n, v->prot, 0, 0);
	}
}

static int place_other(struct script_builder *s, struct image *image, uint32_t process, struct vdso *d)
{
	struct image_process *ip = &image->processes[process];
	const struct vdso_own *r = own_region(d, BLOB("[vdso]"));
	int rc = vdso_inside(d, image, ip);

	if (rc == 0)
		rc = vdso_inside_place(s, d, image, ip);
	if (rc == 0)
		rc = redirect(d, ip->task->pid, r ? r->parked : 0);
	if (rc == 0)
		vdso_put(s, d, 0);
	return rc;
}

int vdso_place(struct script_builder *s, struct image *image, uint32_t process, struct vdso *d)
{
	const struct process_record *p = image->processes[process].task;
	const struct vma_record *v = p->vmas.items, *r = d->region;

	if (d->other)
		return place_other(s, image, process, d);
	for (uint32_t i = 0; i < p->vmas.n; i++) {
		const struct vdso_own *mine = v[i].content == VMA_VDSO ? own_region(d, v[i].name) : NULL;

		if (mine)
			SCRIPT_CALL(s, mine->name, __NR_mremap, mine->parked, mine->size, mine->size, MREMAP_MAYMOVE | MREMAP_FIXED,
				    v[i].start);
	}
	if (d->bytes && (r->advice & ADVICE_CHANGED)) {
		/* what the program has written into it */
		SCRIPT_CALL(s, "[vdso]", __NR_mprotect, r->start, r->end - r->start, PROT_READ | PROT_WRITE, 0, 0);
		script_step(s, "[vdso]", STEP_COPY, 0, script_put(s, vdso_code(d), r->end - r->start), r->start, r->end - r->start, 0, 0, 0);
		SCRIPT_CALL(s, "[vdso]", __NR_mprotect, r->start, r->end - r->start, r->prot, 0, 0);
	}
	return 0;
}
