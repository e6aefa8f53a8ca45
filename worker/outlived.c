/*
 * Late-acked tasks that outlive the connection their message came by. See outlived.h.
 */
#include "outlived.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

#define LOOK (100 * USEC_PER_MSEC)
#define KEPT (600 * USEC_PER_SEC) /* longer than a server takes to deliver again */

void outlived_init(struct outlived *o)
{
	mutex_init(&o->lock);
}

void outlived_done(struct outlived *o)
{
	for (size_t i = 0; i < OUTLIVED_MAX; i++)
		free(o->ids[i]);
	mutex_done(&o->lock);
}

/* A retry has the id of the task that it tries again. */
static char *key_of(const struct request *r)
{
	return xasprintf("%s %lld", r->id, (long long)r->message->retries);
}

static bool is_the_same(const struct request *a, const struct request *b)
{
	return a->message->retries == b->message->retries && strcmp(a->id, b->id) == 0;
}

/* The oldest makes room. Takes `key`. */
static void remember(struct outlived *o, char *key)
{
	mutex_lock(&o->lock);
	free(o->ids[o->next]);
	o->ids[o->next] = key;
	o->at[o->next] = clock_mono();
	o->next = (o->next + 1) % OUTLIVED_MAX;
	atomic_store(&o->any, true);
	mutex_unlock(&o->lock);
}

static bool take(struct outlived *o, const struct request *r)
{
	_cleanup_free_ char *key = NULL;
	bool found = false;

	if (!atomic_load(&o->any))
		return false;
	key = key_of(r);
	mutex_lock(&o->lock);
	for (size_t i = 0; i < OUTLIVED_MAX && !found; i++) {
		if (o->ids[i] == NULL || strcmp(o->ids[i], key) != 0)
			continue;
		found = clock_mono() - o->at[i] < KEPT;
		free(TAKE(o->ids[i]));
	}
	mutex_unlock(&o->lock);
	return found;
}

static bool has_earlier(struct request *r)
{
	struct state *s = &r->worker->state;
	bool found = false;

	mutex_lock(&s->lock);
	for (const struct request *other = s->held; other != NULL && !found;
	     other = other->held_next)
		found = other->number < r->number && is_the_same(other, r);
	mutex_unlock(&s->lock);
	return found;
}

static bool is_lost(const struct request *r)
{
	return broker_amqp(r->worker->broker) != NULL && !atomic_load(&r->acknowledged) &&
	       !broker_holds(r->worker->broker, &r->delivery.ref);
}

bool outlived_defer(struct request *r)
{
	struct worker *w = r->worker;

	if (!r->message->redelivered || r->lane != NULL || broker_amqp(w->broker) == NULL)
		return false;
	if (has_earlier(r)) { /* before it is gone, it is known how it ended */
		keeper_set_aside(w, r, clock_deadline(LOOK));
		return true;
	}
	if (!take(&w->outlived, r))
		return false;
	log_info("Task %s[%s] ended here after its connection was lost: not run again", r->shown,
		 r->id);
	request_settle(r, SETTLE_ACK, NULL, NULL, NULL);
	return true;
}

void outlived_ending(struct request *r)
{
	r->outlived = is_lost(r);
}

/* What was to follow and is not there comes only of the message that is delivered again. */
void outlived_ended(const struct request *r, const struct err *err)
{
	if (r->outlived && (err == NULL || (!r->follows && err->code != ERR_CANCELLED)))
		remember(&r->worker->outlived, key_of(r));
}
