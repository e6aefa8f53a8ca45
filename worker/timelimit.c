/*
 * Time limits. See timelimit.h.
 */
#include "timelimit.h"

#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

static usec_t first_of(usec_t message, usec_t control, usec_t setting)
{
	return message > 0 ? message : control > 0 ? control : setting;
}

void timelimit_start(struct request *r)
{
	struct worker *w = r->worker;
	struct keeper *k = &w->keeper;
	usec_t soft = 0, hard = 0, now = clock_mono(), first;

	limits_time(&w->limits, r->task->name, &soft, &hard);
	r->soft_limit =
		first_of(r->message->soft_time_limit, soft, w->settings.task_soft_time_limit);
	r->hard_limit = first_of(r->message->time_limit, hard, w->settings.task_time_limit);
	if (r->soft_limit == 0 && r->hard_limit == 0)
		return;
	atomic_store(&r->soft_at, r->soft_limit > 0 ? now + r->soft_limit : USEC_NEVER);
	atomic_store(&r->hard_at, r->hard_limit > 0 ? now + r->hard_limit : USEC_NEVER);
	first = r->soft_at < r->hard_at ? r->soft_at : r->hard_at;
	mutex_lock(&k->lock);
	if (first < k->limit_at)
		k->limit_at = first;
	if (first < k->wake_at)
		cond_signal(&k->changed);
	mutex_unlock(&k->lock);
}

static void tell(struct request *r, enum limit_hit hit, usec_t limit)
{
	double seconds = (double)limit / (double)USEC_PER_SEC;

	atomic_store(&r->limit_hit, hit);
	atomic_store(&r->cancel, true);
	if (hit == LIMIT_SOFT)
		log_warning("Soft time limit (%gs) exceeded for %s[%s]", seconds, r->shown, r->id);
	else
		log_error("Hard time limit (%gs) exceeded for %s[%s]", seconds, r->shown, r->id);
}

usec_t timelimit_enforce(struct worker *w, usec_t now)
{
	struct state *s = &w->state;
	usec_t next = USEC_NEVER;

	mutex_lock(&s->lock);
	for (struct request *r = s->held; r != NULL; r = r->held_next) {
		usec_t soft = atomic_load(&r->soft_at), hard = atomic_load(&r->hard_at);
		int hit = atomic_load(&r->limit_hit);

		if (hard == 0 || atomic_load(&r->state) != REQUEST_ACTIVE)
			continue;
		if (hit < LIMIT_HARD && now >= hard)
			tell(r, LIMIT_HARD, r->hard_limit);
		else if (hit < LIMIT_SOFT && now >= soft)
			tell(r, LIMIT_SOFT, r->soft_limit);
		if (hit < LIMIT_SOFT && soft > now && soft < next)
			next = soft;
		if (hard > now && hard < next)
			next = hard;
	}
	mutex_unlock(&s->lock);
	return next;
}

/* As Python has it: an int where it is one. */
static json_t *in_seconds(usec_t limit)
{
	return limit % USEC_PER_SEC == 0 ? json_integer((json_int_t)(limit / USEC_PER_SEC))
					 : json_real((double)limit / (double)USEC_PER_SEC);
}

bool timelimit_raise(struct task_ctx *ctx, int rc)
{
	const struct request *r = ctx->request;
	int hit = atomic_load(&ctx->request->limit_hit);

	if (hit == LIMIT_NONE || (hit == LIMIT_SOFT && (rc >= 0 || task_ctx_is_signal(rc))))
		return false;
	ctx->timed_out = hit == LIMIT_HARD;
	task_ctx_set_exception(ctx, "billiard.exceptions",
			       hit == LIMIT_SOFT ? "SoftTimeLimitExceeded" : "TimeLimitExceeded",
			       "");
	json_decref(ctx->exc_message);
	ctx->exc_message =
		hit == LIMIT_SOFT ? json_array() : json_pack("[o]", in_seconds(r->hard_limit));
	return true;
}
