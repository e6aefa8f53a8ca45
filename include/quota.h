/*
 * quota.h: what projects may use, counted in Redis for all workers of a deployment.
 *
 * Keys <prefix>celeriac:<instance>:quota:<project>:calls (ids of the last minute's calls by time),
 * …:runs (those going on, as "node@epoch|id": what dead workers ran does not count),
 * …:ms:<day> (milliseconds that sandboxes were used on that day, UTC).
 */
#ifndef CELERIAC_QUOTA_H
#define CELERIAC_QUOTA_H

#include "policy.h"
#include "presence.h"
#include "redis.h"

struct quota;
/* Everything is borrowed. [init] */
struct quota *quota_new(struct redis_link *link, const char *key_prefix,
			const struct presence *presence);
void quota_free(struct quota *q);

/*
 * A call `id` of `project` wants to begin. ERR_DENIED says what is used up and when it opens;
 * anything else is transient: Redis is away. Once let in it must leave. The same id is one call,
 * however often it comes within the minute. [any]
 */
int quota_enter(struct quota *q, const char *project, const struct project_quota *limits,
		const char *id, usec_t deadline, struct err *err) must_check;
/* It has ended, and used a sandbox for so long (0 = none). Never waits. [any] */
void quota_leave(struct quota *q, const char *project, const char *id, usec_t used);

#endif
