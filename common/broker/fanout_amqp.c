/*
 * Fanout on RabbitMQ: the mailbox is a queue of ours on the fanout exchange of remote control,
 * replies go to a direct exchange, events to a topic exchange.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "amqp_message.h"
#include "amqp_topology.h"
#include "bounds.h"
#include "clock.h"
#include "fanout_driver.h"
#include "log.h"
#include "mem.h"

#define PATIENCE       (4 * USEC_PER_SEC) /* for what is declared */
#define FIRST_PATIENCE (1 * USEC_PER_SEC) /* for the connection */
#define BIND_PATIENCE  (1 * USEC_PER_SEC) /* for a binding, which is tried again */
#define REPLIES_MOST   256 /* that the server has not taken: further ones are dropped */

/* A queue that is to be bound. */
struct wish {
	struct wish *next;
	bool topic;
	char *exchange, *routing_key, *queue;
};

struct amqp_fanout {
	struct amqp_address *address;
	struct amqp_client *client;
	struct amqp_mailbox mailbox; /* as the settings want it */
	int news_fd;		     /* eventfd: something of what follows has changed */
	atomic_bool deaf;	     /* the mailbox is not consumed (any more) */
	atomic_uint_fast64_t outages;
	atomic_uint_fast64_t prepared; /* the exchange of events was there: outages then, and 1 */
	atomic_size_t backlog, replies;
	/* the control thread's */
	struct wish *wishes;
	size_t wish_count;
};

/* ---- told by the client's owner thread ---- */

static void tell(struct amqp_fanout *f)
{
	uint64_t one = 1;
	ssize_t n = write(f->news_fd, &one, sizeof(one));

	(void)n;
}

static void on_up(void *arg, unused_arg uint64_t generation)
{
	tell(arg);
}

static void on_lost(void *arg, unused_arg const struct err *err)
{
	struct amqp_fanout *f = arg;

	atomic_fetch_add(&f->outages, 1);
	atomic_store(&f->deaf, true);
	tell(f);
}

static void on_cancelled(void *arg, unused_arg const char *queue, unused_arg const char *why)
{
	struct amqp_fanout *f = arg;

	atomic_store(&f->deaf, true);
	tell(f);
}

/* ---- beginning and end ---- */

static int open_amqp(struct fanout *front, const struct settings *s,
		     const struct fanout_place *place, struct err *err)
{
	struct amqp_fanout *f = front->own = xcalloc(1, sizeof(*f));
	const struct amqp_events events = {
		.up = on_up, .lost = on_lost, .cancelled = on_cancelled, .arg = f};
	int rc = 0;

	f->mailbox = (struct amqp_mailbox){
		.exclusive = s->control_queue_exclusive,
		.durable = s->control_queue_durable,
		.ttl = s->control_queue_ttl / USEC_PER_MSEC,
		.expires = s->control_queue_expires / USEC_PER_MSEC,
	};
	f->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->news_fd < 0)
		return err_set_errno(err, ERR_FAILED, errno, "eventfd");
	if (place->amqp != NULL)
		f->address = amqp_address_ref(place->amqp);
	else
		rc = amqp_address_parse(s->broker_url, NULL, &f->address, err);
	return rc < 0 ? rc
		      : amqp_client_new(f->address, "celeriac-fanout", &events, &f->client, err);
}

static void free_wish(struct wish *w)
{
	free(w->exchange);
	free(w->routing_key);
	free(w->queue);
	free(w);
}

static void forget_wishes(struct amqp_fanout *f)
{
	while (f->wishes != NULL) {
		struct wish *w = f->wishes;

		f->wishes = w->next;
		free_wish(w);
	}
	f->wish_count = 0;
}

static void close_amqp(struct fanout *front, usec_t deadline)
{
	struct amqp_fanout *f = front->own;

	if (f == NULL)
		return;
	amqp_client_free(f->client, deadline);
	forget_wishes(f);
	if (f->address != NULL)
		amqp_address_unref(f->address);
	if (f->news_fd >= 0)
		close(f->news_fd);
	free(f);
}

/* ---- publishing ---- */

static int make_batch(const char *exchange, const char *routing_key, struct slice envelope,
		      struct amqp_batch **ret, struct err *err)
{
	_cleanup_(amqp_properties_done) struct amqp_properties properties = {0};
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_MESSAGE_BYTES);
	struct amqp_publish p = {.exchange = exchange, .routing_key = routing_key};
	struct amqp_batch *batch;
	int rc = amqp_envelope_to_publish(envelope.data, envelope.len, &properties, &body, err);

	if (rc < 0)
		return rc;
	batch = amqp_batch_new();
	p.properties = &properties;
	p.body = body.data;
	p.len = body.len;
	rc = amqp_batch_publish(batch, &p, err);
	if (rc < 0)
		amqp_batch_free(batch);
	else
		*ret = batch;
	return rc;
}

static void published(void *arg, const struct err *err)
{
	struct amqp_fanout *f = arg;

	if (err != NULL && err->code == ERR_NOTFOUND)
		atomic_store(&f->prepared, 0); /* somebody deleted the exchange */
	atomic_fetch_sub(&f->backlog, 1);
}

static bool is_prepared(const struct amqp_fanout *f)
{
	return atomic_load(&f->prepared) == atomic_load(&f->outages) + 1;
}

static void publish(struct fanout *front, const char *exchange, const char *routing_key,
		    struct slice envelope)
{
	struct amqp_fanout *f = front->own;
	struct amqp_batch *batch;
	struct err err = {0};

	if (!is_prepared(f))
		return;
	if (make_batch(exchange, routing_key, envelope, &batch, &err) < 0) {
		log_debug("event not sent: %s", err.msg);
		return;
	}
	atomic_fetch_add(&f->backlog, 1);
	amqp_client_submit(f->client, batch, 0, published, f);
}

static size_t backlog_of(const struct fanout *front)
{
	const struct amqp_fanout *f = front->own;

	return atomic_load(&f->backlog);
}

static bool is_up(const struct fanout *front)
{
	const struct amqp_fanout *f = front->own;

	return amqp_client_up(f->client) && is_prepared(f);
}

static void replied(void *arg, const struct err *err)
{
	struct amqp_fanout *f = arg;

	if (err != NULL)
		log_debug("control: a reply was not sent: %s", err->msg);
	atomic_fetch_sub(&f->replies, 1);
}

static void reply(struct fanout *front, const char *exchange, const char *routing_key,
		  struct slice envelope)
{
	struct amqp_fanout *f = front->own;
	struct amqp_batch *batch;
	struct err err = {0};

	if (atomic_load(&f->replies) >= REPLIES_MOST)
		err_set(&err, ERR_UNAVAILABLE, "the server takes no messages");
	else if (make_batch(exchange, routing_key, envelope, &batch, &err) == 0) {
		atomic_fetch_add(&f->replies, 1);
		amqp_client_submit(f->client, batch, 0, replied, f);
		return;
	}
	log_error("control: a reply was not sent: %s", err.msg);
}

static void prepare(struct fanout *front, const char *exchange)
{
	struct amqp_fanout *f = front->own;
	uint64_t outages = atomic_load(&f->outages);
	struct err err = {0};

	if (is_prepared(f) || !amqp_client_up(f->client))
		return;
	if (amqp_topology_exchange(f->client, exchange, "topic", true,
				   clock_deadline(FIRST_PATIENCE), &err) < 0)
		log_debug("events are not sent: %s", err.msg);
	else
		atomic_store(&f->prepared, outages + 1);
}

/* ---- bindings ---- */

static void bind_queue(struct fanout *front, const struct fanout_binding *b)
{
	struct amqp_fanout *f = front->own;
	struct wish *w;

	if (!b->permanent || b->exchange[0] == '\0' || f->wish_count >= BOUND_QUEUES)
		return;
	w = xcalloc(1, sizeof(*w));
	w->topic = b->pattern[0] != '\0';
	w->exchange = xstrdup(b->exchange);
	w->routing_key = xstrdup(b->routing_key);
	w->queue = xstrdup(b->queue);
	w->next = f->wishes;
	f->wishes = w;
	f->wish_count++;
}

static int fulfil(struct amqp_fanout *f, const struct wish *w, struct err *err)
{
	const struct amqp_binding binding = {
		.exchange = w->exchange, .routing_key = w->routing_key, .to = w->queue};
	usec_t deadline = clock_deadline(BIND_PATIENCE);
	int rc = amqp_topology_exchange(f->client, w->exchange, w->topic ? "topic" : "direct", true,
					deadline, err);

	return rc < 0 ? rc : amqp_client_bind(f->client, &binding, deadline, err);
}

/* One that is not there yet is made by whoever consumes it, soon. */
static void fulfil_wishes(struct amqp_fanout *f)
{
	struct wish **at = &f->wishes;

	while (*at != NULL) {
		struct wish *w = *at;
		struct err err = {0};
		int rc = fulfil(f, w, &err);

		if (rc == -ERR_NOTFOUND || (rc < 0 && err_is_transient(&err))) {
			if (rc != -ERR_NOTFOUND)
				return;
			at = &w->next;
			continue;
		}
		if (rc < 0)
			log_error("queue %s is not bound to %s: %s", w->queue, w->exchange,
				  err.msg);
		*at = w->next;
		f->wish_count--;
		free_wish(w);
	}
}

/* ---- listening ---- */

static void hear_news(struct amqp_fanout *f)
{
	uint64_t count;
	ssize_t n = read(f->news_fd, &count, sizeof(count));

	(void)n;
}

static int is_away(struct amqp_fanout *f, const char *what, struct err *err)
{
	struct err why = {0};

	if (amqp_client_trouble(f->client, &why))
		return err_set(err, ERR_UNAVAILABLE, "%s", why.msg);
	return err_set(err, ERR_UNAVAILABLE, "%s: %s", amqp_address_safe(f->address), what);
}

static int await_up(struct amqp_fanout *f, struct err *err)
{
	usec_t deadline = clock_deadline(FIRST_PATIENCE);

	while (!amqp_client_up(f->client)) {
		struct pollfd fd = {.fd = f->news_fd, .events = POLLIN};
		struct err why = {0};

		if (amqp_client_trouble(f->client, &why) || clock_mono() >= deadline)
			return is_away(f, "there is no connection yet", err);
		if (poll(&fd, 1, clock_left_ms(deadline)) > 0)
			hear_news(f);
	}
	return 0;
}

/*
 * Requests come to every queue of the exchange, so that its name matters to those who look at it
 * alone: where ours is held by somebody, which may be our own connection of before an outage until
 * the server misses it, another will do. RabbitMQ 4.3 has given up the kind that goes with its last
 * consumer and is anybody's: there it is ours.
 */
static int declare_mailbox(struct amqp_fanout *f, const struct fanout_mailbox *m,
			   struct amqp_queue_state *ret, struct err *err)
{
	struct amqp_mailbox box = f->mailbox;
	usec_t deadline = clock_deadline(PATIENCE);
	int rc;

	box.exchange = m->exchange;
	box.queue = m->queue;
	rc = amqp_topology_mailbox(f->client, &box, deadline, ret, err);
	if (rc == -ERR_UNSUPPORTED && !box.exclusive && !box.durable) {
		log_warning("control: %s. It is made as by CELERY_CONTROL_QUEUE_EXCLUSIVE=true.",
			    err->msg);
		box.exclusive = f->mailbox.exclusive = true;
		rc = amqp_topology_mailbox(f->client, &box, clock_deadline(PATIENCE), ret, err);
	}
	if (rc == -ERR_CONFLICT) {
		log_warning("control: %s. Another name will do.", err->msg);
		box.queue = "";
		box.exclusive = true;
		box.durable = false;
		rc = amqp_topology_mailbox(f->client, &box, deadline, ret, err);
	}
	return rc;
}

static int listen_to(struct fanout *front, const struct fanout_mailbox *m, struct err *err)
{
	struct amqp_fanout *f = front->own;
	struct amqp_queue_state queue;
	int rc = await_up(f, err);

	if (rc < 0)
		return rc;
	forget_wishes(f); /* all are said again */
	atomic_store(&f->deaf, false);
	rc = declare_mailbox(f, m, &queue, err);
	if (rc == 0)
		rc = amqp_topology_exchange(f->client, m->reply_exchange, "direct", false,
					    clock_deadline(PATIENCE), err);
	if (rc == 0)
		rc = amqp_client_consume(
			f->client, &(struct amqp_consumer){.queue = queue.name, .no_ack = true},
			clock_deadline(PATIENCE), err);
	return rc;
}

/* 1 and a message, or 0. One that is none is told of, and that is all. */
static int take(struct amqp_fanout *f, char **ret, size_t *ret_len)
{
	_cleanup_(amqp_delivery_done) struct amqp_delivery d = {0};
	_cleanup_buf_ struct buf envelope = BUF_INIT(BOUND_MESSAGE_BYTES);
	struct err err = {0};

	if (amqp_client_take(f->client, &d, 1) == 0)
		return 0;
	if (amqp_envelope_from_delivery(&d, &envelope, &err) == 0 &&
	    buf_take(&envelope, ret, ret_len, &err) == 0)
		return 1;
	log_error("control: a message is refused: %s", err.msg);
	return 0;
}

static int receive(struct fanout *front, int wake_fd, usec_t deadline, char **ret, size_t *ret_len,
		   struct err *err)
{
	struct amqp_fanout *f = front->own;
	struct pollfd fds[3];

	if (take(f, ret, ret_len) == 1) /* several may have come at once */
		return 1;
	if (atomic_load(&f->deaf))
		return is_away(f, "the mailbox is gone", err);
	fulfil_wishes(f);
	fds[0] = (struct pollfd){.fd = amqp_client_fd(f->client), .events = POLLIN};
	fds[1] = (struct pollfd){.fd = f->news_fd, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	if (poll(fds, 3, clock_left_ms(deadline)) < 0 && errno != EINTR)
		return err_set_errno(err, ERR_FAILED, errno, "poll");
	hear_news(f);
	return take(f, ret, ret_len);
}

const struct fanout_driver fanout_amqp = {
	.open = open_amqp,
	.close = close_amqp,
	.publish = publish,
	.backlog = backlog_of,
	.up = is_up,
	.reply = reply,
	.bind = bind_queue,
	.prepare = prepare,
	.listen = listen_to,
	.receive = receive,
};
