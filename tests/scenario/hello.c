/* A program that does nothing but wait keeps its pid, its arguments and its memory. */
#include "scenario.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char data[100000];
	char *heap = malloc(300000), word[] = "on the stack", self[256] = "", exe[256] = "";
	pid_t pid = getpid();

	memset(data, 'd', sizeof(data));
	memset(heap, 'h', 300000);
	MUST(readlink("/proc/self/exe", self, sizeof(self) - 1));
	scenario_wait();
	SAME(getpid(), pid);
	SAME(argc, 1);
	MUST(readlink("/proc/self/exe", exe, sizeof(exe) - 1));
	CHECK(strcmp(self, exe) == 0 && strstr(argv[0], "hello") != NULL);
	for (size_t i = 0; i < sizeof(data); i++)
		SAME(data[i], 'd');
	for (size_t i = 0; i < 300000; i++)
		SAME(heap[i], 'h');
	CHECK(strcmp(word, "on the stack") == 0);
	free(heap);
	heap = malloc(5000000);
	CHECK(heap != NULL);
	memset(heap, 'x', 5000000);
	scenario_ok();
}
