/*
 * main.c - skshim: checkpoint and restart of programs, with comfort
 *
 * Finds the command and prints the one line a failure leaves behind.
 */
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments;
	const char *purpose;
};

static const struct command commands[] = {
	{ "run", command_run, "[-D DIR] [--signal SIG] [--files WHICH] [--files-max SIZE] -- app ...", "start a program under the shim" },
	{ "checkpoint", command_checkpoint, "[--stop] [--json] [--timeout SECONDS] PID",
	  "checkpoint the tree PID belongs to" },
	{ "restart", command_restart, "...", "bring a checkpoint back: see skshim-restart(1)" },
	{ "inspect", command_inspect, "[--json | --dot | --tree] DIR", "show what is inside a checkpoint" },
	{ "verify", command_verify, "DIR", "check a checkpoint completely" },
	{ "check", command_check, "[--json]", "show what this machine allows" },
	{ "ps", command_ps, "[--json]", "list the trees running under the shim" },
};

static void help(FILE *out)
{
	fputs("usage: skshim COMMAND ...\n\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  skshim %s %s\n      %s\n", commands[i].name, commands[i].arguments,
			commands[i].purpose);
	fputs("\n  skshim --help, skshim --version\n\nThe manual is skshim(1).\n", out);
}

int usage_error(const char *command, const char *fmt, ...)
{
	char text[ERR_TEXT / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	failed(ERR_PLAIN, "%s%s%s (see `skshim --help`)", command, *command ? ": " : "", text);
	return CLI_USAGE;
}

static int dispatch(int argc, char **argv)
{
	if (argc < 2)
		return usage_error("", "a command is missing");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		help(stdout);
		return CLI_OK;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("skshim " SKSHIM_VERSION);
		return CLI_OK;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		if (argc > 2 && strcmp(argv[2], "--help") == 0 && commands[i].run != command_restart) {
			printf("usage: skshim %s %s\n    %s\n", commands[i].name, commands[i].arguments,
			       commands[i].purpose);
			return CLI_OK;
		}
		return commands[i].run(argc - 1, argv + 1);
	}
	return usage_error("", "there is no command '%s'", argv[1]);
}

int main(int argc, char **argv)
{
	int status;

	log_setup("skshim", LOG_WARN, NULL);
	status = dispatch(argc, argv);
	if (err_text()[0] != '\0')
		log_line(LOG_ERROR, "%s", err_text());
	if (fflush(stdout) != 0 && status == CLI_OK) {
		log_line(LOG_ERROR, "cannot write to standard output: %m");
		status = CLI_FAILED;
	}
	return status;
}
