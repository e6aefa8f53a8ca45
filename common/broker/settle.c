/*
 * Settling: the end of a delivery, with everything that must happen together with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "redis_broker.h"

#define FIXED_KEYS 4
#define FIXED_ARGS 6
#define ONCE_KEY   "celeriac:once:"
#define ONCE_TTL   86400 /* seconds: no outage between a settlement and its answer is longer */

/* The list a delivery came from: its queue, and the priority step that its tag tells. */
static const struct broker_list *list_of(const struct broker *b, const char *queue, const char *tag)
{
	const struct broker_queue *q = broker_find_queue(b, queue);
	const char *number = strrchr(tag, ':');
	const char *step = number;

	if (q == NULL)
		BUG("delivery %s of a queue that was never consumed: %s", tag, queue);
	while (step != NULL && step > tag && step[-1] != ':') {
		step--;
	}
	return broker_find_list(q, step ? (int)strtol(step, NULL, 10) : 0);
}

struct settling {
	struct broker *broker;
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

/* {1 or 0, how many, exchange, routing key and list of the first of them}. */
static void tell_undeliverable(struct broker *b, const struct redis_reply *reply)
{
	size_t items = redis_reply_count(reply);
	int64_t left = items > 1 ? redis_reply_int(redis_reply_at(reply, 1)) : 0;

	atomic_fetch_add(&b->undeliverable, (uint64_t)left);
	for (size_t i = 2; i + 2 < items; i += 3, left--) {
		struct slice exchange = redis_reply_str(redis_reply_at(reply, i));
		struct slice key = redis_reply_str(redis_reply_at(reply, i + 1));
		struct slice list = redis_reply_str(redis_reply_at(reply, i + 2));

		log_warning("Message could not be delivered: No queues bound to exchange '%.*s' "
			    "using binding key '%.*s'; %s%.*s",
			    (int)exchange.len, exchange.data, (int)key.len, key.data,
			    list.len > 0 ? "it is in " : "it is dropped", (int)list.len, list.data);
	}
	if (left > 0)
		log_warning("… and %lld more messages", (long long)left);
}

static void settled(void *arg, struct redis_reply *const *replies, size_t count,
		    const struct err *err)
{
	struct settling *settling = arg;
	struct err failed = {0};

	if (count == 1 && redis_reply_type(replies[0]) == REDIS_ERROR) {
		struct slice text = redis_reply_str(replies[0]);

		err_set(&failed, ERR_FAILED, "Redis: %.*s", (int)text.len, text.data);
		err = &failed;
	} else if (count == 1) {
		tell_undeliverable(settling->broker, replies[0]);
	}
	if (settling->done != NULL)
		settling->done(settling->arg, err);
	free(settling);
}

uint64_t broker_undeliverable(const struct broker *b)
{
	return atomic_load(&b->undeliverable);
}

void settle_steps_add(struct settle_steps *s, enum settle_step_kind kind, const char *key,
		      char *data, size_t len, int64_t ttl)
{
	s->items = xrealloc(s->items, (s->count + 1) * sizeof(*s->items));
	s->items[s->count++] = (struct settle_step){kind, xstrdup(key), data, len, ttl};
	s->bytes += len;
}

void settle_steps_advance(struct settle_steps *s)
{
	struct settle_step last = s->items[s->count - 1];

	memmove(s->items + 1, s->items, (s->count - 1) * sizeof(*s->items));
	s->items[0] = last;
}

struct settle_steps settle_steps_split(struct settle_steps *s, unsigned kinds)
{
	struct settle_steps out = {0};
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if ((SETTLE_STEP_BIT(s->items[i].kind) & kinds) == 0) {
			s->items[kept++] = s->items[i];
			continue;
		}
		out.items = xrealloc(out.items, (out.count + 1) * sizeof(*out.items));
		out.items[out.count++] = s->items[i];
	}
	s->count = kept;
	return out;
}

void settle_steps_done(struct settle_steps *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->items[i].key);
		free(s->items[i].data);
	}
	free(s->items);
	*s = (struct settle_steps){0};
}

void redis_broker_step_push(const struct broker *b, struct settle_steps *s, const char *queue,
			    int priority, char *envelope, size_t len)
{
	_cleanup_buf_ struct buf key = BUF_INIT(BOUND_URL_BYTES);

	broker_list_key(b, queue, priority, &key);
	settle_steps_add(s, STEP_PUSH, key.data, envelope, len, 0);
}

void redis_broker_step_once(const struct broker *b, struct settle_steps *s, const char *what)
{
	_cleanup_free_ char *key = xasprintf("%s" ONCE_KEY "%s", b->options.global_keyprefix, what);

	settle_steps_add(s, STEP_ONCE, key, NULL, 0, ONCE_TTL);
	settle_steps_advance(s);
}

/* argv of one EVALSHA: fixed keys, a key per step, fixed arguments, kind, data and ttl per step. */
struct settle_argv {
	struct slice *argv;
	size_t argc;
	char *numbers; /* 24 bytes per number */
	size_t number_count;
};

static struct slice number(struct settle_argv *a, int64_t n)
{
	char *text = a->numbers + 24 * a->number_count++;

	return (struct slice){text, (size_t)snprintf(text, 24, "%lld", (long long)n)};
}

static void add_steps(struct settle_argv *a, const struct settle_steps *steps)
{
	static const char *const kinds[] = {
		[STEP_PUSH] = "push",	  [STEP_ROUTE] = "route", [STEP_PUBLISH] = "publish",
		[STEP_SET] = "set",	  [STEP_GUARD] = "guard", [STEP_ABSENT] = "absent",
		[STEP_DELETE] = "delete", [STEP_END] = "end",	  [STEP_ZREM] = "zrem",
		[STEP_REMOVE] = "remove", [STEP_BODY] = "body",	  [STEP_ONCE] = "once"};

	for (size_t i = 0; i < steps->count; i++) {
		const struct settle_step *step = &steps->items[i];

		a->argv[a->argc++] = slice_of(kinds[step->kind]);
		a->argv[a->argc++] =
			step->data ? (struct slice){step->data, step->len} : slice_of("");
		a->argv[a->argc++] = number(a, step->ttl);
	}
}

static void build(struct broker *b, const struct settlement *s, const char *dead_line,
		  struct buf *out)
{
	static const char *const outcomes[] = {[SETTLE_ACK] = "ack",
					       [SETTLE_REQUEUE] = "requeue",
					       [SETTLE_REJECT] = "reject",
					       [SETTLE_DEAD] = "dead",
					       [SETTLE_NONE] = "none"};
	const struct broker_list *list = s->queue ? list_of(b, s->queue, s->tag) : NULL;
	const struct backend_write *w = s->result;
	size_t steps = s->steps.count;
	_cleanup_free_ struct slice *argv =
		xcalloc(3 + FIXED_KEYS + FIXED_ARGS + 4 * steps, sizeof(*argv));
	_cleanup_free_ char *numbers = xmalloc(24 * (2 + steps));
	struct settle_argv a = {.argv = argv, .numbers = numbers};

	argv[a.argc++] = slice_of("EVALSHA");
	argv[a.argc++] = slice_of(b->settle.sha);
	argv[a.argc++] = number(&a, (int64_t)(FIXED_KEYS + steps));
	argv[a.argc++] = slice_of(b->unacked);
	argv[a.argc++] = slice_of(b->unacked_index);
	argv[a.argc++] = slice_of(list == NULL || s->outcome == SETTLE_DEAD ? b->dead : list->key);
	argv[a.argc++] = slice_of(w ? w->key : "");
	for (size_t i = 0; i < steps; i++) {
		argv[a.argc++] = slice_of(s->steps.items[i].key);
	}
	argv[a.argc++] = slice_of(s->tag);
	argv[a.argc++] = slice_of(outcomes[s->outcome]);
	argv[a.argc++] = slice_of(list ? list->queue->ending : "");
	argv[a.argc++] = slice_of(dead_line);
	argv[a.argc++] = w ? (struct slice){w->value, w->len} : slice_of("");
	argv[a.argc++] = number(&a, w ? w->ttl : 0);
	add_steps(&a, &s->steps);
	redis_command_argv(out, argv, a.argc);
}

void broker_settle_on(struct broker *b, struct redis_link *link, const struct settlement *s,
		      void (*done)(void *arg, const struct err *err), void *arg)
{
	_cleanup_free_ char *line =
		s->outcome == SETTLE_DEAD ? broker_dead_line(s->reason, s->queue) : xstrdup("");
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	struct settling *settling = xcalloc(1, sizeof(*settling));
	struct settle_steps steps = s->steps;

	build(b, s, line, &commands);
	settling->broker = b;
	settling->done = done;
	settling->arg = arg;
	redis_link_submit(link, &commands, 1, REDIS_LINK_KEEP, settled, settling);
	settle_steps_done(&steps);
	if (s->result != NULL)
		backend_write_done(s->result);
}

void redis_broker_settle(struct broker *b, const struct settlement *s,
			 void (*done)(void *arg, const struct err *err), void *arg)
{
	struct settlement rest = *s;
	struct settle_steps sent = broker_split_steps(b, &rest.steps);

	if (sent.count > 0)
		broker_settle_apart(b, &rest, &sent, done, arg);
	else if (broker_settles_with_others(&rest))
		broker_settle_with_others(b, &rest, done, arg);
	else
		broker_settle_on(b, b->link, &rest, done, arg);
}

static int perform(struct broker *b, struct redis_link *link, struct settle_steps *steps,
		   usec_t deadline, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct settlement s = {.tag = "", .outcome = SETTLE_ACK, .steps = *steps};
	int rc;

	build(b, &s, "", &commands);
	rc = redis_link_exchange(link, &commands, 1, REDIS_LINK_KEEP, deadline, &reply, err);
	if (rc == 0 && redis_reply_type(reply) == REDIS_ERROR)
		rc = err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(reply).len,
			     redis_reply_str(reply).data);
	else if (rc == 0)
		tell_undeliverable(b, reply);
	return rc;
}

int redis_broker_perform(struct broker *b, struct settle_steps *steps, usec_t deadline,
			 struct err *err)
{
	struct settle_steps sent = broker_split_steps(b, steps);
	int rc = 0;

	if (sent.count > 0)
		rc = perform(b, b->writing, &sent, deadline, err);
	if (rc == 0 && (steps->count > 0 || sent.count == 0))
		rc = perform(b, b->link, steps, deadline, err);
	settle_steps_done(&sent);
	settle_steps_done(steps);
	return rc;
}
