/*
 * Claims that are not routed and never will be go back where they came from: of who died, of who
 * ends, of a connection that broke before the answer. Whoever took something later, and waits for
 * them, puts it back before, and while that lasts nobody claims; so all come again in their order.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "redis_broker.h"

#define CALL_TIMEOUT (5 * USEC_PER_SEC)
#define PATIENCE     (1 * USEC_PER_SEC)
#define PAUSE_MS     10
#define FIXED	     (16 + PRIORITY_STEPS_MAX)

struct unwinding {
	const struct presence *p;
	const char *place; /* ours, "" = none */
	bool certain, leaves;
	struct slice *tags; /* in our place */
	size_t count;
};

static void build(struct broker *b, const struct unwinding *u, struct buf *out)
{
	const struct transport_options *o = &b->options;
	_cleanup_free_ struct slice *argv = xcalloc(FIXED + u->count, sizeof(*argv));
	_cleanup_free_ char *base =
		xasprintf("%sceleriac:%s:", o->global_keyprefix, presence_instance(u->p));
	_cleanup_free_ char *places = xasprintf("%sclaims", base),
			    *lost = xasprintf("%slost", base);
	char steps[PRIORITY_STEPS_MAX][16], most[16], step_count[16];
	size_t n = 0;

	snprintf(most, sizeof(most), "%d", BOUND_CLAIM_BATCH);
	snprintf(step_count, sizeof(step_count), "%zu", o->step_count);
	const char *const fixed[] = {"EVALSHA",
				     b->route.unwind.sha,
				     "4",
				     b->unacked,
				     b->unacked_index,
				     places,
				     lost,
				     u->place,
				     presence_owner(u->p),
				     u->certain ? "1" : "0",
				     u->leaves ? "1" : "0",
				     base,
				     o->global_keyprefix,
				     o->sep,
				     most,
				     step_count};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		argv[n++] = slice_of(fixed[i]);
	for (size_t i = 0; i < o->step_count; i++) {
		snprintf(steps[i], sizeof(steps[i]), "%d", o->priority_steps[i]);
		argv[n++] = slice_of(steps[i]);
	}
	for (size_t i = 0; i < u->count; i++)
		argv[n++] = u->tags[i];
	redis_command_argv(out, argv, n);
}

static int unwind(struct broker *b, const struct unwinding *u, usec_t deadline, bool *ret_done,
		  struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	build(b, u, &commands);
	rc = redis_link_exchange(b->link, &commands, 1, 0, deadline, &reply, err);
	if (rc == 0 && redis_reply_type(reply) == REDIS_ERROR)
		rc = err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(reply).len,
			     redis_reply_str(reply).data);
	if (rc == 0)
		*ret_done = redis_reply_int(reply) == 1;
	return rc < 0 ? err_wrap(err, "putting claims back") : 0;
}

/* The same again and again, for a moment. */
static int unwind_patiently(struct broker *b, const struct unwinding *u, bool *ret_done,
			    struct err *err)
{
	usec_t until = clock_deadline(PATIENCE);

	for (;;) {
		int rc = unwind(b, u, clock_deadline(CALL_TIMEOUT), ret_done, err);

		if (rc < 0 || *ret_done || clock_mono() >= until)
			return rc;
		poll(NULL, 0, PAUSE_MS);
	}
}

/* After a time in which everybody could renew a lease that was lost with the connection. */
static bool is_certain(const struct broker *b)
{
	return clock_mono() - b->connected_at >= PRESENCE_TTL;
}

int redis_broker_route_return(struct broker *b, const struct broker_call *calls, size_t count,
			      bool leaves, usec_t deadline, bool *ret_done, struct err *err)
{
	_cleanup_free_ struct slice *tags = xcalloc(count + 1, sizeof(*tags));
	const struct unwinding u = {.p = b->route.presence,
				    .place = b->route.place,
				    .certain = is_certain(b),
				    .leaves = leaves,
				    .tags = tags,
				    .count = count};

	for (size_t i = 0; i < count; i++)
		tags[i] = slice_of(calls[i].tag);
	return unwind(b, &u, deadline, ret_done, err);
}

int broker_route_bury(struct broker *b, const struct presence *p, bool certain, bool *ret_done,
		      struct err *err)
{
	const struct unwinding u = {.p = p, .place = "", .certain = certain};

	return unwind_patiently(b, &u, ret_done, err);
}

int broker_route_blocked(struct broker *b, struct err *err)
{
	const struct unwinding u = {.p = b->route.presence, .place = "", .certain = is_certain(b)};
	bool done = false;
	int rc;

	/* this claim took no place, and the one before may still have to be given up */
	memcpy(b->route.place, b->route.left, sizeof(b->route.place));
	rc = unwind(b, &u, clock_deadline(CALL_TIMEOUT), &done, err);
	if (rc == 0 && !done)
		poll(NULL, 0, PAUSE_MS);
	return rc;
}

/* Every tag that the claim may have given. */
static size_t name_tags(const struct broker *b, char (*names)[BROKER_TAG_SIZE], struct slice *tags)
{
	const struct transport_options *o = &b->options;
	uint64_t first = strtoull(strrchr(b->route.place, ':') + 1, NULL, 10);
	size_t n = 0;

	for (uint64_t number = first; number < first + BOUND_CLAIM_BATCH; number++) {
		for (size_t i = o->step_count; i-- > 0;) {
			snprintf(names[n], BROKER_TAG_SIZE, "%s%d:%llu", b->tag_prefix,
				 o->priority_steps[i], (unsigned long long)number);
			tags[n] = slice_of(names[n]);
			n++;
		}
	}
	return n;
}

int broker_route_forgo(struct broker *b, struct err *err)
{
	size_t most = BOUND_CLAIM_BATCH * b->options.step_count;
	_cleanup_free_ char(*names)[BROKER_TAG_SIZE] = NULL;
	_cleanup_free_ struct slice *tags = NULL;
	struct unwinding u = {.p = b->route.presence, .place = b->route.place, .leaves = true};
	bool done = false;
	int rc;

	if (u.p == NULL || u.place[0] == '\0')
		return 0;
	names = xcalloc(most, sizeof(*names));
	u.tags = tags = xcalloc(most, sizeof(*tags));
	u.count = name_tags(b, names, tags);
	rc = unwind_patiently(b, &u, &done, err);
	if (rc == 0 && !done)
		rc = err_set(err, ERR_UNAVAILABLE, "others have to put back first what they took");
	return rc;
}
