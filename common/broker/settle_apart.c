/*
 * Settling where messages are taken from one server and sent to another (broker_read_url,
 * broker_write_url): what follows is sent first, then the delivery is settled. Whoever dies between
 * the two sends it again: at least once, as in Celery.
 */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "redis_broker.h"

struct settle_steps broker_split_steps(const struct broker *b, struct settle_steps *steps)
{
	if (b->writing == NULL)
		return (struct settle_steps){0};
	return settle_steps_split(steps, SETTLE_STEP_MESSAGES | SETTLE_STEP_BIT(STEP_PUBLISH));
}

/* What is settled once everything was sent. */
struct apart {
	struct broker *broker;
	struct settlement rest; /* its strings are ours */
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

static char *copy_or_null(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

static void sent_all(void *arg, const struct err *err)
{
	struct apart *a = arg;

	if (err == NULL) {
		broker_settle_on(a->broker, a->broker->link, &a->rest, a->done, a->arg);
	} else {
		settle_steps_done(&a->rest.steps);
		if (a->rest.result != NULL)
			backend_write_done(a->rest.result);
		if (a->done != NULL)
			a->done(a->arg, err);
	}
	free((char *)(uintptr_t)a->rest.tag);
	free((char *)(uintptr_t)a->rest.reason);
	free(a);
}

void broker_settle_apart(struct broker *b, const struct settlement *rest, struct settle_steps *sent,
			 void (*done)(void *arg, const struct err *err), void *arg)
{
	struct settlement first = {.tag = "", .outcome = SETTLE_ACK, .steps = *sent};
	struct apart *a = xcalloc(1, sizeof(*a));

	*sent = (struct settle_steps){0};
	*a = (struct apart){b, *rest, done, arg};
	a->rest.tag = xstrdup(rest->tag);
	a->rest.reason = copy_or_null(rest->reason);
	broker_settle_on(b, b->writing, &first, sent_all, a);
}
