/*
 * scheduler.c: which entry is next.
 */
#include <stdlib.h>

#include "beat.h"
#include "mem.h"

static void sift_up(struct scheduler *s, size_t i)
{
	while (i > 0 && s->heap[i]->due < s->heap[(i - 1) / 2]->due) {
		struct entry *e = s->heap[i];

		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
		s->heap[i] = e;
	}
}

static void sift_down(struct scheduler *s, size_t i)
{
	for (;;) {
		size_t soonest = i;

		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->count; child++) {
			if (s->heap[child]->due < s->heap[soonest]->due)
				soonest = child;
		}
		if (soonest == i)
			return;
		struct entry *e = s->heap[i];

		s->heap[i] = s->heap[soonest];
		s->heap[soonest] = e;
		i = soonest;
	}
}

void scheduler_init(struct scheduler *s, struct entry *entries, size_t count)
{
	s->heap = xcalloc(count + 1, sizeof(*s->heap));
	s->count = count;
	for (size_t i = 0; i < count; i++)
		s->heap[i] = &entries[i];
	for (size_t i = count / 2; i-- > 0;)
		sift_down(s, i);
}

void scheduler_done(struct scheduler *s)
{
	free(s->heap);
	*s = (struct scheduler){0};
}

struct entry *scheduler_first(const struct scheduler *s)
{
	return s->count > 0 ? s->heap[0] : NULL;
}

/* Below one that is later, all are. */
static bool see_soon(const struct scheduler *s, size_t i, usec_t mono, scheduler_see_fn *see,
		     void *arg)
{
	if (i >= s->count || s->heap[i]->due > mono)
		return true;
	return see(arg, s->heap[i]) && see_soon(s, 2 * i + 1, mono, see, arg) &&
	       see_soon(s, 2 * i + 2, mono, see, arg);
}

bool scheduler_soon(const struct scheduler *s, usec_t mono, scheduler_see_fn *see, void *arg)
{
	return see_soon(s, 0, mono, see, arg);
}

static struct entry *take_first(struct scheduler *s)
{
	struct entry *first = s->heap[0];

	s->heap[0] = s->heap[--s->count];
	sift_down(s, 0);
	return first;
}

static void put(struct scheduler *s, struct entry *e)
{
	s->heap[s->count] = e;
	sift_up(s, s->count++);
}

static size_t take_due(struct scheduler *s, usec_t mono, struct entry *due[SCHEDULER_BATCH])
{
	size_t n = 0;

	while (n < SCHEDULER_BATCH && s->count > 0 && s->heap[0]->due <= mono)
		due[n++] = take_first(s);
	return n;
}

int scheduler_tick(struct scheduler *s, usec_t mono, scheduler_send_fn *send, void *arg,
		   struct err *err)
{
	struct entry *due[SCHEDULER_BATCH];
	size_t n;

	while ((n = take_due(s, mono, due)) > 0) {
		int rc = send(arg, due, n, err);

		for (size_t i = 0; i < n; i++)
			put(s, due[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}
