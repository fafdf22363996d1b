/*
 * tcp_build.c - all TCP sockets of an image, made at once
 *
 * Connections with both ends in the image are made again between the same two
 * addresses. Each passive end comes out of a stand-in listener at its address,
 * so the program's own listeners take no part. Order matters: everything is
 * bound before anything listens, with SO_REUSEADDR on everything; the
 * program's own listeners listen when all connections stand.
 *
 * The killed tree leaves one end of a pair in TIME_WAIT, which holds its port.
 * A SYN from the other end's address, where nobody listens, is answered with an
 * old acknowledgement, that with a reset, and the reset ends TIME_WAIT (unless
 * net.ipv4.tcp_rfc1337 is set). Anybody may do that, to his own addresses.
 *
 * A connection given up is one to a helper on the loopback that sends the
 * bytes that were waiting and then resets.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "tcp_build.h"

#include "skshim/frozen.h"

#define BACKLOG 128
#define ANEW_WAIT 10000      /* ms to connect to the outside */
#define CONNECT_WAIT 10        /* s for a connection to ourselves */
#define ROUNDS_FREE 300      /* while nothing is left of the killed tree */
#define ROUNDS 6200          /* a minute, in which every TIME_WAIT ends */

/* A listener for the moment, at one address. */
struct stand_in {
	struct stand_in *next;
	struct inet_key name;
	uint32_t family;
	int fd;
};

struct net *tcp_net;

int tcp_trouble(const struct end *e, int rc, const char *what)
{
	char name[64], peer[64];

	inet_text(e->rec->name, name);
	inet_text(e->rec->peer, peer);
	return failed(rc, "TCP %s -> %s: %s", name, peer, what);
}

/* A listener that the launcher lends is not made. */
static bool is_ours(uint32_t obj)
{
	return rebuild_kind(tcp_net->rb, obj) == &kind_tcp && rebuild_fd(tcp_net->rb, obj) < 0;
}

static int net_index(void)
{
	struct arena *arena = rebuild_arena(tcp_net->rb);
	uint32_t total = rebuild_objects(tcp_net->rb), size = 16, i;
	struct end *e, **bucket;

	for (i = 0; i < total; i++)
		tcp_net->n += is_ours(i);
	while (size < tcp_net->n)
		size *= 2;
	tcp_net->mask = size - 1;
	tcp_net->ends = arena_alloc(arena, tcp_net->n * sizeof(*tcp_net->ends));
	tcp_net->by_pair = arena_alloc(arena, size * sizeof(void *));
	tcp_net->stand_ins = arena_alloc(arena, size * sizeof(void *));
	if (!tcp_net->ends || !tcp_net->by_pair || !tcp_net->stand_ins)
		return failed(-ENOMEM, "TCP sockets");
	for (i = 0, e = tcp_net->ends; i < total; i++) {
		tcp_net->lent |= rebuild_kind(tcp_net->rb, i) == &kind_tcp && rebuild_fd(tcp_net->rb, i) >= 0;
		if (!is_ours(i))
			continue;
		*e = (struct end){ .obj = i, .rec = rebuild_record(tcp_net->rb, i), .fd = -1, .hidden = -1 };
		(void)inet_key(e->rec->name, &e->name);
		(void)inet_key(e->rec->peer, &e->peer_name);
		bucket = &tcp_net->by_pair[inet_hash(&e->name, &e->peer_name) & tcp_net->mask];
		e->same_pair = *bucket;
		*bucket = e;
		e++;
	}
	return 0;
}

static struct end *find(const struct inet_key *name, const struct inet_key *peer)
{
	struct end *e = tcp_net->by_pair[inet_hash(name, peer) & tcp_net->mask];

	while (e && !(inet_key_eq(&e->name, name) && inet_key_eq(&e->peer_name, peer)))
		e = e->same_pair;
	return e;
}

static void join_pending(struct end *listener)
{
	const struct tcp_pending *p = listener->rec->pending.items;
	struct inet_key client, server;
	struct end *c;
	uint32_t k;

	for (k = 0; k < listener->rec->pending.n; k++) {
		c = inet_key(p[k].client, &client) && inet_key(p[k].server, &server) ? find(&client, &server) : NULL;
		if (c && p[k].bytes)
			c->given_up = true;
		else if (c) {
			c->pending = true;
			c->waits = &p[k];
			c->listener = listener;
		}
	}
}

/* A listener of the image's at an address. */
static struct end *listener_at(const struct inet_key *name)
{
	struct end *e, *end = tcp_net->ends + tcp_net->n;

	for (e = tcp_net->ends; e < end; e++)
		if (e->rec->what == TCP_IS_LISTENING && e->name.port == name->port &&
		    (inet_is_any(&e->name) || inet_key_eq(&e->name, name)))
			return e;
	return NULL;
}

/* Connected, but the listener is still waiting for something (TCP_DEFER_ACCEPT, a backlog that was full): no connection for it yet. */
static void join_half_open(struct end *e)
{
	static const struct tcp_pending nothing;

	if (e->rec->what != TCP_IS_CONNECTED || e->peer || e->pending || e->given_up || e->rec->outside || e->rec->error ||
	    e->rec->shut & TCP_SHUT_PEER || e->rec->origin == LINEAGE_ACCEPT)
		return;
	e->listener = listener_at(&e->peer_name);
	e->pending = e->listener != NULL;
	if (e->listener)
		e->listener->awaited = true;
	e->waits = &nothing;
}

static void net_join(void)
{
	uint32_t i;

	for (i = 0; i < tcp_net->n; i++) {
		struct end *e = &tcp_net->ends[i];

		if (e->rec->what == TCP_IS_CONNECTED)
			e->peer = find(&e->peer_name, &e->name);
		if (e->peer && e->peer->rec->what != TCP_IS_CONNECTED)
			e->peer = NULL;
		join_pending(e);
	}
	for (i = 0; i < tcp_net->n; i++)
		join_half_open(&tcp_net->ends[i]);
}

/* --- sockets ------------------------------------------------------------------------------------------------ */

static int make_socket(struct end *e)
{
	const struct tcp_record *r = e->rec;
	int rc;

	e->fd = sys_socket((int)r->family, SOCK_STREAM | SOCK_CLOEXEC, (int)r->protocol);
	if (e->fd < 0)
		return tcp_trouble(e, e->fd, "socket");
	rc = sockopt_apply(tcp_net->rb, e->obj, e->fd, &r->options, SOCKOPT_BEFORE);
	if (r->maxseg)
		(void)sockopt_set(e->fd, IPPROTO_TCP, TCP_MAXSEG, (int)r->maxseg);
	if (rc >= 0)
		rc = sockopt_set(e->fd, SOL_SOCKET, SO_REUSEADDR, 1);
	return rc < 0 ? tcp_trouble(e, rc, "SO_REUSEADDR") : 0;
}

int tcp_bind_to(int fd, struct blob name)
{
	union inet_addr a;
	unsigned len;

	return inet_addr_of(name, &a, &len) ? sys_bind(fd, &a, len) : -EINVAL;
}

int tcp_connect_to(int fd, struct blob name)
{
	union inet_addr a;
	unsigned len;

	return inet_addr_of(name, &a, &len) ? inet_connect(fd, &a, len) : -EINVAL;
}

/* What the killed tree left may take no packets, and answer none: connect doesn't wait for ever, nor does accept_from(). */
static void limit_wait(int fd, int64_t seconds)
{
	const int64_t limit[2] = { seconds, 0 };

	(void)sys_setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, limit, sizeof(limit));
}

/* A listener at the address of e, shared by all connections to there. */
static int stand_in_at(const struct end *e)
{
	struct stand_in **bucket = &tcp_net->stand_ins[inet_hash(&e->name, NULL) & tcp_net->mask], *s;
	int rc;

	for (s = *bucket; s; s = s->next)
		if (s->family == e->rec->family && inet_key_eq(&s->name, &e->name))
			return s->fd;
	s = arena_alloc(rebuild_arena(tcp_net->rb), sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct stand_in){ .next = *bucket, .name = e->name, .family = e->rec->family };
	s->fd = sys_socket((int)e->rec->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	if (s->fd < 0)
		return s->fd;
	/* what comes out inherits these, and can't be told later */
	if (sockopt_int(&e->rec->options, IPPROTO_IPV6, IPV6_V6ONLY, 0))
		(void)sockopt_set(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	rc = sockopt_set(s->fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rc >= 0)
		rc = tcp_bind_to(s->fd, e->rec->name);
	if (rc >= 0)
		rc = sys_listen(s->fd, BACKLOG);
	if (rc < 0) {
		sys_close(s->fd);
		return rc;
	}
	*bucket = s;
	return s->fd;
}

/* Accepts the connection that comes from `from`; others, who met the stand-in by chance, are sent away. */
static int accept_from(int listener, const struct inet_key *from)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	struct inet_key key;
	union inet_addr a;
	unsigned len;
	int fd;

	for (;;) {
		len = sizeof(a);
		fd = sys_accept4(listener, &a, &len, SOCK_CLOEXEC);
		if (fd == -EAGAIN && sys_poll(&p, 1, CONNECT_WAIT * 1000) == 1)
			continue;
		if (fd < 0 || (inet_key((struct blob){ &a, len }, &key) && inet_key_eq(&key, from)))
			return fd;
		sys_close(fd);
	}
}

/* 1: connected, with a port that connect chose, as it did for the program; 0: it has to be bound. */
static int connect_unbound(const struct end *e)
{
	union inet_addr own, peer, got;
	unsigned len, n = sizeof(got);
	struct inet_key key;
	int rc;

	if (e->rec->bound || !inet_addr_of(e->rec->name, &own, &len) || !inet_addr_of(e->rec->peer, &peer, &len))
		return 0;
	rc = inet_connect_from(e->fd, &own, false, &peer, len);
	if (rc < 0 || (rc = sys_getsockname(e->fd, &got, &n)) < 0)
		return rc == -ENOPROTOOPT ? 0 : rc;
	return inet_key((struct blob){ &got, n }, &key) && inet_key_eq(&key, &e->name) ? 1 : -EISCONN;
}

static int connect_bound(struct end *e)
{
	int rc = tcp_bind_to(e->fd, e->rec->name);

	if (rc >= 0)
		rc = tcp_connect_to(e->fd, e->rec->peer);
	return rc == -EINPROGRESS ? -ETIMEDOUT : rc; /* SO_SNDTIMEO is over */
}

static int connect_active(struct end *e)
{
	int rc = make_socket(e);

	if (rc >= 0) {
		limit_wait(e->fd, CONNECT_WAIT);
		rc = connect_unbound(e);
	}
	if (rc < 0 && rc != -EINPROGRESS) { /* the route has another address for it, or somebody has bound the port */
		sys_close(e->fd);
		rc = make_socket(e);
		limit_wait(e->fd, CONNECT_WAIT);
	}
	if (rc == 0)
		rc = connect_bound(e);
	limit_wait(e->fd, 0);
	return rc == -EINPROGRESS ? -ETIMEDOUT : rc;
}

/* Connects `active` to a stand-in at the address of `passive`, whose descriptor comes out of it. */
static int make_pair(struct end *active, struct end *passive)
{
	int listener = stand_in_at(passive), rc;

	if (listener < 0)
		return listener;
	if (passive->rec->maxseg)
		(void)sockopt_set(listener, IPPROTO_TCP, TCP_MAXSEG, (int)passive->rec->maxseg);
	rc = connect_active(active);
	if (rc >= 0)
		rc = passive->fd = accept_from(listener, &active->name);
	if (passive->rec->maxseg)
		(void)sockopt_set(listener, IPPROTO_TCP, TCP_MAXSEG, 0);
	if (rc < 0) {
		if (active->fd >= 0)
			sys_close(active->fd);
		active->fd = passive->fd = -1;
		return rc;
	}
	active->made = passive->made = true;
	return sockopt_apply(tcp_net->rb, passive->obj, passive->fd, &passive->rec->options, SOCKOPT_BEFORE);
}

/* Connected to itself. */
static int make_self(struct end *e)
{
	int rc = make_socket(e);

	if (rc >= 0)
		rc = tcp_bind_to(e->fd, e->rec->name);
	if (rc >= 0)
		rc = tcp_connect_to(e->fd, e->rec->peer);
	if (rc < 0 && e->fd >= 0)
		sys_close(e->fd);
	e->made = rc >= 0;
	return rc;
}

static int make_connected(struct end *e)
{
	bool came_in = e->rec->origin == LINEAGE_ACCEPT || e->peer->rec->origin == LINEAGE_SOCKET;

	if (e->peer == e)
		return make_self(e);
	return came_in ? make_pair(e->peer, e) : make_pair(e, e->peer);
}

static void stand_ins_end(void)
{
	uint32_t i;

	for (i = 0; i <= tcp_net->mask; i++) {
		for (struct stand_in *s = tcp_net->stand_ins[i]; s; s = s->next)
			sys_close(s->fd);
		tcp_net->stand_ins[i] = NULL;
	}
}

/* Somebody else has it: none of ours listens yet. */
static bool is_listened(const struct end *e)
{
	return tcp_is_listened(e->rec->name) || (e->peer && tcp_is_listened(e->peer->rec->name));
}

/*
 * All pairs, in rounds: what meets TIME_WAIT is tried again when the stand-ins
 * of this round, which hold ports too, are closed and TIME_WAIT has been ended.
 */
static int make_pairs(struct end **list, uint32_t n)
{
	uint32_t i, left, round;
	int rc = 0, last = 0;
	bool listened;

	for (round = 0; n && round < ROUNDS; round++) {
		for (i = left = 0; i < n; i++) {
			rc = make_connected(list[i]);
			if (rc == -EADDRNOTAVAIL || rc == -EADDRINUSE)
				list[left++] = list[i], last = rc;
			else if (rc < 0)
				return tcp_trouble(list[i], rc, "connecting it again");
			else if ((rc = tcp_settle_pair(list[i])) < 0)
				return rc;
		}
		stand_ins_end();
		n = left;
		listened = n && (tcp_net->lent || round > ROUNDS_FREE) && is_listened(list[0]);
		if (n && (listened || (!tcp_end_waits(tcp_net->rb) && round > ROUNDS_FREE)))
			break;
		if (n && round)
			(void)sys_poll(NULL, 0, 10);
	}
	return n ? tcp_trouble(list[0], last, "connecting it again") : 0;
}

/* --- connections without a peer in the image ------------------------------------------------------------------ */

/* The loopback's address, with any port. */
static unsigned loopback(const struct end *e, union inet_addr *a)
{
	*a = (union inet_addr){ .any = { .sa_family = (sa_family_t)e->rec->family } };
	if (e->rec->family == AF_INET)
		a->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		a->v6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
	return e->rec->family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

/* A connection to ourselves over the loopback: *far gets its other end. */
static int loop_to_self(struct end *e, int *far)
{
	union inet_addr a;
	unsigned len = loopback(e, &a);
	int listener = sys_socket((int)e->rec->family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), rc = listener;

	if (rc >= 0)
		rc = sys_bind(listener, &a, len);
	if (rc == -EADDRNOTAVAIL && e->rec->family == AF_INET6) {
		a.v6.sin6_addr.s6_addr[10] = a.v6.sin6_addr.s6_addr[11] = 0xff;
		a.v6.sin6_addr.s6_addr[12] = 127; /* ::ffff:127.0.0.1, the last byte stands */
		rc = sys_bind(listener, &a, len);
	}
	if (rc >= 0)
		rc = sys_listen(listener, 1);
	if (rc >= 0)
		rc = sys_getsockname(listener, &a, &len);
	if (rc >= 0)
		rc = sys_connect(e->fd, &a, len);
	if (rc >= 0)
		rc = *far = sys_accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (listener >= 0)
		sys_close(listener);
	return rc < 0 ? rc : 0;
}

static int hidden_peer(const struct end *e, struct end *hidden)
{
	struct tcp_record *r = arena_alloc(rebuild_arena(tcp_net->rb), sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct tcp_record){ .family = e->rec->family, .protocol = IPPROTO_TCP, .what = TCP_IS_CONNECTED,
				  .name = e->rec->peer, .peer = e->rec->name, .urgent = -1, .origin = LINEAGE_UNKNOWN };
	*hidden = (struct end){ .obj = e->obj, .rec = r, .fd = -1, .name = e->peer_name, .peer_name = e->name, .hidden = -1 };
	return 0;
}

/* The peer has closed, in the tree or on this machine: both addresses as they were, the far end closed when filled. */
static int make_half(struct end *e)
{
	struct end far, *list[1] = { e };
	int rc = hidden_peer(e, &far);

	if (rc < 0)
		return rc;
	e->peer = &far;
	rc = make_pairs(list, 1);
	e->hidden = far.fd;
	e->peer = NULL;
	return rc;
}

/* A connection whose near end has the name that e had; -EADDR... when that can't be had. */
static int loop_to_name(struct end *e, int *far)
{
	union inet_addr a;
	unsigned len = sizeof(a);
	int listener = stand_in_at(e), rc = listener;
	struct inet_key key;

	if (rc < 0)
		return rc;
	*far = rc = sys_socket((int)e->rec->family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (rc >= 0)
		rc = tcp_connect_to(*far, e->rec->name);
	if (rc >= 0)
		rc = sys_getsockname(*far, &a, &len);
	if (rc >= 0 && inet_key((struct blob){ &a, len }, &key))
		rc = e->fd = accept_from(listener, &key);
	if (rc >= 0)
		return sockopt_apply(tcp_net->rb, e->obj, e->fd, &e->rec->options, SOCKOPT_BEFORE);
	if (*far >= 0)
		sys_close(*far);
	*far = -1;
	return rc;
}

/* There is nobody at the port, and it is asked for without waiting. own: where from, or NULL. */
static int refuse(const struct end *e, const union inet_addr *own)
{
	union inet_addr a;
	unsigned len = loopback(e, &a);
	int dead = sys_socket((int)e->rec->family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), rc = dead;

	if (rc >= 0)
		rc = sys_bind(dead, &a, len);
	if (rc >= 0)
		rc = sys_getsockname(dead, &a, &len);
	if (rc >= 0)
		rc = (int)sys_fcntl(e->fd, F_SETFL, O_NONBLOCK);
	if (rc >= 0 && own && e->rec->bound)
		rc = inet_bind_open(e->fd, own, len);
	if (rc >= 0) {
		rc = own && !e->rec->bound ? inet_connect_from(e->fd, own, false, &a, len) : sys_connect(e->fd, &a, len);
		(void)sys_fcntl(e->fd, F_SETFL, 0);
	}
	if (dead >= 0)
		sys_close(dead);
	return rc == -EINPROGRESS || rc == -ECONNREFUSED ? 0 : rc;
}

/* The error waits, or was told. */
static int make_refused(struct end *e)
{
	bool named = e->name.port != 0;
	union inet_addr own;
	unsigned len;
	int rc = make_socket(e);

	if (rc >= 0 && (!named || e->rec->bound || !inet_addr_of(e->rec->name, &own, &len) || refuse(e, &own) < 0))
		rc = refuse(e, NULL);
	/* a port that bind has given it stays, or came since */
	if (rc >= 0 && named && e->rec->bound && tcp_bind_to(e->fd, e->rec->name) < 0)
		rebuild_loss(tcp_net->rb, e->obj, "TCP socket: its port, which is in use");
	if (!e->rec->error)
		(void)sockopt_get(e->fd, SOL_SOCKET, SO_ERROR);
	e->made = true;
	return rc < 0 ? tcp_trouble(e, rc, "a connection that was refused") : 0;
}

/* Given up: see drop(). */
static int make_lost(struct end *e)
{
	int rc;

	if (e->rec->what == TCP_IS_DEAD && (e->rec->error == ECONNREFUSED || e->rec->past))
		return make_refused(e);
	rc = e->name.port ? loop_to_name(e, &e->hidden) : -EADDRNOTAVAIL;
	if (rc < 0) {
		rc = make_socket(e);
		if (rc >= 0)
			rc = loop_to_self(e, &e->hidden);
	}
	e->made = rc >= 0;
	return rc < 0 ? tcp_trouble(e, rc, "a connection to be reset") : 0;
}

bool tcp_is_lost(const struct end *e)
{
	return !e->peer && !e->pending && !e->anew && (e->rec->what == TCP_IS_DEAD || e->rec->outside || e->given_up);
}

/* --- in order ----------------------------------------------------------------------------------------------- */

/* A connect has failed, and was told: getsockname still says the port that it had. */
static int name_past(const struct end *e)
{
	union inet_addr own;
	unsigned len;
	int rc = inet_addr_of(e->rec->name, &own, &len) ? refuse(e, &own) : -EINVAL;

	(void)sockopt_get(e->fd, SOL_SOCKET, SO_ERROR);
	if (rc >= 0)
		(void)sys_connect(e->fd, &own, len); /* ECONNABORTED: the end of that connect */
	return rc;
}

static int make_unconnected(struct end *e)
{
	const struct tcp_record *r = e->rec;
	int rc = make_socket(e);

	if (rc >= 0 && r->past) {
		if (name_past(e) < 0) {
			rebuild_loss(tcp_net->rb, e->obj, "TCP socket: the port it had, which getsockname told");
			sys_close(e->fd);
			rc = make_socket(e);
		}
		e->made = true;
		return rc;
	}
	/* without a port: IP_BIND_ADDRESS_NO_PORT */
	if (rc >= 0 && (e->name.port || !inet_is_any(&e->name)) && r->name.n) {
		rc = tcp_bind_to(e->fd, r->name);
		if (rc == -EADDRINUSE) {
			tcp_end_waits(tcp_net->rb);
			rc = tcp_bind_to(e->fd, r->name);
		}
		if (rc < 0 && r->what == TCP_IS_CONNECTING)
			rc = 0; /* any port will do */
		if (rc < 0)
			return tcp_trouble(e, rc, "bind");
	}
	e->made = true;
	return rc;
}

/* One that this side had connected to the outside is connected once more. */
static bool make_anew(struct end *e)
{
	struct pollfd p = { .events = POLLOUT };
	int rc;

	if (!e->rec->outside || e->rec->origin == LINEAGE_ACCEPT || rebuild_tcp_policy(tcp_net->rb) != POLICY_RECONNECT ||
	    make_socket(e) < 0)
		return false;
	p.fd = e->fd;
	(void)sys_fcntl(e->fd, F_SETFL, O_NONBLOCK);
	rc = tcp_connect_to(e->fd, e->rec->peer);
	if (rc == -EINPROGRESS && sys_poll(&p, 1, ANEW_WAIT) == 1)
		rc = -sockopt_get(e->fd, SOL_SOCKET, SO_ERROR);
	(void)sys_fcntl(e->fd, F_SETFL, 0);
	if (rc == 0) {
		rebuild_loss(tcp_net->rb, e->obj, "TCP connection: connected anew to a peer outside");
		e->anew = e->made = true;
		return true;
	}
	sys_close(e->fd);
	e->fd = -1;
	return false;
}

/* One that was stopped in silence goes on, if we may; 1 when not. */
static int make_resumed(struct end *e)
{
	int rc;

	if (!tcp_resumes(tcp_net->rb, e->rec))
		return 1;
	rc = make_socket(e);
	if (rc < 0)
		return rc;
	rc = tcp_repair_make(e->rec, e->fd);
	if (rc >= 0) {
		e->anew = e->made = e->rec->resumed = true;
		return 0;
	}
	if (rebuild_tcp_policy(tcp_net->rb) == POLICY_REPAIR || rebuild_tcp_policy(tcp_net->rb) == POLICY_FAIL)
		return tcp_trouble(e, rc, "going on where it was (--tcp reset gives it up)");
	sys_close(e->fd);
	e->fd = -1;
	return 1;
}

static int make_connection(struct end *e)
{
	int rc;

	if (e->made)
		return 0;
	rc = make_resumed(e);
	if (rc <= 0)
		return rc;
	if (make_anew(e))
		return 0;
	if (!tcp_is_lost(e) && e->rec->peer.n) {
		if (make_half(e) >= 0)
			return 0;
		err_reset(); /* its addresses can't be had any more: given up */
	}
	return make_lost(e);
}

static int listen_all(void)
{
	struct end *e, *end = tcp_net->ends + tcp_net->n;
	int rc = 0;

	for (e = tcp_net->ends; e < end && rc >= 0; e++) {
		if (e->rec->what != TCP_IS_LISTENING)
			continue;
		/* decides what becomes of those that connect now */
		(void)sockopt_set(e->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT,
				  sockopt_int(&e->rec->options, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0));
		rc = sys_listen(e->fd, e->rec->backlog);
		if (rc < 0)
			tcp_trouble(e, rc, "listen");
	}
	return rc;
}

static int make_all(void)
{
	struct end *e, *end = tcp_net->ends + tcp_net->n;
	struct end **pairs = arena_alloc(rebuild_arena(tcp_net->rb), (tcp_net->n + 1) * sizeof(*pairs));
	uint32_t npairs = 0;
	bool gone = false;
	int rc = pairs ? 0 : -ENOMEM;

	for (e = tcp_net->ends; e < end && !gone; e++)
		gone = tcp_has_gone(e->rec);
	if (gone) /* their addresses can be had only while nothing of ours is bound */
		tcp_end_waits(tcp_net->rb);
	for (e = tcp_net->ends; e < end && rc >= 0; e++)
		if (e->rec->what == TCP_IS_PLAIN || e->rec->what == TCP_IS_LISTENING || e->rec->what == TCP_IS_CONNECTING ||
		    e->pending)
			rc = make_unconnected(e);
	for (e = tcp_net->ends; e < end; e++)
		if (!e->made && e->peer && e <= e->peer)
			pairs[npairs++] = e;
	if (rc >= 0)
		rc = make_pairs(pairs, npairs);
	for (e = tcp_net->ends; e < end && rc >= 0; e++)
		rc = make_connection(e);
	stand_ins_end();
	if (rc >= 0)
		rc = listen_all();
	return rc < 0 ? rc : tcp_make_backlogs();
}

int tcp_build(struct rebuild *rb)
{
	uint32_t i;
	int rc;

	if (tcp_net && tcp_net->rb == rb)
		return 0;
	tcp_net = arena_alloc(rebuild_arena(rb), sizeof(*tcp_net));
	if (!tcp_net)
		return failed(-ENOMEM, "TCP sockets");
	*tcp_net = (struct net){ .rb = rb };
	rc = net_index();
	if (rc < 0)
		return rc;
	net_join();
	tcp_quiet_begin(rb);
	rc = make_all();
	for (i = 0; i < tcp_net->n && rc >= 0; i++)
		if (!tcp_net->ends[i].rec->parked)
			rebuild_give(rb, tcp_net->ends[i].obj, tcp_net->ends[i].fd);
	return rc < 0 ? failed(rc, "TCP sockets") : 0;
}
