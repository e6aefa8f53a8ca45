/*
 * ledger_redis.c: the ledger in Redis, each thing one script.
 */
#include "ledger_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "mem.h"

extern const char script_lease[], script_load[];
extern const char script_slot[], script_slot_look[], script_slot_mark[];

/* One exchange: short enough that a signal ends us within a second. A try that was cut off is told
 * apart by the script. */
#define PATIENCE (600 * USEC_PER_MSEC)

static struct ledger_in_redis *of(const struct ledger *l)
{
	return (struct ledger_in_redis *)(uintptr_t)l;
}

static struct redis_link *link_of(const struct ledger *l)
{
	return shared_state_link(of(l)->shared);
}

static void add_script(struct ledger_in_redis *r, struct redis_script *script, const char *text)
{
	redis_script_init(script, text);
	redis_link_add_script(shared_state_link(r->shared), script);
}

static char *lease_key(const char *prefix, const char *instance)
{
	return xasprintf("%sceleriac:%s:beat:leader", prefix, instance);
}

static int open_ledger(const struct settings *s, struct broker *broker, struct ledger **ret,
		       struct err *err)
{
	struct ledger_in_redis *r = xcalloc(1, sizeof(*r));
	int rc = shared_state_open(s, broker_address(broker), broker_link(broker), &r->shared, err);

	if (rc < 0) {
		free(r);
		return rc;
	}
	const char *prefix = shared_state_address(r->shared)->key_prefix;

	r->ledger = (struct ledger){.driver = &ledger_redis,
				    .sends = !shared_state_apart(r->shared),
				    .name = xasprintf("%sceleriac:%s:beat", prefix, s->instance),
				    .value = lease_value(s)};
	r->lease_key = lease_key(prefix, s->instance);
	snprintf(r->ttl, sizeof(r->ttl), "%lld", (long long)(LEASE_TTL / USEC_PER_MSEC));
	add_script(r, &r->lease, script_lease);
	add_script(r, &r->load, script_load);
	add_script(r, &r->slot, script_slot);
	add_script(r, &r->look, script_slot_look);
	add_script(r, &r->mark, script_slot_mark);
	*ret = &r->ledger;
	return 0;
}

static void close_ledger(struct ledger *l, usec_t deadline)
{
	struct ledger_in_redis *r = of(l);

	shared_state_close(r->shared, deadline);
	free(r->lease_key);
	free(l->name);
	free(l->value);
	free(r);
}

static bool ready(const struct ledger *l)
{
	return shared_state_ready(of(l)->shared);
}

static int check_reply(const struct redis_reply *r, enum redis_type type, struct err *err)
{
	struct slice text = redis_reply_str(r);

	if (redis_reply_type(r) == type)
		return 0;
	if (redis_reply_type(r) == REDIS_ERROR)
		return err_set(err, ERR_FAILED, "Redis: %.*s", (int)text.len, text.data);
	return err_set(err, ERR_PROTOCOL, "Redis: an answer of an unexpected type");
}

/* ---- the lease ---- */

static int ask_lease(struct ledger *l, const char *ttl, usec_t deadline, struct redis_reply **ret,
		     struct err *err)
{
	const struct ledger_in_redis *r = of(l);
	int rc = redis_link_do(link_of(l), deadline, ret, err, "EVALSHA %s 1 %s %s %s",
			       r->lease.sha, r->lease_key, l->value, ttl);

	return rc < 0 ? rc : check_reply(*ret, REDIS_STRING, err);
}

static int lead(struct ledger *l, usec_t deadline, bool *ret_ours, char holder[LEASE_HOLDER],
		struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = ask_lease(l, of(l)->ttl, deadline, &reply, err);
	struct slice value;

	if (rc < 0)
		return rc;
	value = redis_reply_str(reply);
	*ret_ours = value.len == strlen(l->value) && memcmp(value.data, l->value, value.len) == 0;
	lease_holder(value, holder);
	return 0;
}

static void leave(struct ledger *l, usec_t deadline)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;

	/* it expires all the same */
	if (ask_lease(l, "0", deadline, &reply, &err) < 0)
		return;
}

static int read_leader(struct redis *r, const char *key, char holder[LEASE_HOLDER],
		       usec_t *ret_left, struct err *err)
{
	_cleanup_reply_ struct redis_reply *value = NULL, *left = NULL;
	int rc = redis_do(r, &value, err, "GET %s", key);

	if (rc == 0)
		rc = redis_do(r, &left, err, "PTTL %s", key);
	if (rc < 0)
		return rc;
	lease_holder(redis_reply_str(value), holder);
	*ret_left = redis_reply_int(left) > 0 ? redis_reply_int(left) * USEC_PER_MSEC : 0;
	return 0;
}

static int leader(const struct settings *s, char holder[LEASE_HOLDER], usec_t *ret_left,
		  struct err *err)
{
	struct redis_address address = {0};
	struct redis *r = NULL;
	int rc = connect_shared(s, &address, &r, err);

	if (rc < 0)
		return rc;
	_cleanup_free_ char *key = lease_key(address.key_prefix, s->instance);

	rc = read_leader(r, key, holder, ret_left, err);
	redis_close(r);
	redis_address_done(&address);
	return rc;
}

/* ---- commands ---- */

/* One command, whose answer is an array. */
static int command(struct ledger *l, const struct slice *argv, size_t count,
		   struct redis_reply **ret, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	int rc;

	redis_command_argv(&commands, argv, count);
	rc = redis_link_exchange(link_of(l), &commands, 1, 0, clock_deadline(PATIENCE), ret, err);
	return rc < 0 ? rc : check_reply(*ret, REDIS_ARRAY, err);
}

#define LEASED 7 /* words of a script's command up to the lease and its time */

/* The beginning of one whose keys are the states and the lease; ends with the lease. */
static void leased(const struct ledger *l, const struct redis_script *script,
		   struct slice argv[LEASED])
{
	const struct ledger_in_redis *r = of(l);

	argv[0] = slice_of("EVALSHA");
	argv[1] = slice_of(script->sha);
	argv[2] = slice_of("2");
	argv[3] = slice_of(l->name);
	argv[4] = slice_of(r->lease_key);
	argv[5] = slice_of(l->value);
	argv[6] = slice_of(r->ttl);
}

static int load(struct ledger *l, struct entry *list, size_t count, struct err *err)
{
	struct slice argv[LEASED + 2 * PUBLISHER_LOAD];
	_cleanup_reply_ struct redis_reply *reply = NULL;
	char *first[PUBLISHER_LOAD];
	size_t n = LEASED;
	int rc;

	leased(l, &of(l)->load, argv);
	for (size_t i = 0; i < count; i++) {
		first[i] = entry_first_state(&list[i], clock_wall());
		argv[n++] = slice_of(list[i].name);
		argv[n++] = slice_of(first[i]);
	}
	rc = command(l, argv, n, &reply, err);
	for (size_t i = 0; i < count; i++)
		free(first[i]);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = check_reply(redis_reply_at(reply, i), REDIS_STRING, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		entry_set_state(&list[i], redis_reply_str(redis_reply_at(reply, i)), clock_wall(),
				clock_mono());
	return rc;
}

static void refused(struct parcel *parcel, struct slice why)
{
	struct err err = {0};

	(void)err_set(&err, ERR_FAILED, "Redis: %.*s", (int)why.len, why.data);
	sending_refused(parcel, &err);
}

/* What a script says of an entry, as slot.lua tells it. */
static int verdict(struct parcel *parcel, const struct redis_reply *reply, struct err *err)
{
	const struct redis_reply *text = redis_reply_at(reply, 1);
	int rc;

	if (redis_reply_type(reply) == REDIS_INTEGER) {
		sending_sent(parcel);
		return 0;
	}
	rc = check_reply(reply, REDIS_ARRAY, err);
	if (rc == 0)
		rc = check_reply(text, REDIS_STRING, err);
	if (rc < 0)
		return rc;
	if (redis_reply_int(redis_reply_at(reply, 0)) == 0)
		sending_was_there(parcel, redis_reply_str(text));
	else
		refused(parcel, redis_reply_str(text));
	return 0;
}

/* ---- one step ---- */

static size_t slot_command(const struct ledger *l, const struct batch *b, char keys[24],
			   struct slice *argv)
{
	const struct ledger_in_redis *r = of(l);
	size_t n = 0;

	snprintf(keys, 24, "%zu", 2 + b->count);
	argv[n++] = slice_of("EVALSHA");
	argv[n++] = slice_of(r->slot.sha);
	argv[n++] = slice_of(keys);
	argv[n++] = slice_of(l->name);
	argv[n++] = slice_of(r->lease_key);
	for (size_t i = 0; i < b->count; i++)
		argv[n++] = (struct slice){b->parcels[i]->list.data, b->parcels[i]->list.len};
	argv[n++] = slice_of(l->value);
	argv[n++] = slice_of(r->ttl);
	for (size_t i = 0; i < b->count; i++) {
		const struct parcel *parcel = b->parcels[i];

		argv[n++] = slice_of(parcel->sending->entry->name);
		argv[n++] = slice_of(parcel->sending->entry->state);
		argv[n++] = slice_of(parcel->next);
		argv[n++] = (struct slice){parcel->message.data, parcel->message.len};
	}
	return n;
}

static int send_batch(struct ledger *l, struct batch *b, bool *ret_leads, struct err *err)
{
	struct slice argv[LEASED + 5 * SCHEDULER_BATCH];
	_cleanup_reply_ struct redis_reply *reply = NULL;
	char keys[24];
	int rc = command(l, argv, slot_command(l, b, keys, argv), &reply, err);

	if (rc < 0)
		return rc;
	*ret_leads = redis_reply_type(redis_reply_at(reply, 0)) == REDIS_INTEGER;
	for (size_t i = 0; *ret_leads && rc == 0 && i < b->count; i++)
		rc = verdict(b->parcels[i], redis_reply_at(reply, i + 1), err);
	return rc;
}

/* ---- two of three steps ---- */

static int look(struct ledger *l, struct batch *b, size_t from, bool open[SCHEDULER_BATCH],
		bool *ret_leads, struct err *err)
{
	struct slice argv[LEASED + 2 * SCHEDULER_BATCH];
	_cleanup_reply_ struct redis_reply *reply = NULL;
	size_t n = LEASED;
	int rc;

	leased(l, &of(l)->look, argv);
	for (size_t i = from; i < b->count; i++) {
		argv[n++] = slice_of(b->parcels[i]->sending->entry->name);
		argv[n++] = slice_of(b->parcels[i]->sending->entry->state);
	}
	rc = command(l, argv, n, &reply, err);
	if (rc < 0)
		return rc;
	*ret_leads = redis_reply_type(redis_reply_at(reply, 0)) == REDIS_INTEGER;
	for (size_t i = from; *ret_leads && rc == 0 && i < b->count; i++) {
		const struct redis_reply *answer = redis_reply_at(reply, i - from + 1);

		open[i] = redis_reply_type(answer) == REDIS_INTEGER;
		if (!open[i])
			rc = verdict(b->parcels[i], answer, err);
	}
	return rc;
}

static int mark(struct ledger *l, struct parcel *const *sent, size_t count, struct err *err)
{
	struct slice argv[4 + 3 * SCHEDULER_BATCH] = {
		slice_of("EVALSHA"), slice_of(of(l)->mark.sha), slice_of("1"), slice_of(l->name)};
	_cleanup_reply_ struct redis_reply *reply = NULL;
	size_t n = 4;
	int rc;

	for (size_t i = 0; i < count; i++) {
		argv[n++] = slice_of(sent[i]->sending->entry->name);
		argv[n++] = slice_of(sent[i]->sending->entry->state);
		argv[n++] = slice_of(sent[i]->next);
	}
	rc = command(l, argv, n, &reply, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = verdict(sent[i], redis_reply_at(reply, i + 1), err);
	return rc;
}

const struct ledger_driver ledger_redis = {.what = "Redis",
					   .open = open_ledger,
					   .close = close_ledger,
					   .ready = ready,
					   .lead = lead,
					   .leave = leave,
					   .load = load,
					   .send = send_batch,
					   .look = look,
					   .mark = mark,
					   .leader = leader};
