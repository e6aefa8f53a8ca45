/*
 * crontab.h: Celery's crontab schedules (celery/schedules.py): five fields, all of which must
 * match.
 *
 * Pure. Minutes are matched as the zone's clocks show them: a time that they skip in spring counts
 * as much later as they were set forward, one that they show twice in autumn counts the first time,
 * and no instant counts twice.
 */
#ifndef CELERIAC_CRONTAB_H
#define CELERIAC_CRONTAB_H

#include "err.h"
#include "timezone.h"

/* In the order of crontab(5). */
enum crontab_field {
	CRONTAB_MINUTE,
	CRONTAB_HOUR,
	CRONTAB_DAY_OF_MONTH,
	CRONTAB_MONTH_OF_YEAR,
	CRONTAB_DAY_OF_WEEK, /* 0 = Sunday … 6 */
	CRONTAB_FIELDS
};
/* Celery's name of a field: "day_of_week". */
extern const char *const crontab_names[CRONTAB_FIELDS];

struct crontab {
	uint64_t sets[CRONTAB_FIELDS]; /* bit n: n matches */
};

/* ERR_INVALID names the field and what is wrong with it, also when no month has such a day. NULL is
 * a star. [any] */
int crontab_parse(const char *const fields[CRONTAB_FIELDS], struct crontab *ret,
		  struct err *err) must_check;
/* The same from one line: five fields with blanks between them. [any] */
int crontab_parse_line(const char *line, struct crontab *ret, struct err *err) must_check;

/* The first instant after `wall` (both since the epoch, of which nothing before is asked: `wall` is
 * not negative) that matches in the zone; USEC_NEVER when there is none within two generations.
 * [any] */
usec_t crontab_next(const struct crontab *c, const struct timezone_info *z, usec_t wall);

#endif
