/*
 * Deliveries that begin to run, as far as they are noted. See broker.h.
 */
#include <string.h>

#include "mem.h"
#include "redis_broker.h"

#define BEGUN_KEY "celeriac:begun:"
#define FORGOTTEN 604800 /* seconds: nothing comes again a week after its last run */

static char *begun_key(const struct broker *b, const char *id)
{
	return xasprintf("%s" BEGUN_KEY "%s", b->options.global_keyprefix, id);
}

int redis_broker_begin(struct broker *b, const char *tag, const char *id, usec_t deadline,
		       int64_t *ret, struct err *err)
{
	_cleanup_free_ char *key = begun_key(b, id);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = redis_link_do(b->link, deadline, &reply, err, "EVALSHA %s 2 %s %s %s %d",
			       b->begin.sha, b->unacked, key, tag, FORGOTTEN);

	if (rc == 0)
		*ret = redis_reply_int(reply);
	return rc;
}

void redis_broker_step_begun(const struct broker *b, struct settle_steps *s, const char *id,
			     const char *tag)
{
	_cleanup_free_ char *key = begun_key(b, id);

	if (tag == NULL)
		settle_steps_add(s, STEP_DELETE, key, NULL, 0, 0);
	else
		settle_steps_add(s, STEP_REMOVE, key, xstrdup(tag), strlen(tag), 0);
	settle_steps_advance(s); /* no guard of another step may be before it */
}
