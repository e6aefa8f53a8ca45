/*
 * What this worker holds, and what it has done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uthash.h>

#include "clock.h"
#include "mem.h"
#include "worker.h"

struct task_total {
	char *name;
	uint64_t count;
	UT_hash_handle hh;
};

int state_init(struct state *s, struct err *err)
{
	mutex_init(&s->lock);
	cond_init(&s->empty);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return err_set_errno(err, ERR_FAILED, errno, "eventfd");
	return 0;
}

void state_done(struct state *s)
{
	struct task_total *total, *following;

	HASH_ITER(hh, s->totals, total, following)
	{
		HASH_DEL(s->totals, total);
		free(total->name);
		free(total);
	}
	close(s->wake_fd);
	cond_done(&s->empty);
	mutex_done(&s->lock);
}

void state_hold(struct state *s, struct request *r)
{
	mutex_lock(&s->lock);
	r->held_next = s->held;
	if (s->held != NULL)
		s->held->held_prev = r;
	s->held = r;
	r->number = ++s->last_number;
	mutex_unlock(&s->lock);
	atomic_fetch_add(&s->held_count, 1);
	atomic_fetch_add(&s->held_bytes, r->bytes);
}

void state_release(struct state *s, struct request *r)
{
	mutex_lock(&s->lock);
	if (s->walk == r)
		s->walk = r->held_next;
	if (r->held_prev != NULL)
		r->held_prev->held_next = r->held_next;
	else
		s->held = r->held_next;
	if (r->held_next != NULL)
		r->held_next->held_prev = r->held_prev;
	if (r->state == REQUEST_SETTLING)
		atomic_fetch_sub(&s->settling_count, 1);
	if (atomic_fetch_sub(&s->held_count, 1) == 1)
		cond_broadcast(&s->empty);
	atomic_fetch_sub(&s->held_bytes, r->bytes);
	mutex_unlock(&s->lock);
}

void state_settling(struct state *s)
{
	atomic_fetch_add(&s->settling_count, 1);
}

void state_move(struct state *s, struct request *r, const char *tag, const struct delivery_ref *ref)
{
	mutex_lock(&s->lock);
	memcpy(r->delivery.tag, tag, sizeof(r->delivery.tag));
	r->delivery.ref = *ref;
	r->delivery.queue = ref->queue;
	mutex_unlock(&s->lock);
}

void state_count(struct state *s, enum counter c)
{
	atomic_fetch_add_explicit(&s->counters[c], 1, memory_order_relaxed);
}

void state_accept(struct state *s, struct request *r)
{
	request_transition(r, REQUEST_ACTIVE);
	atomic_store(&r->time_start, clock_wall());
	atomic_fetch_add(&s->active_count, 1);
}

void state_count_accepted(struct state *s, const struct request *r)
{
	struct task_total *total = NULL;

	atomic_fetch_add_explicit(&s->accepted_count, 1, memory_order_relaxed);
	mutex_lock(&s->lock);
	HASH_FIND_STR(s->totals, r->name, total);
	if (total == NULL) {
		total = xcalloc(1, sizeof(*total));
		total->name = xstrdup(r->name);
		HASH_ADD_KEYPTR(hh, s->totals, total->name, strlen(total->name), total);
	}
	total->count++;
	mutex_unlock(&s->lock);
}

json_t *state_totals(struct state *s)
{
	json_t *totals = json_object();

	mutex_lock(&s->lock);
	for (const struct task_total *t = s->totals; t != NULL; t = t->hh.next) {
		json_object_set_new(totals, t->name, json_integer((json_int_t)t->count));
	}
	mutex_unlock(&s->lock);
	return totals;
}

bool state_terminate(struct state *s, const char *task_id, int signum)
{
	bool found = false;

	mutex_lock(&s->lock);
	for (struct request *r = s->held; r != NULL; r = r->held_next) {
		if (strcmp(r->id, task_id) != 0 || r->state == REQUEST_SETTLING)
			continue;
		found = true;
		if (r->state != REQUEST_ACTIVE)
			continue; /* its id is revoked: it will not run */
		atomic_store(&r->terminated, signum);
		atomic_store(&r->cancel, true);
	}
	mutex_unlock(&s->lock);
	return found;
}

size_t state_terminate_stamped(struct state *s, struct revoked *revoked, int signum)
{
	size_t count = 0;

	mutex_lock(&s->lock);
	for (struct request *r = s->held; r != NULL; r = r->held_next) {
		if (r->state != REQUEST_ACTIVE || !revoked_has_stamp(revoked, r->message->headers))
			continue;
		atomic_store(&r->terminated, signum);
		atomic_store(&r->cancel, true);
		count++;
	}
	mutex_unlock(&s->lock);
	return count;
}

void state_wake_consumer(struct state *s)
{
	uint64_t one = 1;
	ssize_t n = write(s->wake_fd, &one, sizeof(one));

	(void)n; /* full means: already woken */
}

bool state_wait_empty(struct state *s, usec_t deadline)
{
	bool empty;

	mutex_lock(&s->lock);
	while (s->held != NULL && cond_wait_until(&s->empty, &s->lock, deadline))
		;
	empty = s->held == NULL;
	mutex_unlock(&s->lock);
	return empty;
}

bool state_is_active(struct state *s, const struct request *but, const char *task_id)
{
	bool found = false;

	mutex_lock(&s->lock);
	for (const struct request *r = s->held; r != NULL && !found; r = r->held_next) {
		found = r != but && r->state == REQUEST_ACTIVE && strcmp(r->id, task_id) == 0;
	}
	mutex_unlock(&s->lock);
	return found;
}

void state_cancel_all(struct state *s)
{
	mutex_lock(&s->lock);
	for (struct request *r = s->held; r != NULL; r = r->held_next) {
		atomic_store(&r->cancel, true);
	}
	mutex_unlock(&s->lock);
}

void state_rewind(struct state *s)
{
	mutex_lock(&s->lock);
	s->walk = s->held;
	mutex_unlock(&s->lock);
}

size_t state_walk(struct state *s, struct delivery_ref *out, size_t max)
{
	size_t count = 0;

	mutex_lock(&s->lock);
	for (; s->walk != NULL && count < max; s->walk = s->walk->held_next) {
		out[count++] = s->walk->delivery.ref;
	}
	mutex_unlock(&s->lock);
	return count;
}
