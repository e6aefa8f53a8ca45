/*
 * Calls of one conversation reach one node, in the order in which they were taken.
 *
 * A node that runs calls of conversations reads, before all queues, a list of its own,
 * "celeriac.node.<instance>:<node>", and one that all share, the same without a node. What it takes
 * from anywhere else it gives to the node that has the conversation, or keeps and becomes that
 * node: route.lua, one step of ack and push. Several nodes take at the same time; each claim has a
 * place, by its number, in a set of those that were not routed yet, and only the first may route;
 * what the first will never route is put back (unwind.c).
 *
 * Keys, under <prefix>celeriac:<instance>: route:<conversation>, the owner that has it;
 * routers, the owners whose lists are read or will be put back; claims and claim, the set above and
 * the last number; lost, those of the set that are given up; engine:<name>, the owners that reach
 * an engine. A route to an owner that is no router leads nowhere: whoever asks next becomes the
 * owner. A router that leaves, or whose death was noticed and whose deliveries were put back into
 * its list, moves that list to the front of the one that all share, which is one step with its end
 * as a router: so nothing newer comes before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "redis_broker.h"

extern const char script_route[], script_route_leave[], script_route_release[],
	script_route_unwind[];

#define QUEUE	    "celeriac.node."
#define ROUTE_TTL   "604800" /* seconds: as the entry of a conversation in the index */
#define HOPS	    "16"
#define CALL_FIXED  12
#define CALL_EACH   6
#define ENGINES_MAX 64
#define PATIENCE    (5 * USEC_PER_SEC)

void broker_route_init(struct broker *b)
{
	struct broker_routing *r = &b->route;

	mutex_init(&r->lock);
	r->base = xstrdup("");
	r->queues = xstrdup("");
	r->places = xstrdup("");
	r->counter = xstrdup("");
	r->routers = xstrdup("");
	r->lost = xstrdup("");
}

static void free_list(struct str_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct str_list){0};
}

void broker_route_done(struct broker *b)
{
	struct broker_routing *r = &b->route;

	free_list(&r->engines);
	free_list(&r->busy);
	free(r->base);
	free(r->queues);
	free(r->places);
	free(r->counter);
	free(r->routers);
	free(r->lost);
	mutex_done(&r->lock);
}

static char *queue_of(const struct presence *p, const char *node)
{
	return xasprintf(QUEUE "%s:%s", presence_instance(p), node);
}

static void load(struct broker *b, struct redis_script *s, const char *text)
{
	redis_script_init(s, text);
	redis_link_add_script(b->link, s);
}

void broker_route_load(struct broker *b)
{
	load(b, &b->route.release, script_route_release);
	load(b, &b->route.unwind, script_route_unwind);
}

static void name_keys(struct broker *b)
{
	struct broker_routing *r = &b->route;
	const char *prefix = b->options.global_keyprefix;
	const char *instance = presence_instance(r->presence);

	broker_route_done(b);
	mutex_init(&r->lock);
	r->base = xasprintf("%sceleriac:%s:", prefix, instance);
	r->queues = xasprintf("%s" QUEUE "%s:", prefix, instance);
	r->places = xasprintf("%sclaims", r->base);
	r->counter = xasprintf("%sclaim", r->base);
	r->routers = xasprintf("%srouters", r->base);
	r->lost = xasprintf("%slost", r->base);
}

int redis_broker_route_begin(struct broker *b, const struct presence *p, struct err *err)
{
	_cleanup_free_ char *own = queue_of(p, presence_node(p)), *common = queue_of(p, "");
	struct broker_routing *r = &b->route;
	int rc;

	r->presence = p;
	name_keys(b);
	load(b, &r->script, script_route);
	load(b, &r->leave, script_route_leave);
	rc = broker_add_inner_queue(b, own, &r->own, err);
	if (rc == 0)
		rc = broker_add_inner_queue(b, common, &r->common, err);
	return rc < 0 ? err_wrap(err, "the queue of this node") : 0;
}

/* Others that look for somebody who reaches it find us, or not any more. */
static void tell_reach(struct broker *b, const char *engine, bool reached)
{
	const struct broker_routing *r = &b->route;
	struct buf commands = BUF_INIT(BOUND_URL_BYTES * 4);

	if (r->presence == NULL)
		return;
	redis_command(&commands, "%s %sengine:%s %s", reached ? "SADD" : "SREM", r->base, engine,
		      presence_owner(r->presence));
	reached &= !atomic_load(&r->draining);
	if (reached)
		redis_command(&commands, "SADD %s %s", r->routers, presence_owner(r->presence));
	redis_link_submit(b->link, &commands, reached ? 2 : 1, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&commands);
}

void broker_route_note_engine(struct broker *b, const char *engine, bool reached)
{
	struct str_list *list = &b->route.engines;
	size_t i = 0;

	mutex_lock(&b->route.lock);
	while (i < list->count && strcmp(list->items[i], engine) != 0)
		i++;
	if (reached && i == list->count && i < ENGINES_MAX) {
		list->items = xrealloc(list->items, (i + 1) * sizeof(*list->items));
		list->items[list->count++] = xstrdup(engine);
	} else if (!reached && i < list->count) {
		free(list->items[i]);
		list->items[i] = list->items[--list->count];
	}
	mutex_unlock(&b->route.lock);
}

void redis_broker_route_reach(struct broker *b, const char *engine, bool reached)
{
	broker_route_note_engine(b, engine, reached);
	tell_reach(b, engine, reached);
}

void redis_broker_route_drain(struct broker *b, bool draining)
{
	atomic_store(&b->route.draining, draining);
	broker_order_lists(b);
}

/* ---- places ---- */

void broker_route_take_place(struct broker *b)
{
	struct broker_routing *r = &b->route;

	if (r->presence == NULL)
		return;
	memcpy(r->left, r->place, sizeof(r->left));
	snprintf(r->place, sizeof(r->place), "%s:%llu", presence_owner(r->presence),
		 (unsigned long long)b->next_number);
}

void redis_broker_route_pass(struct broker *b)
{
	struct broker_routing *r = &b->route;
	struct buf commands = BUF_INIT(BOUND_URL_BYTES * 4);

	if (r->presence != NULL && r->place[0] != '\0') {
		redis_command(&commands, "ZREM %s %s", r->places, r->place);
		redis_command(&commands, "SREM %s %s", r->lost, r->place);
		redis_link_submit(b->link, &commands, 2, 0, NULL, NULL);
	}
	buf_done(&commands);
}

/* ---- calls ---- */

/* argv of one EVALSHA, and the texts it borrows. */
struct routing {
	struct slice *argv;
	size_t argc;
	char now[40], bytes[24], engines[24];
	char (*tails)[24];
};

static void add(struct routing *g, const char *text)
{
	g->argv[g->argc++] = slice_of(text);
}

static void add_fixed(struct broker *b, struct routing *g)
{
	const struct broker_routing *r = &b->route;
	const char *const keys[] = {"6",	b->unacked,	      b->unacked_index, r->places,
				    r->routers, r->own->lists[0].key, r->lost};

	snprintf(g->now, sizeof(g->now), "%.6f", (double)clock_wall() / (double)USEC_PER_SEC);
	snprintf(g->bytes, sizeof(g->bytes), "%u", BOUND_MESSAGE_BYTES);
	snprintf(g->engines, sizeof(g->engines), "%zu", r->engines.count);
	const char *const args[] = {r->place,
				    presence_owner(r->presence),
				    presence_node(r->presence),
				    r->base,
				    r->queues,
				    r->own->ending,
				    ROUTE_TTL,
				    g->now,
				    HOPS,
				    g->bytes,
				    atomic_load(&r->draining) ? "1" : "0",
				    g->engines};

	add(g, "EVALSHA");
	add(g, r->script.sha);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		add(g, keys[i]);
	for (size_t i = 0; i < ARRAY_LEN(args); i++)
		add(g, args[i]);
	for (size_t i = 0; i < r->engines.count; i++)
		add(g, r->engines.items[i]);
}

static const struct broker_queue *claimed_from(const struct broker *b,
					       const struct broker_call *call)
{
	const struct broker_queue *q = broker_find_queue(b, call->ref.queue);

	if (q == NULL)
		BUG("delivery %s of a queue that was never consumed", call->tag);
	return q;
}

static void build(struct broker *b, struct broker_call *calls, size_t count, struct buf *out)
{
	struct broker_routing *r = &b->route;
	_cleanup_free_ struct slice *argv =
		xcalloc(8 + CALL_FIXED + ENGINES_MAX + CALL_EACH * count, sizeof(*argv));
	_cleanup_free_ char(*tails)[24] = xcalloc(count, sizeof(*tails));
	struct routing g = {.argv = argv, .tails = tails};

	mutex_lock(&r->lock);
	add_fixed(b, &g);
	for (size_t i = 0; i < count; i++) {
		const struct broker_queue *q = claimed_from(b, &calls[i]);

		snprintf(tails[i], sizeof(tails[i]), "%zu", strlen(q->ending));
		calls[i].ours = (struct delivery_ref){r->own->name, calls[i].ref.number,
						      r->own->lists[0].step};
		broker_tag(b, &calls[i].ours, calls[i].new_tag);
		add(&g, calls[i].tag);
		add(&g, tails[i]);
		add(&g, calls[i].new_tag);
		add(&g, q == r->own ? "1" : q == r->common ? "2" : "0");
		add(&g, calls[i].conversation);
		add(&g, calls[i].engine ? calls[i].engine : "*");
	}
	redis_command_argv(out, g.argv, g.argc);
	mutex_unlock(&r->lock);
}

static int take_answers(const struct redis_reply *reply, struct broker_call *calls, size_t count,
			enum broker_turn *ret, struct err *err)
{
	int64_t turn = redis_reply_int(redis_reply_at(reply, 0));

	if (redis_reply_type(reply) != REDIS_ARRAY)
		return err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(reply).len,
			       redis_reply_str(reply).data);
	*ret = turn == 1 ? BROKER_TURN_OURS : turn == 2 ? BROKER_TURN_BACK : BROKER_TURN_OTHERS;
	if (*ret != BROKER_TURN_OURS)
		return 0;
	if (redis_reply_count(reply) != count + 1)
		return err_set(err, ERR_PROTOCOL, "route script answered %zu items",
			       redis_reply_count(reply));
	for (size_t i = 0; i < count; i++) {
		const struct redis_reply *answer = redis_reply_at(reply, i + 1);
		struct slice node = redis_reply_str(answer);

		calls[i].routed = redis_reply_type(answer) == REDIS_STRING ? BROKER_CALL_MOVED
				  : redis_reply_int(answer) == 1	   ? BROKER_CALL_OURS
									   : BROKER_CALL_GONE;
		snprintf(calls[i].node, sizeof(calls[i].node), "%.*s", (int)node.len,
			 node.len > 0 ? node.data : "");
	}
	return 0;
}

static bool lacks_script(const struct redis_reply *reply)
{
	struct slice text = redis_reply_str(reply);

	return redis_reply_type(reply) == REDIS_ERROR && text.len >= 8 &&
	       memcmp(text.data, "NOSCRIPT", 8) == 0;
}

/* By the connection that claimed them: no other thread has to be woken, twice. Whether the script
 * ran is not known after a failure. */
static int ask_here(struct broker *b, struct buf *commands, struct redis_reply **ret,
		    struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	if (b->claiming == NULL || !redis_is_current(b->claiming))
		return err_set(err, ERR_CLOSED, "not connected");
	rc = redis_exchange(b->claiming, commands, 1, &reply, err);
	if (rc < 0)
		return rc;
	if (lacks_script(reply))
		return err_set(err, ERR_UNAVAILABLE, "the server has forgotten a script");
	*ret = TAKE(reply);
	return 0;
}

int redis_broker_route(struct broker *b, struct broker_call *calls, size_t count, usec_t deadline,
		       enum broker_turn *ret_turn, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err here = {0};
	int rc;

	build(b, calls, count, &commands);
	rc = ask_here(b, &commands, &reply, &here);
	if (rc < 0) { /* what was sent before is known to the script */
		buf_reset(&commands);
		build(b, calls, count, &commands);
		rc = redis_link_exchange(b->link, &commands, 1, 0, deadline, &reply, err);
	}
	if (rc == 0)
		rc = take_answers(reply, calls, count, ret_turn, err);
	return rc < 0 ? err_wrap(err, "routing calls") : 0;
}

/* ---- the end of a router ---- */

static void leave_command(const struct broker_routing *r, const char *const *busy, size_t count,
			  struct buf *out)
{
	_cleanup_free_ struct slice *argv = xcalloc(11 + count + r->busy.count, sizeof(*argv));
	struct routing g = {.argv = argv};
	char was_busy[24];

	snprintf(was_busy, sizeof(was_busy), "%zu", r->busy.count);
	const char *const fixed[] = {"EVALSHA",
				     r->leave.sha,
				     "4",
				     r->routers,
				     r->own->lists[0].key,
				     r->common->lists[0].key,
				     r->places,
				     presence_owner(r->presence),
				     r->base,
				     ROUTE_TTL,
				     was_busy};
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		add(&g, fixed[i]);
	for (size_t i = 0; i < r->busy.count; i++)
		add(&g, r->busy.items[i]);
	for (size_t i = 0; i < count; i++)
		add(&g, busy[i]);
	redis_command_argv(out, g.argv, g.argc);
}

static void note_busy(struct broker_routing *r, const char *const *busy, size_t count)
{
	free_list(&r->busy);
	r->busy.items = xcalloc(count + 1, sizeof(*r->busy.items));
	while (r->busy.count < count) {
		r->busy.items[r->busy.count] = xstrdup(busy[r->busy.count]);
		r->busy.count++;
	}
}

int redis_broker_route_leave(struct broker *b, const char *const *busy, size_t count,
			     usec_t deadline, int64_t *ret_moved, struct err *err)
{
	struct broker_routing *r = &b->route;
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	*ret_moved = 0;
	if (r->presence == NULL)
		return 0;
	leave_command(r, busy, count, &commands);
	rc = redis_link_exchange(b->link, &commands, 1, 0, deadline, &reply, err);
	if (rc == 0 && redis_reply_type(reply) == REDIS_ERROR)
		rc = err_set(err, ERR_FAILED, "Redis: %.*s", (int)redis_reply_str(reply).len,
			     redis_reply_str(reply).data);
	if (rc == 0) {
		*ret_moved = redis_reply_int(reply);
		note_busy(r, busy, count);
	}
	return rc < 0 ? err_wrap(err, "handing conversations over") : 0;
}

/* By whoever finds it dead, also when that one routes nothing itself. */
int broker_route_release(struct broker *b, const struct presence *p, const char *owner,
			 struct err *err)
{
	const char *prefix = b->options.global_keyprefix, *instance = presence_instance(p);
	_cleanup_free_ char *base = xasprintf("%sceleriac:%s:", prefix, instance);
	_cleanup_free_ char *queues = xasprintf("%s" QUEUE "%s:", prefix, instance);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	char node[128];
	int64_t epoch;
	int rc;

	if (!presence_owner_parse(owner, node, &epoch))
		return 0;
	rc = redis_link_do(b->link, clock_deadline(PATIENCE), &reply, err,
			   "EVALSHA %s 5 %srouters %s%s %s %snode:%s %sclaims %s",
			   b->route.release.sha, base, queues, node, queues, base, node, base,
			   owner);
	if (rc == 0 && redis_reply_int(reply) > 0)
		log_warning("%lld call(s) that waited for node %s are taken over",
			    (long long)redis_reply_int(reply), node);
	return rc;
}
