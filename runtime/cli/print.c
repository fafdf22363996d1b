/*
 * print.c - text out of records
 *
 * What an image or a tree's file holds was written by a program we don't
 * trust: nothing of it reaches a terminal unescaped.
 */
#include <arpa/inet.h>

#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>


#include "cli.h"
#include "skshim/show.h"

/* Length of the UTF-8 sequence at p (up to n bytes) that is safe to show, 0 when there is none; C1 controls are not. */
static size_t print_sequence(const unsigned char *p, uint64_t n)
{
	static const uint32_t least[] = { 0, 0, 0xa0, 0x800, 0x10000 };
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf8 ? 4 : 0;
	uint32_t code = p[0] & (0xffu >> (len + 1));

	if (len == 1)
		return p[0] >= 0x20 && p[0] != 0x7f;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	return code >= least[len] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) && (code & 0xfffe) != 0xfffe ? len : 0;
}

void print_cut(char *s, size_t n)
{
	size_t len = strnlen(s, n), at = len;

	while (at > 0 && ((unsigned char)s[at - 1] & 0xc0) == 0x80)
		at--;
	if (at > 0 && ((unsigned char)s[at - 1] & 0x80) && print_sequence((unsigned char *)s + at - 1, len - (at - 1)) == 0)
		len = at - 1;
	s[len] = '\0';
}

char *print_text(struct blob b, char *out, size_t size)
{
	const unsigned char *p = b.p;
	size_t at = 0;

	for (uint64_t i = 0; i < b.n && at + 8 < size;) {
		size_t len = print_sequence(p + i, b.n - i);

		if (len > 0) {
			memcpy(out + at, p + i, len);
			at += len;
			i += len;
		} else {
			at += (size_t)sprintf(out + at, "\\x%02x", p[i++]);
		}
	}
	out[at] = '\0';
	return out;
}

static void print_inet(const struct sockaddr_in *a, char *out, size_t size)
{
	char host[INET_ADDRSTRLEN];

	snprintf(out, size, "%s:%u", inet_ntop(AF_INET, &a->sin_addr, host, sizeof(host)), ntohs(a->sin_port));
}

static void print_inet6(const struct sockaddr_in6 *a, char *out, size_t size)
{
	char host[INET6_ADDRSTRLEN], scope[16] = "";

	if (a->sin6_scope_id != 0)
		snprintf(scope, sizeof(scope), "%%%u", a->sin6_scope_id);
	snprintf(out, size, "[%s%s]:%u", inet_ntop(AF_INET6, &a->sin6_addr, host, sizeof(host)), scope,
		 ntohs(a->sin6_port));
}

static void print_unix(const struct sockaddr_un *a, uint64_t n, char *out, size_t size)
{
	uint64_t len = n - offsetof(struct sockaddr_un, sun_path);
	bool abstract = len > 0 && a->sun_path[0] == '\0';

	if (len == 0) {
		snprintf(out, size, "(no name)");
		return;
	}
	if (abstract)
		*out++ = '@', size--;
	else
		len = strnlen(a->sun_path, len);
	print_text((struct blob){ a->sun_path + abstract, len - abstract }, out, size);
}

bool print_address(const void *addr, uint64_t n, char *out, size_t size)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_nl nl;
		struct sockaddr_ll ll;
		struct sockaddr_vm vm;
		char bytes[256];
	} a = { .bytes = { 0 } };

	if (n < sizeof(a.any.sa_family) || n > sizeof(a.un) + 18 || size < 64)
		return false;
	memcpy(&a, addr, n);
	if (a.any.sa_family == AF_UNIX && n <= sizeof(a.un))
		print_unix(&a.un, n, out, size);
	else if (a.any.sa_family == AF_INET && n >= sizeof(a.in))
		print_inet(&a.in, out, size);
	else if (a.any.sa_family == AF_INET6 && n >= 24)
		print_inet6(&a.in6, out, size);
	else if (a.any.sa_family == AF_NETLINK && n >= sizeof(a.nl))
		snprintf(out, size, "port %u groups %#x", a.nl.nl_pid, a.nl.nl_groups);
	else if (a.any.sa_family == AF_PACKET && n >= 12)
		snprintf(out, size, "protocol %#x interface %d", ntohs(a.ll.sll_protocol), a.ll.sll_ifindex);
	else if (a.any.sa_family == AF_VSOCK && n >= sizeof(a.vm))
		snprintf(out, size, "vsock %u:%u", a.vm.svm_cid, a.vm.svm_port);
	else
		return false;
	return true;
}

void print_time(int64_t realtime_ns, char *out, size_t size)
{
	time_t t = realtime_ns / 1000000000;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL || strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, size, "%lld", (long long)t);
}

void print_size(uint64_t bytes, char *out, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned u = 0;

	while (bytes >= 10240 && u + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		u++;
	}
	snprintf(out, size, "%lu %s", bytes, units[u]);
}

int print_show_end(struct show *show)
{
	int rc = show_end(show);

	if (rc < 0)
		failed(rc, "standard output can't be written");
	return rc < 0 ? CLI_FAILED : CLI_OK;
}

const struct field *record_field(const struct field *fields, const char *name, enum field_type type)
{
	for (; fields->type != FIELD_END_T; fields++)
		if (fields->type == type && strcmp(fields->name, name) == 0)
			return fields;
	return NULL;
}

bool record_blob(const struct field *fields, const void *rec, const char *name, struct blob *out)
{
	const struct field *f = record_field(fields, name, FIELD_STR_T);

	if (f == NULL)
		f = record_field(fields, name, FIELD_BIN_T);
	if (f != NULL)
		*out = *(const struct blob *)((const char *)rec + f->offset);
	return f != NULL;
}

bool record_number(const struct field *fields, const void *rec, const char *name, int64_t *out)
{
	for (; fields->type != FIELD_END_T; fields++) {
		const void *p = (const char *)rec + fields->offset;

		if (strcmp(fields->name, name) != 0)
			continue;
		if (fields->type == FIELD_U32_T)
			*out = *(const uint32_t *)p;
		else if (fields->type == FIELD_I32_T)
			*out = *(const int32_t *)p;
		else if (fields->type == FIELD_U64_T || fields->type == FIELD_I64_T)
			*out = *(const int64_t *)p;
		else
			return false;
		return true;
	}
	return false;
}
