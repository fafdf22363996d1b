/*
 * scenario-refused: keyring of its own
 *
 * Its keys end with the process, and most can't be read.
 */
#include "scenario.h"

#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	long key = syscall(SYS_add_key, "user", "scenario", "secret", 6, KEY_SPEC_PROCESS_KEYRING);
	char b[16];

	if (key < 0)
		scenario_skip("no keys here");
	scenario_wait();
	SAME(syscall(SYS_keyctl, KEYCTL_READ, key, b, sizeof(b)), 6);
	CHECK(memcmp(b, "secret", 6) == 0);
	scenario_ok();
}
