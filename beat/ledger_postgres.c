/*
 * ledger_postgres.c: the ledger in PostgreSQL (beat_lease, beat_entries), for deployments that have
 * no Redis. Messages go elsewhere then, always.
 */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "mem.h"
#include "store.h"

/* One statement: a write that a busy disk holds up has its time, and the lease (LEASE_TTL) too. */
#define PATIENCE (1500 * USEC_PER_MSEC)

struct ledger_in_postgres {
	struct ledger ledger;
	struct store *store;
	char *instance;
};

static struct ledger_in_postgres *of(const struct ledger *l)
{
	return (struct ledger_in_postgres *)(uintptr_t)l;
}

static struct store_lease lease_of(const struct ledger *l)
{
	return (struct store_lease){
		.instance = of(l)->instance, .holder = l->value, .ttl = LEASE_TTL};
}

static int open_store(const struct settings *s, struct store **ret, struct err *err)
{
	struct settings own = *s;

	own.media_dir = NULL;
	own.database_connections = 1;
	return store_open(&own, ret, err);
}

static int open_ledger(const struct settings *s, struct broker *broker, struct ledger **ret,
		       struct err *err)
{
	struct ledger_in_postgres *p;
	struct store *store;
	int rc = open_store(s, &store, err);

	(void)broker;
	if (rc < 0)
		return rc;
	p = xcalloc(1, sizeof(*p));
	p->ledger = (struct ledger){.driver = &ledger_postgres,
				    .name = xasprintf("celeriac:%s:beat", s->instance),
				    .value = lease_value(s)};
	p->store = store;
	p->instance = xstrdup(s->instance);
	*ret = &p->ledger;
	return 0;
}

static void close_ledger(struct ledger *l, usec_t deadline)
{
	struct ledger_in_postgres *p = of(l);

	(void)deadline;
	store_close(p->store);
	free(p->instance);
	free(l->name);
	free(l->value);
	free(p);
}

/* ---- the lease ---- */

static int lead(struct ledger *l, usec_t deadline, bool *ret_ours, char holder[LEASE_HOLDER],
		struct err *err)
{
	const struct store_lease lease = lease_of(l);
	char value[LEASE_VALUE];
	int rc = store_take_lease(of(l)->store, &lease, deadline, value, sizeof(value), err);

	if (rc < 0)
		return rc;
	*ret_ours = strcmp(value, l->value) == 0;
	lease_holder(slice_of(value), holder);
	return 0;
}

static void leave(struct ledger *l, usec_t deadline)
{
	const struct store_lease lease = lease_of(l);
	struct err err;

	/* it expires all the same */
	if (store_leave_lease(of(l)->store, &lease, deadline, &err) < 0)
		return;
}

static bool ready(const struct ledger *l)
{
	return store_ready(of(l)->store);
}

static int leader(const struct settings *s, char holder[LEASE_HOLDER], usec_t *ret_left,
		  struct err *err)
{
	usec_t deadline = clock_deadline(5 * USEC_PER_SEC);
	char value[LEASE_VALUE];
	struct store *store;
	int rc = open_store(s, &store, err);

	if (rc < 0)
		return rc;
	rc = store_read_lease(store, s->instance, deadline, value, sizeof(value), ret_left, err);
	if (rc == 0)
		lease_holder(slice_of(value), holder);
	store_close(store);
	return rc;
}

/* ---- states ---- */

/* One statement over a list, which it frees; as many answers. */
static int step(struct ledger *l, enum store_ledger_step what, json_t *list, bool *ret_leads,
		json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *entries = list, *answers = NULL;
	const struct store_lease lease = lease_of(l);
	int rc = store_ledger(of(l)->store, what, &lease, entries, clock_deadline(PATIENCE),
			      ret_leads, &answers, err);

	if (rc == 0 && json_array_size(answers) != json_array_size(entries))
		rc = err_set(err, ERR_PROTOCOL, "the database answers for %zu entries of %zu",
			     json_array_size(answers), json_array_size(entries));
	if (rc == 0)
		*ret = TAKE(answers);
	return rc;
}

static struct slice text_at(const json_t *answers, size_t i)
{
	const json_t *text = json_array_get(answers, i);

	return (struct slice){json_string_value(text), json_string_length(text)};
}

static int load(struct ledger *l, struct entry *list, size_t count, struct err *err)
{
	_cleanup_json_ json_t *answers = NULL;
	json_t *entries = json_array();
	bool leads;
	int rc;

	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *first = entry_first_state(&list[i], clock_wall());

		json_array_append_new(entries, json_pack("[s, s]", list[i].name, first));
	}
	rc = step(l, STORE_LEDGER_LOAD, entries, &leads, &answers, err);
	for (size_t i = 0; rc == 0 && i < count; i++)
		if (!json_is_string(json_array_get(answers, i)))
			rc = err_set(err, ERR_UNAVAILABLE, "another beat makes '%.100s' just now",
				     list[i].name);
	for (size_t i = 0; rc == 0 && i < count; i++)
		entry_set_state(&list[i], text_at(answers, i), clock_wall(), clock_mono());
	return rc;
}

static int look(struct ledger *l, struct batch *b, size_t from, bool open[SCHEDULER_BATCH],
		bool *ret_leads, struct err *err)
{
	_cleanup_json_ json_t *answers = NULL;
	json_t *entries = json_array();
	int rc;

	for (size_t i = from; i < b->count; i++) {
		const struct entry *e = b->parcels[i]->sending->entry;

		json_array_append_new(entries, json_pack("[s, s]", e->name, e->state));
	}
	rc = step(l, STORE_LEDGER_LOOK, entries, ret_leads, &answers, err);
	for (size_t i = from; rc == 0 && *ret_leads && i < b->count; i++) {
		open[i] = json_is_null(json_array_get(answers, i - from));
		if (!open[i])
			sending_was_there(b->parcels[i], text_at(answers, i - from));
	}
	return rc;
}

static int mark(struct ledger *l, struct parcel *const *sent, size_t count, struct err *err)
{
	_cleanup_json_ json_t *answers = NULL;
	json_t *entries = json_array();
	bool leads;
	int rc;

	for (size_t i = 0; i < count; i++) {
		const struct entry *e = sent[i]->sending->entry;

		json_array_append_new(entries,
				      json_pack("[s, s, s]", e->name, e->state, sent[i]->next));
	}
	rc = step(l, STORE_LEDGER_MARK, entries, &leads, &answers, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (json_is_null(json_array_get(answers, i)))
			sending_sent(sent[i]);
		else
			sending_was_there(sent[i], text_at(answers, i));
	}
	return rc;
}

const struct ledger_driver ledger_postgres = {.what = "PostgreSQL",
					      .open = open_ledger,
					      .close = close_ledger,
					      .ready = ready,
					      .lead = lead,
					      .leave = leave,
					      .load = load,
					      .look = look,
					      .mark = mark,
					      .leader = leader};
