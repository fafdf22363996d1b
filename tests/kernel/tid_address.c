/* PR_GET_TID_ADDRESS gives the address the kernel clears when a thread ends; get_robust_list its list of locks. */
#include "fact.h"
#include <linux/futex.h>

int main(void)
{
	int *address = NULL, mine = 1;
	struct robust_list_head *head = NULL;
	size_t n = 0;

	if (prctl(PR_GET_TID_ADDRESS, &address) != 0)
		SKIP("PR_GET_TID_ADDRESS (CONFIG_CHECKPOINT_RESTORE)");
	FACT(address != NULL);
	syscall(SYS_set_tid_address, &mine);
	FACT(prctl(PR_GET_TID_ADDRESS, &address) == 0 && address == &mine);
	FACT(syscall(SYS_get_robust_list, 0, &head, &n) == 0 && n == sizeof(*head));
	return 0;
}
