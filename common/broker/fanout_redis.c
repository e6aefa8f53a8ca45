/*
 * Fanout on Redis: PSUBSCRIBE and PUBLISH of channels "/<db>.<exchange>[/<routing key>]", and the
 * binding sets that tell kombu which queues there are.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanout_driver.h"
#include "mem.h"
#include "redis_broker.h"
#include "subscription.h"

extern const char script_fanout_reply[];

#define REPLY_TTL_MS "60000" /* whoever asks waits for seconds, and takes replies as they come */

struct redis_fanout {
	struct redis_address address;
	struct transport_options options;
	char *prefix; /* of channels */
	struct redis_link *link;
	struct redis_link *writing; /* of events, when they go to another server; or NULL */
	struct redis_script reply;
	atomic_size_t backlog;

	struct subscription listening; /* the control thread's */
};

static int open_redis(struct fanout *front, const struct settings *s,
		      const struct fanout_place *place, struct err *err)
{
	struct redis_fanout *f = front->own = xcalloc(1, sizeof(*f));
	int rc = transport_options_read(s, TRANSPORT_BROKER, &f->options, NULL, err);

	if (rc == 0 && place->redis != NULL)
		redis_address_copy(place->redis, &f->address);
	else if (rc == 0)
		rc = redis_address_parse_tuned(s->broker_url, &f->options.connection, &f->address,
					       err);
	if (rc == 0) {
		f->prefix = transport_fanout_prefix(&f->options, f->address.first->db);
		rc = redis_link_new(&f->address, "celeriac-fanout", &f->link, err);
	}
	if (rc == 0 && place->write != NULL && !redis_address_equal(place->write, &f->address))
		rc = redis_link_new(place->write, "celeriac-events", &f->writing, err);
	if (rc < 0)
		return rc;
	redis_script_init(&f->reply, script_fanout_reply);
	redis_link_add_script(f->link, &f->reply);
	return 0;
}

static void close_redis(struct fanout *front, usec_t deadline)
{
	struct redis_fanout *f = front->own;

	if (f == NULL)
		return;
	if (f->writing != NULL)
		redis_link_free(f->writing, deadline);
	if (f->link != NULL)
		redis_link_free(f->link, deadline);
	subscription_close(&f->listening);
	transport_options_done(&f->options);
	redis_address_done(&f->address);
	free(f->prefix);
	free(f);
}

/* Given. */
static char *channel_of(const struct redis_fanout *f, const char *exchange, const char *routing_key)
{
	const struct transport_options *o = &f->options;
	bool keyed = o->fanout_patterns && routing_key[0] != '\0';

	return xasprintf("%s%s%s%s%s", o->global_keyprefix, f->prefix, exchange, keyed ? "/" : "",
			 keyed ? routing_key : "");
}

static void published(void *arg, unused_arg struct redis_reply *const *replies,
		      unused_arg size_t count, unused_arg const struct err *err)
{
	struct redis_fanout *f = arg;

	atomic_fetch_sub(&f->backlog, 1);
}

static size_t backlog_of(const struct fanout *front)
{
	const struct redis_fanout *f = front->own;

	return atomic_load(&f->backlog);
}

static bool is_up(const struct fanout *front)
{
	const struct redis_fanout *f = front->own;

	return redis_link_up(f->writing ? f->writing : f->link);
}

static void publish(struct fanout *front, const char *exchange, const char *routing_key,
		    struct slice envelope)
{
	struct redis_fanout *f = front->own;
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ char *channel = channel_of(f, exchange, routing_key);

	redis_command(&commands, "PUBLISH %s %b", channel, envelope.data, envelope.len);
	atomic_fetch_add(&f->backlog, 1);
	redis_link_submit(f->writing ? f->writing : f->link, &commands, 1, 0, published, f);
}

static void reply(struct fanout *front, const char *exchange, const char *routing_key,
		  struct slice envelope)
{
	struct redis_fanout *f = front->own;
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ char *queue = xasprintf("%s.%s", routing_key, exchange);
	const struct transport_options *o = &f->options;

	redis_command(&commands, "EVALSHA %s 1 %s_kombu.binding.%s %s %s %b %s %s %s", f->reply.sha,
		      o->global_keyprefix, exchange, routing_key, queue, envelope.data,
		      envelope.len, REPLY_TTL_MS, o->sep, o->global_keyprefix);
	redis_link_submit(f->link, &commands, 1, 0, NULL, NULL);
}

static void change_binding(struct redis_fanout *f, const char *command,
			   const struct fanout_binding *b)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	const struct transport_options *o = &f->options;
	_cleanup_free_ char *member =
		xasprintf("%s%s%s%s%s", b->routing_key, o->sep, b->pattern, o->sep, b->queue);

	redis_command(&commands, "%s %s_kombu.binding.%s %s", command, o->global_keyprefix,
		      b->exchange, member);
	if (b->permanent)
		redis_command(&commands, "%s %s_kombu.binding_permanent.%s %s", command,
			      o->global_keyprefix, b->exchange, member);
	redis_link_submit(f->link, &commands, b->permanent ? 2 : 1, REDIS_LINK_KEEP, NULL, NULL);
}

static void bind_queue(struct fanout *front, const struct fanout_binding *b)
{
	change_binding(front->own, "SADD", b);
}

static void unbind_queue(struct fanout *front, const struct fanout_binding *b)
{
	change_binding(front->own, "SREM", b);
}

static int listen_to(struct fanout *front, const struct fanout_mailbox *m, struct err *err)
{
	struct redis_fanout *f = front->own;
	_cleanup_buf_ struct buf pattern = BUF_INIT(BOUND_URL_BYTES);
	_cleanup_free_ char *channel = channel_of(f, m->exchange, "");
	int rc = subscription_open(&f->listening, &f->address, "celeriac-control", err);

	if (rc < 0)
		return rc;
	subscription_escape(channel, &pattern);
	return subscription_add(&f->listening, pattern.data, err);
}

static int receive(struct fanout *front, int wake_fd, usec_t deadline, char **ret, size_t *ret_len,
		   struct err *err)
{
	struct redis_fanout *f = front->own;
	struct subscription_message m;
	int rc = subscription_receive(&f->listening, f->options.connection.health_check_interval,
				      wake_fd, deadline, &m, err);

	if (rc <= 0)
		return rc;
	*ret = xmemdup(m.data.data, m.data.len);
	*ret_len = m.data.len;
	redis_reply_free(m.reply);
	return 1;
}

const struct fanout_driver fanout_redis = {
	.open = open_redis,
	.close = close_redis,
	.publish = publish,
	.backlog = backlog_of,
	.up = is_up,
	.reply = reply,
	.bind = bind_queue,
	.unbind = unbind_queue,
	.listen = listen_to,
	.receive = receive,
};
