/*
 * err.h - telling a failure once, and the log
 *
 * Whoever meets a failure calls failed(), naming the object; everybody above
 * passes the number on in silence. The first message since err_reset() stays;
 * the conductor (or main) prints it. All of it is frozen code.
 */
#ifndef SKSHIM_ERR_H
#define SKSHIM_ERR_H

#include <stddef.h>

#define ERR_TEXT 768

/*
 * Notes "text: system's words for rc" unless a failure is noted already;
 * rc = -1000 (ERR_PLAIN) adds no words. Returns rc.
 */
#define ERR_PLAIN (-1000)
int failed(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The noted message, "" when there is none. */
const char *err_text(void);
void err_reset(void);

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/*
 * Where lines go: `path` NULL for standard error. The path is copied. One prefix ("skshim") for all lines.
 * Standard error is remembered by its inode: when it became something that isn't like a log
 * (err.c), lines are dropped. So a restored process calls this again.
 */
void log_setup(const char *prefix, enum log_level level, const char *path);
enum log_level log_current(void);
/* One line, "prefix: text\n", in one write. A file is opened for each line, so no descriptor is held. */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
