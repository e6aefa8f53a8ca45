/*
 * Calls of one conversation reach one node on RabbitMQ, too.
 *
 * Every node has a queue of its own, "celeriac.node.<instance>:<node>", in which all calls of its
 * conversations wait, in their order, and stay until they are settled. Whoever takes such a call
 * from anywhere else asks who has the conversation (amqp_route.lua; nobody: we, from now on),
 * publishes it to that node's queue, confirmed, and then acknowledges what it took: at least once,
 * and the second is known by its id. So a node that dies leaves them in their order, and one that
 * lives moves them to its own queue (amqp_adopt.c) before anybody sends newer ones elsewhere.
 *
 * A call that was sent on says whence it came in a header, which only nodes' queues are asked for.
 *
 * Keys, under <prefix>celeriac:<instance>: route:<conversation>, routers and engine:<name> as in
 * route.c; nodes, the names of all whose queues may hold something; left, those of them that let go
 * of theirs; closing:<node>, who moves its queue, and to whom; heir:<owner>, who that was;
 * moving:<node>, sending and moves:<owner>, who was told to send there, which calls, and may not
 * have done so yet.
 *
 * The order is that in which whose they are was asked. RabbitMQ hands the messages of a queue to
 * all of its consumers at once and says nothing of their order, so two calls that two workers are
 * handed at the same moment may change places.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_broker.h"
#include "amqp_message.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

extern const char script_amqp_route[], script_amqp_close[], script_amqp_closed[],
	script_amqp_moved[];

#define NODE_QUEUE "celeriac.node."
#define ROUTE_TTL  "604800" /* seconds: as the entry of a conversation in the index */
#define HOPS	   16
#define FIXED	   12
#define EACH	   3
#define PATIENCE   (2 * USEC_PER_SEC)

char *amqp_node_queue(const struct broker *b, const char *node)
{
	return xasprintf(NODE_QUEUE "%s:%s", presence_instance(b->route.presence), node);
}

int amqp_broker_route_begin(struct broker *b, const struct presence *p, struct err *err)
{
	struct broker_routing *r = &b->route;
	_cleanup_free_ char *own = NULL;
	int rc;

	if (b->link == NULL)
		return 0;
	r->presence = p;
	free(r->base);
	free(r->routers);
	r->base = xasprintf("%sceleriac:%s:", b->options.global_keyprefix, presence_instance(p));
	r->routers = xasprintf("%srouters", r->base);
	redis_script_init(&r->script, script_amqp_route);
	redis_script_init(&r->leave, script_amqp_close);
	redis_script_init(&r->release, script_amqp_closed);
	redis_script_init(&r->moved, script_amqp_moved);
	redis_link_add_script(b->link, &r->script);
	redis_link_add_script(b->link, &r->leave);
	redis_link_add_script(b->link, &r->release);
	redis_link_add_script(b->link, &r->moved);
	own = amqp_node_queue(b, presence_node(p));
	rc = broker_add_inner_queue(b, own, &r->own, err);
	return rc < 0 ? err_wrap(err, "the queue of this node") : 0;
}

void amqp_broker_route_drain(struct broker *b, bool draining)
{
	atomic_store(&b->route.draining, draining);
}

bool amqp_route_may_consume(struct broker *b)
{
	const struct broker_routing *r = &b->route;
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;

	return !atomic_load(&r->draining) &&
	       redis_link_do(b->link, clock_deadline(PATIENCE), &reply, &err, "EXISTS %sclosing:%s",
			     r->base, presence_node(r->presence)) == 0 &&
	       redis_reply_int(reply) == 0;
}

/* ---- the header of a call that was sent on ---- */

static void set_text(char **text, const json_t *way, const char *name)
{
	const char *value = json_member_str(way, name);

	if (value == NULL || strlen(value) > 255)
		return;
	free(*text);
	*text = xstrdup(value);
}

void amqp_way_take(struct broker *b, struct amqp_delivery *d, struct amqp_way *ret)
{
	const struct broker_queue *own = b->route.own;
	json_t *way = json_object_get(d->properties.headers, AMQP_WAY_HEADER);
	json_int_t hops;

	*ret = (struct amqp_way){0};
	if (way == NULL)
		return;
	if (own != NULL && strcmp(own->name, d->queue) == 0) {
		hops = json_integer_value(json_object_get(way, "hops"));
		ret->hops = hops > 0 && hops < HOPS ? (int)hops : HOPS;
		set_text(&ret->queue, way, "queue");
		set_text(&d->exchange, way, "exchange");
		set_text(&d->routing_key, way, "routing_key");
		d->redelivered |= json_is_true(json_object_get(way, "redelivered"));
	}
	(void)json_object_del(d->properties.headers, AMQP_WAY_HEADER);
}

static json_t *text_of(const json_t *info, const char *name)
{
	const char *value = json_member_str(info, name);

	return json_string(value != NULL ? value : "");
}

/* A copy for the queue of `node`. ERR_NOTFOUND: we do not hold it any more. */
static int add_copy(struct broker *b, const struct broker_call *call, const char *node,
		    struct amqp_batch *batch, struct err *err)
{
	_cleanup_(amqp_properties_done) struct amqp_properties properties = {0};
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_MESSAGE_BYTES);
	_cleanup_free_ char *data = NULL, *queue = amqp_node_queue(b, node), *origin = NULL;
	_cleanup_json_ json_t *envelope = NULL, *headers = NULL;
	const json_t *info;
	struct amqp_publish p = {.exchange = "", .routing_key = queue, .mandatory = true};
	size_t len = 0;
	int hops = 0, rc;

	if (!amqp_held_copy(b, call->ref.number, &data, &len))
		return err_set(err, ERR_NOTFOUND, "it was given back");
	amqp_held_way(b, call->ref.number, &origin, &hops);
	rc = amqp_envelope_to_publish(data, len, &properties, &body, err);
	if (rc == 0)
		rc = json_load_python(data, len, &envelope, err);
	if (rc < 0)
		return rc;
	info = json_object_get(json_object_get(envelope, "properties"), "delivery_info");
	headers = json_copy(properties.headers);
	(void)json_object_set_new(headers, AMQP_WAY_HEADER,
				  json_pack("{s:i, s:s, s:o, s:o, s:b}", "hops", hops + 1, "queue",
					    origin ? origin : call->ref.queue, "exchange",
					    text_of(info, "exchange"), "routing_key",
					    text_of(info, "routing_key"), "redelivered",
					    json_is_true(json_object_get(info, "redelivered"))));
	json_decref(properties.headers);
	properties.headers = json_incref(headers);
	p.properties = &properties;
	p.body = body.data;
	p.len = body.len;
	return amqp_batch_publish(batch, &p, err);
}

/* ---- who has them ---- */

static bool is_own(const struct broker *b, const struct broker_call *call)
{
	return strcmp(call->ref.queue, b->route.own->name) == 0;
}

/* `asked`: the places of those that are asked for. */
static void build(struct broker *b, const struct broker_call *calls, const size_t *asked,
		  size_t count, struct buf *out)
{
	struct broker_routing *r = &b->route;
	_cleanup_free_ char *leases = xasprintf("%snode:", r->base);
	_cleanup_free_ struct slice *argv = NULL;
	char engines[24];
	size_t argc = 0;

	mutex_lock(&r->lock);
	argv = xcalloc(FIXED + r->engines.count + EACH * count, sizeof(*argv));
	snprintf(engines, sizeof(engines), "%zu", r->engines.count);
	const char *const fixed[] = {"EVALSHA",
				     r->script.sha,
				     "1",
				     r->routers,
				     presence_owner(r->presence),
				     presence_node(r->presence),
				     r->base,
				     leases,
				     ROUTE_TTL,
				     atomic_load(&r->draining) ? "1" : "0",
				     engines};
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		argv[argc++] = slice_of(fixed[i]);
	for (size_t i = 0; i < r->engines.count; i++)
		argv[argc++] = slice_of(r->engines.items[i]);
	for (size_t i = 0; i < count; i++) {
		const struct broker_call *call = &calls[asked[i]];

		argv[argc++] = slice_of(is_own(b, call) ? "1" : "0");
		argv[argc++] = slice_of(call->conversation);
		argv[argc++] = slice_of(call->engine ? call->engine : "");
	}
	redis_command_argv(out, argv, argc);
	mutex_unlock(&r->lock);
}

/* Others that look for somebody who reaches it find us, or not any more. */
void amqp_broker_route_reach(struct broker *b, const char *engine, bool reached)
{
	const struct broker_routing *r = &b->route;
	struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);

	broker_route_note_engine(b, engine, reached);
	if (r->own == NULL)
		return;
	redis_command(&commands, "SREM %sengine:%s %s", r->base, engine,
		      presence_owner(r->presence));
	build(b, NULL, NULL, 0, &commands);
	redis_link_submit(b->link, &commands, 2, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&commands);
}

/* What cannot be asked for: those that are the server's again, and, drained, those of our own
 * queue, which are nobody's until it is moved. */
static size_t choose(struct broker *b, struct broker_call *calls, size_t count, size_t *asked)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		bool back = is_own(b, &calls[i]) && atomic_load(&b->route.draining);
		struct amqp_batch *batch;
		struct amqp_ref ref;

		if (amqp_held_has(b, calls[i].ref.number) && !back) {
			asked[n++] = i;
			continue;
		}
		calls[i].routed = BROKER_CALL_GONE;
		if (!amqp_held_take(b, calls[i].ref.number, &ref, NULL, NULL))
			continue;
		batch = amqp_batch_new();
		amqp_batch_settle(batch, ref, AMQP_REQUEUE);
		amqp_client_submit(b->amqp->client, batch, 0, NULL, NULL);
	}
	return n;
}

static void obey(struct broker *b, struct broker_call *call, const struct redis_reply *answer)
{
	struct slice node = redis_reply_str(answer);
	int hops = 0;

	amqp_held_way(b, call->ref.number, NULL, &hops);
	call->routed = redis_reply_type(answer) == REDIS_STRING && hops < HOPS ? BROKER_CALL_MOVED
									       : BROKER_CALL_OURS;
	if (redis_reply_type(answer) == REDIS_STRING)
		snprintf(call->node, sizeof(call->node), "%.*s", (int)node.len, node.data);
}

/* They are there, or stay here: whoever wants to move one of those queues, or sends what comes
 * after them, need not wait for us. */
static void say_moved(struct broker *b, const struct broker_call *calls, size_t count)
{
	const struct broker_routing *r = &b->route;
	struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	bool any = false;

	for (size_t i = 0; i < count; i++)
		any |= calls[i].node[0] != '\0';
	if (!any)
		return;
	redis_command(&commands, "EVALSHA %s 1 %s %s %s", r->moved.sha, r->routers,
		      presence_owner(r->presence), r->base);
	redis_link_submit(b->link, &commands, 1, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&commands);
}

/* What goes to our own queue comes at once, and may be all that there is room for: then nothing
 * else is asked for before it is there. */
static void make_room(struct broker *b, const struct broker_call *calls, size_t count)
{
	size_t ours = 0, moved = 0;

	for (size_t i = 0; i < count; i++) {
		bool is_moved = calls[i].routed == BROKER_CALL_MOVED;

		moved += is_moved;
		ours += is_moved && strcmp(calls[i].node, presence_node(b->route.presence)) == 0;
	}
	if (ours > 0 && ours >= b->amqp->room + moved)
		amqp_queues_pause(b);
}

static int send_on(struct broker *b, struct broker_call *calls, size_t count, usec_t deadline,
		   struct err *err)
{
	struct amqp_batch *batch = amqp_batch_new();
	struct amqp_ref ref;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		_cleanup_free_ char *queue = NULL;

		if (calls[i].routed != BROKER_CALL_MOVED)
			continue;
		queue = amqp_node_queue(b, calls[i].node);
		rc = amqp_node_queue_ensure(b, queue, deadline, err);
		if (rc == 0)
			rc = add_copy(b, &calls[i], calls[i].node, batch, err);
		if (rc == -ERR_NOTFOUND) {
			calls[i].routed = BROKER_CALL_GONE;
			rc = 0;
		} else if (rc < 0 && !err_is_transient(err)) {
			/* larger with its way than a message may be: its own matter, and no other's
			 */
			log_error(
				"a call of conversation '%.100s' cannot be sent to %.80s and runs "
				"here: %s",
				calls[i].conversation, calls[i].node, err->msg);
			calls[i].routed = BROKER_CALL_OURS;
			rc = 0;
		} else if (rc == 0 && amqp_held_ref(b, calls[i].ref.number, &ref)) {
			amqp_batch_settle(batch, ref, AMQP_ACK);
		}
	}
	if (rc < 0 || amqp_batch_size(batch) == 0) {
		amqp_batch_free(batch);
		return rc;
	}
	make_room(b, calls, count);
	rc = amqp_client_perform(b->amqp->client, batch, 0, deadline, err);
	if (rc == -ERR_NOTFOUND) { /* that queue was moved just now */
		amqp_known_forget(b);
		return err_set(err, ERR_UNAVAILABLE, "the queue of a node is gone");
	}
	return rc == -ERR_CONFLICT ? 0 : rc;
}

static int take_answer(struct broker *b, struct broker_call *calls, const size_t *asked,
		       size_t count, const struct redis_reply *reply, enum broker_turn *ret,
		       struct err *err)
{
	if (redis_reply_type(reply) != REDIS_ARRAY)
		return err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(reply).len,
			       redis_reply_str(reply).data);
	*ret = redis_reply_int(redis_reply_at(reply, 0)) == 1 ? BROKER_TURN_OURS
							      : BROKER_TURN_OTHERS;
	if (*ret == BROKER_TURN_OTHERS)
		return 0;
	if (redis_reply_count(reply) != count + 1)
		return err_set(err, ERR_PROTOCOL, "route script answered %zu items",
			       redis_reply_count(reply));
	for (size_t i = 0; i < count; i++)
		obey(b, &calls[asked[i]], redis_reply_at(reply, i + 1));
	return 0;
}

int amqp_broker_route(struct broker *b, struct broker_call *calls, size_t count, usec_t deadline,
		      enum broker_turn *ret_turn, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ size_t *asked = NULL;
	struct amqp_ref ref;
	size_t n;
	int rc = 0;

	*ret_turn = BROKER_TURN_OURS;
	for (size_t i = 0; i < count; i++) {
		calls[i].routed = BROKER_CALL_OURS;
		calls[i].node[0] = '\0';
	}
	if (b->route.own == NULL)
		return 0;
	if (amqp_client_blocked(b->amqp->client))
		return err_set(err, ERR_UNAVAILABLE, "the broker takes no messages");
	asked = xcalloc(count + 1, sizeof(*asked));
	n = choose(b, calls, count, asked);
	build(b, calls, asked, n, &commands);
	if (n > 0)
		rc = redis_link_exchange(b->link, &commands, 1, 0, deadline, &reply, err);
	if (rc == 0 && n > 0)
		rc = take_answer(b, calls, asked, n, reply, ret_turn, err);
	if (rc < 0 || *ret_turn != BROKER_TURN_OURS)
		return rc < 0 ? err_wrap(err, "routing calls") : 0;
	rc = send_on(b, calls, count, deadline, err);
	if (rc < 0)
		return err_wrap(err, "sending calls to their nodes");
	say_moved(b, calls, count);
	for (size_t i = 0; i < count; i++) {
		if (calls[i].routed == BROKER_CALL_MOVED)
			(void)amqp_held_take(b, calls[i].ref.number, &ref, NULL, NULL);
	}
	return 0;
}
