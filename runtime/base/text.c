/*
 * text.c - text without stdio
 *
 * A small printf, the parsing of /proc, and the names of errors and signals.
 */
#include <asm/errno.h>

#include "skshim/str.h"

#include "skshim/frozen.h"

/* Where formatted text goes; counts on beyond the end so that nothing is written there. */
struct sink {
	char *buf;
	size_t room;     /* without the terminating zero */
	size_t n;
};

static void put_bytes(struct sink *s, const char *p, size_t n)
{
	size_t fits = s->room - s->n;

	if (n > fits)
		n = fits;
	if (n)
		memcpy(s->buf + s->n, p, n);
	s->n += n;
}

static void put_fill(struct sink *s, char c, size_t n)
{
	size_t fits = s->room - s->n;

	if (n > fits)
		n = fits;
	if (n)
		memset(s->buf + s->n, c, n);
	s->n += n;
}

/* One conversion: what stands between % and its letter. */
struct spec {
	bool left, zero, prefix;
	size_t width;
	size_t precision;
	int longs;       /* 1: long, size_t; 2: long long */
};

static void put_padded(struct sink *s, const struct spec *sp, const char *sign, const char *p, size_t n)
{
	size_t signs = strlen(sign);
	size_t pad = sp->width > n + signs ? sp->width - n - signs : 0;

	if (!sp->left && !sp->zero)
		put_fill(s, ' ', pad);
	put_bytes(s, sign, signs);
	if (!sp->left && sp->zero)
		put_fill(s, '0', pad);
	put_bytes(s, p, n);
	if (sp->left)
		put_fill(s, ' ', pad);
}

static void put_number(struct sink *s, const struct spec *sp, const char *sign, unsigned long long v, unsigned base)
{
	char digits[24], *p = digits + sizeof(digits);

	do {
		*--p = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	put_padded(s, sp, sign, p, (size_t)(digits + sizeof(digits) - p));
}

static size_t parse_count(const char **fmt, va_list *ap)
{
	size_t n = 0;

	if (**fmt == '*') {
		int v = va_arg(*ap, int);

		(*fmt)++;
		return v > 0 ? (size_t)v : 0;
	}
	for (; **fmt >= '0' && **fmt <= '9'; (*fmt)++)
		if (n < 100000)
			n = n * 10 + (size_t)(**fmt - '0');
	return n;
}

static void parse_spec(struct spec *sp, const char **fmt, va_list *ap)
{
	*sp = (struct spec){ .precision = SIZE_MAX };
	for (;; (*fmt)++) {
		if (**fmt == '-')
			sp->left = true;
		else if (**fmt == '0')
			sp->zero = true;
		else if (**fmt == '#')
			sp->prefix = true;
		else
			break;
	}
	sp->width = parse_count(fmt, ap);
	if (**fmt == '.') {
		(*fmt)++;
		sp->precision = parse_count(fmt, ap);
	}
	for (;; (*fmt)++) {
		if (**fmt == 'l')
			sp->longs++;
		else if (**fmt == 'z' || **fmt == 'j' || **fmt == 't')
			sp->longs = 1;
		else if (**fmt != 'h')
			break;
	}
}

static void put_conversion(struct sink *s, struct spec *sp, char letter, va_list *ap)
{
	unsigned long long u;
	long long d;
	const char *str;
	size_t n;
	char c;

	switch (letter) {
	case 'd':
	case 'i':
		d = sp->longs == 0 ? va_arg(*ap, int) : sp->longs == 1 ? va_arg(*ap, long) : va_arg(*ap, long long);
		u = d < 0 ? 0 - (unsigned long long)d : (unsigned long long)d;
		put_number(s, sp, d < 0 ? "-" : "", u, 10);
		break;
	case 'u':
	case 'x':
	case 'o':
		u = sp->longs == 0 ? va_arg(*ap, unsigned) :
		    sp->longs == 1 ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned long long);
		put_number(s, sp, sp->prefix && letter == 'x' ? "0x" : sp->prefix && letter == 'o' ? "0" : "", u,
			   letter == 'u' ? 10 : letter == 'x' ? 16 : 8);
		break;
	case 'p':
		put_number(s, sp, "0x", (unsigned long)va_arg(*ap, void *), 16);
		break;
	case 'c':
		c = (char)va_arg(*ap, int);
		sp->zero = false;
		put_padded(s, sp, "", &c, 1);
		break;
	case 's':
		str = va_arg(*ap, const char *);
		if (!str)
			str = sp->precision ? "(null)" : "";
		for (n = 0; n < sp->precision && str[n]; n++)
			;
		sp->zero = false;
		put_padded(s, sp, "", str, n);
		break;
	case '%':
		put_bytes(s, "%", 1);
		break;
	default:
		put_bytes(s, "%?", 2);
	}
}

int text_vformat(char *buf, size_t size, const char *fmt, va_list args)
{
	struct sink s = { .buf = buf, .room = size ? size - 1 : 0 };
	struct spec sp;
	const char *from;
	va_list ap;

	va_copy(ap, args);
	while (*fmt) {
		for (from = fmt; *fmt && *fmt != '%'; fmt++)
			;
		put_bytes(&s, from, (size_t)(fmt - from));
		if (!*fmt)
			break;
		fmt++;
		parse_spec(&sp, &fmt, &ap);
		if (!*fmt)
			break;
		put_conversion(&s, &sp, *fmt++, &ap);
	}
	va_end(ap);
	if (size)
		buf[s.n] = 0;
	return (int)s.n;
}

int text_format(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = text_vformat(buf, size, fmt, ap);
	va_end(ap);
	return n;
}

bool text_number(const char **p, const char *end, int base, uint64_t *value)
{
	const char *at = *p;
	uint64_t v = 0;
	unsigned digit;

	for (; at < end; at++) {
		if (*at >= '0' && *at <= '9')
			digit = (unsigned)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			digit = (unsigned)(*at - 'a') + 10;
		else if (*at >= 'A' && *at <= 'F')
			digit = (unsigned)(*at - 'A') + 10;
		else
			break;
		if (digit >= (unsigned)base)
			break;
		if (v > (UINT64_MAX - digit) / (unsigned)base)
			return false;
		v = v * (unsigned)base + digit;
	}
	if (at == *p)
		return false;
	*p = at;
	*value = v;
	return true;
}

bool text_line(struct blob *text, struct blob *line)
{
	const char *p = text->p;
	uint64_t n = 0;

	if (text->n == 0)
		return false;
	while (n < text->n && p[n] != '\n')
		n++;
	*line = (struct blob){ p, n };
	n += n < text->n;
	*text = (struct blob){ p + n, text->n - n };
	return true;
}

bool text_field(struct blob text, const char *key, int base, uint64_t *value)
{
	struct blob line;
	const char *p, *end;

	while (text_line(&text, &line)) {
		if (!blob_starts(line, key))
			continue;
		p = (const char *)line.p + strlen(key);
		end = (const char *)line.p + line.n;
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if (base == 16 && end - p > 2 && p[0] == '0' && p[1] == 'x')
			p += 2;
		return text_number(&p, end, base, value);
	}
	return false;
}

/* Kernel's numbers; RTMIN and RTMAX as programs know them (libc keeps 32 and 33). */
#define RT_FIRST 34
#define RT_LAST 64

static const char *const signal_names[] = {
	[1] = "HUP", [2] = "INT", [3] = "QUIT", [4] = "ILL", [5] = "TRAP", [6] = "ABRT", [7] = "BUS", [8] = "FPE",
	[9] = "KILL", [10] = "USR1", [11] = "SEGV", [12] = "USR2", [13] = "PIPE", [14] = "ALRM", [15] = "TERM",
	[16] = "STKFLT", [17] = "CHLD", [18] = "CONT", [19] = "STOP", [20] = "TSTP", [21] = "TTIN", [22] = "TTOU",
	[23] = "URG", [24] = "XCPU", [25] = "XFSZ", [26] = "VTALRM", [27] = "PROF", [28] = "WINCH", [29] = "IO",
	[30] = "PWR", [31] = "SYS",
};
#define SIGNAL_NAMES (int)(sizeof(signal_names) / sizeof(signal_names[0]))

static const struct { const char *name; int sig; } signal_aliases[] = {
	{ "IOT", 6 }, { "CLD", 17 }, { "POLL", 29 },
};

/* "+3" or "-3" behind RTMIN or RTMAX, or nothing. */
static int signal_rt(const char *p, const char *end, int from, char sign)
{
	uint64_t n = 0;

	if (p < end) {
		if (*p++ != sign || !text_number(&p, end, 10, &n) || p != end || n > RT_LAST - RT_FIRST)
			return 0;
	}
	return sign == '+' ? from + (int)n : from - (int)n;
}

int text_signal(struct blob name)
{
	const char *p, *end;
	uint64_t n;
	int sig;

	if (blob_starts(name, "SIG"))
		name = (struct blob){ (const char *)name.p + 3, name.n - 3 };
	p = name.p;
	end = p + name.n;
	if (blob_starts(name, "RTMIN"))
		return signal_rt(p + 5, end, RT_FIRST, '+');
	if (blob_starts(name, "RTMAX"))
		return signal_rt(p + 5, end, RT_LAST, '-');
	if (text_number(&p, end, 10, &n))
		return p == end && n >= 1 && n <= RT_LAST ? (int)n : 0;
	for (sig = 1; sig < SIGNAL_NAMES; sig++)
		if (blob_is(name, signal_names[sig]))
			return sig;
	for (size_t i = 0; i < sizeof(signal_aliases) / sizeof(signal_aliases[0]); i++)
		if (blob_is(name, signal_aliases[i].name))
			return signal_aliases[i].sig;
	return 0;
}

void text_signal_name(int sig, char buf[16])
{
	if (sig > 0 && sig < SIGNAL_NAMES)
		text_format(buf, 16, "%s", signal_names[sig]);
	else if (sig == RT_FIRST)
		text_format(buf, 16, "RTMIN");
	else if (sig > RT_FIRST && sig <= RT_LAST)
		text_format(buf, 16, "RTMIN+%d", sig - RT_FIRST);
	else
		text_format(buf, 16, "%d", sig);
}

static const char *const error_words[] = {
	[EPERM] = "Operation not permitted",
	[ENOENT] = "No such file or directory",
	[ESRCH] = "No such process",
	[EINTR] = "Interrupted system call",
	[EIO] = "Input/output error",
	[ENXIO] = "No such device or address",
	[E2BIG] = "Argument list too long",
	[ENOEXEC] = "Exec format error",
	[EBADF] = "Bad file descriptor",
	[ECHILD] = "No child processes",
	[EAGAIN] = "Resource temporarily unavailable",
	[ENOMEM] = "Cannot allocate memory",
	[EACCES] = "Permission denied",
	[EFAULT] = "Bad address",
	[ENOTBLK] = "Block device required",
	[EBUSY] = "Device or resource busy",
	[EEXIST] = "File exists",
	[EXDEV] = "Invalid cross-device link",
	[ENODEV] = "No such device",
	[ENOTDIR] = "Not a directory",
	[EISDIR] = "Is a directory",
	[EINVAL] = "Invalid argument",
	[ENFILE] = "Too many open files in system",
	[EMFILE] = "Too many open files",
	[ENOTTY] = "Inappropriate ioctl for device",
	[ETXTBSY] = "Text file busy",
	[EFBIG] = "File too large",
	[ENOSPC] = "No space left on device",
	[ESPIPE] = "Illegal seek",
	[EROFS] = "Read-only file system",
	[EMLINK] = "Too many links",
	[EPIPE] = "Broken pipe",
	[EDOM] = "Numerical argument out of domain",
	[ERANGE] = "Numerical result out of range",
	[EDEADLK] = "Resource deadlock avoided",
	[ENAMETOOLONG] = "File name too long",
	[ENOLCK] = "No locks available",
	[ENOSYS] = "Function not implemented",
	[ENOTEMPTY] = "Directory not empty",
	[ELOOP] = "Too many levels of symbolic links",
	[ENOMSG] = "No message of desired type",
	[EIDRM] = "Identifier removed",
	[ECHRNG] = "Channel number out of range",
	[EL2NSYNC] = "Level 2 not synchronized",
	[EL3HLT] = "Level 3 halted",
	[EL3RST] = "Level 3 reset",
	[ELNRNG] = "Link number out of range",
	[EUNATCH] = "Protocol driver not attached",
	[ENOCSI] = "No CSI structure available",
	[EL2HLT] = "Level 2 halted",
	[EBADE] = "Invalid exchange",
	[EBADR] = "Invalid request descriptor",
	[EXFULL] = "Exchange full",
	[ENOANO] = "No anode",
	[EBADRQC] = "Invalid request code",
	[EBADSLT] = "Invalid slot",
	[EBFONT] = "Bad font file format",
	[ENOSTR] = "Device not a stream",
	[ENODATA] = "No data available",
	[ETIME] = "Timer expired",
	[ENOSR] = "Out of streams resources",
	[ENONET] = "Machine is not on the network",
	[ENOPKG] = "Package not installed",
	[EREMOTE] = "Object is remote",
	[ENOLINK] = "Link has been severed",
	[EADV] = "Advertise error",
	[ESRMNT] = "Srmount error",
	[ECOMM] = "Communication error on send",
	[EPROTO] = "Protocol error",
	[EMULTIHOP] = "Multihop attempted",
	[EDOTDOT] = "RFS specific error",
	[EBADMSG] = "Bad message",
	[EOVERFLOW] = "Value too large for defined data type",
	[ENOTUNIQ] = "Name not unique on network",
	[EBADFD] = "File descriptor in bad state",
	[EREMCHG] = "Remote address changed",
	[ELIBACC] = "Can not access a needed shared library",
	[ELIBBAD] = "Accessing a corrupted shared library",
	[ELIBSCN] = ".lib section in a.out corrupted",
	[ELIBMAX] = "Attempting to link in too many shared libraries",
	[ELIBEXEC] = "Cannot exec a shared library directly",
	[EILSEQ] = "Invalid or incomplete multibyte or wide character",
	[ERESTART] = "Interrupted system call should be restarted",
	[ESTRPIPE] = "Streams pipe error",
	[EUSERS] = "Too many users",
	[ENOTSOCK] = "Socket operation on non-socket",
	[EDESTADDRREQ] = "Destination address required",
	[EMSGSIZE] = "Message too long",
	[EPROTOTYPE] = "Protocol wrong type for socket",
	[ENOPROTOOPT] = "Protocol not available",
	[EPROTONOSUPPORT] = "Protocol not supported",
	[ESOCKTNOSUPPORT] = "Socket type not supported",
	[EOPNOTSUPP] = "Operation not supported",
	[EPFNOSUPPORT] = "Protocol family not supported",
	[EAFNOSUPPORT] = "Address family not supported by protocol",
	[EADDRINUSE] = "Address already in use",
	[EADDRNOTAVAIL] = "Cannot assign requested address",
	[ENETDOWN] = "Network is down",
	[ENETUNREACH] = "Network is unreachable",
	[ENETRESET] = "Network dropped connection on reset",
	[ECONNABORTED] = "Software caused connection abort",
	[ECONNRESET] = "Connection reset by peer",
	[ENOBUFS] = "No buffer space available",
	[EISCONN] = "Transport endpoint is already connected",
	[ENOTCONN] = "Transport endpoint is not connected",
	[ESHUTDOWN] = "Cannot send after transport endpoint shutdown",
	[ETOOMANYREFS] = "Too many references: cannot splice",
	[ETIMEDOUT] = "Connection timed out",
	[ECONNREFUSED] = "Connection refused",
	[EHOSTDOWN] = "Host is down",
	[EHOSTUNREACH] = "No route to host",
	[EALREADY] = "Operation already in progress",
	[EINPROGRESS] = "Operation now in progress",
	[ESTALE] = "Stale file handle",
	[EUCLEAN] = "Structure needs cleaning",
	[ENOTNAM] = "Not a XENIX named type file",
	[ENAVAIL] = "No XENIX semaphores available",
	[EISNAM] = "Is a named type file",
	[EREMOTEIO] = "Remote I/O error",
	[EDQUOT] = "Disk quota exceeded",
	[ENOMEDIUM] = "No medium found",
	[EMEDIUMTYPE] = "Wrong medium type",
	[ECANCELED] = "Operation canceled",
	[ENOKEY] = "Required key not available",
	[EKEYEXPIRED] = "Key has expired",
	[EKEYREVOKED] = "Key has been revoked",
	[EKEYREJECTED] = "Key was rejected by service",
	[EOWNERDEAD] = "Owner died",
	[ENOTRECOVERABLE] = "State not recoverable",
	[ERFKILL] = "Operation not possible due to RF-kill",
	[EHWPOISON] = "Memory page has hardware error",
};

const char *text_error(int rc)
{
	size_t n = sizeof(error_words) / sizeof(error_words[0]);

	if (rc >= 0)
		return "Success";
	if ((size_t)-(long)rc < n && error_words[-rc])
		return error_words[-rc];
	return "Unknown error";
}
