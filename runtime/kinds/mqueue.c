/*
 * mqueue.c - POSIX message queues
 *
 * The kernel shows how many messages wait, not what they are. So they are all
 * received and sent again in the order in which they came, which is the order
 * they were in. Nobody of the tree can notice, for all stand still; processes
 * that share a queue take turns by flock. A queue with a notification would
 * send it when the first message comes back, so it is asked for again behind
 * that, by the process that had: closing a descriptor of the queue gives it up.
 */
#include <asm/errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sys/file.h>
#include <sys/vfs.h>

#include "file.h"

#include "skshim/frozen.h"

#define MQUEUE_MAGIC 0x19800202

struct mqueue {
	uint64_t dev, ino;
	struct blob name;        /* without the slash */
	uint32_t deleted;
	uint32_t flags;
	uint32_t mode, uid, gid;
	uint64_t maxmsg, msgsize;
	struct list messages;
};

struct mqueue_message {
	uint32_t prio;
	struct blob bytes;
};

static const struct field mqueue_message_fields[] = {
	FIELD_U32(struct mqueue_message, prio),
	FIELD_BIN(struct mqueue_message, bytes),
	FIELD_END
};

static const struct field mqueue_fields[] = {
	FIELD_U64(struct mqueue, dev),
	FIELD_U64(struct mqueue, ino),
	FIELD_STR(struct mqueue, name),
	FIELD_U32(struct mqueue, deleted),
	FIELD_U32(struct mqueue, flags),
	FIELD_U32(struct mqueue, mode),
	FIELD_U32(struct mqueue, uid),
	FIELD_U32(struct mqueue, gid),
	FIELD_U64(struct mqueue, maxmsg),
	FIELD_U64(struct mqueue, msgsize),
	FIELD_LIST(struct mqueue, messages, struct mqueue_message, mqueue_message_fields),
	FIELD_END
};

extern const struct kind kind_mqueue;

static bool mqueue_match(const struct probe *p)
{
	struct statfs fs;

	return S_ISREG(p->st.st_mode) && !(p->flags & O_PATH) && SYS2(__NR_fstatfs, p->fd, &fs) == 0 && fs.f_type == MQUEUE_MAGIC;
}

static long mqueue_receive(int fd, void *buf, uint64_t size, uint32_t *prio)
{
	return SYS5(__NR_mq_timedreceive, fd, buf, size, prio, 0);
}

static long mqueue_send(int fd, const struct mqueue_message *m)
{
	return SYS5(__NR_mq_timedsend, fd, m->bytes.p, m->bytes.n, m->prio, 0);
}

/* Who is to be told when a message comes to the empty queue, 0 nobody: "QSIZE:0  NOTIFY:0  SIGNO:0  NOTIFY_PID:0". */
static int mqueue_notifies(int fd)
{
	char text[128];
	long n = sys_pread(fd, text, sizeof(text), 0);
	const char *end = text + (n > 0 ? n : 0);
	uint64_t pid = 0;

	for (const char *p = text; p + 11 < end; p++)
		if (memcmp(p, "NOTIFY_PID:", 11) == 0) {
			p += 11;
			text_number(&p, end, 10, &pid);
		}
	return (int)pid;
}

/* All out and in again; `own` is a description of ours that doesn't block. What can't go back is a failure that is told. */
static int mqueue_peek(struct arena *a, int own, uint64_t n, struct mqueue *q)
{
	struct mqueue_message *m = arena_alloc(a, (n + 1) * sizeof(*m));
	long rc = 0;

	if (!m)
		return -ENOMEM;
	for (q->messages = (struct list){ m, 0 }; rc >= 0 && q->messages.n < n;) {
		struct mqueue_message *next = &m[q->messages.n];
		char *kept = arena_alloc(a, q->msgsize);

		rc = kept ? mqueue_receive(own, kept, q->msgsize, &next->prio) : -ENOMEM;
		if (rc >= 0) {
			next->bytes = (struct blob){ kept, (uint64_t)rc };
			q->messages.n++;
		}
	}
	if (rc == -EAGAIN)
		rc = 0;
	for (uint32_t i = 0; i < q->messages.n; i++) {
		long sent = mqueue_send(own, &m[i]);

		rc = sent < 0 ? sent : rc;
	}
	return rc < 0 ? (int)rc : 0;
}

static int mqueue_collect(struct collection *c, const struct probe *p, void *rec)
{
	struct mqueue *q = rec;
	struct mq_attr attr;
	int rc = (int)SYS3(__NR_mq_getsetattr, p->fd, 0, &attr), own;
	const struct sigevent *ev;
	struct blob name;
	bool deleted;
	int told;

	if (rc < 0)
		return collection_refuse(c, p, rc, "message queue %.*s", (int)p->path.n, (const char *)p->path.p);
	name = file_name(p, &deleted);
	q->dev = p->st.st_dev;
	q->ino = p->st.st_ino;
	q->name = (struct blob){ (const char *)name.p + 1, name.n - 1 };
	q->deleted = deleted;
	q->flags = p->flags;
	q->mode = p->st.st_mode;
	q->uid = p->st.st_uid;
	q->gid = p->st.st_gid;
	q->maxmsg = (uint64_t)attr.mq_maxmsg;
	q->msgsize = (uint64_t)attr.mq_msgsize;
	told = mqueue_notifies(p->fd);
	ev = c->notification ? c->notification(q->dev, q->ino, p->fd, told == c->pid) : NULL;
	if (told && (told == c->pid ? !ev : attr.mq_curmsgs > 0))
		return collection_refuse(c, p, -EOPNOTSUPP, "message queue /%.*s: a notification (mq_notify) is registered%s",
					 (int)q->name.n, (const char *)q->name.p, told == c->pid ? " by SIGEV_THREAD" : " by another process");
	if (contents_elsewhere(c, p) || (told && told != c->pid))
		return 0;
	if (told)
		SYS2(__NR_mq_notify, p->fd, NULL);
	own = file_reopen(p->fd, O_RDWR | O_NONBLOCK);
	rc = own < 0 ? own : (int)SYS2(__NR_flock, own, LOCK_EX);
	if (rc >= 0)
		rc = (int)SYS3(__NR_mq_getsetattr, own, 0, &attr);
	if (rc >= 0)
		rc = mqueue_peek(c->arena, own, (uint64_t)attr.mq_curmsgs, q);
	if (own >= 0)
		sys_close(own);
	if (told)
		SYS2(__NR_mq_notify, p->fd, ev);
	return rc < 0 ? collection_refuse(c, p, rc, "messages of the queue /%.*s", (int)q->name.n, (const char *)q->name.p) : 0;
}

static int mqueue_open(const char *name, int flags, uint32_t mode, const struct mqueue *q)
{
	struct mq_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.mq_maxmsg = (long)q->maxmsg;
	attr.mq_msgsize = (long)q->msgsize;
	return (int)SYS4(__NR_mq_open, name, flags | O_RDWR | O_NONBLOCK | O_CLOEXEC, mode, &attr);
}

/* The queue as a whole: the one that the killed program left, or a new one. */
static int mqueue_whole(struct rebuild *r, const struct mqueue *q)
{
	const char *name = file_text(r, q->name);
	struct mq_attr attr;
	char other[40];
	int fd, rc;

	if (!name)
		return -ENOMEM;
	if (q->deleted) {
		/* its name may be another queue's now */
		fd = mqueue_open(name, O_CREAT | O_EXCL, 0600, q);
		if (fd == -EEXIST) {
			text_format(other, sizeof(other), "skshim-%d", sys_getpid());
			name = other;
			fd = mqueue_open(name, O_CREAT | O_EXCL, 0600, q);
		}
		if (fd >= 0)
			SYS1(__NR_mq_unlink, name);
	} else {
		fd = mqueue_open(name, 0, 0, q);
		if (fd == -ENOENT)
			fd = mqueue_open(name, O_CREAT | O_EXCL, q->mode & 0777, q);
	}
	if (fd < 0)
		return failed(fd, "message queue /%s", name);
	rc = (int)SYS3(__NR_mq_getsetattr, fd, 0, &attr);
	if (rc == 0 && ((uint64_t)attr.mq_maxmsg != q->maxmsg || (uint64_t)attr.mq_msgsize != q->msgsize)) {
		sys_close(fd);
		return failed(ERR_PLAIN, "message queue /%s is another now (%ld messages of %ld bytes): remove it", name,
			      attr.mq_maxmsg, attr.mq_msgsize);
	}
	return fd;
}

static int mqueue_create(struct rebuild *r, uint32_t obj, void *rec)
{
	const struct mqueue *q = rec;
	int whole = -1, fresh = -1, fd;

	for (uint32_t o = OBJ_NONE; whole < 0 && (o = file_same_inode(r, q->dev, q->ino, o)) != OBJ_NONE;)
		if (o != obj && rebuild_kind(r, o) == &kind_mqueue)
			whole = rebuild_fd(r, o);
	if (whole < 0)
		whole = fresh = mqueue_whole(r, q);
	if (whole < 0)
		return whole;
	/* an ordinary user doesn't own what was another's */
	if (fresh >= 0 && (SYS3(__NR_fchown, whole, q->uid, q->gid) < 0 || q->deleted))
		SYS2(__NR_fchmod, whole, 0600);
	fd = file_reopen(whole, (int)(q->flags & O_ACCMODE));
	if (fresh >= 0)
		SYS2(__NR_fchmod, fresh, q->mode & 0777);
	if (fresh >= 0)
		sys_close(fresh);
	return fd < 0 ? failed(fd, "message queue /%.*s", (int)q->name.n, (const char *)q->name.p) : fd;
}

/* By the first object of the queue. */
static int mqueue_fill(struct rebuild *r, uint32_t obj, void *rec, int fd)
{
	const struct mqueue *q = rec;
	const struct mqueue_message *m;
	const struct list *messages = &q->messages;
	char *buf;
	uint32_t prio;
	long rc = 0;
	int own;

	if (file_same_inode(r, q->dev, q->ino, OBJ_NONE) != obj)
		return 0;
	for (uint32_t o = obj; messages->n == 0 && (o = file_same_inode(r, q->dev, q->ino, o)) != OBJ_NONE;)
		if (rebuild_kind(r, o) == &kind_mqueue)
			messages = &((const struct mqueue *)rebuild_record(r, o))->messages;
	own = file_reopen(fd, O_RDWR | O_NONBLOCK);
	if (own < 0)
		return failed(own, "messages of the queue /%.*s", (int)q->name.n, (const char *)q->name.p);
	/* what the killed program left in it goes */
	buf = arena_alloc(rebuild_arena(r), q->msgsize);
	while (buf && mqueue_receive(own, buf, q->msgsize, &prio) >= 0)
		;
	m = messages->items;
	for (uint32_t i = 0; rc >= 0 && i < messages->n; i++)
		rc = mqueue_send(own, &m[i]);
	sys_close(own);
	return rc < 0 ? failed((int)rc, "messages of the queue /%.*s", (int)q->name.n, (const char *)q->name.p) : 0;
}

const struct kind kind_mqueue = {
	.tag = "mqueue", .size = sizeof(struct mqueue), .fields = mqueue_fields,
	.match = mqueue_match, .collect = mqueue_collect, .create = mqueue_create, .fill = mqueue_fill,
};
