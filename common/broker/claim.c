/*
 * The claiming half: the consumer thread's own connections. One takes messages by script, the
 * others are wake.c's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "redis_broker.h"

extern const char script_claim[];

#define CONNECT_TIMEOUT (4 * USEC_PER_SEC) /* broker_connection_timeout */
/* Of one batch: the script stops beyond. It holds up the server and has to come within the time
 * that a connection has to answer. */
#define CLAIM_BYTES "16777216"

#define TAKEN_SECONDS "604800" /* nothing comes again a week after it was taken */
#define FIXED_KEYS    6
#define FIXED_ARGS    12
#define HEAD_ITEMS    4 /* of the answer, before its deliveries */

/* The only writer of the connections is the consumer thread; the lock is for broker_interrupt. */
static void replace(struct broker *b, struct redis **connection, struct redis *with)
{
	struct redis *old;

	mutex_lock(&b->connections);
	old = *connection;
	*connection = with;
	mutex_unlock(&b->connections);
	redis_close(old);
}

static void disconnect(struct broker *b)
{
	b->dry = false;
	replace(b, &b->claiming, NULL);
	for (size_t i = 0; i < BROKER_WAKE_MAX; i++) {
		replace(b, &b->waking[i], NULL);
		b->asked[i] = false;
	}
}

static int open_one(struct broker *b, const char *name, struct redis **connection, struct err *err)
{
	struct redis *r = NULL;
	int rc = redis_open(&b->address, name, CONNECT_TIMEOUT, &r, err);

	if (rc == 0)
		replace(b, connection, r);
	return rc;
}

int redis_broker_connect(struct broker *b, const struct presence *p, struct err *err)
{
	int rc;

	disconnect(b);
	if (b->tag_prefix == NULL) {
		b->tag_prefix = xasprintf("celeriac:%s:", presence_owner(p));
		redis_script_init(&b->claim, script_claim);
	}
	rc = open_one(b, "celeriac-consumer", &b->claiming, err);
	b->connected_at = clock_mono();
	for (size_t i = 0; rc == 0 && i < broker_wake_count(b); i++) {
		rc = open_one(b, "celeriac-wake", &b->waking[i], err);
	}
	if (rc < 0)
		disconnect(b);
	return rc;
}

void redis_broker_interrupt(struct broker *b)
{
	mutex_lock(&b->connections);
	if (b->claiming != NULL)
		shutdown(redis_fd(b->claiming), SHUT_RDWR);
	for (size_t i = 0; i < BROKER_WAKE_MAX; i++) {
		if (b->waking[i] != NULL)
			shutdown(redis_fd(b->waking[i]), SHUT_RDWR);
	}
	mutex_unlock(&b->connections);
}

/* The lists in the order of this claim: what was routed to us, else priority first, then queues
 * beginning with `first_queue`. */
static size_t ordered_lists(const struct broker *b, struct broker_list **out)
{
	size_t queues = b->consumed;

	memcpy(out, b->lists, b->inner * sizeof(struct broker_list *));
	for (size_t i = 0; i < b->list_count - b->inner; i++) {
		size_t step = i / queues, queue = (i % queues + b->first_queue) % queues;

		out[b->inner + i] = b->lists[b->inner + step * queues + queue];
	}
	return b->list_count;
}

/* Of the lists, from the first of the claim's order on: LOOKED_AT of them were asked, and of
 * ENDS_SEEN the end was seen, as one that has enough stops before. Behind these numbers are the
 * places of those that are none. */
enum { LOOKED_AT, ENDS_SEEN, NO_LISTS };

static int64_t of_lists(const struct redis_reply *reply, size_t what)
{
	return redis_reply_int(redis_reply_at(redis_reply_at(reply, 2), what));
}

/* Queues whose key holds something else: said when it begins and when it is over. */
static void note_no_lists(struct broker *b, const struct redis_reply *reply,
			  struct broker_list *const *lists)
{
	const struct redis_reply *wrong = redis_reply_at(reply, 2);
	int64_t looked = of_lists(reply, LOOKED_AT);

	for (size_t i = 0; i < b->list_count && (int64_t)i < looked; i++) {
		bool now = false;

		for (size_t w = NO_LISTS; !now && w < redis_reply_count(wrong); w++)
			now = redis_reply_int(redis_reply_at(wrong, w)) == (int64_t)i;
		if (now && !lists[i]->no_list)
			log_error("the queue %s is no list: nothing is taken from it",
				  lists[i]->key);
		else if (!now && lists[i]->no_list)
			log_info("the queue %s is a list again", lists[i]->key);
		lists[i]->no_list = now;
	}
}

/* The message at `at` of the answer, as delivery `number` of `list`. */
static bool take_delivery(const struct broker *b, struct redis_reply *reply, size_t at,
			  uint64_t number, const struct broker_list *list, struct delivery *d)
{
	*d = (struct delivery){.queue = list->queue->name,
			       .ref = {list->queue->name, number, list->step}};
	broker_tag(b, &d->ref, d->tag);
	d->data = redis_reply_take_str(reply, at, &d->len);
	return d->data != NULL;
}

/* Of `count` deliveries, those that are counted. */
static bool take_marks(const struct redis_reply *marks, struct delivery *d, size_t count)
{
	for (size_t i = 0; i + 1 < redis_reply_count(marks); i += 2) {
		int64_t at = redis_reply_int(redis_reply_at(marks, i));
		struct slice mark = redis_reply_str(redis_reply_at(marks, i + 1));

		if (at < 0 || (size_t)at >= count || mark.len >= BROKER_MARK_SIZE)
			return false;
		memcpy(d[at].mark, mark.data, mark.len);
	}
	return true;
}

/* What is sent before the deliveries: that something was moved, or is no list. */
static void note_others(struct broker *b, const struct redis_reply *reply,
			struct broker_list *const *lists)
{
	int64_t unreadable = redis_reply_int(redis_reply_at(reply, 0)),
		never_read = redis_reply_int(redis_reply_at(reply, 1));

	if (unreadable > 0)
		log_error("%lld unreadable message(s) moved to %s", (long long)unreadable, b->dead);
	if (never_read > 0)
		log_critical("%lld message(s) that nobody lived to read, however often they were "
			     "taken, moved to %s",
			     (long long)never_read, b->dead);
	note_no_lists(b, reply, lists);
}

/* At most `max`, numbered from `first` on. Of an answer that is not the script's, nothing is taken.
 */
static int take_deliveries(struct broker *b, struct redis_reply *reply, uint64_t first, size_t max,
			   struct broker_list *const *lists, struct delivery *ret,
			   size_t *ret_count, struct err *err)
{
	size_t items = redis_reply_count(reply), count = 0;
	bool whole;

	if (items < HEAD_ITEMS || items % 2 != 0 || (items - HEAD_ITEMS) / 2 > max)
		return err_set(err, ERR_PROTOCOL, "claim script answered %zu items", items);
	note_others(b, reply, lists);
	for (size_t i = HEAD_ITEMS; i < items; i += 2) {
		int64_t at = redis_reply_int(redis_reply_at(reply, i));

		if (at < 0 || (size_t)at >= b->list_count ||
		    !take_delivery(b, reply, i + 1, first + count, lists[at], &ret[count]))
			break;
		count++;
		if (b->options.queue_order == QUEUE_ROUND_ROBIN && !lists[at]->queue->inner)
			b->first_queue = (lists[at]->queue->place + 1) % b->consumed;
	}
	whole = count == (items - HEAD_ITEMS) / 2;
	if (!whole || !take_marks(redis_reply_at(reply, 3), ret, count)) {
		while (count > 0)
			free(TAKE(ret[--count].data));
		return err_set(err, ERR_PROTOCOL, "claim script answered no delivery");
	}
	*ret_count = count;
	/* calls that were to be routed are followed by a claim, which says that they are */
	b->dry = of_lists(reply, ENDS_SEEN) == (int64_t)b->list_count &&
		 (b->route.presence == NULL || count == 0);
	return 0;
}

/* What one claim is asked with; it stays where it is, as `args` point into it. */
struct claim {
	/* keys: FIXED_KEYS and one per list; then FIXED_ARGS and two per list */
	struct slice *args;
	size_t keys, count;
	char number[24], most[24], limit[24], now[BROKER_SCORE_SIZE];
	char *dead_line, *killer_line;
	char *steps; /* of the lists, STEP_SIZE each */
};
#define STEP_SIZE 12

static void claim_done(struct claim *c)
{
	free(c->args);
	free(c->steps);
	free(c->dead_line);
	free(c->killer_line);
}

static void claim_add(struct claim *c, const char *arg)
{
	c->args[c->count++] = slice_of(arg);
}

static void claim_make(const struct broker *b, struct broker_list *const *lists, size_t max,
		       struct claim *c)
{
	*c = (struct claim){
		.args = xcalloc(FIXED_KEYS + FIXED_ARGS + 3 * b->list_count, sizeof(*c->args)),
		.keys = FIXED_KEYS + b->list_count,
		.dead_line = broker_dead_line("not a JSON object", ""),
		.killer_line =
			broker_dead_line("taken again and again, and nobody lived to read it", ""),
		.steps = xmalloc(STEP_SIZE * (b->list_count + 1))};
	snprintf(c->number, sizeof(c->number), "%llu", (unsigned long long)b->next_number);
	snprintf(c->most, sizeof(c->most), "%zu", max);
	snprintf(c->limit, sizeof(c->limit), "%lld", (long long)b->redelivery_limit);
	broker_score(c->now);
	claim_add(c, b->unacked);
	claim_add(c, b->unacked_index);
	claim_add(c, b->dead);
	claim_add(c, b->route.places);
	claim_add(c, b->route.counter);
	claim_add(c, b->route.lost);
	for (size_t i = 0; i < b->list_count; i++)
		claim_add(c, lists[i]->key);
	claim_add(c, b->tag_prefix);
	claim_add(c, c->number);
	claim_add(c, c->most);
	claim_add(c, CLAIM_BYTES);
	claim_add(c, c->now);
	claim_add(c, c->dead_line);
	claim_add(c, c->limit);
	claim_add(c, c->killer_line);
	claim_add(c, b->taken_prefix);
	claim_add(c, TAKEN_SECONDS);
	claim_add(c, b->route.place);
	claim_add(c, b->route.left);
	for (size_t i = 0; i < b->list_count; i++) {
		char *step = c->steps + STEP_SIZE * i;

		snprintf(step, STEP_SIZE, "%d", lists[i]->step);
		claim_add(c, lists[i]->queue->ending);
		claim_add(c, step);
	}
}

static int claim_checked(struct broker *b, size_t *max, struct err *err)
{
	if (!redis_is_current(b->claiming))
		return err_set(err, ERR_CLOSED, "another server is used now");
	if (*max > BOUND_CLAIM_BATCH)
		*max = BOUND_CLAIM_BATCH;
	return 0;
}

int redis_broker_claim(struct broker *b, size_t max, struct delivery *ret, size_t *ret_count,
		       struct err *err)
{
	_cleanup_free_ struct broker_list **lists = xcalloc(b->list_count + 1, sizeof(*lists));
	_cleanup_reply_ struct redis_reply *reply = NULL;
	uint64_t first = b->next_number;
	struct claim c;
	int rc;

	*ret_count = 0;
	b->dry = false;
	if (b->list_count == 0)
		return 0; /* every queue was cancelled */
	rc = claim_checked(b, &max, err);
	if (rc < 0)
		return rc;
	ordered_lists(b, lists);
	broker_route_take_place(b);
	claim_make(b, lists, max, &c);
	/* Spent whatever becomes of this claim: a server that made it and could not say so has used
	 * them. */
	b->next_number += max;
	rc = redis_run_script(b->claiming, &b->claim, c.keys, c.args, c.count, &reply, err);
	claim_done(&c);
	if (rc < 0)
		return rc;
	if (redis_reply_int(redis_reply_at(reply, 0)) < 0)
		return broker_route_blocked(b, err);
	return take_deliveries(b, reply, first, max, lists, ret, ret_count, err);
}

int redis_broker_claim_ahead(struct broker *b, size_t max, struct err *err)
{
	struct claim c;
	int rc;

	if (b->list_count == 0 || b->route.presence != NULL)
		return 0;
	rc = claim_checked(b, &max, err);
	if (rc < 0)
		return rc;
	b->ahead_lists = xrealloc(b->ahead_lists, b->list_count * sizeof(*b->ahead_lists));
	ordered_lists(b, b->ahead_lists);
	claim_make(b, b->ahead_lists, max, &c);
	b->ahead_number = b->next_number;
	b->ahead_max = max;
	b->next_number += max;
	rc = redis_send_script(b->claiming, &b->claim, c.keys, c.args, c.count, err);
	claim_done(&c);
	return rc < 0 ? rc : 1;
}

int redis_broker_claim_answer(struct broker *b, struct delivery *ret, size_t *ret_count,
			      struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = redis_receive_script(b->claiming, &reply, err);

	*ret_count = 0;
	b->dry = false;
	if (rc == -ERR_NOTFOUND)
		return 0; /* the next claim loads it */
	if (rc < 0)
		return rc;
	return take_deliveries(b, reply, b->ahead_number, b->ahead_max, b->ahead_lists, ret,
			       ret_count, err);
}

bool redis_broker_is_dry(const struct broker *b)
{
	return b->dry;
}

void redis_broker_received(struct broker *b, const char *mark)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_URL_BYTES);

	if (mark[0] == '\0')
		return;
	redis_command(&commands, "DEL %s%s", b->taken_prefix, mark);
	redis_link_submit(b->link, &commands, 1, REDIS_LINK_KEEP, NULL, NULL);
}
