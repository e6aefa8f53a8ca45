/*
 * From channels into lists. See broadcast.h.
 */
#include "broadcast.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "redis_broker.h"
#include "subscription.h"

#define LIST_TTL "86400" /* seconds; said again with every message */
/* Then the caller is asked whether it is to end, however fast they come. */
#define TAKEN_AT_ONCE 64
#define BIND_AGAIN    (60 * USEC_PER_SEC) /* binding sets get lost */

struct broadcast {
	struct broker *broker;
	struct subscription listening;
	/* By the broker's table of queues. */
	bool heard[BOUND_QUEUES];
	usec_t bind_at; /* monotonic: they are bound again */
};

bool broadcast_wanted(const struct broker *b)
{
	if (b->amqp != NULL)
		return false; /* RabbitMQ puts it into our queue itself */
	for (size_t i = 0; i < b->defs.count; i++) {
		if (b->defs.items[i].type == EXCHANGE_FANOUT)
			return true;
	}
	return false;
}

struct broadcast *broadcast_new(struct broker *b)
{
	struct broadcast *l = xcalloc(1, sizeof(*l));

	l->broker = b;
	return l;
}

static void change_binding(struct broker *b, const char *command, const struct queue_binding *q,
			   const char *list)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_URL_BYTES * 8);
	const struct transport_options *o = &b->options;
	_cleanup_free_ char *member = xasprintf("%s%s%s%s", q->routing_key, o->sep, o->sep, list);

	redis_command(&commands, "%s %s_kombu.binding.%s %s", command, o->global_keyprefix,
		      q->exchange, member);
	redis_command(&commands, "%s %s_kombu.binding_permanent.%s %s", command,
		      o->global_keyprefix, q->exchange, member);
	redis_link_submit(b->link, &commands, 2, REDIS_LINK_KEEP, NULL, NULL);
}

/* Kombu asks the bindings of an exchange that it was not told the type of, as Celery's clients do
 * not tell it of a Broadcast queue, and puts a message into the list of each: in ours it is read.
 */
static void bind_queue(struct broadcast *l, size_t i, const char *command)
{
	struct broker *b = l->broker;
	const char *name = b->queues[i]->name;
	_cleanup_free_ char *list = xasprintf("%s%s", b->heard_prefix, name);
	struct queue_binding q;

	(void)broker_queue_def(b, name, &q);
	change_binding(b, command, &q, list);
}

void broker_forget_heard(struct broker *b, const struct presence *p, const char *owner)
{
	char node[128];
	int64_t epoch;

	if (!presence_owner_parse(owner, node, &epoch) || strcmp(node, presence_node(p)) == 0)
		return;
	for (size_t i = 0; i < b->defs.count; i++) {
		const struct queue_def *d = &b->defs.items[i];
		_cleanup_free_ char *list = broker_heard_list(presence_instance(p), node, d->name);
		struct queue_binding q = {d->exchange, d->routing_key, d->type};

		if (d->type == EXCHANGE_FANOUT)
			change_binding(b, "SREM", &q, list);
	}
}

void broadcast_free(struct broadcast *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < BOUND_QUEUES; i++) {
		if (l->heard[i])
			bind_queue(l, i, "SREM");
	}
	subscription_close(&l->listening);
	free(l);
}

int broadcast_connect(struct broadcast *l, struct err *err)
{
	memset(l->heard, 0, sizeof(l->heard));
	l->bind_at = clock_deadline(BIND_AGAIN);
	return subscription_open(&l->listening, &l->broker->address, "celeriac-broadcast", err);
}

/* The queue that what comes by `pattern` is for. As in kombu one gets it: two queues on the same
 * channel are one listener. */
static const struct broker_queue *find_heard(const struct broadcast *l, struct slice pattern)
{
	const struct broker *b = l->broker;
	size_t count = atomic_load_explicit(&b->queue_count, memory_order_acquire);

	for (size_t i = 0; i < count; i++) {
		const char *channels = b->queues[i]->channels;

		if (l->heard[i] && strlen(channels) == pattern.len &&
		    memcmp(channels, pattern.data, pattern.len) == 0)
			return b->queues[i];
	}
	return NULL;
}

/* Begins or ends to listen for queue `i`; the channel may be another queue's, too. */
static int change(struct broadcast *l, size_t i, bool listen, struct err *err)
{
	const char *channels = l->broker->queues[i]->channels;
	struct slice pattern = {channels, strlen(channels)};
	bool another;

	l->heard[i] = false;
	another = find_heard(l, pattern) != NULL;
	l->heard[i] = listen;
	bind_queue(l, i, listen ? "SADD" : "SREM");
	if (another)
		return 0;
	return listen ? subscription_add(&l->listening, channels, err)
		      : subscription_remove(&l->listening, channels, err);
}

static int follow(struct broadcast *l, struct err *err)
{
	const struct broker *b = l->broker;
	size_t count = atomic_load_explicit(&b->queue_count, memory_order_acquire);

	for (size_t i = 0; i < count; i++) {
		bool consumed = atomic_load(&b->queues[i]->consumed);
		int rc = 0;

		if (b->queues[i]->channels != NULL && consumed != l->heard[i])
			rc = change(l, i, consumed, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void bind_again(struct broadcast *l)
{
	if (clock_mono() < l->bind_at)
		return;
	l->bind_at = clock_deadline(BIND_AGAIN);
	for (size_t i = 0; i < BOUND_QUEUES; i++) {
		if (l->heard[i])
			bind_queue(l, i, "SADD");
	}
}

/* Redis may be away by now on the other connection: it is kept until it is there again. */
static void hand_over(struct broadcast *l, const struct broker_queue *q, struct slice message)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	const char *key = q->lists[0].key;

	if (message.len > BOUND_MESSAGE_BYTES) {
		log_error("a message of %zu bytes for %s is refused: at most %u are read",
			  message.len, q->name, BOUND_MESSAGE_BYTES);
		return;
	}
	redis_command(&commands, "LPUSH %s %b", key, message.data, message.len);
	redis_command(&commands, "EXPIRE %s %s", key, LIST_TTL);
	redis_link_submit(l->broker->link, &commands, 2, REDIS_LINK_KEEP, NULL, NULL);
}

int broadcast_receive(struct broadcast *l, int wake_fd, usec_t deadline, struct err *err)
{
	struct subscription_message m;
	int rc = follow(l, err);

	bind_again(l);
	for (int taken = 0; rc == 0 && taken < TAKEN_AT_ONCE; taken++) {
		const struct broker_queue *q;

		rc = subscription_receive(&l->listening,
					  l->broker->options.connection.health_check_interval,
					  wake_fd, deadline, &m, err);
		if (rc <= 0)
			break;
		q = find_heard(l, m.pattern);
		if (q != NULL)
			hand_over(l, q, m.data);
		redis_reply_free(m.reply);
		rc = 0;
	}
	return rc;
}
