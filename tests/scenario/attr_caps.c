/*
 * scenario-only: root
 *
 * Capabilities: a bounding set with holes, inheritable and ambient ones,
 * secure bits, keepcaps; a thread that has fewer than the others.
 */
#include "scenario.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
static int ready, go;

static void get(struct __user_cap_data_struct d[2])
{
	struct __user_cap_header_struct h = head;

	MUST(syscall(SYS_capget, &h, d));
}

static void *fewer(void *arg)
{
	struct __user_cap_data_struct d[2], now[2];

	get(d);
	d[0].permitted = d[0].effective = 1u << CAP_NET_BIND_SERVICE | 1u << CAP_KILL;
	d[0].effective = 1u << CAP_KILL;
	d[0].inheritable = 0;
	d[1].permitted = d[1].effective = d[1].inheritable = 0;
	MUST(syscall(SYS_capset, &head, d));
	__atomic_store_n(&ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
		usleep(1000);
	get(now);
	SAME(now[0].permitted, d[0].permitted);
	SAME(now[0].effective, d[0].effective);
	SAME(now[1].permitted, 0);
	return arg;
}

int main(void)
{
	struct __user_cap_data_struct d[2], now[2];
	pthread_t t;

	MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0));
	MUST(prctl(PR_CAPBSET_DROP, CAP_MAC_ADMIN, 0, 0, 0));
	SAME(pthread_create(&t, NULL, fewer, NULL), 0);
	while (!__atomic_load_n(&ready, __ATOMIC_SEQ_CST))
		usleep(1000);
	get(d);
	d[0].inheritable = 1u << CAP_NET_RAW | 1u << CAP_KILL;
	d[0].effective &= ~(1u << CAP_FOWNER);
	MUST(syscall(SYS_capset, &head, d));
	MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
	MUST(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED, 0, 0, 0));
	get(d);
	scenario_wait();
	get(now);
	SAME(now[0].effective, d[0].effective);
	SAME(now[1].effective, d[1].effective);
	SAME(now[0].permitted, d[0].permitted);
	SAME(now[1].permitted, d[1].permitted);
	SAME(now[0].inheritable, d[0].inheritable);
	SAME(now[1].inheritable, d[1].inheritable);
	SAME(prctl(PR_CAPBSET_READ, CAP_SYS_BOOT, 0, 0, 0), 0);
	SAME(prctl(PR_CAPBSET_READ, CAP_MAC_ADMIN, 0, 0, 0), 0);
	SAME(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 1);
	SAME(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 1);
	SAME(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_RAW, 0, 0), 0);
	SAME(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED);
	__atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
	SAME(pthread_join(t, NULL), 0);
	scenario_ok();
}
