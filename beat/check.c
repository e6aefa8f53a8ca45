/*
 * check.c: --check: every service is reached, and what would be done is printed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "beat.h"
#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "ledger.h"
#include "serial.h"
#include "status.h"
#include "store.h"

#define PATIENCE (5 * USEC_PER_SEC)

struct check {
	const struct settings *settings;
	int failed;
};

static void verdict(struct check *c, const char *what, int rc, const char *text,
		    const struct err *err)
{
	printf("%s  %-12s %s\n", rc < 0 ? "FAIL" : "ok  ", what, rc < 0 ? err->msg : text);
	c->failed += rc < 0;
}

static void check_amqp(struct check *c)
{
	const struct settings sending = connect_sending(c->settings);
	struct broker *broker = NULL;
	struct err err = {0};
	char detail[64] = "";
	int rc = broker_open(&sending, &broker, &err);

	if (rc == 0)
		rc = broker_reach(broker, clock_deadline(PATIENCE), detail, &err);
	verdict(c, "broker", rc, detail, &err);
	broker_close(broker, 0);
}

static void check_redis(struct check *c)
{
	struct redis_address address = {0};
	struct redis *r = NULL;
	struct err err = {0};
	int rc = connect_once(c->settings, connect_url(c->settings), &address, &r, &err);

	verdict(c, "broker", rc, "answers", &err);
	if (rc < 0)
		return;
	redis_close(r);
	redis_address_done(&address);
}

static void check_broker(struct check *c)
{
	const struct settings sending = connect_sending(c->settings);

	if (broker_is_amqp(&sending))
		check_amqp(c);
	else
		check_redis(c);
}

/* Whoever leads, this one would start: as the first, or to stand by. */
static void check_leader(struct check *c)
{
	const struct settings sending = connect_sending(c->settings);
	const struct ledger_driver *kind = NULL;
	char holder[LEASE_HOLDER] = "", text[LEASE_HOLDER + 96];
	usec_t left = 0;
	struct err err = {0};
	int rc = ledger_kind(&sending, &kind, &err);

	verdict(c, "ledger", rc, rc < 0 ? "" : kind->what, &err);
	if (rc < 0)
		return;
	rc = kind->leader(c->settings, holder, &left, &err);
	if (left > 0)
		snprintf(text, sizeof(text), "%s, for %.1f s more unless it renews", holder,
			 (double)left / (double)USEC_PER_SEC);
	else
		snprintf(text, sizeof(text), "%s", holder);
	verdict(c, "leader", rc, text, &err);
}

static void check_table(struct check *c, struct entries *entries)
{
	_cleanup_json_ json_t *rows = NULL;
	struct store *store = NULL;
	struct err err = {0};
	char text[64];
	int rc;

	if (!c->settings->database_url || !*c->settings->database_url)
		return;
	rc = store_open(c->settings, &store, &err);
	if (rc == 0)
		rc = store_load_periodic_tasks(store, &rows, &err);
	snprintf(text, sizeof(text), "%zu enabled rows", json_array_size(rows));
	verdict(c, "table", rc, text, &err);
	if (rc == 0)
		entries_add_rows(entries, rows, c->settings);
	store_close(store);
}

static void check_messages(struct check *c)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct err err = {0};

	if (serial_open(c->settings, &notes, &err) < 0)
		verdict(c, "messages", -err.code, "", &err);
}

static void print_entry(const struct entry *e)
{
	char text[SCHEDULE_TEXT];

	schedule_text(e->schedule_value, &e->schedule, text);
	printf("ok    %-12s %s (%s) %s to queue %s\n", "entry", e->name, e->task, text, e->queue);
}

static void check_entries(struct check *c)
{
	const struct timezone_info *zone = NULL;
	struct entries entries;
	struct err err = {0};
	int rc = timezone_open(c->settings->timezone, c->settings->enable_utc, &zone, &err);

	if (rc == 0)
		rc = service_entries(c->settings, zone, &entries, &err);
	if (rc < 0) {
		verdict(c, "entries", rc, "", &err);
	} else {
		check_table(c, &entries);
		for (size_t i = 0; i < entries.count; i++)
			print_entry(&entries.list[i]);
		entries_done(&entries);
	}
	timezone_close(zone);
}

static void check_address(struct check *c)
{
	struct err err = {0};
	int rc = status_check(c->settings, &err);

	if (rc < 0)
		verdict(c, "metrics", rc, "", &err);
}

int beat_check(const struct settings *s)
{
	struct check c = {.settings = s};

	check_broker(&c);
	check_leader(&c);
	check_address(&c);
	check_messages(&c);
	check_entries(&c);
	if (c.failed > 0)
		printf("%d check(s) failed\n", c.failed);
	else
		printf("ready\n");
	return c.failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
