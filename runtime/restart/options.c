/*
 * options.c - the command line, see contract in man skshim-restart
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restart.h"

static const char usage[] =
	"usage: skshim-restart [-d|--detach] [--pidfile F] [--status-fd N] [--tcp repair|reconnect|reset|fail]\n"
	"                      [--unix-external reconnect|reset|fail] [--inherit-fd N:KEY]... [--map-address OLD=NEW]... [--plan] DIR\n"
	"       skshim-restart --or-run DIR -- app ...\n"
	"       skshim-restart --sockets-only DIR -- app ...\n";

enum { OPT_PIDFILE = 256, OPT_STATUS, OPT_TCP, OPT_UNIX, OPT_INHERIT, OPT_MAP, OPT_PLAN, OPT_OR_RUN, OPT_SOCKETS };

static const struct option options[] = {
	{ "detach", no_argument, NULL, 'd' }, { "pidfile", required_argument, NULL, OPT_PIDFILE },
	{ "status-fd", required_argument, NULL, OPT_STATUS }, { "tcp", required_argument, NULL, OPT_TCP },
	{ "unix-external", required_argument, NULL, OPT_UNIX }, { "inherit-fd", required_argument, NULL, OPT_INHERIT },
	{ "map-address", required_argument, NULL, OPT_MAP }, { "plan", no_argument, NULL, OPT_PLAN }, { "or-run", no_argument, NULL, OPT_OR_RUN },
	{ "sockets-only", no_argument, NULL, OPT_SOCKETS }, { "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 },
};

static int policy(const char *name, bool tcp, enum rebuild_policy *out)
{
	if (strcmp(name, "reset") == 0)
		*out = POLICY_RESET;
	else if (strcmp(name, "reconnect") == 0)
		*out = POLICY_RECONNECT;
	else if (strcmp(name, "fail") == 0)
		*out = POLICY_FAIL;
	else if (tcp && strcmp(name, "repair") == 0)
		*out = POLICY_REPAIR;
	else
		return failed(ERR_PLAIN, "--%s %s: means nothing", tcp ? "tcp" : "unix-external", name);
	return 0;
}

static int number(const char *text, const char *what)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (!*text || *end || n < 0 || n > 1 << 20 || fcntl((int)n, F_GETFD) < 0)
		return failed(ERR_PLAIN, "--%s %s: is no open descriptor", what, text);
	return (int)n;
}

static int inherit(struct options *o, char *text)
{
	char *colon = strchr(text, ':');
	int fd;

	if (!colon || !colon[1])
		return failed(ERR_PLAIN, "--inherit-fd %s: must be N:KEY", text);
	*colon = 0;
	fd = number(text, "inherit-fd");
	if (fd < 0)
		return fd;
	if (o->ninherit == INHERIT_MAX)
		return failed(ERR_PLAIN, "--inherit-fd: more than %d", INHERIT_MAX);
	o->inherit[o->ninherit++] = (struct inherit){ fd, colon + 1 };
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	int c, rc = 0;

	memset(o, 0, sizeof(*o));
	o->status_fd = -1;
	opterr = 0;
	while (rc >= 0 && (c = getopt_long(argc, argv, "+dh", options, NULL)) != -1) {
		switch (c) {
		case 'd': o->detach = true; break;
		case OPT_PIDFILE: o->pidfile = optarg; break;
		case OPT_STATUS: rc = o->status_fd = number(optarg, "status-fd"); break;
		case OPT_TCP: rc = policy(optarg, true, &o->tcp); break;
		case OPT_UNIX: rc = policy(optarg, false, &o->unix_external); break;
		case OPT_INHERIT: rc = inherit(o, optarg); break;
		case OPT_MAP: rc = address_option(o, optarg); break;
		case OPT_PLAN: o->plan = true; break;
		case OPT_OR_RUN: o->or_run = true; break;
		case OPT_SOCKETS: o->sockets_only = true; break;
		case 'h': fputs(usage, stdout); return 1;
		case 'V': puts("skshim-restart " SKSHIM_VERSION); return 1;
		default: rc = failed(ERR_PLAIN, "%s: is no option, see --help", argv[optind - 1]);
		}
	}
	if (rc < 0)
		return rc;
	if (optind >= argc)
		return failed(ERR_PLAIN, "which checkpoint? see --help");
	o->dir = argv[optind++];
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	if (optind < argc)
		o->command = argv + optind;
	if (o->or_run && o->sockets_only)
		return failed(ERR_PLAIN, "--or-run and --sockets-only exclude each other");
	if ((o->or_run || o->sockets_only) != (o->command != NULL))
		return failed(ERR_PLAIN, o->command ? "%s: only --or-run and --sockets-only take a program" : "--: which program?",
			      o->command ? o->command[0] : "");
	return 0;
}
