/*
 * Is a sandbox bounded as it was asked for? Its agent says what it sees from inside; for what
 * cannot be seen there, the engine says what it sees from outside, and only if it does not either,
 * what it says of itself is believed.
 */
#include "sandbox_internal.h"

#include <string.h>

#include "bounds.h"
#include "clock.h"

#define ROUNDING (64u << 10) /* bytes: pages, of any size */

bool sandbox_may_go_unenforced(const struct settings *settings, const char *limit)
{
	for (size_t i = 0; i < settings->sandbox_allow_unenforced.count; i++)
		if (strcmp(settings->sandbox_allow_unenforced.items[i], limit) == 0)
			return true;
	return false;
}

struct limit {
	const char *name; /* as SANDBOX_ALLOW_UNENFORCED has it; NULL = it must hold */
	const char *what;
	uint64_t seen, most;
};

static int check_limit(const struct settings *settings, const struct limit *l, struct buf *notes,
		       struct err *err)
{
	bool good = l->seen <= l->most;

	if (l->seen == FRAME_UNSEEN)
		buf_appendf(notes, "inside: %s cannot be seen\n", l->what);
	else if (l->seen == FRAME_UNBOUND)
		buf_appendf(notes, "inside: %s without a bound\n", l->what);
	else
		buf_appendf(notes, "inside: %s %llu%s\n", l->what, (unsigned long long)l->seen,
			    good ? "" : ", which is too much");
	if (good || l->seen == FRAME_UNSEEN)
		return 0;
	if (l->name == NULL)
		return err_set(err, ERR_UNSUPPORTED,
			       "the engine does not make sandboxes as asked for: inside, %s is "
			       "not at most %llu",
			       l->what, (unsigned long long)l->most);
	if (sandbox_may_go_unenforced(settings, l->name))
		return 0;
	return err_set(err, ERR_UNSUPPORTED,
		       "the engine does not limit %s to %llu; SANDBOX_ALLOW_UNENFORCED=%s accepts "
		       "that",
		       l->what, (unsigned long long)l->most, l->name);
}

static int check_seccomp(const struct settings *settings, const struct frame_bounds *b,
			 bool own_kernel, struct buf *notes, struct err *err)
{
	if (own_kernel) {
		buf_append_str(notes, "inside: a kernel of the runtime's own\n");
		return 0;
	}
	buf_appendf(notes, "inside: %s\n",
		    b->seccomp == 2		 ? "a filter of system calls"
		    : b->seccomp == FRAME_UNSEEN ? "filters of system calls cannot be seen"
						 : "no filter of system calls");
	if (b->seccomp == 2 || b->seccomp == FRAME_UNSEEN ||
	    sandbox_may_go_unenforced(settings, "seccomp"))
		return 0;
	return err_set(err, ERR_UNSUPPORTED,
		       "the engine sets no seccomp filter; SANDBOX_ALLOW_UNENFORCED=seccomp "
		       "accepts that");
}

int sandbox_bounds_check(const struct settings *s, const struct frame_bounds *b, bool own_kernel,
			 struct buf *notes, struct err *err)
{
	const uint64_t work = (uint64_t)s->sandbox_work_size;
	const bool has_network = strcmp(s->sandbox_network, "none") != 0 &&
				 strcmp(s->sandbox_network, "egress") != 0;
	const struct limit limits[] = {
		{"memory", "memory", b->memory, (uint64_t)s->sandbox_memory + work},
		{"pids", "processes", b->pids, (uint64_t)s->sandbox_pids},
		{"cpu", "thousandths of a processor", b->cpu,
		 (uint64_t)(s->sandbox_cpus * 1000) + 1},
		{"nofile", "open files", b->nofile, SANDBOX_NOFILE},
		{"fsize", "bytes of a file", b->file_size, work},
		{"core", "bytes of a core file", b->core, 0},
		{"disk", "bytes of /sandbox", b->home, work + ROUNDING},
		{"disk", "bytes of /tmp", b->tmp, work + ROUNDING},
		{"disk", "bytes of /dev/shm", b->shm, work + ROUNDING},
		{"agent", "descriptors of the agent that a run can open", b->reachable, 0},
		{NULL, "capabilities", b->capabilities, 0},
		{NULL, "writable root", b->root_is_writable, 0},
		{NULL, "routes", b->routes, has_network ? FRAME_UNBOUND : 0},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(limits); i++)
		rc = check_limit(s, &limits[i], notes, err);
	if (rc == 0)
		rc = check_seccomp(s, b, own_kernel, notes, err);
	if (rc == 0 && b->uid == 0)
		rc = err_set(err, ERR_UNSUPPORTED, "the engine runs sandboxes as root");
	if (rc == 0 && b->swap < FRAME_UNSEEN && b->memory < FRAME_UNSEEN && b->swap > b->memory)
		buf_appendf(notes, "inside: %llu of swap on top of the memory\n",
			    (unsigned long long)(b->swap - b->memory));
	return rc;
}

bool sandbox_bounds_unseen(const struct frame_bounds *b)
{
	return b->memory == FRAME_UNSEEN || b->pids == FRAME_UNSEEN || b->cpu == FRAME_UNSEEN;
}

void sandbox_bounds_add(struct frame_bounds *b, const struct engine_group *group)
{
	if (b->memory == FRAME_UNSEEN)
		b->memory = !group->own	    ? FRAME_UNBOUND
			    : group->memory ? group->memory
					    : FRAME_UNSEEN;
	if (b->pids == FRAME_UNSEEN)
		b->pids = !group->own ? FRAME_UNBOUND : group->pids ? group->pids : FRAME_UNSEEN;
	if (b->cpu == FRAME_UNSEEN && !group->own)
		b->cpu = FRAME_UNBOUND;
}

int sandbox_bounds_ask(struct agent_link *l, struct frame_bounds *ret, char *ret_kernel,
		       size_t size, struct err *err)
{
	usec_t deadline = clock_deadline(SANDBOX_HELLO_TIME);
	uint32_t run = agent_link_next_run(l);
	struct slice kernel;
	struct frame f;
	int rc = agent_link_ask(l, FRAME_LOOK, run, deadline, &f, err);

	if (rc < 0)
		return rc;
	if (f.type != FRAME_BOUNDS || f.run != run || !frame_bounds_decode(&f, ret, &kernel))
		return err_set(err, ERR_PROTOCOL, "a frame of type %u for a look", f.type);
	snprintf(ret_kernel, size, "%.*s", (int)kernel.len, kernel.data);
	return 0;
}
