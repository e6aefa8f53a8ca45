/*
 * scheduler.c: which entry is next.
 */
#include <stdlib.h>

#include "beat.h"
#include "mem.h"

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

void scheduler_first_changed(struct scheduler *s)
{
	sift_down(s, 0);
}

int scheduler_tick(struct scheduler *s, usec_t mono, scheduler_send_fn *send, void *arg,
		   struct err *err)
{
	struct entry *first;

	while ((first = scheduler_first(s)) != NULL && first->due <= mono) {
		int rc = send(arg, first, err);

		scheduler_first_changed(s);
		if (rc < 0)
			return rc;
	}
	return 0;
}
