/*
 * event.c: events as Celery's dispatcher writes them. See event.h.
 */
#include "event.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "content.h"
#include "json.h"
#include "wire.h"

#define CLOCK_MAX    (INT64_C(1) << 53) /* what survives a reader that has only doubles */
#define HOUR_SECONDS 3600

int64_t lamport_forward(struct lamport *c)
{
	return (int64_t)atomic_fetch_add(&c->value, 1) + 1;
}

int64_t lamport_adjust(struct lamport *c, int64_t other)
{
	int_fast64_t now = atomic_load(&c->value), then;

	if (other < 0 || other > CLOCK_MAX)
		other = 0;
	do {
		then = (now > other ? now : other) + 1;
	} while (!atomic_compare_exchange_weak(&c->value, &now, then));
	return then;
}

int64_t lamport_value(const struct lamport *c)
{
	return atomic_load(&c->value);
}

/* Hours, of what must be added to local time to get UTC, rounded down as Python's // does. */
static int utcoffset(void)
{
	time_t now = (time_t)(clock_wall() / USEC_PER_SEC);
	struct tm tm;
	long west;

	if (localtime_r(&now, &tm) == NULL)
		return 0;
	west = -tm.tm_gmtoff;
	return (int)(west >= 0 ? west / HOUR_SECONDS
			       : -((-west + HOUR_SECONDS - 1) / HOUR_SECONDS));
}

static void add_value(struct buf *out, const char *key, json_t *value)
{
	buf_appendf(out, ", \"%s\": ", key);
	json_dump_python(value, out);
	json_decref(value);
}

void event_begin(struct buf *out, const char *type, const char *hostname, int64_t clock)
{
	buf_appendf(out, "{\"type\": \"%s\"", type);
	event_add_str(out, "hostname", hostname);
	event_add_int(out, "utcoffset", utcoffset());
	event_add_int(out, "pid", getpid());
	event_add_int(out, "clock", clock);
	event_add_double(out, "timestamp", (double)clock_wall() / (double)USEC_PER_SEC);
}

void event_add_str(struct buf *out, const char *key, const char *value)
{
	if (value == NULL)
		event_add_null(out, key);
	else
		add_value(out, key, json_text(value, strlen(value), false));
}

void event_add_text(struct buf *out, const char *key, struct slice value)
{
	add_value(out, key, json_text(value.data, value.len, false));
}

void event_add_int(struct buf *out, const char *key, int64_t value)
{
	buf_appendf(out, ", \"%s\": %lld", key, (long long)value);
}

void event_add_double(struct buf *out, const char *key, double value)
{
	add_value(out, key, isfinite(value) ? json_real(value) : json_null());
}

void event_add_bool(struct buf *out, const char *key, bool value)
{
	buf_appendf(out, ", \"%s\": %s", key, value ? "true" : "false");
}

void event_add_null(struct buf *out, const char *key)
{
	buf_appendf(out, ", \"%s\": null", key);
}

void event_add_raw(struct buf *out, const char *key, const char *json)
{
	buf_appendf(out, ", \"%s\": %s", key, json);
}

void event_end(struct buf *out)
{
	buf_append_char(out, '}');
}

int event_envelope(const char *serializer, struct slice body, const char *exchange,
		   const char *routing_key, const char *hostname, struct buf *out, struct err *err)
{
	_cleanup_json_ json_t *headers = json_pack("{s:s}", "hostname", hostname);
	_cleanup_json_ json_t *properties =
		json_pack("{s:i, s:{s:s, s:s}, s:i}", "delivery_mode", 1, "delivery_info",
			  "exchange", exchange, "routing_key", routing_key, "priority", 0);

	_cleanup_buf_ struct buf signed_body = BUF_INIT(BOUND_BODY_BYTES);
	int rc;

	if (headers == NULL || properties == NULL)
		return err_set(err, ERR_INVALID, "a name in an event is not UTF-8");
	if (strcmp(serializer, "auth") != 0)
		return envelope_write("application/json", headers, properties, body, out, err);
	rc = auth_wrap(body, &signed_body, err);
	return rc < 0 ? rc
		      : envelope_write("application/data", headers, properties,
				       (struct slice){signed_body.data, signed_body.len}, out, err);
}
