/*
 * next.c: beat's crontabs as a program: lines "zone|crontab|seconds since the epoch" on stdin, the
 * next run's seconds ("never") each on stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beat/schedule.h"
#include "json.h"

int main(void)
{
	char line[4096], open_zone[sizeof(line)] = "?";
	const struct timezone_info *zone = NULL;

	while (fgets(line, sizeof(line), stdin)) {
		char *text = strchr(line, '|'), *seconds = strrchr(line, '|');
		struct schedule s;
		struct err err;
		*text++ = *seconds++ = '\0';
		if (strcmp(open_zone, line) != 0) {
			snprintf(open_zone, sizeof(open_zone), "%s", line);
			timezone_close(zone);
			if (timezone_open(line[0] ? line : NULL, true, &zone, &err) < 0)
				return 1;
		}
		_cleanup_json_ json_t *value = json_string(text);
		if (schedule_parse(value, &s, &err) < 0) {
			printf("%s\n", err.msg);
			continue;
		}
		usec_t next = schedule_next(&s, zone, atoll(seconds) * USEC_PER_SEC, true);
		if (next == USEC_NEVER)
			printf("never\n");
		else
			printf("%lld\n", (long long)(next / USEC_PER_SEC));
	}
	return 0;
}
