/*
 * See drift.h.
 */
#include "drift.h"

#include "clock.h"
#include "log.h"
#include "redis.h"

#define INTERVAL   (60 * USEC_PER_SEC)
#define PATIENCE   (2 * USEC_PER_SEC)
#define ROUND_TRIP USEC_PER_SEC /* longer ones tell too little */

usec_t drift_judge(struct drift *d, usec_t ahead, bool *ret_tell)
{
	usec_t correction = ahead > DRIFT_MAX || ahead < -DRIFT_MAX ? ahead : 0;
	usec_t change = correction - d->told;

	*ret_tell =
		(correction == 0) != (d->told == 0) || change > DRIFT_MAX || change < -DRIFT_MAX;
	if (*ret_tell)
		d->told = correction;
	return correction;
}

/* TIME's answer: seconds, microseconds. */
static void learn(struct drift *d, const char *server, const struct redis_reply *reply, usec_t sent,
		  usec_t took)
{
	usec_t theirs = redis_reply_int(redis_reply_at(reply, 0)) * USEC_PER_SEC +
			redis_reply_int(redis_reply_at(reply, 1));
	usec_t ahead = sent + took / 2 - theirs, correction;
	bool tell;

	if (redis_reply_count(reply) != 2 || theirs <= 0 || took > ROUND_TRIP)
		return;
	correction = drift_judge(d, ahead, &tell);
	clock_correct(correction);
	if (!tell)
		return;
	if (correction == 0)
		log_warning("This machine's clock agrees with that of %s again", server);
	else
		log_warning(
			"Substantial drift from %s may mean clocks are out of sync. Current drift "
			"is %.0f seconds: this machine is %s. The clock of Redis is used for what "
			"has its time.",
			server, (double)(ahead < 0 ? -ahead : ahead) / (double)USEC_PER_SEC,
			ahead > 0 ? "ahead" : "behind");
}

void drift_look(struct drift *d, struct redis *r, const char *server)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	usec_t sent = clock_machine(), began = clock_mono();
	struct err err = {0};

	if (redis_do(r, &reply, &err, "TIME") == 0)
		learn(d, server, reply, sent, clock_mono() - began);
}

void drift_watch(struct drift *d, struct redis_link *link, const char *server)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	usec_t sent = clock_machine(), began = clock_mono();
	struct err err = {0};

	if (began < d->again_at && !(clock_was_set() && began >= d->soon_at))
		return;
	d->again_at = began + INTERVAL;
	d->soon_at = began + USEC_PER_SEC; /* also if nobody answers */
	if (redis_link_do(link, clock_deadline(PATIENCE), &reply, &err, "TIME") == 0)
		learn(d, server, reply, sent, clock_mono() - began);
}
