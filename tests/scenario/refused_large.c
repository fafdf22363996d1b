/*
 * A deleted file larger than the user lets an image carry.
 *
 * scenario-env: SKSHIM_FILES_MAX=2M
 * scenario-refused: was deleted and holds more than 2 MiB, the most that an image carries
 */
#include "scenario.h"

#include <fcntl.h>
#include <unistd.h>

int main(void)
{
	static char piece[2 << 20];
	int fd = MUST(open("deleted", O_RDWR | O_CREAT | O_EXCL, 0600));

	MUST(unlink("deleted"));
	piece[5] = 'x';
	SAME(write(fd, piece, sizeof(piece)), sizeof(piece));
	SAME(write(fd, "y", 1), 1);

	scenario_wait();

	SAME(pread(fd, piece, 1, 5), 1);
	SAME(piece[0], 'x');
	scenario_ok();
}
