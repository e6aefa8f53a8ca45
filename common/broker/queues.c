/*
 * The queues that are consumed: taken from the settings, added and cancelled while the worker runs.
 *
 * A queue, once known, is never forgotten: what was taken from it may still have to go back there.
 * The table only grows, so that any thread may read it without a lock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "redis_broker.h"
#include "subscription.h"

#define PURGE_PATIENCE (5 * USEC_PER_SEC)

struct broker_queue *broker_find_queue(const struct broker *b, const char *name)
{
	size_t count = atomic_load_explicit(&b->queue_count, memory_order_acquire);

	for (size_t i = 0; i < count; i++) {
		struct broker_queue *q = b->queues[i];

		if (q->name == name || strcmp(q->name, name) == 0)
			return q;
	}
	return NULL;
}

const struct broker_list *broker_find_list(const struct broker_queue *q, int step)
{
	for (size_t i = 0; i < q->list_count; i++) {
		if (q->lists[i].step == step)
			return &q->lists[i];
	}
	return &q->lists[0];
}

static int make_ending(const char *list, struct broker_queue *q, struct err *err)
{
	_cleanup_json_ json_t *name = json_text(list, strlen(list), false);
	_cleanup_buf_ struct buf ending = BUF_INIT(BOUND_URL_BYTES);

	buf_append_str(&ending, ", \"\", ");
	json_dump_python(name, &ending);
	buf_append_char(&ending, ']');
	return buf_take(&ending, &q->ending, NULL, err);
}

static void free_queue(struct broker_queue *q)
{
	for (size_t i = 0; i < q->list_count; i++) {
		free(q->lists[i].key);
	}
	free(q->name);
	free(q->channels);
	free(q->ending);
	free(q);
}

static bool is_fanout(const struct broker *b, const char *name)
{
	struct queue_binding binding;

	return broker_queue_def(b, name, &binding) && binding.type == EXCHANGE_FANOUT;
}

/* What is heard for a queue on a fanout exchange is kept in a list that is ours alone, so that it
 * is taken, held and put back as all else is. Given. */
static char *list_name(const struct broker *b, const char *name)
{
	return is_fanout(b, name) ? xasprintf("%s%s", b->heard_prefix, name) : xstrdup(name);
}

/* The pattern that kombu subscribes to (Channel._get_subscribe_topic). Given. */
static char *heard_channels(const struct broker *b, const char *name)
{
	_cleanup_buf_ struct buf pattern = BUF_INIT(BOUND_URL_BYTES * 4);
	_cleanup_free_ char *channel = NULL;
	struct queue_binding binding;

	(void)broker_queue_def(b, name, &binding);
	channel = broker_channel(b, binding.exchange, "");
	subscription_escape(channel, &pattern);
	if (b->options.fanout_patterns && binding.routing_key[0] != '\0') {
		buf_append_char(&pattern, '/');
		for (const char *p = binding.routing_key; *p != '\0'; p++)
			buf_append_char(&pattern, *p == '#' ? '*' : *p);
	}
	return xstrdup(pattern.data);
}

static int make_queue(struct broker *b, const char *name, size_t steps, struct broker_queue **ret,
		      struct err *err)
{
	const struct transport_options *o = &b->options;
	_cleanup_free_ char *list_of_queue = NULL;
	size_t count = atomic_load(&b->queue_count);
	struct broker_queue *q;
	int rc;

	if (count >= BOUND_QUEUES)
		return err_set(err, ERR_TOOBIG, "more than %d queues", BOUND_QUEUES);
	if (utf8_has_control(name, strlen(name)))
		return err_set(err, ERR_INVALID, "queue %.100s: its name holds a control character",
			       name);
	list_of_queue = list_name(b, name);
	q = xcalloc(1, sizeof(*q));
	q->name = xstrdup(name);
	if (is_fanout(b, name))
		q->channels = heard_channels(b, name);
	for (size_t s = 0; s < steps; s++) {
		struct broker_list *list = &q->lists[q->list_count++];

		list->step = o->priority_steps[s];
		list->queue = q;
		list->key = s == 0 ? xasprintf("%s%s", o->global_keyprefix, list_of_queue)
				   : xasprintf("%s%s%s%d", o->global_keyprefix, list_of_queue,
					       o->sep, list->step);
	}
	rc = make_ending(list_of_queue, q, err);
	if (rc < 0) {
		free_queue(q);
		return err_wrap(err, "queue name");
	}
	b->queues[count] = q;
	atomic_store_explicit(&b->queue_count, count + 1, memory_order_release);
	*ret = q;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct broker_queue *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

/* The lists of what is consumed now. */
void broker_order_lists(struct broker *b)
{
	size_t count = atomic_load(&b->queue_count);
	_cleanup_free_ struct broker_queue **queues = xcalloc(count + 1, sizeof(*queues));

	free(b->lists);
	b->lists = xcalloc(count * b->options.step_count + 1, sizeof(*b->lists));
	b->list_count = b->inner = b->consumed = b->first_queue = 0;
	for (size_t q = 0; q < count; q++) {
		if (b->queues[q]->inner && !atomic_load(&b->route.draining))
			b->lists[b->inner++] = &b->queues[q]->lists[0];
		else if (atomic_load(&b->queues[q]->consumed))
			queues[b->consumed++] = b->queues[q];
	}
	b->list_count = b->inner;
	if (b->options.queue_order == QUEUE_SORTED)
		qsort(queues, b->consumed, sizeof(struct broker_queue *), by_name);
	for (size_t s = 0; s < b->options.step_count; s++) {
		for (size_t q = 0; q < b->consumed; q++) {
			queues[q]->place = q;
			b->lists[b->list_count++] = &queues[q]->lists[s];
		}
	}
}

int broker_add_inner_queue(struct broker *b, const char *name, struct broker_queue **ret,
			   struct err *err)
{
	int rc = make_queue(b, name, 1, ret, err);

	if (rc < 0)
		return rc;
	(*ret)->inner = true;
	broker_order_lists(b);
	return 0;
}

int broker_add_queue(struct broker *b, const char *name, struct err *err)
{
	struct broker_queue *q = broker_find_queue(b, name);
	int rc;

	if (q != NULL && (q->inner || atomic_load(&q->consumed)))
		return 0;
	if (q == NULL) {
		rc = make_queue(b, name, b->options.step_count, &q, err);
		if (rc < 0)
			return rc;
	}
	atomic_store(&q->consumed, true);
	broker_order_lists(b);
	return 1;
}

bool broker_cancel_queue(struct broker *b, const char *name)
{
	struct broker_queue *q = broker_find_queue(b, name);

	if (q == NULL || q->inner || !atomic_exchange(&q->consumed, false))
		return false;
	broker_order_lists(b);
	return true;
}

size_t broker_queues(const struct broker *b, const char *names[BOUND_QUEUES])
{
	size_t count = atomic_load_explicit(&b->queue_count, memory_order_acquire), n = 0;

	for (size_t i = 0; i < count; i++) {
		if (atomic_load(&b->queues[i]->consumed))
			names[n++] = b->queues[i]->name;
	}
	return n;
}

bool broker_consumes(const struct broker *b, const char *queue)
{
	const struct broker_queue *q = broker_find_queue(b, queue);

	return q != NULL && (q->inner || atomic_load(&q->consumed));
}

const char *broker_next_refused(const struct broker *b, size_t *at)
{
	size_t count = atomic_load_explicit(&b->queue_count, memory_order_acquire);

	while (*at < count) {
		const struct broker_queue *q = b->queues[(*at)++];

		if (atomic_load(&q->refused) && atomic_load(&q->consumed))
			return q->name;
	}
	return NULL;
}

static bool is_excluded(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->worker_exclude_queues.count; i++) {
		if (strcmp(s->worker_exclude_queues.items[i], name) == 0)
			return true;
	}
	return false;
}

/* Adds `name` if it is of the kind that is asked for. */
static int take(struct broker *b, const struct settings *s, const char *name, bool fanout,
		size_t *wanted, struct err *err)
{
	struct queue_binding binding;
	int rc;

	if (is_excluded(s, name))
		return 0;
	if (!broker_queue_def(b, name, &binding) && !s->task_create_missing_queues)
		return err_set(err, ERR_INVALID,
			       "queue %.100s (-Q) is not in CELERY_TASK_QUEUES, and "
			       "CELERY_TASK_CREATE_MISSING_QUEUES is off",
			       name);
	(*wanted)++;
	if (is_fanout(b, name) != fanout)
		return 0;
	rc = broker_add_queue(b, name, err);
	return rc < 0 ? rc : 0;
}

static int take_all(struct broker *b, const struct settings *s, bool fanout, struct err *err)
{
	const struct str_list *named = &s->worker_queues;
	size_t first = named->count > 0 ? b->defs.consumed : 0, wanted = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < named->count; i++)
		rc = take(b, s, named->items[i], fanout, &wanted, err);
	/* … or all that are defined; worker_direct's in any case. */
	for (size_t i = first; rc == 0 && i < b->defs.count; i++)
		rc = take(b, s, b->defs.items[i].name, fanout, &wanted, err);
	if (rc == 0 && wanted == 0)
		rc = err_set(err, ERR_INVALID, "every queue is excluded (-X)");
	return rc;
}

int broker_take_queues(struct broker *b, const struct settings *s, struct err *err)
{
	return take_all(b, s, false, err);
}

int broker_join(struct broker *b, const struct settings *s, const struct presence *p,
		struct err *err)
{
	b->heard_prefix = broker_heard_list(presence_instance(p), presence_node(p), "");
	return take_all(b, s, true, err);
}

void broker_free_queues(struct broker *b)
{
	size_t count = atomic_load(&b->queue_count);

	for (size_t i = 0; i < count; i++) {
		free_queue(b->queues[i]);
	}
	free(b->lists);
	free(b->ahead_lists);
}

int redis_broker_purge(struct broker *b, int64_t *ret_erased, struct err *err)
{
	int64_t erased = 0;

	for (size_t i = 0; i < b->list_count; i++) {
		_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_URL_BYTES * 4);
		_cleanup_reply_ struct redis_reply *count = NULL, *deleted = NULL;
		struct redis_reply *replies[2];
		int rc;

		redis_command(&commands, "LLEN %s", b->lists[i]->key);
		redis_command(&commands, "DEL %s", b->lists[i]->key);
		rc = redis_link_exchange(b->link, &commands, 2, 0, clock_deadline(PURGE_PATIENCE),
					 replies, err);
		if (rc < 0)
			return err_wrap(err, "purge");
		count = replies[0];
		deleted = replies[1];
		erased += redis_reply_int(count);
	}
	*ret_erased = erased;
	return 0;
}
