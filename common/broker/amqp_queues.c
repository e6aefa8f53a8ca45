/*
 * amqp_queues.c: queues of tasks in RabbitMQ: made when they are missing, consumed, emptied.
 */
#include "amqp_broker.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

#define PURGE_PATIENCE (10 * USEC_PER_SEC)
#define PAUSE_PATIENCE (2 * USEC_PER_SEC)
#define MOST	       65535	/* unsettled deliveries of a consumer */
#define HEARD_EXPIRES  86400000 /* milliseconds: our copy of what is broadcast */
#define DELIVERY       "celery_delayed_delivery"
#define BITS	       28

/* Names of queues begin with 'q', of exchanges with 'x', of queues that the cascade ends in with
 * 'd'.
 */
struct amqp_known {
	char *name;
	UT_hash_handle hh;
};

static bool is_known(struct amqp_broker *a, char kind, const char *name)
{
	_cleanup_free_ char *key = xasprintf("%c%s", kind, name);
	struct amqp_known *k;

	mutex_lock(&a->lock);
	HASH_FIND_STR(a->known, key, k);
	mutex_unlock(&a->lock);
	return k != NULL;
}

static void know(struct amqp_broker *a, char kind, const char *name)
{
	struct amqp_known *k = xcalloc(1, sizeof(*k)), *there;

	k->name = xasprintf("%c%s", kind, name);
	mutex_lock(&a->lock);
	HASH_FIND_STR(a->known, k->name, there);
	if (there == NULL && HASH_COUNT(a->known) < BOUND_QUEUES)
		HASH_ADD_KEYPTR(hh, a->known, k->name, strlen(k->name), k);
	else
		there = k;
	mutex_unlock(&a->lock);
	if (there == NULL)
		return;
	free(k->name);
	free(k);
}

void amqp_known_forget(struct broker *b)
{
	struct amqp_broker *a = b->amqp;
	struct amqp_known *k, *next;

	mutex_lock(&a->lock);
	HASH_ITER(hh, a->known, k, next)
	{
		HASH_DEL(a->known, k);
		free(k->name);
		free(k);
	}
	mutex_unlock(&a->lock);
}

char *amqp_queue_name(const struct broker *b, const char *queue)
{
	const struct queue_def *def = queue_defs_find(&b->defs, queue);

	return def != NULL && def->type == EXCHANGE_FANOUT
		       ? xasprintf("%s%s", b->amqp->queue_prefix, queue)
		       : xstrdup(queue);
}

bool amqp_queue_is(const struct broker *b, const char *queue, const char *name)
{
	size_t prefix = strlen(b->amqp->queue_prefix);
	const struct queue_def *def;

	if (strcmp(queue, name) != 0 && (strncmp(name, b->amqp->queue_prefix, prefix) != 0 ||
					 strcmp(queue, name + prefix) != 0))
		return false;
	def = queue_defs_find(&b->defs, queue);
	return (def != NULL && def->type == EXCHANGE_FANOUT) == (strcmp(queue, name) != 0);
}

/* What CELERY_TASK_QUEUES says of it; a queue that it does not name is as Celery makes missing
 * ones: on a direct exchange of its own name. */
static int declare(struct broker *b, const char *queue, usec_t deadline, struct err *err)
{
	const struct queue_def *def = queue_defs_find(&b->defs, queue);
	_cleanup_free_ char *name = amqp_queue_name(b, queue);
	_cleanup_json_ json_t *heard = NULL;
	struct amqp_task_queue q = {.name = name,
				    .exchange = def ? def->exchange : queue,
				    .type = exchange_type_name(def ? def->type : EXCHANGE_DIRECT),
				    .routing_key = def ? def->routing_key : queue,
				    .durable = def ? def->durable : true,
				    .exclusive = def && def->exclusive,
				    .auto_delete = def && def->auto_delete,
				    .arguments = def ? def->arguments : b->defs.arguments};
	bool made = false;
	int rc;

	if (def != NULL && def->type == EXCHANGE_FANOUT) {
		heard = json_pack("{s:i}", "x-expires", HEARD_EXPIRES);
		q.arguments = heard;
		q.exclusive = q.auto_delete = false;
	}
	rc = amqp_topology_queue(b->amqp->client, &q, deadline, &made, err);
	if (rc == 0 && made)
		log_debug("queue %s was made", name);
	return rc;
}

int amqp_queue_ensure(struct broker *b, const char *queue, usec_t deadline, struct err *err)
{
	int rc;

	if (is_known(b->amqp, 'q', queue))
		return 0;
	rc = declare(b, queue, deadline, err);
	if (rc == 0)
		know(b->amqp, 'q', queue);
	return rc;
}

int amqp_queue_messages(struct amqp_client *c, const char *name, usec_t deadline, uint32_t *ret,
			struct err *err)
{
	const struct amqp_queue q = {.name = name, .passive = true};
	struct amqp_queue_state state = {0};
	int rc = amqp_client_declare_queue(c, &q, deadline, &state, err);

	*ret = state.messages;
	return rc == -ERR_NOTFOUND ? 0 : rc;
}

/* Full, it drops the oldest, as celeriac:dead does. One that is there is taken as it is. */
static int ensure_dead(struct broker *b, usec_t deadline, struct err *err)
{
	struct amqp_broker *a = b->amqp;
	_cleanup_json_ json_t *arguments = json_object();
	const struct amqp_task_queue q = {.name = AMQP_DEAD_QUEUE,
					  .exchange = "",
					  .type = "direct",
					  .routing_key = AMQP_DEAD_QUEUE,
					  .durable = true,
					  .arguments = arguments};
	int rc = 0;

	if (a->dead_max > 0)
		(void)json_object_set_new(arguments, "x-max-length", json_integer(a->dead_max));
	if (!is_known(a, 'q', AMQP_DEAD_QUEUE)) {
		rc = amqp_topology_queue(a->client, &q, deadline, NULL, err);
		if (rc == 0)
			know(a, 'q', AMQP_DEAD_QUEUE);
	}
	return rc;
}

int amqp_node_queue_ensure(struct broker *b, const char *name, usec_t deadline, struct err *err)
{
	const struct amqp_task_queue q = {.name = name,
					  .exchange = "",
					  .type = "direct",
					  .routing_key = name,
					  .durable = true};
	int rc = 0;

	if (!is_known(b->amqp, 'q', name)) {
		rc = amqp_topology_queue(b->amqp->client, &q, deadline, NULL, err);
		if (rc == 0)
			know(b->amqp, 'q', name);
	}
	return rc;
}

/* Our own queue is not to be consumed while somebody moves it to another: then it is asked for
 * again with the next claim. */
static bool is_wanted(struct broker *b, size_t i)
{
	const struct broker_queue *q = b->queues[i];

	if (!q->inner)
		return atomic_load(&q->consumed);
	return b->amqp->consuming[i] ? !atomic_load(&b->route.draining) : amqp_route_may_consume(b);
}

int amqp_exchange_ensure(struct broker *b, const char *exchange, usec_t deadline, struct err *err)
{
	struct amqp_exchange e = {.name = exchange, .passive = true, .durable = true};
	const char *kind = broker_exchange_kind(b, exchange);
	int rc;

	if (exchange[0] == '\0' || is_known(b->amqp, 'x', exchange))
		return 0;
	e.type = kind[0] != '\0' ? kind : "direct";
	rc = amqp_client_declare_exchange(b->amqp->client, &e, deadline, err);
	if (rc == -ERR_NOTFOUND) {
		e.passive = false;
		rc = amqp_client_declare_exchange(b->amqp->client, &e, deadline, err);
	}
	if (rc == 0)
		know(b->amqp, 'x', exchange);
	return rc;
}

/* *ret_there: it is, as far as we know. */
static int make_ours(struct broker *b, size_t i, usec_t deadline, bool *ret_there, struct err *err)
{
	int rc;

	*ret_there = false;
	if (amqp_is_put_off(b, i))
		return 0;
	rc = amqp_queue_ensure(b, b->queues[i]->name, deadline, err);
	*ret_there = rc == 0;
	return amqp_refuse(b, i, rc, false, err) ? 0 : rc;
}

static int cancel_one(struct broker *b, size_t i, usec_t deadline, struct err *err)
{
	struct amqp_broker *a = b->amqp;
	_cleanup_free_ char *name = amqp_queue_name(b, b->queues[i]->name);
	int rc = amqp_client_cancel(a->client, name, deadline, err);

	if (rc < 0 && rc != -ERR_NOTFOUND)
		return rc;
	a->consuming[i] = false;
	return 0;
}

/* Where every queue is refused the connection is of no use, and the next one tries them all. */
static int declare_ours(struct broker *b, usec_t deadline, struct err *err)
{
	struct amqp_broker *a = b->amqp;
	size_t count = atomic_load(&b->queue_count), wanted = 0, there = 0;
	struct err why = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		bool is_there = false;

		if (b->queues[i]->inner) {
			rc = amqp_node_queue_ensure(b, b->queues[i]->name, deadline, err);
		} else if (atomic_load(&b->queues[i]->consumed)) {
			wanted++;
			rc = make_ours(b, i, deadline, &is_there, &why);
			there += is_there;
			if (rc < 0)
				*err = why;
		} else {
			atomic_store(&b->queues[i]->refused, false);
			a->refused[i] = (struct amqp_refused){0};
			if (a->consuming[i])
				rc = cancel_one(b, i, deadline, err);
		}
	}
	if (rc < 0 || there > 0 || wanted == 0)
		return rc;
	amqp_put_off_none(b);
	if (why.code == 0)
		return err_set(err, ERR_DENIED, "every queue is refused");
	*err = why;
	return -err->code;
}

int amqp_queues_declare(struct broker *b, usec_t deadline, struct err *err)
{
	int rc = declare_ours(b, deadline, err);

	if (rc == 0 && b->link == NULL)
		rc = ensure_dead(b, deadline, err);
	return rc;
}

/* More at once when it grows because much is held for later, so that it does not grow often. */
static uint32_t choose_prefetch(uint32_t now, size_t wanted)
{
	if (wanted <= now && wanted >= now / 2)
		return now;
	if (wanted > now && now > 0)
		wanted += wanted / 8;
	return wanted < MOST ? (uint32_t)wanted : MOST;
}

static int consume_one(struct broker *b, size_t i, uint32_t prefetch, usec_t deadline,
		       struct err *err)
{
	struct amqp_broker *a = b->amqp;
	_cleanup_free_ char *name = amqp_queue_name(b, b->queues[i]->name);
	const struct amqp_consumer consumer = {.queue = name, .prefetch = (uint16_t)prefetch};
	bool there = true;
	int rc = 0;

	if (atomic_load(&b->queues[i]->refused))
		rc = make_ours(b, i, deadline, &there, err);
	if (rc < 0 || !there)
		return rc;
	rc = amqp_client_consume(a->client, &consumer, deadline, err);
	if (rc == 0) {
		a->consuming[i] = true;
		amqp_admit(b, i);
	} else if (rc == -ERR_NOTFOUND) {
		amqp_known_forget(b);
	} else {
		amqp_refuse(b, i, rc, true, err);
	}
	return rc;
}

/* What we hold of our own queue takes nothing from the windows of the others. */
int amqp_queues_consume(struct broker *b, size_t room, usec_t deadline, struct err *err)
{
	struct amqp_broker *a = b->amqp;
	size_t count = atomic_load(&b->queue_count), own = atomic_load(&a->own_held),
	       held = atomic_load(&a->held_count);
	const uint32_t prefetch =
			       choose_prefetch(a->prefetch, (held > own ? held - own : 0) + room),
		       inner = choose_prefetch(a->own_prefetch, own + room);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		bool same =
			b->queues[i]->inner ? inner == a->own_prefetch : prefetch == a->prefetch;

		if ((!a->consuming[i] || !same) && is_wanted(b, i))
			rc = consume_one(b, i, b->queues[i]->inner ? inner : prefetch, deadline,
					 err);
	}
	if (rc == 0) {
		a->prefetch = prefetch;
		a->own_prefetch = inner;
	}
	return rc;
}

void amqp_queues_pause(struct broker *b)
{
	struct amqp_broker *a = b->amqp;
	size_t count = atomic_load(&b->queue_count);

	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *name = NULL;
		struct err err = {0};

		if (b->queues[i]->inner || !a->consuming[i])
			continue;
		name = amqp_queue_name(b, b->queues[i]->name);
		if (amqp_client_cancel(a->client, name, clock_deadline(PAUSE_PATIENCE), &err) < 0)
			log_debug("queue %s: %s", name, err.msg);
		a->consuming[i] = false;
	}
}

void amqp_broker_full(struct broker *b)
{
	if (atomic_load(&b->amqp->own_held) > 0)
		amqp_queues_pause(b);
}

void amqp_broker_end(struct broker *b)
{
	amqp_queues_pause(b);
	amqp_pending_drop(b, true);
	amqp_client_return(b->amqp->client, NULL);
}

/* ---- messages that are held back ---- */

/* Celery's worker makes the cascade of quorum queues; one that is there of others will do. */
static int make_cascade(struct amqp_broker *a, usec_t deadline, struct err *err)
{
	int rc;

	if (a->cascade)
		return 0;
	rc = amqp_topology_delay(a->client, "quorum", deadline, err);
	if (rc == -ERR_CONFLICT)
		rc = amqp_topology_delay(a->client, "classic", deadline, err);
	a->cascade = rc == 0;
	return rc;
}

/* The queue itself is bound to where the cascade ends, whatever its exchange is: a word for each
 * bit, then its name. */
int amqp_queue_delays(struct broker *b, const char *queue, usec_t deadline, struct err *err)
{
	struct amqp_broker *a = b->amqp;
	_cleanup_buf_ struct buf key = BUF_INIT(BOUND_URL_BYTES);
	_cleanup_free_ char *name = NULL;
	struct amqp_binding binding = {.exchange = DELIVERY};
	int rc = make_cascade(a, deadline, err);

	if (rc < 0 || is_known(a, 'd', queue))
		return rc;
	name = amqp_queue_name(b, queue);
	for (int bit = 0; bit < BITS; bit++)
		buf_append_str(&key, "*.");
	buf_append_str(&key, name);
	rc = buf_status(&key, err);
	if (rc == 0) {
		binding.routing_key = key.data;
		binding.to = name;
		rc = amqp_client_bind(a->client, &binding, deadline, err);
	}
	if (rc == 0)
		know(a, 'd', queue);
	return rc;
}

int amqp_broker_purge(struct broker *b, int64_t *ret_erased, struct err *err)
{
	size_t count = atomic_load(&b->queue_count);
	usec_t deadline = clock_deadline(PURGE_PATIENCE);

	*ret_erased = 0;
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *name = amqp_queue_name(b, b->queues[i]->name);
		uint32_t messages = 0;
		int rc;

		if (!atomic_load(&b->queues[i]->consumed))
			continue;
		rc = amqp_client_purge(b->amqp->client, name, deadline, &messages, err);
		if (rc < 0 && rc != -ERR_NOTFOUND)
			return err_wrap(err, "purge");
		*ret_erased += messages;
	}
	return 0;
}
