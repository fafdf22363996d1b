/*
 * str.h - bytes with a length, and text without stdio
 */
#ifndef SKSHIM_STR_H
#define SKSHIM_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that somebody else owns: strings (not terminated unless said), binary data. */
struct blob {
	const void *p;
	uint64_t n;
};

#define BLOB(lit) ((struct blob){ (lit), sizeof(lit) - 1 })

static inline bool blob_eq(struct blob a, struct blob b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool blob_is(struct blob a, const char *s)
{
	return a.n == strlen(s) && memcmp(a.p, s, a.n) == 0;
}
static inline bool blob_starts(struct blob a, const char *s)
{
	return a.n >= strlen(s) && memcmp(a.p, s, strlen(s)) == 0;
}
static inline bool blob_ends(struct blob a, const char *s)
{
	size_t n = strlen(s);

	return a.n >= n && memcmp((const char *)a.p + a.n - n, s, n) == 0;
}

/*
 * Formats into buf[size], always terminated, cut when too long. Knows
 * %d %i %u %x %c %s %p %%, the length modifiers l ll z, a field width with an
 * optional 0 or -, and %.*s (so blobs print as "%.*s", (int)b.n, (char *)b.p).
 * Returns the length written.
 */
int text_format(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int text_vformat(char *buf, size_t size, const char *fmt, va_list ap);

/* The system's words for a negative errno ("No such file or directory"). */
const char *text_error(int rc);
/* The number after `key` at the start of a line of `text` ("flags:", octal with base 8). Returns false when absent. */
bool text_field(struct blob text, const char *key, int base, uint64_t *value);
/* Parses a whole number at *p up to end, moves *p behind it. Returns false when there is none or it overflows. */
bool text_number(const char **p, const char *end, int base, uint64_t *value);
/* Cuts the next line (without its newline) off *text. Returns false at the end. */
bool text_line(struct blob *text, struct blob *line);
/* The name of a signal without SIG ("USR2", "RTMIN+3"), and back; 0 when it means nothing. */
int text_signal(struct blob name);
void text_signal_name(int sig, char buf[16]);

#endif
