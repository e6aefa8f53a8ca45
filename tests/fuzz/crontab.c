/* Schedules of beat: a crontab's line, a schedule in JSON. The next run is always after the last.
 */
#include "beat/schedule.h"
#include "fuzz.h"
#include "timezone.h"

#define SOME_DAY ((usec_t)1795000000 * USEC_PER_SEC) /* in November 2026 */

static const struct timezone_info *zone(void)
{
	static const struct timezone_info *berlin;
	struct err err;

	if (berlin == NULL)
		FUZZ_CHECK(timezone_open("Europe/Berlin", true, &berlin, &err) == 0);
	return berlin;
}

static void schedule(const json_t *value)
{
	char text[SCHEDULE_TEXT];
	struct schedule s;
	struct err err;
	int rc = schedule_parse(value, &s, &err);
	usec_t next;

	if (rc < 0) {
		fuzz_failed(rc, &err);
		return;
	}
	next = schedule_next(&s, zone(), SOME_DAY, true);
	FUZZ_CHECK(next > SOME_DAY || s.kind == SCHEDULE_CLOCKED);
	schedule_text(value, &s, text);
	FUZZ_CHECK(memchr(text, '\0', sizeof(text)) != NULL);
}

int fuzz_crontab(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *line = xmemdup(data, size);
	_cleanup_json_ json_t *value = NULL;
	struct crontab c;
	struct err err;
	int rc = crontab_parse_line(line, &c, &err);

	if (rc < 0)
		fuzz_failed(rc, &err);
	else
		FUZZ_CHECK(crontab_next(&c, zone(), SOME_DAY) > SOME_DAY);
	if (json_load_python((const char *)data, size, &value, &err) == 0)
		schedule(value);
	return 0;
}
