/*
 * The Redis broker for any thread: opening, settling, publishing, renewing.
 */
#include "redis_broker.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

extern const char script_settle[], script_settle_many[], script_restore[], script_stale[],
	script_begin[], script_give_back[], script_trim[];

#define KOMBU_HEARTBEAT	     120.0 /* what kombu says of every Redis */
#define DEAD_KEY	     "celeriac:dead"
#define RENEWALS_PER_TIMEOUT 3
#define TRIM_STEP	     10000 /* dropped in one script */
#define TRIM_PATIENCE	     (5 * USEC_PER_SEC)

static bool is_said(const char *url)
{
	return url != NULL && url[0] != '\0';
}

static int parse_address(const struct broker *b, const char *url, struct redis_address *ret,
			 struct err *err)
{
	int rc = redis_address_parse_tuned(url, &b->options.connection, ret, err);

	if (rc < 0)
		return err_wrap(err, "URL of the broker");
	if (redis_address_warning(ret) != NULL)
		log_warning("%s: %s", ret->safe, redis_address_warning(ret));
	free(ret->key_prefix);
	ret->key_prefix = xstrdup(b->options.global_keyprefix);
	return 0;
}

/* Where messages are taken from and where they are sent to, with their options. */
static int take_addresses(struct broker *b, const struct settings *s, struct err *err)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	int rc = transport_options_read(s, TRANSPORT_BROKER, &b->options, &notes, err);

	if (rc == 0)
		rc = queue_defs_read(s, &b->defs, err);
	if (rc == 0)
		rc = parse_address(b,
				   is_said(s->broker_read_url) ? s->broker_read_url : s->broker_url,
				   &b->address, err);
	if (rc == 0)
		rc = parse_address(
			b, is_said(s->broker_write_url) ? s->broker_write_url : s->broker_url,
			&b->write_address, err);
	if (rc < 0)
		return rc;
	transport_options_tell(TRANSPORT_BROKER, &notes);
	b->fanout_prefix = transport_fanout_prefix(&b->options, b->address.first->db);
	return 0;
}

static int start_links(struct broker *b, struct err *err)
{
	int rc = redis_link_new(&b->address, "celeriac-broker", &b->link, err);

	if (rc == 0 && !redis_address_equal(&b->address, &b->write_address))
		rc = redis_link_new(&b->write_address, "celeriac-write", &b->writing, err);
	if (rc < 0)
		return rc;
	redis_link_add_script(b->link, &b->settle);
	redis_link_add_script(b->link, &b->settle_many);
	redis_link_add_script(b->link, &b->restore);
	redis_link_add_script(b->link, &b->stale);
	redis_link_add_script(b->link, &b->begin);
	redis_link_add_script(b->link, &b->give_back);
	redis_link_add_script(b->link, &b->trim);
	broker_route_load(b);
	if (b->writing != NULL)
		redis_link_add_script(b->writing, &b->settle);
	return 0;
}

struct broker *broker_new(const struct broker_driver *driver)
{
	struct broker *b = xcalloc(1, sizeof(*b));

	b->driver = driver;
	mutex_init(&b->connections);
	broker_route_init(b);
	return b;
}

static int open_redis(struct broker *b, const struct settings *s, struct err *err)
{
	int rc = take_addresses(b, s, err);

	if (rc == 0)
		rc = broker_take_queues(b, s, err);
	if (rc < 0)
		return rc;
	b->unacked = xasprintf("%s%s", b->options.global_keyprefix, b->options.unacked_key);
	b->unacked_index =
		xasprintf("%s%s", b->options.global_keyprefix, b->options.unacked_index_key);
	b->dead = xasprintf("%s" DEAD_KEY, b->options.global_keyprefix);
	b->taken_prefix = xasprintf("%s" TAKEN_KEY, b->options.global_keyprefix);
	b->redelivery_limit = s->redelivery_limit;
	redis_script_init(&b->settle, script_settle);
	redis_script_init(&b->settle_many, script_settle_many);
	redis_script_init(&b->restore, script_restore);
	redis_script_init(&b->stale, script_stale);
	redis_script_init(&b->begin, script_begin);
	redis_script_init(&b->give_back, script_give_back);
	redis_script_init(&b->trim, script_trim);
	return start_links(b, err);
}

void redis_broker_close(struct broker *b, usec_t deadline)
{
	/* In this order: what was sent is settled afterwards. */
	if (b->writing != NULL)
		redis_link_free(b->writing, deadline);
	if (b->link != NULL)
		redis_link_free(b->link, deadline);
	redis_close(b->claiming);
	for (size_t i = 0; i < BROKER_WAKE_MAX; i++) {
		redis_close(b->waking[i]);
	}
	broker_free_queues(b);
	free(b->unacked);
	free(b->unacked_index);
	free(b->dead);
	free(b->tag_prefix);
	free(b->taken_prefix);
	mutex_done(&b->connections);
	broker_route_done(b);
	free(b->fanout_prefix);
	free(b->heard_prefix);
	queue_defs_done(&b->defs);
	transport_options_done(&b->options);
	redis_address_done(&b->address);
	redis_address_done(&b->write_address);
	free(b);
}

static void place(const struct broker *b, struct broker_place *ret)
{
	const struct redis_endpoint *a = b->address.first;

	*ret = (struct broker_place){.transport = "redis",
				     .host = a->host ? a->host : a->path,
				     .port = a->port,
				     .user = a->user && a->user[0] != '\0' ? a->user : NULL,
				     .tls = a->tls.on,
				     .heartbeat = KOMBU_HEARTBEAT};
	snprintf(ret->text, sizeof(ret->text), "%d", a->db);
	ret->vhost = ret->text;
}

static const char *where(const struct broker *b)
{
	return b->address.safe;
}

bool redis_broker_ready(const struct broker *b)
{
	return redis_link_up(b->link) && (b->writing == NULL || redis_link_up(b->writing));
}

char *broker_dead_line(const char *reason, const char *queue)
{
	_cleanup_buf_ struct buf line = BUF_INIT(BOUND_ERROR_TEXT * 2);
	_cleanup_json_ json_t *object =
		json_pack("{s:o, s:s, s:f}", "reason", json_text(reason, strlen(reason), true),
			  "queue", queue, "at", (double)clock_wall() / (double)USEC_PER_SEC);
	struct err err;
	char *text;

	json_dump_python(object, &line);
	if (buf_take(&line, &text, NULL, &err) < 0)
		return xstrdup("{}");
	return text;
}

int redis_broker_trim_dead(struct broker *b, int64_t most, int64_t *ret_dropped, int64_t *ret_left,
			   struct err *err)
{
	int64_t dropped = TRIM_STEP;
	int rc = 0;

	*ret_dropped = 0;
	while (rc == 0 && dropped == TRIM_STEP) {
		_cleanup_reply_ struct redis_reply *reply = NULL;

		rc = redis_link_do(b->link, clock_deadline(TRIM_PATIENCE), &reply, err,
				   "EVALSHA %s 1 %s %lld %d", b->trim.sha, b->dead,
				   most > 0 ? (long long)most : LLONG_MAX / 2, TRIM_STEP);
		dropped = rc < 0 ? 0 : redis_reply_int(redis_reply_at(reply, 0));
		*ret_dropped += dropped;
		if (rc == 0)
			*ret_left = redis_reply_int(redis_reply_at(reply, 1));
	}
	return rc < 0 ? err_wrap(err, "making room in %s", b->dead) : 0;
}

int redis_broker_publish(struct broker *b, const char *queue, int priority, const char *envelope,
			 size_t len, usec_t deadline, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_buf_ struct buf key = BUF_INIT(BOUND_URL_BYTES);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	broker_list_key(b, queue, priority, &key);
	redis_command(&commands, "LPUSH %b %b", key.data, key.len, envelope, len);
	rc = redis_link_exchange(b->writing ? b->writing : b->link, &commands, 1, 0, deadline,
				 &reply, err);
	if (rc < 0)
		return err_wrap(err, "publish to %s", queue);
	if (redis_reply_type(reply) == REDIS_ERROR)
		return err_set(err, ERR_FAILED, "publish to %s: %.*s", queue,
			       (int)redis_reply_str(reply).len, redis_reply_str(reply).data);
	return 0;
}

usec_t redis_broker_renew_interval(const struct broker *b)
{
	return b->options.visibility_timeout / RENEWALS_PER_TIMEOUT;
}

/* What is given to somebody else is found out when it is settled. */
static bool holds(unused_arg struct broker *b, unused_arg const struct delivery_ref *ref)
{
	return true;
}

static int delay(unused_arg struct broker *b, unused_arg const struct delivery_ref *ref,
		 unused_arg usec_t due, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "Redis holds nothing back");
}

const struct broker_driver broker_driver_redis = {
	.takes = redis_is_url,
	.open = open_redis,
	.place = place,
	.where = where,
	.close = redis_broker_close,
	.ready = redis_broker_ready,
	.connect = redis_broker_connect,
	.claim = redis_broker_claim,
	.claim_ahead = redis_broker_claim_ahead,
	.claim_answer = redis_broker_claim_answer,
	.received = redis_broker_received,
	.is_dry = redis_broker_is_dry,
	.wait = redis_broker_wait,
	.purge = redis_broker_purge,
	.interrupt = redis_broker_interrupt,
	.route_begin = redis_broker_route_begin,
	.route_reach = redis_broker_route_reach,
	.route = redis_broker_route,
	.route_return = redis_broker_route_return,
	.route_pass = redis_broker_route_pass,
	.route_drain = redis_broker_route_drain,
	.route_leave = redis_broker_route_leave,
	.step_push = redis_broker_step_push,
	.step_route = redis_broker_step_route,
	.step_once = redis_broker_step_once,
	.settle = redis_broker_settle,
	.begin = redis_broker_begin,
	.step_begun = redis_broker_step_begun,
	.perform = redis_broker_perform,
	.publish = redis_broker_publish,
	.renew = redis_broker_renew,
	.renew_interval = redis_broker_renew_interval,
	.find_unacked = redis_broker_find_unacked,
	.restore_dead = redis_broker_restore_dead,
	.restore_stale = redis_broker_restore_stale,
	.trim_dead = redis_broker_trim_dead,
	.restore_lost = redis_broker_restore_lost,
	.holds = holds,
	.delay = delay,
	.fetch = redis_broker_fetch,
	.give_back = redis_broker_give_back,
};
