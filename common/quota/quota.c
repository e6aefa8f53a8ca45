/*
 * Quotas.
 */
#include "quota.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "clock.h"
#include "mem.h"

extern const char script_quota_enter[], script_quota_leave[];

#define MS_PER_SEC 1000

struct quota {
	struct redis_link *link;
	const struct presence *presence;
	char *base, *leases; /* of keys */
	struct redis_script enter, leave;
};

struct quota *quota_new(struct redis_link *link, const char *key_prefix,
			const struct presence *presence)
{
	struct quota *q = xcalloc(1, sizeof(*q));

	q->link = link;
	q->presence = presence;
	q->base = xasprintf("%sceleriac:%s:quota:", key_prefix, presence_instance(presence));
	q->leases = xasprintf("%sceleriac:%s:node:", key_prefix, presence_instance(presence));
	redis_script_init(&q->enter, script_quota_enter);
	redis_script_init(&q->leave, script_quota_leave);
	redis_link_add_script(link, &q->enter);
	redis_link_add_script(link, &q->leave);
	return q;
}

void quota_free(struct quota *q)
{
	if (q == NULL)
		return;
	free(q->base);
	free(q->leases);
	free(q);
}

static int denied(const char *project, const struct project_quota *l, int64_t what, int64_t wait,
		  struct err *err)
{
	char opens[CLOCK_ISO_SIZE];
	usec_t at = clock_wall() + wait * USEC_PER_MSEC;

	/* whole seconds, never too early */
	clock_iso(at + USEC_PER_SEC - at % USEC_PER_SEC, opens);
	switch (what) {
	case 1:
		return err_set(err, ERR_DENIED,
			       "project %.64s: %lld calls per minute are used up, open at %s",
			       project, (long long)l->calls_per_minute, opens);
	case 2:
		return err_set(err, ERR_DENIED,
			       "project %.64s: %lld calls run at once, open when one of them ends",
			       project, (long long)l->concurrent_runs);
	default:
		return err_set(err, ERR_DENIED,
			       "project %.64s: %lld sandbox seconds a day are used up, open at %s",
			       project, (long long)l->sandbox_seconds_per_day, opens);
	}
}

int quota_enter(struct quota *q, const char *project, const struct project_quota *l, const char *id,
		usec_t deadline, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int64_t budget =
		l->sandbox_seconds_per_day < 0 ? -1 : l->sandbox_seconds_per_day * MS_PER_SEC;
	_cleanup_free_ char *calls = xasprintf("%s%s:calls", q->base, project);
	_cleanup_free_ char *runs = xasprintf("%s%s:runs", q->base, project);
	_cleanup_free_ char *ms = xasprintf("%s%s:ms:", q->base, project);
	int rc = redis_link_do(q->link, deadline, &reply, err,
			       "EVALSHA %s 3 %s %s %s %lld %lld %lld %s %s|%s %s", q->enter.sha,
			       calls, runs, ms, (long long)l->calls_per_minute,
			       (long long)l->concurrent_runs, (long long)budget, id,
			       presence_owner(q->presence), id, q->leases);

	if (rc < 0) {
		err_transient(err);
		return rc;
	}
	int64_t what = redis_reply_int(redis_reply_at(reply, 0));
	if (what == 0)
		return 0;
	return denied(project, l, what, redis_reply_int(redis_reply_at(reply, 1)), err);
}

void quota_leave(struct quota *q, const char *project, const char *id, usec_t used)
{
	_cleanup_buf_ struct buf b = BUF_INIT(64u << 10);

	redis_command(&b, "EVALSHA %s 2 %s%s:runs %s%s:ms: %s|%s %lld", q->leave.sha, q->base,
		      project, q->base, project, presence_owner(q->presence), id,
		      (long long)(used / USEC_PER_MSEC));
	redis_link_submit(q->link, &b, 1, REDIS_LINK_KEEP, NULL, NULL);
}
