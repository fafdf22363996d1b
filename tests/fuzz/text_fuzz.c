/*
 * text_fuzz.c - the parsers of /proc and of the environment
 */
#include <stdlib.h>

#include "skshim/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const int bases[] = { 8, 10, 16 };
	struct blob text, line;
	char name[16], buf[64];
	const char *p;
	uint64_t v;
	char *copy = malloc(n);
	int sig;

	memcpy(copy, data, n);
	text = (struct blob){ copy, n };
	for (int i = 0; i < 3; i++) {
		p = copy;
		if (text_number(&p, copy + n, bases[i], &v) && (p == copy || p > copy + n))
			abort();
		text_field(text, "flags:", bases[i], &v);
	}
	sig = text_signal(text);
	if (sig < 0 || sig > 64)
		abort();
	if (sig) {
		text_signal_name(sig, name);
		if (text_signal((struct blob){ name, strlen(name) }) != sig)
			abort();
	}
	for (v = 0; text_line(&text, &line); v += line.n)
		text_signal(line);
	if (v > n)
		abort();
	if (text_format(buf, sizeof(buf), "%-*.*s|", (int)(n & 0xff), (int)n, copy) >= (int)sizeof(buf))
		abort();
	free(copy);
	return 0;
}
