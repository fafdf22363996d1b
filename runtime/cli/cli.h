/*
 * cli.h - what the files of the program `skshim` share
 *
 * A command is one file and one row in main.c. It returns the exit status:
 * CLI_OK, CLI_FAILED after failed() was called (main prints the one line), or
 * what its manual says. docs/man/skshim.1 lists them.
 */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "skshim/err.h"
#include "skshim/field.h"
#include "skshim/str.h"

#ifndef SKSHIM_VERSION
#define SKSHIM_VERSION "0.1.0"
#endif

enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1,      /* the thing asked for could not be done; a line was noted with failed() */
	CLI_USAGE = 2,       /* the command line means nothing; a line was noted with failed() */
	CLI_REFUSED = 125,   /* `run`: the program can't be run under the shim */
	CLI_NOT_EXECUTABLE = 126,
	CLI_NOT_FOUND = 127,
};

int command_run(int argc, char **argv);
int command_checkpoint(int argc, char **argv);
int command_restart(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_check(int argc, char **argv);
int command_ps(int argc, char **argv);

/* Notes what is wrong with the command line, with a hint where to read; returns CLI_USAGE. */
int usage_error(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- paths.c: where things are ------------------------------------------------------------------------- */

/* A file that belongs to skshim: `../lib/name` or `name` beside this program; false when it stands at neither place. */
bool path_beside(const char *name, char *out, size_t size);
/* A library of skshim's: beside this program, else where the loader looks. */
bool path_library(const char *name, char *out, size_t size);

static inline struct blob text(const char *s) { return (struct blob){ s, strlen(s) }; }

/* --- print.c: text out of records ----------------------------------------------------------------- */

/* Bytes as text a terminal can take: what isn't printable becomes \xNN. Cut to fit. Returns out. */
char *print_text(struct blob b, char *out, size_t size);
/* Text made by print_text(), cut after n bytes at most, and in front of a character that is not whole. */
void print_cut(char *s, size_t n);
/* "tcp 127.0.0.1:80", "/run/x.sock", "@abstract": a struct sockaddr of any family. False when it isn't one. */
bool print_address(const void *addr, uint64_t n, char *out, size_t size);
/* "2026-11-22 23:40:02" in local time. */
void print_time(int64_t realtime_ns, char *out, size_t size);
/* "13 B", "34 MiB". */
void print_size(uint64_t bytes, char *out, size_t size);

/* Ends a JSON document on standard output: CLI_OK, or CLI_FAILED with failed() called. */
struct show;
int print_show_end(struct show *);

/* The row of a field, NULL when the table has none of that name and type. */
const struct field *record_field(const struct field *fields, const char *name, enum field_type type);
bool record_blob(const struct field *fields, const void *rec, const char *name, struct blob *out);
bool record_number(const struct field *fields, const void *rec, const char *name, int64_t *out);

#endif
