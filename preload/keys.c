/*
 * keys.c - keyrings of threads, processes and sessions
 *
 * Their keys end with who holds them, and most can't be read, so a program
 * that has some of its own is refused. The keyrings of users, and a session
 * keyring that was there before the tree, belong to the system: a restarted
 * program finds its launcher's.
 *
 * Only a program that asked for keys is looked at: where keyrings are
 * forbidden, the question might end it.
 */
#include <linux/keyctl.h>

#include "stop.h"

#include "skshim/frozen.h"

static bool asked;
static bool thread_keys;             /* of some thread; only that one could be asked */

static bool own(long ring)
{
	return ring == KEY_SPEC_THREAD_KEYRING || ring == KEY_SPEC_PROCESS_KEYRING;
}

/* After add_key() or keyctl() has worked. */
void keys_note(long nr, long a, long b, long e)
{
	struct member *m;

	if (nr != __NR_add_key && nr != __NR_keyctl)
		return;
	asked = true;
	if (nr == __NR_add_key)
		thread_keys |= (int)e == KEY_SPEC_THREAD_KEYRING;
	else if ((int)a == KEYCTL_JOIN_SESSION_KEYRING && (m = members_self()))
		__atomic_fetch_or(&m->confined, CONFINED_KEYRING, __ATOMIC_SEQ_CST);
	else if (own((int)b))
		thread_keys |= (int)b == KEY_SPEC_THREAD_KEYRING;
}

int keys_check(void)
{
	const struct member *m = members_self();
	const char *whose = NULL;

	if (m && (m->confined & CONFINED_KEYRING))
		whose = "session";
	else if (asked && SYS3(__NR_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0) > 0)
		whose = "process";
	else if (thread_keys)
		whose = "thread";
	return whose ? failed(ERR_PLAIN, "pid %d: has a %s keyring of its own, whose keys can't be carried", shim.pid, whose) : 0;
}
