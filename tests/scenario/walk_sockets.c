/*
 * A random walk over sockets, twice: once undisturbed, once with a checkpoint
 * in the middle. Three processes make, name, connect, fill, pass, shut and
 * close sockets and pipes of all kinds; what each call says, and in the end
 * everything that can be found out about each descriptor, must be the same.
 *
 * WALK_SEED in the environment makes it another walk, WALK_STEPS a longer one,
 * WALK_LOG names a file for what was seen. What docs/LIMITS.md says is lost, or
 * refused, some walks come across.
 */
#include "walk.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static int to[WORKERS][2], from[WORKERS][2];
static uint64_t state;
static int number;
static char bytes[70000];

static unsigned rnd(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((state >> 33) % n);
}

static void fill(char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b[i] = (char)(w->serial * 7 + i * 13);
	w->serial++;
}

static enum kind kind_of(const struct op *o)
{
	return w->slots[me][o->slot];
}

/* One of the names that somebody has, or had. */
static const struct name *name_for(const struct op *o)
{
	return w->n_names ? &w->names[o->name % (w->n_names < NAMES ? w->n_names : NAMES)] : NULL;
}

static void make(const struct op *o)
{
	enum kind k = (enum kind)(1 + o->n % (KINDS - 1));
	int fd;

	if (k == PIPE)
		return;
	fd = MUST(k == EPOLL ? epoll_create1(0) : socket(how[k].family, how[k].type, 0));
	/* or what has arrived when it is looked at is a matter of delayed acknowledgements */
	if (is_tcp(k))
		MUST(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)));
	put(o->slot, fd, k);
	say(" %s", kinds[k]);
}

static void make_pair(const struct op *o)
{
	enum kind k = (enum kind)(U_STREAM + o->n % 3);
	int fds[2];

	if (o->slot == o->other)
		return;
	MUST(socketpair(AF_UNIX, how[k].type, 0, fds));
	put(o->slot, fds[0], k);
	put(o->other, fds[1], k);
}

static void make_pipe(const struct op *o)
{
	int fds[2];

	if (o->slot == o->other)
		return;
	MUST(pipe(fds));
	put(o->slot, fds[0], PIPE);
	put(o->other, fds[1], PIPE);
}

enum naming { BY_PATH, ABSTRACT, AUTOMATIC };

static void bind_as(const struct op *o, enum naming naming)
{
	struct sockaddr_storage at = {0};
	struct sockaddr_un *un = (struct sockaddr_un *)&at;
	enum kind k = w->slots[me][o->slot];
	socklen_t len;

	/* the sender of a packet is who has sent it, under the name he has by now: not known of one without a name */
	if (!is_socket(k) || (k == U_DGRAM && w->second))
		return;

	if (is_unix(k)) {
		un->sun_family = AF_UNIX;
		len = (socklen_t)offsetof(struct sockaddr_un, sun_path);
		if (naming == BY_PATH)
			len += (socklen_t)snprintf(un->sun_path, 100, "n%d", o->n) + (o->n & 1);
		else if (naming == ABSTRACT)
			len += (socklen_t)snprintf(un->sun_path + 1, 100, "%dwalk%d-%d", number, o->n, getuid()) + 1;
	} else {
		((struct sockaddr_in *)&at)->sin_family = (sa_family_t)how[k].family;
		len = how[k].family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
		if (how[k].family == AF_INET && o->n % 3)
			((struct sockaddr_in *)&at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		if (how[k].family == AF_INET6 && o->n % 3)
			((struct sockaddr_in6 *)&at)->sin6_addr = in6addr_loopback;
	}
	if (result(bind(fd_of(o->slot), (struct sockaddr *)&at, len)) == 0)
		note_name(o->slot);
}

static void bind_path(const struct op *o)
{
	bind_as(o, BY_PATH);
}

static void bind_abstract(const struct op *o)
{
	bind_as(o, ABSTRACT);
}

static void autobind(const struct op *o)
{
	bind_as(o, AUTOMATIC);
}

static void start_listening(const struct op *o)
{
	if (!is_socket(kind_of(o)) || result(listen(fd_of(o->slot), o->n % 5)) < 0)
		return;
	if (!w->listening[me][o->slot] && is_inet(kind_of(o)))
		note_name(o->slot);
	w->listening[me][o->slot] = true;
}

static void connect_it(const struct op *o)
{
	const struct name *name = name_for(o);
	enum kind k = kind_of(o);

	if (!is_socket(k) || name == NULL)
		return;
	/* a TCP socket connected to itself leaves a TIME_WAIT that nobody but root can end; what a second connect says of
	 * one that was connected without waiting depends on whether it is the second */
	if (is_tcp(k) && (is_connected(o->slot) || (name->kind == k && is_own_name(o->slot, name))))
		return;
	say_name(&name->at, name->len);
	result(connect(fd_of(o->slot), (const struct sockaddr *)&name->at, name->len));
}

static void disconnect(const struct op *o)
{
	enum kind k = kind_of(o);
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	if (k == U_DGRAM || k == UDP4 || k == UDP6)
		result(connect(fd_of(o->slot), &none, sizeof(none)));
}

static void accept_one(const struct op *o)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	enum kind k = kind_of(o);
	int fd;

	if (!is_socket(k))
		return;
	fd = result(accept4(fd_of(o->slot), (struct sockaddr *)&at, &len, SOCK_NONBLOCK));
	if (fd < 0)
		return;
	say_name(&at, len);
	put(o->other, fd, k);
}

static void send_some(const struct op *o)
{
	size_t n = (size_t)o->n % 600;

	fill(bytes, n);
	if (is_socket(kind_of(o)))
		result(send(fd_of(o->slot), bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL));
	else if (kind_of(o) == PIPE)
		result(write(fd_of(o->slot), bytes, n));
}

/* On a unix stream, what is left of one that was read stays to be counted. */
static void send_urgent(const struct op *o)
{
	size_t n = (size_t)o->n % 600;

	fill(bytes, n);
	if (is_socket(kind_of(o)) && kind_of(o) != U_STREAM)
		result(send(fd_of(o->slot), bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_OOB));
}

static void send_to(const struct op *o)
{
	const struct name *name = name_for(o);
	enum kind k = kind_of(o);
	size_t n = (size_t)o->n % 600;

	fill(bytes, n);
	if (!is_socket(k) || name == NULL || is_unix(k) != is_unix(name->kind))
		return;
	say_name(&name->at, name->len);
	result(sendto(fd_of(o->slot), bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&name->at, name->len));
}

static void send_fds(const struct op *o)
{
	char control[CMSG_SPACE(2 * sizeof(int))] = {0}, b[300];
	struct iovec v = {b, (size_t)o->n % 300};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int fds[2] = {fd_of(o->other), fd_of(o->third)};

	if (!is_unix(kind_of(o)))
		return;
	/* none that could be left in a ring of queues: when the kernel finds that out is its own business */
	if (w->slots[me][o->other] == NONE || w->slots[me][o->third] == NONE || is_unix(w->slots[me][o->other]) || is_unix(w->slots[me][o->third]))
		return;
	fill(b, v.iov_len);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	result(sendmsg(fd_of(o->slot), &m, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static void receive_some(const struct op *o)
{
	if (kind_of(o) == PIPE)
		result(read(fd_of(o->slot), bytes, (size_t)o->n % 400));
	else if (is_socket(kind_of(o)))
		receive(fd_of(o->slot), (size_t)o->n % 400 + 1, 0);
}

static void peek(const struct op *o)
{
	if (is_socket(kind_of(o)))
		receive(fd_of(o->slot), (size_t)o->n % 400 + 1, MSG_PEEK);
}

static void receive_all(const struct op *o)
{
	if (is_socket(kind_of(o)))
		receive(fd_of(o->slot), sizeof(bytes), o->n % 5 == 0 && kind_of(o) != U_STREAM ? MSG_OOB : 0);
}

static void shut(const struct op *o)
{
	if (!is_socket(kind_of(o)))
		return;
	/* of one that was never connected nothing tells which directions were shut, before it is */
	if (is_connected(o->slot))
		result(shutdown(fd_of(o->slot), o->n % 3));
	else if (!is_tcp(kind_of(o)))
		result(shutdown(fd_of(o->slot), SHUT_RDWR));
}

static void close_it(const struct op *o)
{
	if (kind_of(o) == NONE)
		return;
	unwatch(o->slot);
	close(fd_of(o->slot));
	w->slots[me][o->slot] = NONE;
	w->listening[me][o->slot] = false;
}

static void duplicate(const struct op *o)
{
	if (kind_of(o) == NONE || o->slot == o->other)
		return;
	unwatch(o->other);
	MUST(dup2(fd_of(o->slot), fd_of(o->other)));
	w->slots[me][o->other] = kind_of(o);
	w->listening[me][o->other] = w->listening[me][o->slot];
}

static void set_option(const struct op *o)
{
	int i = o->n % OPTIONS, v[2] = {options[i].values[o->name % 4], options[i].values[o->name % 4]};

	if (!is_socket(kind_of(o)) || !fits(i, kind_of(o)))
		return;
	say(" %d.%d %d", options[i].level, options[i].name, v[0]);
	result(setsockopt(fd_of(o->slot), options[i].level, options[i].name, v, options[i].name == SO_LINGER ? 8 : 4));
}

static void rename_one(const struct op *o)
{
	char path[32], other[32];

	snprintf(path, sizeof(path), "n%d", o->n % 8);
	snprintf(other, sizeof(other), "n%d", o->other % 8);
	result(rename(path, other));
}

static void unlink_one(const struct op *o)
{
	char path[32];

	snprintf(path, sizeof(path), "n%d", o->n % 8);
	result(unlink(path));
}

static void watch(const struct op *o)
{
	static const uint32_t modes[] = {EPOLLIN, EPOLLIN | EPOLLOUT, EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLET, EPOLLOUT | EPOLLET, EPOLLPRI | EPOLLRDHUP};
	struct epoll_event e = {modes[o->n % 6], {.u32 = (uint32_t)(o->other * 10 + o->n % 6)}};
	int which = o->n / 6 % 4;

	if (w->slots[me][o->slot] != EPOLL || w->slots[me][o->other] == NONE || w->slots[me][o->other] == EPOLL || w->listening[me][o->other])
		return;
	result(epoll_ctl(fd_of(o->slot), which == 3 ? EPOLL_CTL_DEL : which == 2 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd_of(o->other), &e));
}

static void ask_events(const struct op *o)
{
	if (kind_of(o) == EPOLL)
		say_events(o->slot);
}

static void look_at(const struct op *o)
{
	look(o->slot);
}

/* How often each is done, of all that is done. */
static const struct action {
	const char *name;
	void (*act)(const struct op *);
	int weight;
} actions[] = {
	{"make", make, 3}, {"pair", make_pair, 2}, {"pipe", make_pipe, 1}, {"bind", bind_path, 3}, {"bind_abstract", bind_abstract, 1},
	{"autobind", autobind, 1}, {"listen", start_listening, 2}, {"connect", connect_it, 4}, {"accept", accept_one, 2},
	{"send", send_some, 5}, {"send_to", send_to, 3}, {"send_oob", send_urgent, 1}, {"send_fds", send_fds, 2},
	{"recv", receive_some, 2}, {"peek", peek, 1}, {"recv_msg", receive_all, 1}, {"shut", shut, 1}, {"close", close_it, 2},
	{"dup", duplicate, 1}, {"option", set_option, 3}, {"rename", rename_one, 1}, {"unlink", unlink_one, 1},
	{"disconnect", disconnect, 1}, {"watch", watch, 3}, {"events", ask_events, 1}, {"look", look_at, 1},
};
enum { ACTIONS = sizeof(actions) / sizeof(*actions), MAKE = 0, PAIR = 1, LEAVE = ACTIONS };

static void act(const struct op *o)
{
	const struct action *a = &actions[o->what];

	if (o->what == LEAVE) {
		for (int i = 0; i < SLOTS; i++)
			drain(i);
		return;
	}
	say("%s %d.%d %s %d %d:", a->name, me, o->slot, kinds[kind_of(o)], o->other, o->n);
	a->act(o);
	say("\n");
}

static void serve(void)
{
	char c;

	for (int i = 0; i < WORKERS; i++) {
		close(to[i][1]);
		close(from[i][0]);
	}
	while (read(to[me][0], &c, 1) == 1) {
		act(&w->op);
		MUST(write(from[me][1], "", 1));
	}
	_exit(0);
}

static void tell(int who)
{
	char c;

	if (who == 0) {
		act(&w->op);
		return;
	}
	MUST(write(to[who][1], "", 1));
	SAME(read(from[who][0], &c, 1), 1);
}

static unsigned some_action(void)
{
	unsigned all = 0, i;

	for (i = 0; i < ACTIONS; i++)
		all += (unsigned)actions[i].weight;
	all = rnd(all);
	for (i = 0; all >= (unsigned)actions[i].weight; i++)
		all -= (unsigned)actions[i].weight;
	return i;
}

static bool is(unsigned what, void (*act_)(const struct op *))
{
	return actions[what].act == act_;
}

/* Mostly one that can do it. */
static int some_slot(int who, unsigned what)
{
	bool makes = is(what, make) || is(what, make_pair) || is(what, make_pipe);
	int slot = (int)rnd(SLOTS), i;

	for (i = 0; i < 8 && !makes && w->slots[who][slot] == NONE; i++)
		slot = (int)rnd(SLOTS);
	for (i = 0; i < 40 && is(what, accept_one) && !w->listening[who][slot]; i++)
		slot = (int)rnd(SLOTS);
	return slot;
}

/* Mostly a name of the socket's own kind. */
static int some_name(int who, const struct op *o)
{
	int n = w->n_names < NAMES ? w->n_names : NAMES, name = (int)rnd(1000);

	for (int i = 0; i < 12 && (is(o->what, connect_it) || is(o->what, send_to)) && n > 0; i++) {
		if (w->names[name % n].kind == w->slots[who][o->slot])
			break;
		name = (int)rnd(1000);
	}
	return name;
}

static void step(void)
{
	struct op *o = &w->op;
	int who = (int)rnd(WORKERS);

	o->what = some_action();
	o->slot = some_slot(who, o->what);
	o->other = (int)rnd(SLOTS);
	o->third = (int)rnd(SLOTS);
	o->n = (int)rnd(100000);
	if (is(o->what, bind_path) || is(o->what, bind_abstract))
		o->n %= 8;
	o->name = some_name(who, o);
	tell(who);
}

/* The whole walk; true in the one that has the checkpoint. */
static void walk(bool stop, int steps)
{
	char dir[8];

	snprintf(dir, sizeof(dir), "w%d", number);
	MUST(mkdir(dir, 0777));
	MUST(chdir(dir));
	memset(w, 0, sizeof(*w));
	w->pids[0] = getpid();
	/* some that all of them inherit */
	for (int i = 0; i < 12; i++) {
		w->op.what = i % 4 == 3 ? PAIR : MAKE;
		w->op.slot = i;
		w->op.other = 12 + i % 8;
		w->op.n = (int)rnd(1000);
		tell(0);
	}
	for (int i = 1; i < WORKERS; i++) {
		MUST(pipe(to[i]));
		MUST(pipe(from[i]));
	}
	for (int i = 1; i < WORKERS; i++) {
		memcpy(w->slots[i], w->slots[0], sizeof(w->slots[0]));
		pid_t pid = MUST(fork());

		if (pid == 0) {
			me = i;
			serve();
		}
		w->pids[i] = pid;
	}
	for (int i = 0; i < steps; i++)
		step();
	say("----------\n");
	if (stop)
		scenario_wait();
	w->second = true;
	for (int i = 0; i < steps / 4; i++)
		step();
	for (int i = 0; i < WORKERS; i++) {
		w->op.what = LEAVE;
		tell(i);
	}
	for (int i = 1; i < WORKERS; i++) {
		close(to[i][1]);
		close(from[i][0]);
	}
	for (int i = 1; i < WORKERS; i++)
		MUST(waitpid(w->pids[i], NULL, 0));
}

static void *shared(size_t n)
{
	return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void compare(const struct world *a, const struct world *b)
{
	const char *x = a->log, *y = b->log;
	int line = 1;

	while (*x != 0 || *y != 0) {
		size_t n = strcspn(x, "\n"), m = strcspn(y, "\n");

		if (n != m || memcmp(x, y, n) != 0)
			FAIL("line %d: undisturbed: %.*s\n  with checkpoint: %.*s", line, (int)n, x, (int)m, y);
		x += n + (x[n] != 0);
		y += m + (y[m] != 0);
		line++;
	}
}

static void save(const char *path, const struct world *of)
{
	FILE *f = fopen(path, "ae");

	CHECK(f != NULL && fwrite(of->log, 1, of->len, f) == of->len && fclose(f) == 0);
}

int main(void)
{
	const char *text = getenv("WALK_SEED"), *log = getenv("WALK_LOG");
	uint64_t seed = text ? strtoull(text, NULL, 10) : 3;
	int steps = getenv("WALK_STEPS") ? atoi(getenv("WALK_STEPS")) : 600;
	struct world *first = shared(sizeof(*first)), *second = shared(sizeof(*second));
	int status, here = MUST(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	pid_t pid;

	signal(SIGPIPE, SIG_IGN);
	if ((pid = MUST(fork())) == 0) {
		w = first;
		number = 1;
		state = seed;
		walk(false, steps);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0));
	SAME(status, 0);
	if (log != NULL)
		save(log, first);
	w = second;
	number = 2;
	state = seed;
	walk(true, steps);
	MUST(fchdir(here));
	if (log != NULL)
		save(log, second);
	compare(first, second);
	scenario_ok();
}
