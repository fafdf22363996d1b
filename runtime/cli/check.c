/*
 * check.c - skshim check: what this machine allows and what follows
 */
#include <errno.h>
#include <getopt.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"
#include "skshim/show.h"

enum answer { ANSWER_YES, ANSWER_PARTLY, ANSWER_NO };

/* What a user wants to know. */
struct follow {
	const char *key;             /* in the JSON document; never changed */
	const char *topic;
	enum answer answer;
	const char *text;
};

static bool allowed(enum fact_key key)
{
	return facts[key].result == 0;
}

static struct follow follow_pids(void)
{
	struct follow f = { "pids", "same PIDs after a restart", ANSWER_YES, "in the running pid namespace" };

	if (allowed(FACT_SET_TID))
		return f;
	f.answer = ANSWER_PARTLY;
	f.text = "in a user and pid namespace of the restart's own: the tree sees only its own processes, "
		 "and files of other users appear as nobody's";
	if (allowed(FACT_PIDNS_PROC) && allowed(FACT_PIDNS_SET_TID))
		return f;
	f.answer = ANSWER_NO;
	f.text = "user namespaces are not allowed here: nothing can be restarted; run skshim-restart as root, or allow "
		 "them (kernel.unprivileged_userns_clone, user.max_user_namespaces, the container's seccomp profile)";
	if (allowed(FACT_USERNS))
		f.text = "pid namespaces are not allowed here: nothing can be restarted; run skshim-restart as root, or allow "
			 "mounting /proc in a container (--security-opt systempaths=unconfined)";
	return f;
}

/* Resuming needs TCP_REPAIR and nftables, which are tried, and code that is not there yet. */
static struct follow follow_tcp(void)
{
	struct follow f = { "tcp_outside", "TCP connections to outside", ANSWER_NO,
			    "given up at restart as a reset would look, or made again (--tcp reconnect); "
			    "connections inside the tree are kept" };

	if (allowed(FACT_TCP_REPAIR) && allowed(FACT_NFTABLES)) {
		f.answer = ANSWER_YES;
		f.text = "resumed in the middle of the stream, from an image made with `skshim checkpoint --stop`";
	}
	return f;
}

static struct follow follow_unix(void)
{
	struct follow f = { "unix_names", "unix sockets whose file was moved, deleted or bound by a relative name",
			    ANSWER_YES, "restored exactly" };

	if (!allowed(FACT_MOVED_SOCKETS)) {
		f.answer = ANSWER_PARTLY;
		f.text = "only those whose file still is where their name says: user and mount namespaces are not "
			 "allowed here";
	}
	return f;
}

static struct follow follow_adopted(void)
{
	struct follow f = { "unix_adopted", "files of unix sockets the shim did not see being bound", ANSWER_YES,
			    "found through the kernel" };

	if (!allowed(FACT_UNIX_FILE)) {
		f.answer = ANSWER_PARTLY;
		f.text = "taken to be where their name says; following a move needs CAP_NET_ADMIN";
	}
	return f;
}

static struct follow follow_shared(void)
{
	struct follow f = { "sharing", "descriptors shared between processes", ANSWER_YES,
			    "recognised and shared again" };

	if (!allowed(FACT_KCMP)) {
		f.answer = ANSWER_PARTLY;
		f.text = "kcmp is not allowed here: recognised where the kernel tells otherwise (sockets), else "
			 "refused";
	}
	return f;
}

static struct follow follow_queues(void)
{
	struct follow f = { "queues", "data waiting in sockets", ANSWER_YES, "restored, whatever its size" };

	if (!allowed(FACT_BUFFER_FORCE)) {
		f.answer = ANSWER_PARTLY;
		f.text = "restored; more than the buffers this user may have (net.core.wmem_max, rmem_max) is "
			 "refilled piecewise";
	}
	return f;
}

static struct follow follow_senders(void)
{
	struct follow f = { "udp_senders", "UDP datagrams waiting, from other machines", ANSWER_YES,
			    "with their sender's address" };

	if (!allowed(FACT_TRANSPARENT)) {
		f.answer = ANSWER_NO;
		f.text = "their sender's address can't be restored without CAP_NET_RAW; those from this machine are";
	}
	return f;
}

static struct follow follow_incremental(void)
{
	struct follow f = { "incremental", "incremental checkpoints", ANSWER_NO,
			    "this kernel could tell which pages were written, but every checkpoint writes all memory" };

	if (!allowed(FACT_PAGEMAP_SCAN) || !allowed(FACT_WP_ASYNC))
		f.text = "this kernel can't tell which pages were written (it needs Linux 6.7): every checkpoint "
			 "writes all memory";
	return f;
}

static struct follow follow_pause(void)
{
	struct follow f = { "pause", "short pause at a checkpoint", ANSWER_YES,
			    "memory is written by a copy-on-write child" };

	if (!allowed(FACT_OVERCOMMIT)) {
		f.answer = ANSWER_PARTLY;
		f.text = "vm.overcommit_memory=2: where a copy of a big process isn't granted, memory is written "
			 "while the tree stands still";
	}
	return f;
}

static struct follow follow_clocks(void)
{
	struct follow f = { "clocks", "CLOCK_MONOTONIC after a restart", ANSWER_YES,
			    "never runs backwards, not after a reboot or on another host either" };

	if (!allowed(FACT_TIMENS)) {
		f.answer = ANSWER_PARTLY;
		f.text = "goes on with the machine's: it never runs backwards on the same boot, but may after a reboot or on another host";
	}
	return f;
}

static struct follow follow_speed(void)
{
	struct follow f = { "huge_pages", "fast restart of big programs", ANSWER_YES,
			    "memory comes back in huge pages" };

	if (!allowed(FACT_HUGE_PAGES)) {
		f.answer = ANSWER_PARTLY;
		f.text = "transparent huge pages are off: about five times as long for each GiB";
	}
	return f;
}

static struct follow follow_sockets(void)
{
	struct follow f = { "sockets", "checkpoints of programs with sockets", ANSWER_YES,
			    "names and peers are known" };

	if (!allowed(FACT_DIAG_UNIX) || !allowed(FACT_DIAG_TCP) || !allowed(FACT_DIAG_UDP)) {
		f.answer = ANSWER_NO;
		f.text = "sock_diag doesn't answer for unix, TCP or UDP: load unix_diag, tcp_diag, udp_diag, or "
			 "allow NETLINK_SOCK_DIAG";
	}
	return f;
}

static struct follow follow_tree(void)
{
	struct follow f = { "tree", "programs under the shim", ANSWER_YES, "share their state in /dev/shm" };

	if (!allowed(FACT_SHM)) {
		f.answer = ANSWER_PARTLY;
		f.text = "/dev/shm can't be written: the shared file goes to $TMPDIR or /tmp";
	}
	return f;
}

static struct follow (*const follows[])(void) = {
	follow_tree, follow_pids, follow_sockets, follow_tcp, follow_unix, follow_adopted, follow_shared, follow_queues,
	follow_senders, follow_pause, follow_speed, follow_incremental, follow_clocks,
};

static const struct { int number; const char *name; } capabilities[] = {
	{ CAP_NET_ADMIN, "net_admin" }, { CAP_NET_RAW, "net_raw" }, { CAP_NET_BIND_SERVICE, "net_bind_service" },
	{ CAP_SYS_ADMIN, "sys_admin" }, { CAP_SYS_PTRACE, "sys_ptrace" }, { CAP_SYS_RESOURCE, "sys_resource" },
	{ CAP_CHECKPOINT_RESTORE, "checkpoint_restore" }, { CAP_SETUID, "setuid" }, { CAP_SYS_CHROOT, "sys_chroot" },
	{ CAP_SYS_TIME, "sys_time" }, { CAP_SYS_NICE, "sys_nice" }, { CAP_DAC_OVERRIDE, "dac_override" },
};

static uint64_t effective_capabilities(void)
{
	char line[256];
	uint64_t mask = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "CapEff: %lx", &mask) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return mask;
}

static const char *const answers[] = { "yes", "partly", "no" };

static void print_left(const char *what, const char *name, void *arg)
{
	int *n = arg;

	++*n;
	printf("  %s: %s\n", what, name);
}

/* Why not, in words that say where to look. */
static const char *reason(int error)
{
	if (error == -ENOSPC)
		return "the limit of namespaces, user.max_*_namespaces, is reached";
	if (error == -EUSERS)
		return "namespaces are nested too deep";
	return strerror(-error);
}

static void check_print(const struct utsname *u, const struct rlimit *files)
{
	uint64_t caps = effective_capabilities();
	int left = 0;

	printf("Linux %s %s, uid %u, open files up to %lu\n", u->release, u->machine, geteuid(), files->rlim_max);
	fputs("capabilities:", stdout);
	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		if (caps >> capabilities[i].number & 1)
			printf(" %s", capabilities[i].name);
	puts(caps ? "" : " none");
	puts("\nwhat the kernel allows here");
	for (int i = 0; i < FACTS; i++)
		printf("  %-4s %s%s%s%s\n", allowed(i) ? "yes" : "no", facts[i].text, allowed(i) ? "" : " (",
		       allowed(i) ? "" : reason(facts[i].result), allowed(i) ? "" : ")");
	puts("\nwhat follows");
	for (size_t i = 0; i < sizeof(follows) / sizeof(follows[0]); i++) {
		struct follow f = follows[i]();

		printf("  %-7s%s: %s\n", answers[f.answer], f.topic, f.text);
	}
	puts("\nleft over from killed runs");
	check_leftovers(print_left, &left);
	if (left == 0)
		puts("  nothing");
	else
		puts("  (files may be removed; the next start of a program under the shim removes those of its own "
		     "user and version; a table waits for the restart of its image, which removes it, or for\n"
		     "  `nft delete table inet NAME`, when the image was restarted on another machine)");
}

static void show_left(const char *what, const char *name, void *arg)
{
	show_open(arg, NULL, '{');
	show_string(arg, "what", text(what));
	show_string(arg, "name", text(name));
	show_close(arg, '}');
}

static int check_show(const struct utsname *u, const struct rlimit *files)
{
	uint64_t caps = effective_capabilities();
	struct show s;

	show_begin(&s, stdout);
	show_open(&s, NULL, '{');
	show_string(&s, "release", text(u->release));
	show_string(&s, "machine", text(u->machine));
	show_unsigned(&s, "uid", geteuid());
	show_unsigned(&s, "open_files", files->rlim_max);
	show_open(&s, "capabilities", '{');
	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		show_bool(&s, capabilities[i].name, caps >> capabilities[i].number & 1);
	show_close(&s, '}');
	show_open(&s, "allows", '{');
	for (int i = 0; i < FACTS; i++) {
		show_open(&s, facts[i].key, '{');
		show_bool(&s, "allowed", allowed(i));
		show_string(&s, "text", text(facts[i].text));
		if (!allowed(i))
			show_string(&s, "error", text(reason(facts[i].result)));
		show_close(&s, '}');
	}
	show_close(&s, '}');
	show_open(&s, "follows", '{');
	for (size_t i = 0; i < sizeof(follows) / sizeof(follows[0]); i++) {
		struct follow f = follows[i]();

		show_open(&s, f.key, '{');
		show_string(&s, "answer", text(answers[f.answer]));
		show_string(&s, "topic", text(f.topic));
		show_string(&s, "text", text(f.text));
		show_close(&s, '}');
	}
	show_close(&s, '}');
	show_open(&s, "left_over", '[');
	check_leftovers(show_left, &s);
	show_close(&s, ']');
	show_close(&s, '}');
	return print_show_end(&s);
}

int command_check(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	struct follow needed[3];
	struct utsname u;
	struct rlimit files;
	bool json = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return usage_error("check", "'%s' is not an option", argv[optind - 1]);
		json = true;
	}
	if (optind != argc)
		return usage_error("check", "'%s': no argument is expected", argv[optind]);
	if (check_try() < 0)
		return CLI_FAILED;
	uname(&u);
	getrlimit(RLIMIT_NOFILE, &files);
	if (json && check_show(&u, &files) != CLI_OK)
		return CLI_FAILED;
	if (!json)
		check_print(&u, &files);
	needed[0] = follow_pids();
	needed[1] = follow_sockets();
	needed[2] = follow_tree();
	for (size_t i = 0; i < 3; i++)
		if (needed[i].answer == ANSWER_NO) {
			failed(ERR_PLAIN, "check: %s: %s", needed[i].topic, needed[i].text);
			return CLI_FAILED;
		}
	return CLI_OK;
}
