/*
 * norebuild.c - the restart's half of kind.h, for programs that restore nothing
 *
 * The shim collects, inspect and verify need the kinds for their names and tables; what the kinds
 * ask of the restart is linked in with them and never called here. Weak, so
 * that a test that links the restart as well gets the real ones.
 */
#include <asm/errno.h>

#include "skshim/kind.h"

#include "skshim/frozen.h"

#define ABSENT __attribute__((weak))

ABSENT int rebuild_fd(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return -ENOSYS; }
ABSENT int rebuild_keep(struct rebuild *rb, uint32_t obj, int fd) { (void)rb, (void)obj, (void)fd; return -ENOSYS; }
ABSENT void rebuild_give(struct rebuild *rb, uint32_t obj, int fd) { (void)rb, (void)obj, (void)fd; }
ABSENT bool rebuild_parks(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return false; }
ABSENT int rebuild_park(struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return -ENOSYS; }
ABSENT bool rebuild_stands_in(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return false; }
ABSENT bool rebuild_in_table(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return false; }
ABSENT int32_t rebuild_alone(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return 0; }
ABSENT void rebuild_leave(struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; }
ABSENT bool rebuild_cloexec(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return false; }
ABSENT const struct kind *rebuild_kind(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return NULL; }
ABSENT void *rebuild_record(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return NULL; }
ABSENT uint32_t rebuild_objects(const struct rebuild *rb) { (void)rb; return 0; }
ABSENT uint32_t rebuild_flags(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return 0; }
ABSENT int rebuild_number(const struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; return -ENOSYS; }
ABSENT struct arena *rebuild_arena(struct rebuild *rb) { (void)rb; return NULL; }
ABSENT const struct process_record *rebuild_process(const struct rebuild *rb, int32_t pid) { (void)rb, (void)pid; return NULL; }
ABSENT bool rebuild_waits(const struct rebuild *rb) { (void)rb; return false; }
ABSENT enum rebuild_policy rebuild_tcp_policy(const struct rebuild *rb) { (void)rb; return POLICY_FAIL; }
ABSENT enum rebuild_policy rebuild_unix_policy(const struct rebuild *rb) { (void)rb; return POLICY_FAIL; }
ABSENT bool rebuild_address(struct rebuild *rb, uint32_t obj, int family, void *address, uint32_t *scope)
{
	(void)rb, (void)obj, (void)family, (void)address, (void)scope;
	return false;
}
ABSENT int64_t rebuild_clock_then(const struct rebuild *rb, int clock) { (void)rb, (void)clock; return 0; }
ABSENT void rebuild_lent(struct rebuild *rb, uint32_t obj) { (void)rb, (void)obj; }
ABSENT int rebuild_launcher_fd(const struct rebuild *rb, int fd) { (void)rb, (void)fd; return -ENOSYS; }
ABSENT int rebuild_inherited(const struct rebuild *rb, uint32_t obj, struct blob name)
{
	(void)rb, (void)obj, (void)name;
	return -ENOSYS;
}
ABSENT int rebuild_call(struct rebuild *rb, const char *what, long nr, long a, long b, long c, long d)
{
	(void)rb, (void)what, (void)nr, (void)a, (void)b, (void)c, (void)d;
	return -ENOSYS;
}
ABSENT unsigned long rebuild_data(struct rebuild *rb, const void *p, size_t n) { (void)rb, (void)p, (void)n; return 0; }
ABSENT void rebuild_loss(struct rebuild *rb, uint32_t obj, const char *fmt, ...) { (void)rb, (void)obj, (void)fmt; }
ABSENT uint32_t rebuild_processes(const struct rebuild *rb) { (void)rb; return 1; }
ABSENT const void *rebuild_held(struct rebuild *rb, uint32_t process, uint32_t obj)
{
	(void)process;
	return rebuild_record(rb, obj);
}
ABSENT int rebuild_carried(struct rebuild *rb, uint32_t process, uint64_t where, void *buf, size_t n)
{
	(void)rb, (void)process, (void)where, (void)buf, (void)n;
	return -ENOSYS;
}
ABSENT int rebuild_undo_file(struct rebuild *rb, const char *path) { (void)rb, (void)path; return -ENOSYS; }
