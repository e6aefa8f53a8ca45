/*
 * message_encode.c: a task message as Celery's own client makes it: the same members, in the same
 * order, with the same spaces (tests/data/messages holds what it was compared with).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "wire.h"

#define HOST_SIZE 256
#define NO_MEMORY "no memory for a message"

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *date_or_null(usec_t wall)
{
	char text[CLOCK_ISO_SIZE];

	if (wall == 0)
		return json_null();
	clock_iso(wall, text);
	return json_string(text);
}

/* An empty positional list is a tuple in Python's hands, whoever sends. */
static json_t *repr_of(const json_t *value, const char *when_empty)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_REPR_BYTES * 4);
	bool empty = value == NULL ||
		     (json_is_array(value) ? json_array_size(value) : json_object_size(value)) == 0;

	if (empty)
		return json_string(when_empty);
	json_repr(value, BOUND_REPR_BYTES, &text);
	return json_text(text.data, text.len, false);
}

/* As anon_nodename() says it. */
static json_t *default_origin(void)
{
	char host[HOST_SIZE] = "localhost";
	_cleanup_free_ char *origin = NULL;

	gethostname(host, sizeof(host) - 1);
	origin = xasprintf("gen%ld@%s", (long)getpid(), host);
	return json_text(origin, strlen(origin), true);
}

static int make_headers(const struct message_out *m, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *h = NULL;

	h = json_pack("{s:s, s:o, s:o, s:n, s:o, s:o, s:n, s:n, s:I, s:[n, n], s:o, s:o, s:o, s:o, "
		      "s:o, s:o, s:i, s:n, s:{}}",
		      "lang", "py", "task", text_or_null(m->task), "id", text_or_null(m->id),
		      "shadow", "eta", date_or_null(m->eta), "expires", date_or_null(m->expires),
		      "group", "group_index", "retries", (json_int_t)m->retries, "timelimit",
		      "root_id", text_or_null(m->root_id ? m->root_id : m->id), "parent_id",
		      text_or_null(m->parent_id), "argsrepr", repr_of(m->args, "()"), "kwargsrepr",
		      repr_of(m->kwargs, "{}"), "origin",
		      m->origin ? json_string(m->origin) : default_origin(), "ignore_result",
		      m->ignore_result ? json_true() : json_null(), "replaced_task_nesting", 0,
		      "stamped_headers", "stamps");
	if (h == NULL)
		return err_set(err, ERR_INVALID, "task name, id or origin is not UTF-8");
	if (m->headers != NULL) {
		_cleanup_json_ json_t *more = json_deep_copy(m->headers);

		if (more == NULL || json_object_update(h, more) < 0)
			return err_set(err, ERR_NOMEM, NO_MEMORY);
	}
	*ret = TAKE(h);
	return 0;
}

/* `expiration` is for brokers that drop by themselves: milliseconds as text. */
static int add_expiration(json_t *properties, usec_t expires, struct err *err)
{
	usec_t left = expires - clock_wall();
	char text[24];

	if (expires == 0)
		return 0;
	snprintf(text, sizeof(text), "%lld", left > 0 ? (long long)(left / USEC_PER_MSEC) : 0LL);
	if (json_object_set_new(properties, "expiration", json_string(text)) < 0)
		return err_set(err, ERR_NOMEM, NO_MEMORY);
	return 0;
}

static int make_properties(const struct message_out *m, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *p = NULL;
	json_t *delivery;
	int rc;

	p = json_pack("{s:s, s:s, s:i}", "correlation_id", m->id, "reply_to",
		      m->reply_to ? m->reply_to : "", "delivery_mode", 2);
	if (p == NULL)
		return err_set(err, ERR_INVALID, "id or reply_to is not UTF-8");
	rc = add_expiration(p, m->expires, err);
	if (rc < 0)
		return rc;
	delivery = json_pack("{s:s, s:s}", "exchange", "", "routing_key", m->queue);
	if (delivery == NULL)
		return err_set(err, ERR_INVALID, "queue is not UTF-8");
	if (json_object_set_new(p, "delivery_info", delivery) < 0 ||
	    json_object_set_new(p, "priority", json_integer(m->priority)) < 0)
		return err_set(err, ERR_NOMEM, NO_MEMORY);
	*ret = TAKE(p);
	return 0;
}

static int write_body(const struct message_out *m, struct buf *out, struct err *err)
{
	buf_append_char(out, '[');
	if (m->args)
		json_dump_python(m->args, out);
	else
		buf_append_str(out, "[]");
	buf_append_str(out, ", ");
	if (m->kwargs)
		json_dump_python(m->kwargs, out);
	else
		buf_append_str(out, "{}");
	buf_append_str(out, ", ");
	if (m->embed)
		json_dump_python(m->embed, out);
	else
		buf_append_str(out, "{\"callbacks\": null, \"errbacks\": null, \"chain\": null, "
				    "\"chord\": null}");
	buf_append_char(out, ']');
	return buf_status(out, err);
}

int message_encode(const struct message_out *m, struct buf *out, struct err *err)
{
	_cleanup_json_ json_t *headers = NULL, *properties = NULL;
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_BODY_BYTES);
	int rc;

	if ((m->args && !json_is_array(m->args)) || (m->kwargs && !json_is_object(m->kwargs)) ||
	    (m->headers && !json_is_object(m->headers)))
		return err_set(err, ERR_INVALID, "args must be a list, kwargs and headers objects");
	rc = make_headers(m, &headers, err);
	if (rc < 0)
		return rc;
	rc = make_properties(m, &properties, err);
	if (rc < 0)
		return rc;
	rc = write_body(m, &body, err);
	if (rc < 0)
		return err_wrap(err, "body of %.80s", m->task);
	return envelope_write("application/json", headers, properties,
			      (struct slice){body.data, body.len}, out, err);
}
