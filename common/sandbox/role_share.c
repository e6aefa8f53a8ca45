/*
 * role_share.c: how much each peer of a role has of it, so that one cannot have all.
 *
 * A peer is a process. Those of a namespace that we do not see into have no number, and are one.
 */
#include "role.h"

#include <stdlib.h>

#include "clock.h"
#include "mem.h"

#define ROOM_TIME                                                                                  \
	(15 * USEC_PER_SEC) /* longer than who is slow may take: he does not deny others */

struct role_share *role_share_of(struct engine_role *r, int pid, unsigned uid)
{
	struct role_share *s;

	mutex_lock(&r->lock);
	for (s = r->shares; s && (s->pid != pid || s->uid != uid); s = s->next)
		;
	if (s == NULL) {
		s = xcalloc(1, sizeof(*s));
		s->pid = pid;
		s->uid = uid;
		s->next = r->shares;
		r->shares = s;
	}
	s->held++;
	mutex_unlock(&r->lock);
	return s;
}

static void let_go(struct engine_role *r, struct role_share *s) REQUIRES(r->lock)
{
	struct role_share **at = &r->shares;

	if (--s->held > 0)
		return;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s);
}

/* A worker has its own role for itself. */
static bool is_bounded(const struct engine_role *r, const struct role_share *s)
{
	return r->control < 0 && s->pid != 0;
}

bool role_connection_enter(struct engine_role *r, struct role_share *s)
{
	mutex_lock(&r->lock);
	bool room = r->connections < ROLE_CONNECTIONS &&
		    (!is_bounded(r, s) || s->connections < ROLE_PEER_CONNECTIONS);
	r->connections += room;
	s->connections += room;
	if (!room)
		let_go(r, s);
	mutex_unlock(&r->lock);
	return room;
}

void role_connection_leave(struct engine_role *r, struct role_share *s)
{
	mutex_lock(&r->lock);
	r->connections--;
	s->connections--;
	let_go(r, s);
	mutex_unlock(&r->lock);
}

int role_stream_enter(struct engine_role *r, struct role_share *s, struct err *err)
{
	mutex_lock(&r->lock);
	bool room =
		r->streams < ROLE_STREAMS && (!is_bounded(r, s) || s->streams < ROLE_PEER_STREAMS);
	r->streams += room;
	s->streams += room;
	s->held += room;
	mutex_unlock(&r->lock);
	return room ? 0
		    : err_set(err, ERR_TOOBIG, "more than %d attached streams, or %d of one peer",
			      ROLE_STREAMS, ROLE_PEER_STREAMS);
}

void role_stream_leave(struct engine_role *r, struct role_share *s)
{
	mutex_lock(&r->lock);
	r->streams--;
	s->streams--;
	let_go(r, s);
	mutex_unlock(&r->lock);
}

static bool has_room(const struct engine_role *r, const struct role_share *s, size_t bytes)
	REQUIRES(r->lock)
{
	return r->in_use + bytes <= ROLE_BUDGET &&
	       (!is_bounded(r, s) || s->in_use + bytes <= ROLE_PEER_BUDGET);
}

int role_take(struct engine_role *r, struct role_share *s, size_t bytes, struct err *err)
{
	usec_t deadline = clock_deadline(ROOM_TIME);
	bool room;

	mutex_lock(&r->lock);
	while (!has_room(r, s, bytes) && cond_wait_until(&r->spent, &r->lock, deadline))
		;
	room = has_room(r, s, bytes);
	r->in_use += room ? bytes : 0;
	s->in_use += room ? bytes : 0;
	mutex_unlock(&r->lock);
	return room ? 0 : err_set(err, ERR_UNAVAILABLE, "too many large requests at a time");
}

void role_give(struct engine_role *r, struct role_share *s, size_t bytes)
{
	if (bytes == 0)
		return;
	mutex_lock(&r->lock);
	r->in_use -= bytes;
	s->in_use -= bytes;
	cond_broadcast(&r->spent);
	mutex_unlock(&r->lock);
}
