/*
 * entry.c: when an entry is due, and how its last run is written down.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beat.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "parcel.h"

#define AHEAD	  (24 * 3600 * USEC_PER_SEC) /* more than the clocks of two beats differ by */
#define COUNT_MAX (INT64_C(1) << 53)

void entry_done(struct entry *e)
{
	free(e->state);
	e->state = NULL;
	parcel_free(TAKE(e->ready));
}

char *entry_state_text(usec_t wall, int64_t count, const char *id)
{
	char iso[CLOCK_ISO_SIZE];

	clock_iso(wall, iso);
	return xasprintf(
		"{\"last_run_at\": \"%s\", \"total_run_count\": %lld, \"task_id\": \"%s\"}", iso,
		(long long)count, id);
}

char *entry_first_state(const struct entry *e, usec_t wall)
{
	if (e->known_run_at > 0 && e->known_run_at < wall)
		wall = e->known_run_at;
	return entry_state_text(wall, e->known_run_count, "");
}

static bool read_state(struct entry *e, struct slice text)
{
	_cleanup_json_ json_t *state = NULL;
	const char *last, *id;
	json_int_t count;
	usec_t wall = 0;
	struct err err;

	if (json_load_strict(text.data, text.len, &state, &err) < 0)
		return false;
	last = json_member_str(state, "last_run_at");
	if (last == NULL || clock_parse_iso(last, &wall, &err) < 0)
		return false;
	id = json_member_str(state, "task_id");
	e->last_run_at = wall;
	count = json_integer_value(json_object_get(state, "total_run_count"));
	e->total_run_count = count < 0 ? 0 : count < COUNT_MAX ? count : COUNT_MAX;
	snprintf(e->last_id, sizeof(e->last_id), "%s", id ? id : "");
	return true;
}

void entry_reckon(struct entry *e, usec_t wall, usec_t mono)
{
	usec_t last = e->last_run_at, left;

	/* by a clock that was wrong, see below */
	if (e->schedule.kind != SCHEDULE_INTERVAL && last > wall + AHEAD)
		last = wall;
	e->slot = schedule_next(&e->schedule, e->zone, last, e->total_run_count > 0);
	if (e->deadline > 0 && e->schedule.kind == SCHEDULE_CRONTAB && e->slot < wall - e->deadline)
		e->slot = schedule_next(&e->schedule, e->zone, wall - e->deadline - 1, true);
	if (e->slot == USEC_NEVER) {
		e->due = USEC_NEVER;
		return;
	}
	left = e->slot - wall;
	/* A last run in the future is a clock that was wrong: never wait longer than a period. */
	if (e->schedule.kind == SCHEDULE_INTERVAL && left > e->schedule.period)
		left = e->schedule.period;
	e->due = left > 0 ? mono + left : mono;
}

void entry_set_state(struct entry *e, struct slice text, usec_t wall, usec_t mono)
{
	free(e->state);
	e->state = xstrndup(text.data, text.len);
	if (!read_state(e, text)) {
		e->last_run_at = wall;
		e->total_run_count = 0;
		e->last_id[0] = '\0';
	}
	entry_reckon(e, wall, mono);
}

void entry_ran(struct entry *e, char *state, usec_t ran_at, usec_t wall, usec_t mono)
{
	free(e->state);
	e->state = state;
	e->last_run_at = ran_at;
	if (e->total_run_count < COUNT_MAX)
		e->total_run_count++;
	snprintf(e->last_id, sizeof(e->last_id), "%s", e->id);
	entry_reckon(e, wall, mono);
}

usec_t entry_slot(const struct entry *e, usec_t wall)
{
	/* one that is a little early by this clock was due by the other; an interval counts from
	 * now then, a crontab must not find the same minute again */
	if (e->slot > wall)
		return e->schedule.kind == SCHEDULE_INTERVAL ? wall : e->slot;
	return schedule_is_on_time(e->slot, wall) ? e->slot : wall;
}
