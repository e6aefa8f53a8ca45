/*
 * client.c: include/amqp.h as a program, for tests against a real server: one request a line of
 * stdin, {"do": …}, one answer a line of stdout. Calls wait `seconds`, 30 unless said.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp.h"
#include "clock.h"
#include "common/broker/amqp_topology.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

#define TAKE_MOST 64

static struct amqp_client *client;
static struct mutex lock;
static struct cond changed;
/* guarded by lock */
static json_t *events;
static json_t *failures; /* of what was submitted */
static size_t submitted, finished;

/* ---- what the owner thread tells ---- */

static void add_event(json_t *event)
{
	mutex_lock(&lock);
	(void)json_array_append_new(events, event);
	mutex_unlock(&lock);
}

static void on_up(void *arg, uint64_t generation)
{
	(void)arg;
	add_event(json_pack("[s, I]", "up", (json_int_t)generation));
}

static void on_lost(void *arg, const struct err *err)
{
	(void)arg;
	add_event(json_pack("[s, s]", "lost", err->msg));
}

static void on_cancelled(void *arg, const char *queue, const char *why)
{
	(void)arg;
	add_event(json_pack("[s, s, s]", "cancelled", queue, why));
}

static void on_blocked(void *arg, bool blocked, const char *why)
{
	(void)arg;
	add_event(json_pack("[s, b, s]", "blocked", blocked, why));
}

static json_t *error_of(const struct err *err)
{
	return json_pack("[s, s, b]", err_code_text(err->code), err->msg, err_is_transient(err));
}

static void on_done(void *arg, const struct err *err)
{
	(void)arg;
	mutex_lock(&lock);
	finished++;
	if (err)
		(void)json_array_append_new(failures, error_of(err));
	cond_broadcast(&changed);
	mutex_unlock(&lock);
}

/* ---- requests ---- */

static usec_t deadline_of(const json_t *q)
{
	json_t *seconds = json_member(q, "seconds");

	return clock_deadline(
		(usec_t)((seconds ? json_number_value(seconds) : 30) * (double)USEC_PER_SEC));
}

static const char *text_of(const json_t *q, const char *name)
{
	const char *text = json_member_str(q, name);

	return text ? text : "";
}

static bool flag_of(const json_t *q, const char *name)
{
	return json_is_true(json_member(q, name));
}

static int do_declare(const json_t *q, json_t **ret, struct err *err)
{
	const struct amqp_queue queue = {
		.name = text_of(q, "queue"),
		.passive = flag_of(q, "passive"),
		.durable = flag_of(q, "durable"),
		.exclusive = flag_of(q, "exclusive"),
		.auto_delete = flag_of(q, "auto_delete"),
		.arguments = json_member(q, "arguments"),
	};
	struct amqp_queue_state state;
	int rc = amqp_client_declare_queue(client, &queue, deadline_of(q), &state, err);

	if (rc == 0)
		*ret = json_pack("[s, i, i]", state.name, (int)state.messages,
				 (int)state.consumers);
	return rc;
}

static int do_exchange(const json_t *q, json_t **ret, struct err *err)
{
	const struct amqp_exchange exchange = {
		.name = text_of(q, "exchange"),
		.type = text_of(q, "type"),
		.passive = flag_of(q, "passive"),
		.durable = flag_of(q, "durable"),
		.auto_delete = flag_of(q, "auto_delete"),
		.arguments = json_member(q, "arguments"),
	};

	(void)ret;
	return amqp_client_declare_exchange(client, &exchange, deadline_of(q), err);
}

static int do_bind(const json_t *q, json_t **ret, struct err *err)
{
	const struct amqp_binding binding = {
		.exchange = text_of(q, "exchange"),
		.routing_key = text_of(q, "key"),
		.to = text_of(q, "to"),
		.to_exchange = flag_of(q, "to_exchange"),
		.arguments = json_member(q, "arguments"),
	};

	(void)ret;
	return flag_of(q, "off") ? amqp_client_unbind(client, &binding, deadline_of(q), err)
				 : amqp_client_bind(client, &binding, deadline_of(q), err);
}

static int do_delete(const json_t *q, json_t **ret, struct err *err)
{
	uint32_t messages = 0;
	int rc = json_member(q, "exchange")
			 ? amqp_client_delete_exchange(client, text_of(q, "exchange"),
						       deadline_of(q), err)
			 : amqp_client_delete_queue(client, text_of(q, "queue"),
						    flag_of(q, "if_unused"), flag_of(q, "if_empty"),
						    deadline_of(q), &messages, err);

	if (rc == 0)
		*ret = json_integer(messages);
	return rc;
}

static int do_purge(const json_t *q, json_t **ret, struct err *err)
{
	uint32_t messages;
	int rc = amqp_client_purge(client, text_of(q, "queue"), deadline_of(q), &messages, err);

	if (rc == 0)
		*ret = json_integer(messages);
	return rc;
}

static int do_consume(const json_t *q, json_t **ret, struct err *err)
{
	const struct amqp_consumer consumer = {
		.queue = text_of(q, "queue"),
		.prefetch = (uint16_t)json_integer_value(json_member(q, "prefetch")),
		.no_ack = flag_of(q, "no_ack"),
		.exclusive = flag_of(q, "exclusive"),
		.arguments = json_member(q, "arguments"),
	};

	(void)ret;
	return amqp_client_consume(client, &consumer, deadline_of(q), err);
}

static int do_cancel(const json_t *q, json_t **ret, struct err *err)
{
	(void)ret;
	return amqp_client_cancel(client, text_of(q, "queue"), deadline_of(q), err);
}

/* ---- deliveries ---- */

static json_t *show(struct amqp_delivery *d)
{
	static const char *const names[AMQP_TEXTS] = {
		"content_type", "content_encoding", "correlation_id",
		"reply_to",	"expiration",	    "message_id",
		"type",		"user_id",	    "app_id"};
	json_t *ret = json_pack("{s:[I, I], s:s, s:s, s:s, s:b, s:o, s:i, s:i}", "ref",
				(json_int_t)d->ref.generation, (json_int_t)d->ref.tag, "queue",
				d->queue, "exchange", d->exchange, "key", d->routing_key,
				"redelivered", d->redelivered, "body",
				json_text(d->body, d->len < 256 ? d->len : 256, false), "length",
				(int)d->len, "delivery_mode", d->properties.delivery_mode);

	for (int i = 0; i < AMQP_TEXTS; i++)
		if (d->properties.text[i])
			(void)json_object_set_new(ret, names[i],
						  json_string(d->properties.text[i]));
	if (d->properties.headers)
		(void)json_object_set(ret, "headers", d->properties.headers);
	if (d->properties.has_priority)
		(void)json_object_set_new(ret, "priority", json_integer(d->properties.priority));
	if (d->fault)
		(void)json_object_set_new(ret, "fault", error_of(d->fault));
	return ret;
}

/* Waits for `count`; what is there when the time is over. */
static int do_take(const json_t *q, json_t **ret, struct err *err)
{
	size_t wanted = (size_t)json_integer_value(json_member(q, "count"));
	usec_t deadline = deadline_of(q);
	json_t *list = json_array();

	(void)err;
	while (json_array_size(list) < wanted) {
		struct amqp_delivery d[TAKE_MOST];
		struct pollfd fd = {.fd = amqp_client_fd(client), .events = POLLIN};
		size_t left = wanted - json_array_size(list);
		size_t n = amqp_client_take(client, d, left < TAKE_MOST ? left : TAKE_MOST);

		for (size_t i = 0; i < n; i++) {
			(void)json_array_append_new(list, show(&d[i]));
			amqp_delivery_done(&d[i]);
		}
		if (n == 0 && poll(&fd, 1, clock_left_ms(deadline)) <= 0)
			break;
	}
	*ret = list;
	return 0;
}

/* ---- publishing and settling ---- */

static void read_properties(const json_t *q, struct amqp_properties *p)
{
	static const struct {
		const char *name;
		enum amqp_text i;
	} names[] = {{"content_type", AMQP_CONTENT_TYPE},
		     {"correlation_id", AMQP_CORRELATION_ID},
		     {"reply_to", AMQP_REPLY_TO},
		     {"expiration", AMQP_EXPIRATION}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (json_member_str(q, names[i].name))
			p->text[names[i].i] = xstrdup(json_member_str(q, names[i].name));
	p->headers = json_incref(json_member(q, "headers"));
	p->has_priority = json_member(q, "priority") != NULL;
	p->priority = (uint8_t)json_integer_value(json_member(q, "priority"));
	p->delivery_mode = 2;
}

static void add_settles(const json_t *q, struct amqp_batch *b)
{
	static const char *const hows[] = {"ack", "reject", "requeue"};
	size_t i;
	json_t *ref;

	json_array_foreach(json_member(q, "settle"), i, ref)
	{
		struct amqp_ref r = {
			.generation = (uint64_t)json_integer_value(json_array_get(ref, 0)),
			.tag = (uint64_t)json_integer_value(json_array_get(ref, 1)),
		};

		for (size_t how = 0; how < ARRAY_LEN(hows); how++)
			if (strcmp(text_of(q, "how"), hows[how]) == 0)
				amqp_batch_settle(b, r, (enum amqp_settle)how);
	}
}

/* `count` messages with bodies "0", "1", … or `body`, padded to `size`. */
static int add_messages(const json_t *q, struct amqp_batch *b, struct err *err)
{
	json_int_t count = json_integer_value(json_member(q, "count"));
	size_t size = (size_t)json_integer_value(json_member(q, "size"));
	struct amqp_properties p = {0};
	int rc = 0;

	read_properties(q, &p);
	for (json_int_t i = 0; rc == 0 && i < count; i++) {
		_cleanup_free_ char *text = xasprintf("%lld", (long long)i);
		const char *said = json_member_str(q, "body") ? text_of(q, "body") : text;
		size_t len = strlen(said) > size ? strlen(said) : size;
		_cleanup_free_ char *body = xcalloc(1, len + 1);
		struct amqp_publish publish = {
			.exchange = text_of(q, "exchange"),
			.routing_key = text_of(q, "key"),
			.mandatory = flag_of(q, "mandatory"),
			.properties = &p,
			.body = body,
			.len = len,
		};

		memset(body, '.', len);
		memcpy(body, said, strlen(said));
		rc = amqp_batch_publish(b, &publish, err);
	}
	amqp_properties_done(&p);
	return rc;
}

static int do_perform(const json_t *q, json_t **ret, struct err *err)
{
	struct amqp_batch *b = amqp_batch_new();
	int rc = add_messages(q, b, err);

	(void)ret;
	if (rc < 0) {
		amqp_batch_free(b);
		return rc;
	}
	add_settles(q, b);
	return amqp_client_perform(client, b, flag_of(q, "keep") ? AMQP_KEEP : 0, deadline_of(q),
				   err);
}

/* `batches` of them, each by itself; does not wait. */
static int do_submit(const json_t *q, json_t **ret, struct err *err)
{
	json_int_t batches =
		json_member(q, "batches") ? json_integer_value(json_member(q, "batches")) : 1;

	(void)ret;
	for (json_int_t i = 0; i < batches; i++) {
		struct amqp_batch *b = amqp_batch_new();
		int rc = add_messages(q, b, err);

		if (rc < 0) {
			amqp_batch_free(b);
			return rc;
		}
		add_settles(q, b);
		mutex_lock(&lock);
		submitted++;
		mutex_unlock(&lock);
		amqp_client_submit(client, b, flag_of(q, "keep") ? AMQP_KEEP : 0, on_done, NULL);
	}
	return 0;
}

/* How many are finished of what was submitted, and how those failed that did, since the last time.
 */
static int do_finished(const json_t *q, json_t **ret, struct err *err)
{
	usec_t deadline = deadline_of(q);

	mutex_lock(&lock);
	while (finished < submitted)
		if (!cond_wait_until(&changed, &lock, deadline))
			break;
	if (finished < submitted && !flag_of(q, "partly")) {
		(void)err_set(err, ERR_TIMEOUT, "%zu of %zu are finished", finished, submitted);
		mutex_unlock(&lock);
		return -ERR_TIMEOUT;
	}
	*ret = json_pack("[i, o]", (int)finished, failures);
	failures = json_array();
	submitted -= finished;
	finished = 0;
	mutex_unlock(&lock);
	return 0;
}

/* Takes `count` deliveries, answers each to `key` with its body as correlation id, and acknowledges
 * it when the answer is confirmed; what comes twice is answered twice. Ends when `count` different
 * bodies, which are numbers, were settled. */
struct job {
	struct job *next;
	int number;
};
static unsigned char *settled;
static size_t settled_count;

static void on_job(void *arg, const struct err *err)
{
	struct job *job = arg;

	mutex_lock(&lock);
	if (!err && !settled[job->number]) {
		settled[job->number] = 1;
		settled_count++;
	}
	cond_broadcast(&changed);
	mutex_unlock(&lock);
	free(job);
}

static void answer(struct amqp_delivery *d, const char *key, size_t count)
{
	struct amqp_batch *b = amqp_batch_new();
	struct job *job = xcalloc(1, sizeof(*job));
	struct amqp_properties p = {.delivery_mode = 2};
	struct amqp_publish publish = {
		.exchange = "",
		.routing_key = key,
		.properties = &p,
		.body = d->body,
		.len = d->len,
	};
	struct err err;

	job->number = atoi(d->body);
	if (job->number < 0 || (size_t)job->number >= count ||
	    amqp_batch_publish(b, &publish, &err) < 0)
		BUG("a body that is no number");
	amqp_batch_settle(b, d->ref, AMQP_ACK);
	amqp_client_submit(client, b, AMQP_KEEP, on_job, job);
}

static int do_work(const json_t *q, json_t **ret, struct err *err)
{
	size_t count = (size_t)json_integer_value(json_member(q, "count")), taken = 0, done = 0;
	usec_t deadline = deadline_of(q);

	settled = xcalloc(count, 1);
	settled_count = 0;
	while (done < count) {
		struct amqp_delivery d[TAKE_MOST];
		struct pollfd fd = {.fd = amqp_client_fd(client), .events = POLLIN};
		size_t n = amqp_client_take(client, d, TAKE_MOST);

		for (size_t i = 0; i < n; i++) {
			answer(&d[i], text_of(q, "key"), count);
			amqp_delivery_done(&d[i]);
		}
		taken += n;
		if (n == 0)
			(void)poll(&fd, 1, 100);
		mutex_lock(&lock);
		done = settled_count;
		mutex_unlock(&lock);
		if (clock_mono() > deadline)
			return err_set(err, ERR_TIMEOUT, "%zu of %zu are settled", done, count);
	}
	*ret = json_pack("[i, i]", (int)done, (int)taken);
	return 0;
}

/* ---- what a worker declares ---- */

static struct amqp_task_queue task_queue(const json_t *q)
{
	return (struct amqp_task_queue){
		.name = text_of(q, "queue"),
		.exchange = text_of(q, "exchange"),
		.type = text_of(q, "type"),
		.routing_key = text_of(q, "key"),
		.durable = !flag_of(q, "transient"),
		.arguments = json_member(q, "arguments"),
	};
}

static int do_task_queue(const json_t *q, json_t **ret, struct err *err)
{
	const struct amqp_task_queue queue = task_queue(q);
	bool made;
	int rc = amqp_topology_queue(client, &queue, deadline_of(q), &made, err);

	if (rc == 0)
		*ret = json_boolean(made);
	return rc;
}

static int do_mailbox(const json_t *q, json_t **ret, struct err *err)
{
	const struct amqp_mailbox mailbox = {.exchange = text_of(q, "exchange"),
					     .queue = text_of(q, "queue"),
					     .exclusive = true,
					     .ttl = 300000,
					     .expires = 10000};
	struct amqp_queue_state queue;
	int rc = amqp_topology_mailbox(client, &mailbox, deadline_of(q), &queue, err);

	if (rc == 0)
		*ret = json_string(queue.name);
	return rc;
}

static int do_delay(const json_t *q, json_t **ret, struct err *err)
{
	const struct amqp_task_queue queue = task_queue(q);
	bool bound = false;
	int rc = queue.name[0] != '\0'
			 ? amqp_topology_delay_queue(client, &queue, deadline_of(q), &bound, err)
			 : amqp_topology_delay(client, text_of(q, "type"), deadline_of(q), err);

	if (rc == 0)
		*ret = json_boolean(bound);
	return rc;
}

static int do_delay_key(const json_t *q, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf key = BUF_INIT(1024);
	int rc = amqp_delay_key(json_integer_value(json_member(q, "count")), text_of(q, "key"),
				&key, err);

	if (rc == 0)
		*ret = json_string(key.data);
	return rc;
}

/* ---- the rest ---- */

static int do_events(const json_t *q, json_t **ret, struct err *err)
{
	(void)q;
	(void)err;
	mutex_lock(&lock);
	*ret = TAKE(events);
	events = json_array();
	mutex_unlock(&lock);
	return 0;
}

static int do_status(const json_t *q, json_t **ret, struct err *err)
{
	struct amqp_counts n;
	struct amqp_peer peer;
	struct err trouble = {0};

	(void)q;
	(void)err;
	amqp_client_counts(client, &n);
	amqp_client_peer(client, &peer);
	(void)amqp_client_trouble(client, &trouble);
	*ret = json_pack("{s:s, s:b, s:b, s:s, s:[i, i, i], s:I, s:I, s:I, s:I, s:I}", "trouble",
			 trouble.msg, "up", amqp_client_up(client), "blocked",
			 amqp_client_blocked(client), "product", peer.product, "version",
			 peer.version[0], peer.version[1], peer.version[2], "oversize",
			 (json_int_t)n.oversize, "given_back", (json_int_t)n.given_back, "stale",
			 (json_int_t)n.stale, "unroutable", (json_int_t)n.unroutable, "reconnects",
			 (json_int_t)n.reconnects);
	return 0;
}

static int do_interrupt(const json_t *q, json_t **ret, struct err *err)
{
	(void)q;
	(void)ret;
	(void)err;
	amqp_client_interrupt(client);
	return 0;
}

static const struct request {
	const char *name;
	int (*fn)(const json_t *q, json_t **ret, struct err *err);
} requests[] = {
	{"declare", do_declare},       {"exchange", do_exchange}, {"bind", do_bind},
	{"delete", do_delete},	       {"purge", do_purge},	  {"consume", do_consume},
	{"cancel", do_cancel},	       {"take", do_take},	  {"perform", do_perform},
	{"submit", do_submit},	       {"finished", do_finished}, {"work", do_work},
	{"task_queue", do_task_queue}, {"mailbox", do_mailbox},	  {"delay", do_delay},
	{"delay_key", do_delay_key},   {"events", do_events},	  {"status", do_status},
	{"interrupt", do_interrupt},
};

static void answer_line(const char *line, size_t len)
{
	_cleanup_json_ json_t *q = NULL, *value = NULL, *reply = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(64u << 20);
	struct err err;
	int rc = json_load_python(line, len, &q, &err);

	for (size_t i = 0; rc == 0 && i <= ARRAY_LEN(requests); i++) {
		if (i == ARRAY_LEN(requests)) {
			rc = err_set(&err, ERR_INVALID, "no request %s", text_of(q, "do"));
		} else if (strcmp(text_of(q, "do"), requests[i].name) == 0) {
			rc = requests[i].fn(q, &value, &err);
			break;
		}
	}
	reply = rc < 0 ? json_pack("{s:o}", "error", error_of(&err))
		       : json_pack("{s:O?}", "ok", value);
	json_dump_python(reply, &out);
	(void)printf("%s\n", out.data);
	(void)fflush(stdout);
}

static int start(const char *url, int heartbeat, struct err *err)
{
	static const struct amqp_events told = {
		.up = on_up, .lost = on_lost, .cancelled = on_cancelled, .blocked = on_blocked};
	const struct amqp_tuning tuning = {.heartbeat = heartbeat};
	struct amqp_address *address;
	int rc = amqp_address_parse(url, &tuning, &address, err);

	if (rc < 0)
		return rc;
	rc = amqp_client_new(address, "test", &told, &client, err);
	amqp_address_unref(address);
	return rc;
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	struct err err;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: %s URL [HEARTBEAT]\n", argv[0]);
		return 2;
	}
	mutex_init(&lock);
	cond_init(&changed);
	events = json_array();
	failures = json_array();
	if (start(argv[1], argc > 2 ? atoi(argv[2]) : 0, &err) < 0) {
		(void)printf("%s\n", err.msg);
		return 1;
	}
	while ((len = getline(&line, &size, stdin)) > 0)
		answer_line(line, (size_t)len);
	free(line);
	amqp_client_free(client, clock_deadline(10 * USEC_PER_SEC));
	json_decref(events);
	json_decref(failures);
	free(settled);
	return 0;
}
