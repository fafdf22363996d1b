/*
 * came.c - how a process came by a socket
 *
 * It made it; or inherited it, when whoever made it is an ancestor and it was
 * forked later; else somebody passed it on in a message. An ancestor that is gone
 * is no more known: its descendants then count as heirs.
 */
#include "inspect.h"

#define TICK_NS 10000000ll           /* start times are in hundredths of a second */

static const struct process_record *process_at(const struct inspect *in, uint32_t process)
{
	return in->image.processes[process].task;
}

static const struct process_record *process_by(const struct inspect *in, int32_t pid)
{
	for (uint32_t p = 0; p < in->image.nprocesses; p++)
		if (process_at(in, p)->pid == pid)
			return process_at(in, p);
	return NULL;
}

/* Whether it was started before a time of CLOCK_REALTIME. What a restart has started is younger than it was. */
static bool is_older(const struct inspect *in, const struct process_record *t, int64_t when)
{
	const struct manifest_record *m = in->image.manifest;

	return m->generation == 0 && m->realtime_ns - m->boottime_ns + (int64_t)(t->start_time + 1) * TICK_NS < when;
}

enum came came_how(const struct inspect *in, uint32_t obj, uint32_t process)
{
	const struct lineage_record *l = in->image.objects[obj].lineage;
	const struct process_record *t = process_at(in, process);
	uint32_t steps = 0;

	if (l == NULL || l->origin == LINEAGE_UNKNOWN || l->origin == LINEAGE_ADOPTED)
		return CAME_UNKNOWN;
	if (t->pid == l->pid)
		return CAME_MADE;
	if (t->born_ns ? (int64_t)t->born_ns < l->when : is_older(in, t, l->when))
		return CAME_PASSED;
	if (process_by(in, l->pid) == NULL)
		return CAME_INHERITED;
	while (t != NULL && t->pid != l->pid && steps++ < in->image.nprocesses)
		t = process_by(in, t->ppid);
	return t != NULL ? CAME_INHERITED : CAME_PASSED;
}

size_t came_pids(const struct inspect *in, uint32_t obj, enum came how, int32_t *pids, size_t room)
{
	size_t n = 0;

	for (uint32_t i = in->first[obj]; i < in->first[obj + 1]; i++) {
		uint32_t process = in->holders[i].process;

		if (i > in->first[obj] && in->holders[i - 1].process == process)
			continue;
		if (came_how(in, obj, process) != how)
			continue;
		if (n < room)
			pids[n] = process_at(in, process)->pid;
		n++;
	}
	return n;
}
