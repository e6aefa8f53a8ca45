/*
 * rpc.c: results as messages to who sent the task (rpc://): to the queue that its reply_to names,
 * on the broker: on Redis a list, on RabbitMQ by the anonymous exchange. Nobody else can read them,
 * so chords cannot be: neither counted nor looked for.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_message.h"
#include "bounds.h"
#include "codec.h"
#include "driver.h"
#include "json.h"
#include "mem.h"
#include "redis.h"
#include "reply.h"

struct rpc {
	bool persistent;
	/* the broker's: one of them */
	struct redis_link *link;
	struct amqp_client *amqp;
	char *key_prefix; /* of lists */
};

static int check_rpc(const struct backend *b, unused_arg const struct settings *s, struct err *err)
{
	if (b->compression != NULL)
		return err_set(err, ERR_INVALID,
			       "result_compression: results of rpc:// are not compressed");
	return 0;
}

static int open_rpc(struct backend *b, const struct settings *s, const struct backend_links *links,
		    struct err *err)
{
	struct rpc *r;

	if (links->broker == NULL && links->amqp == NULL)
		return err_set(err, ERR_UNSUPPORTED,
			       "result_backend: rpc needs one broker, without broker_write_url");
	b->own = r = xcalloc(1, sizeof(*r));
	r->persistent = s->result_persistent;
	r->amqp = links->amqp;
	r->link = links->broker_link;
	r->key_prefix = xstrdup(links->broker != NULL ? links->broker->key_prefix : "");
	return 0;
}

static void close_rpc(struct backend *b, unused_arg usec_t deadline)
{
	struct rpc *r = b->own;

	if (r == NULL)
		return;
	free(r->key_prefix);
	free(r);
}

static bool rpc_ready(const struct backend *b)
{
	const struct rpc *r = b->own;

	return r->amqp != NULL ? amqp_client_up(r->amqp) : redis_link_up(r->link);
}

/* Clients name their queue by a UUID. Another list may be somebody's queue of tasks. */
static bool is_uuid(const char *name)
{
	if (strlen(name) != UUID_SIZE - 1)
		return false;
	for (size_t i = 0; name[i] != '\0'; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? name[i] != '-' : !isxdigit((unsigned char)name[i]))
			return false;
	}
	return true;
}

/* Without a key when nobody asked. */
static int encode_reply(const struct backend *b, const struct task_meta *m,
			struct backend_write *ret, struct err *err)
{
	const struct rpc *r = b->own;
	_cleanup_json_ json_t *meta = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_MESSAGE_BYTES);
	int rc;

	if (m->reply_to == NULL || m->reply_to[0] == '\0') {
		*ret = (struct backend_write){0};
		return 0;
	}
	meta = backend_meta(b, m);
	rc = reply_encode(b->serializer, meta, r->persistent, m->reply_to,
			  m->correlation_id ? m->correlation_id : m->task_id, &out, err);
	if (rc == 0)
		rc = buf_take(&out, &ret->value, &ret->len, err);
	if (rc < 0)
		return rc;
	ret->key = xasprintf("%s%s", r->key_prefix, m->reply_to);
	ret->ttl = is_uuid(m->reply_to) ? b->ttl : 0;
	return 0;
}

struct sending {
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

static void sent(void *arg, struct redis_reply *const *replies, size_t count, const struct err *err)
{
	struct sending *sending = arg;
	struct err failed = {0};

	if (count > 0 && redis_reply_type(replies[0]) == REDIS_ERROR) {
		struct slice text = redis_reply_str(replies[0]);

		err_set(&failed, ERR_FAILED, "Redis: %.*s", (int)text.len, text.data);
		err = &failed;
	}
	if (sending->done != NULL)
		sending->done(sending->arg, err);
	free(sending);
}

/* What nobody takes is gone with result_expires. */
static void push(struct rpc *r, struct backend_write *w, struct sending *sending)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	size_t count = 1;

	redis_command(&commands, "LPUSH %s %b", w->key, w->value, w->len);
	if (w->ttl > 0) {
		redis_command(&commands, "EXPIRE %s %lld", w->key, (long long)w->ttl);
		count++;
	}
	redis_link_submit(r->link, &commands, count, REDIS_LINK_KEEP, sent, sending);
}

static void confirmed(void *arg, const struct err *err)
{
	sent(arg, NULL, 0, err);
}

static int fill_batch(struct amqp_batch *batch, const struct backend_write *w, struct err *err)
{
	_cleanup_(amqp_properties_done) struct amqp_properties properties = {0};
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_MESSAGE_BYTES);
	struct amqp_publish p = {.exchange = "", .routing_key = w->key, .properties = &properties};
	int rc = amqp_envelope_to_publish(w->value, w->len, &properties, &body, err);

	if (rc < 0)
		return rc;
	p.body = body.data;
	p.len = body.len;
	return amqp_batch_publish(batch, &p, err);
}

/* The queue of a client that is gone is gone as well: then the server drops it, and confirms. */
static void publish(struct rpc *r, const struct backend_write *w, struct sending *sending)
{
	struct amqp_batch *batch = amqp_batch_new();
	struct err err = {0};

	if (fill_batch(batch, w, &err) < 0) {
		amqp_batch_free(batch);
		err.code = ERR_FAILED;
		confirmed(sending, &err);
		return;
	}
	amqp_client_submit(r->amqp, batch, AMQP_KEEP, confirmed, sending);
}

/* Every state is a message. */
static void send_reply(struct backend *b, unused_arg enum backend_store_when when,
		       struct backend_write *w, void (*done)(void *arg, const struct err *err),
		       void *arg)
{
	struct rpc *r = b->own;
	struct sending *sending;

	if (w->key == NULL) {
		if (done != NULL)
			done(arg, NULL);
		return;
	}
	sending = xcalloc(1, sizeof(*sending));
	*sending = (struct sending){done, arg};
	if (r->amqp != NULL)
		publish(r, w, sending);
	else
		push(r, w, sending);
	backend_write_done(w);
}

static int get_nothing(unused_arg struct backend *b, unused_arg const char *const *task_ids,
		       unused_arg size_t count, unused_arg usec_t deadline, unused_arg json_t **ret,
		       struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "results of rpc:// can be read by their client alone");
}

static const char *const g_schemes[] = {"rpc:", NULL};

const struct backend_driver backend_rpc = {
	.kind = BACKEND_RPC,
	.schemes = g_schemes,
	.check = check_rpc,
	.open = open_rpc,
	.close = close_rpc,
	.ready = rpc_ready,
	.encode = encode_reply,
	.store = send_reply,
	.get_many = get_nothing,
};
