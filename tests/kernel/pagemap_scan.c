/* PAGEMAP_SCAN tells without privilege which pages of a private file mapping were changed (not PAGE_IS_FILE any more). */
#include "fact.h"
#include <linux/fs.h>
#include <sys/ioctl.h>

#ifdef PAGEMAP_SCAN
#define HAVE 1
#else
#define HAVE 0
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
struct page_region {
	uint64_t start, end, categories;
};
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
		category_anyof_mask, return_mask;
};
#endif

int main(void)
{
	int self = open("/proc/self/exe", O_RDONLY), map = open("/proc/self/pagemap", O_RDONLY);
	volatile char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, self, 0);
	struct page_region out[8];
	struct pm_scan_arg arg = {.size = sizeof(arg), .start = (uint64_t)(uintptr_t)p, .end = (uint64_t)(uintptr_t)p + 3 * 4096,
				  .vec = (uint64_t)(uintptr_t)out, .vec_len = 8, .category_inverted = PAGE_IS_FILE,
				  .category_mask = PAGE_IS_FILE, .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
				  .return_mask = PAGE_IS_PRESENT};
	char sum = p[0];
	long n;

	FACT(self >= 0 && map >= 0 && p != MAP_FAILED);
	p[4096] = sum;
	n = ioctl(map, PAGEMAP_SCAN, &arg);
	if (n < 0 && (errno == ENOTTY || errno == EINVAL))
		SKIP("PAGEMAP_SCAN (a kernel before 6.7)");
	FACT(n == 1);
	FACT(out[0].start == (uint64_t)(uintptr_t)p + 4096 && out[0].end == out[0].start + 4096);
	return 0;
}
