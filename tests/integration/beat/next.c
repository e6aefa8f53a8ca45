/*
 * next.c: beat's calendar as a program, for oracles.
 *
 * Each line of stdin is "zone TAB schedule TAB seconds TAB count": what comes out is one line of
 * the next `count` runs after that many seconds since the epoch, each counted from the one before,
 * or
 * "! " and what is wrong.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beat/schedule.h"
#include "json.h"
#include "mem.h"

static void print_runs(const struct schedule *s, const struct timezone_info *z, usec_t wall,
		       long count)
{
	while (count-- > 0 && (wall = schedule_next(s, z, wall, true)) != USEC_NEVER)
		printf("%" PRId64 " ", (int64_t)(wall / USEC_PER_SEC));
	printf("\n");
}

static int answer(char *line, struct err *err)
{
	const char *zone = strtok_r(line, "\t", &line), *text = strtok_r(line, "\t", &line),
		   *from = strtok_r(line, "\t", &line), *count = strtok_r(line, "\t\n", &line);
	const struct timezone_info *z = NULL;
	_cleanup_json_ json_t *value = json_string(text ? text : "");
	struct schedule s;
	int rc;

	if (count == NULL)
		return err_set(err, ERR_INVALID, "a line has four fields");
	rc = timezone_open(zone, true, &z, err);
	if (rc == 0)
		rc = schedule_parse(value, &s, err);
	if (rc == 0)
		print_runs(&s, z, strtoll(from, NULL, 10) * USEC_PER_SEC, strtol(count, NULL, 10));
	timezone_close(z);
	return rc;
}

int main(void)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		struct err err = {0};

		if (answer(line, &err) < 0)
			printf("! %s\n", err.msg);
	}
	return EXIT_SUCCESS;
}
