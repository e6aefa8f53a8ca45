/*
 * Settings: lines of NAME=value, and what is read out of them: transport options, queues.
 */
#include <stdio.h>

#include "common/broker/redis_broker.h"
#include "fuzz.h"
#include "settings.h"
#include "transport.h"

static void options(const struct settings *s, enum transport_side side)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(1u << 16);
	struct transport_options o = {0};
	struct err err;
	int rc = transport_options_read(s, side, &o, &notes, &err);

	if (rc < 0)
		fuzz_failed(rc, &err);
	else
		transport_options_done(&o);
}

static void parts(const struct settings *s)
{
	_cleanup_json_ json_t *conf = settings_conf(s, false);
	struct queue_defs queues = {0};
	struct err err;

	options(s, TRANSPORT_BROKER);
	options(s, TRANSPORT_BACKEND);
	if (queue_defs_read(s, &queues, &err) < 0) {
		fuzz_failed(-err.code, &err);
	} else {
		FUZZ_CHECK(queues.consumed <= queues.count);
		queue_defs_done(&queues);
	}
	FUZZ_CHECK(json_is_object(conf));
}

int fuzz_settings(const uint8_t *data, size_t size)
{
	static char *no_env[] = {NULL};
	struct slice in = {(const char *)data, size};
	struct settings s = {0};
	struct err err;
	FILE *nowhere;

	if (settings_load(no_env, &s, &err) < 0) {
		fuzz_failed(-err.code, &err);
		return 0;
	}
	while (in.len > 0) {
		_cleanup_free_ char *line = fuzz_line(&in);
		char *value = strchr(line, '=');
		int rc;

		if (value == NULL)
			continue;
		*value++ = '\0';
		rc = settings_set(&s, line, value, "fuzz", &err);
		if (rc < 0)
			fuzz_failed(rc, &err);
	}
	parts(&s);
	nowhere = fopen("/dev/null", "we");
	settings_print(&s, nowhere);
	fclose(nowhere);
	settings_done(&s);
	return 0;
}
