/*
 * schedule.h: when an entry runs: every so often, by a crontab, by the sun, or once. Pure.
 *
 * In JSON: seconds (300, 0.5, "300"), "minute hour day month weekday", or an object that names its
 * type: {"type": "interval", "every": 5, "period": "minutes"}, {"type": "crontab", "minute": "0",
 * "hour": "8", "day_of_week": "mon-fri", …}, {"type": "clocked", "clocked_time":
 * "2026-12-01T09:00:00Z"}, {"type": "solar", "event": "sunset", "lat": 52.5, "lon": 13.4}.
 */
#ifndef CELERIAC_BEAT_SCHEDULE_H
#define CELERIAC_BEAT_SCHEDULE_H

#include <jansson.h>

#include "crontab.h"
#include "solar.h"

enum schedule_kind { SCHEDULE_INTERVAL, SCHEDULE_CRONTAB, SCHEDULE_SOLAR, SCHEDULE_CLOCKED };
struct schedule {
	enum schedule_kind kind;
	usec_t period; /* interval */
	bool relative; /* an interval of the clock: on the full day, hour, minute or second */
	struct crontab crontab;
	struct solar solar;
	usec_t clocked; /* wall */
};

/* ERR_INVALID names what is wrong. [any] */
int schedule_parse(const json_t *value, struct schedule *ret, struct err *err) must_check;
/* The first run after one at `last` (wall); of a clocked one, that time as long as it was not run.
 * USEC_NEVER: none any more. [any] */
usec_t schedule_next(const struct schedule *s, const struct timezone_info *z, usec_t last,
		     bool ever_run);
/* Is a run at `slot` still to be told by its slot at `wall`, so that small delays do not add up? */
bool schedule_is_on_time(usec_t slot, usec_t wall);
/* "every 5.00 minutes", "at 0 8 * * mon-fri" … for people. */
#define SCHEDULE_TEXT 128
void schedule_text(const json_t *value, const struct schedule *s, char out[SCHEDULE_TEXT]);

#endif
