/*
 * publish.c: the messages of due entries are sent, by one script (slot.lua).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beat.h"
#include "clock.h"
#include "codec.h"
#include "mem.h"
#include "parcel.h"

extern const char script_slot[];
extern const char script_load[];
extern const char script_slot_look[], script_slot_mark[];

/* One exchange: short enough that a signal ends us within a second. A try that was cut off is told
 * apart by the script. */
#define PATIENCE (600 * USEC_PER_MSEC)

static void add_script(struct publisher *p, struct redis_script *script, const char *text)
{
	redis_script_init(script, text);
	redis_link_add_script(shared_state_link(p->shared), script);
}

int publisher_open(struct publisher *p, const struct settings *s, struct err *err)
{
	const struct settings sending = connect_sending(s);
	char id[UUID_SIZE];
	int rc;

	*p = (struct publisher){0};
	rc = broker_open(&sending, &p->broker, err);
	if (rc == 0)
		rc = shared_state_open(&sending, broker_address(p->broker), broker_link(p->broker),
				       &p->shared, err);
	if (rc < 0)
		return rc;
	uuid4(id);
	p->reply_to = xstrdup(id);
	p->state_key = xasprintf("%sceleriac:%s:beat", shared_state_address(p->shared)->key_prefix,
				 s->instance);
	add_script(p, &p->slot, script_slot);
	add_script(p, &p->load, script_load);
	add_script(p, &p->look, script_slot_look);
	add_script(p, &p->mark, script_slot_mark);
	lease_init(&p->lease, p->shared, s);
	return 0;
}

void publisher_close(struct publisher *p, usec_t deadline)
{
	shared_state_close(p->shared, deadline);
	broker_close(p->broker, deadline);
	lease_done(&p->lease);
	free(p->state_key);
	free(p->reply_to);
	*p = (struct publisher){0};
}

bool publisher_ready(const struct publisher *p)
{
	return broker_ready(p->broker) && shared_state_ready(p->shared);
}

const char *publisher_where(const struct publisher *p)
{
	return broker_where(p->broker);
}

int publisher_lead(struct publisher *p, usec_t deadline, bool *ret_ours, char leader[LEASE_HOLDER],
		   struct err *err)
{
	return lease_take(&p->lease, deadline, ret_ours, leader, err);
}

void publisher_leave(struct publisher *p, usec_t deadline)
{
	lease_leave(&p->lease, deadline);
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

int publish_command(struct publisher *p, struct buf *commands, struct redis_reply **ret,
		    struct err *err)
{
	int rc = redis_link_exchange(shared_state_link(p->shared), commands, 1, 0,
				     clock_deadline(PATIENCE), ret, err);

	return rc < 0 ? rc : check_reply(*ret, REDIS_ARRAY, err);
}

#define LOAD_HEAD 7 /* words before the entries */

static void load_command(const struct publisher *p, const struct entry *list, size_t count,
			 struct buf *out)
{
	struct slice argv[LOAD_HEAD + 2 * PUBLISHER_LOAD] = {
		slice_of("EVALSHA"),	slice_of(p->load.sha),	slice_of("2"),
		slice_of(p->state_key), slice_of(p->lease.key), slice_of(p->lease.value),
		slice_of(p->lease.ttl)};
	size_t n = LOAD_HEAD;

	for (size_t i = 0; i < count; i++) {
		argv[n++] = slice_of(list[i].name);
		argv[n++] = slice_of(entry_first_state(&list[i], clock_wall()));
	}
	redis_command_argv(out, argv, n);
	while (n > LOAD_HEAD) {
		free((char *)(uintptr_t)argv[n - 1].data);
		n -= 2;
	}
}

int publisher_load(struct publisher *p, struct entry *list, size_t count, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	load_command(p, list, count, &commands);
	rc = publish_command(p, &commands, &reply, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = check_reply(redis_reply_at(reply, i), REDIS_STRING, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		entry_set_state(&list[i], redis_reply_str(redis_reply_at(reply, i)), clock_wall(),
				clock_mono());
	return rc;
}

/* ---- a batch on its way ---- */
#define BATCH_BYTES (1u << 20) /* of messages: the script should be short */

static void batch_done(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		parcel_free(b->parcels[i]);
}
#define _cleanup_batch_ _cleanup_(batch_done)

/* One whose message cannot be made has its verdict. */
static void batch_add(struct publisher *p, struct batch *b, struct sending *s)
{
	struct parcel *parcel;

	if (parcel_take(p, s->entry, &parcel, &s->err) < 0) {
		s->verdict = SEND_FAILED;
		return;
	}
	memcpy(s->entry->id, parcel->id, UUID_SIZE);
	parcel->sending = s;
	b->parcels[b->count++] = parcel;
	b->bytes += parcel->message.len;
}

/* The first of them that make a batch; returns how many that are. */
static size_t batch_fill(struct publisher *p, struct batch *b, struct sending *list, size_t count)
{
	size_t taken = 0;

	while (taken < count && b->count < SCHEDULER_BATCH && b->bytes < BATCH_BYTES)
		batch_add(p, b, &list[taken++]);
	return taken;
}

static void slot_command(const struct publisher *p, const struct batch *b, struct buf *out)
{
	struct slice argv[7 + 5 * SCHEDULER_BATCH] = {slice_of("EVALSHA"), slice_of(p->slot.sha)};
	char keys[24];
	size_t n = 2;

	snprintf(keys, sizeof(keys), "%zu", 2 + b->count);
	argv[n++] = slice_of(keys);
	argv[n++] = slice_of(p->state_key);
	argv[n++] = slice_of(p->lease.key);
	for (size_t i = 0; i < b->count; i++)
		argv[n++] = (struct slice){b->parcels[i]->list.data, b->parcels[i]->list.len};
	argv[n++] = slice_of(p->lease.value);
	argv[n++] = slice_of(p->lease.ttl);
	for (size_t i = 0; i < b->count; i++) {
		const struct parcel *parcel = b->parcels[i];

		argv[n++] = slice_of(parcel->sending->entry->name);
		argv[n++] = slice_of(parcel->sending->entry->state);
		argv[n++] = slice_of(parcel->next);
		argv[n++] = (struct slice){parcel->message.data, parcel->message.len};
	}
	redis_command_argv(out, argv, n);
}

/* ---- its answer ---- */

static enum send_verdict moved_on(struct entry *e, bool ours)
{
	e->id[0] = '\0';
	e->tried = e->published = false;
	return ours ? SEND_DONE : SEND_ELSEWHERE;
}

/*
 * Another beat's run, or ours, when the answer to an earlier try was lost. That one may have waited
 * in a stuck server, so the time it tells is not to be counted from.
 */
static enum send_verdict was_there(struct entry *e, struct slice state)
{
	bool ours;

	entry_set_state(e, state, clock_wall(), clock_mono());
	ours = e->tried && strcmp(e->last_id, e->id) == 0;
	if (ours && e->schedule.kind == SCHEDULE_INTERVAL)
		e->due = clock_mono() + e->schedule.period;
	return moved_on(e, ours);
}

int publish_verdict(struct parcel *parcel, const struct redis_reply *reply, struct err *err)
{
	const struct redis_reply *text = redis_reply_at(reply, 1);
	struct slice state = redis_reply_str(text);
	struct sending *s = parcel->sending;
	int rc;

	if (redis_reply_type(reply) == REDIS_INTEGER) {
		entry_ran(s->entry, TAKE(parcel->next), parcel->ran_at, clock_wall(), clock_mono());
		s->verdict = moved_on(s->entry, true);
		return 0;
	}
	rc = check_reply(reply, REDIS_ARRAY, err);
	if (rc == 0)
		rc = check_reply(text, REDIS_STRING, err);
	if (rc < 0)
		return rc;
	if (redis_reply_int(redis_reply_at(reply, 0)) == 0) {
		s->verdict = was_there(s->entry, state);
		return 0;
	}
	s->verdict = SEND_FAILED;
	(void)err_set(&s->err, ERR_FAILED, "Redis: %.*s", (int)state.len, state.data);
	return 0;
}

static int take_answers(struct batch *b, const struct redis_reply *reply, bool *ret_leads,
			struct err *err)
{
	int rc = 0;

	*ret_leads = redis_reply_type(redis_reply_at(reply, 0)) == REDIS_INTEGER;
	for (size_t i = 0; *ret_leads && rc == 0 && i < b->count; i++)
		rc = publish_verdict(b->parcels[i], redis_reply_at(reply, i + 1), err);
	return rc;
}

static int send_batch(struct publisher *p, struct batch *b, bool *ret_leads, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	if (shared_state_apart(p->shared)) {
		rc = publish_apart(p, b, ret_leads, err);
	} else {
		slot_command(p, b, &commands);
		rc = publish_command(p, &commands, &reply, err);
		if (rc == 0)
			rc = take_answers(b, reply, ret_leads, err);
	}
	for (size_t i = 0; rc < 0 && i < b->count; i++)
		b->parcels[i]->sending->entry->tried = b->parcels[i]->sending->entry->id[0] != '\0';
	return rc;
}

int publisher_send(struct publisher *p, struct sending *list, size_t count, bool *ret_leads,
		   struct err *err)
{
	int rc = 0;

	*ret_leads = true;
	for (size_t at = 0; rc == 0 && *ret_leads && at < count;) {
		_cleanup_batch_ struct batch b = {0};

		at += batch_fill(p, &b, list + at, count - at);
		if (b.count > 0)
			rc = send_batch(p, &b, ret_leads, err);
	}
	return rc;
}
