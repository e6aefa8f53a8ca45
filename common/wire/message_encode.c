/*
 * message_encode.c: a task message as Celery's own client makes it: the same members, in the same
 * order, with the same spaces (tests/data/messages holds what it was compared with).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "compression.h"
#include "content.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "serial.h"
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
static json_t *repr_of(const json_t *value, const char *when_empty, bool tuple)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_REPR_BYTES * 4 + 2);
	size_t size = json_is_array(value) ? json_array_size(value) : json_object_size(value);

	if (size == 0)
		return json_string(when_empty);
	json_repr(value, BOUND_REPR_BYTES, &text);
	if (tuple && text.data[0] == '[') {
		text.data[0] = '(';
		if (text.data[text.len - 1] == ']') {
			text.data[text.len - 1] = size == 1 ? ',' : ')';
			buf_append_str(&text, size == 1 ? ")" : "");
		}
	}
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

static json_t *copy_or_null(const json_t *value)
{
	return value ? json_deep_copy(value) : json_null();
}

/* Puts a copy of `more` over `object`. */
static int overlay(json_t *object, const json_t *more, struct err *err)
{
	_cleanup_json_ json_t *copy = NULL;

	if (more == NULL)
		return 0;
	copy = json_deep_copy(more);
	if (copy == NULL || json_object_update(object, copy) < 0)
		return err_set(err, ERR_NOMEM, NO_MEMORY);
	return 0;
}

static int make_headers(const struct message_out *m, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *h = NULL;
	int rc;

	h = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:[o, o], s:o, s:o, s:o, s:o, "
		      "s:o, s:o, s:I, s:o, s:o}",
		      "lang", "py", "task", text_or_null(m->task), "id", text_or_null(m->id),
		      "shadow", text_or_null(m->shadow), "eta", date_or_null(m->eta), "expires",
		      date_or_null(m->expires), "group", text_or_null(m->group), "group_index",
		      copy_or_null(m->group_index), "retries", (json_int_t)m->retries, "timelimit",
		      copy_or_null(m->time_limit), copy_or_null(m->soft_time_limit), "root_id",
		      text_or_null(m->root_id ? m->root_id : m->id), "parent_id",
		      text_or_null(m->parent_id), "argsrepr", repr_of(m->args, "()", m->args_tuple),
		      "kwargsrepr", repr_of(m->kwargs, "{}", false), "origin",
		      m->origin ? json_string(m->origin) : default_origin(), "ignore_result",
		      m->ignore_result ? json_boolean(m->ignore_result > 0) : json_null(),
		      "replaced_task_nesting", (json_int_t)m->replaced_task_nesting,
		      "stamped_headers", copy_or_null(m->stamped_headers), "stamps",
		      m->stamps ? json_deep_copy(m->stamps) : json_object());
	if (h == NULL)
		return err_set(err, ERR_INVALID, "task name, id, group or origin is not UTF-8");
	rc = overlay(h, m->headers, err);
	if (rc < 0)
		return rc;
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
	bool named = m->exchange != NULL && m->routing_key != NULL;
	json_t *delivery;
	int rc;

	p = json_pack("{s:s, s:s, s:i}", "correlation_id", m->id, "reply_to",
		      m->reply_to ? m->reply_to : "", "delivery_mode",
		      m->delivery_mode ? m->delivery_mode : 2);
	if (p == NULL)
		return err_set(err, ERR_INVALID, "id or reply_to is not UTF-8");
	rc = add_expiration(p, m->expires, err);
	if (rc < 0)
		return rc;
	delivery = json_pack("{s:s, s:s}", "exchange", named ? m->exchange : "", "routing_key",
			     named ? m->routing_key : m->queue);
	if (delivery == NULL)
		return err_set(err, ERR_INVALID, "queue or exchange is not UTF-8");
	if (json_object_set_new(p, "delivery_info", delivery) < 0 ||
	    json_object_set_new(p, "priority", json_integer(m->priority)) < 0)
		return err_set(err, ERR_NOMEM, NO_MEMORY);
	rc = overlay(p, m->properties, err);
	if (rc < 0)
		return rc;
	*ret = TAKE(p);
	return 0;
}

/* A reference to what is only read. */
static json_t *shared(const json_t *value)
{
	return json_incref((json_t *)(uintptr_t)value);
}

static json_t *make_body(const struct message_out *m)
{
	return json_pack("[o, o, o]", m->args ? shared(m->args) : json_array(),
			 m->kwargs ? shared(m->kwargs) : json_object(),
			 m->embed ? shared(m->embed)
				  : json_pack("{s:n, s:n, s:n, s:n}", "callbacks", "errbacks",
					      "chain", "chord"));
}

static int write_body(const struct message_out *m, const struct content_type *type, struct buf *out,
		      struct err *err)
{
	_cleanup_json_ json_t *body = make_body(m);

	if (body == NULL)
		return err_set(err, ERR_NOMEM, NO_MEMORY);
	return type->write(body, out, err);
}

/* Packs the body, and says so in the headers. */
static int compress(const struct compression *c, struct buf *body, json_t *headers, struct err *err)
{
	_cleanup_buf_ struct buf packed = BUF_INIT(BOUND_MESSAGE_BYTES * 2);
	int rc = c->write((struct slice){body->data, body->len}, &packed, err);

	if (rc < 0)
		return rc;
	if (json_object_set_new(headers, "compression", json_string(c->mime)) < 0)
		return err_set(err, ERR_NOMEM, NO_MEMORY);
	buf_done(body);
	*body = packed;
	packed = BUF_INIT(0);
	return 0;
}

static int check(const struct message_out *m, const struct content_type **ret_type,
		 const struct compression **ret_compression, struct err *err)
{
	const char *serializer = m->serializer ? m->serializer : serial_of_tasks();

	if ((m->args && !json_is_array(m->args)) || (m->kwargs && !json_is_object(m->kwargs)) ||
	    (m->headers && !json_is_object(m->headers)))
		return err_set(err, ERR_INVALID, "args must be a list, kwargs and headers objects");
	*ret_type = content_find(serializer);
	if (*ret_type == NULL)
		return err_set(err, ERR_UNSUPPORTED, "No encoder installed for %.40s", serializer);
	*ret_compression = m->compression ? compression_find(m->compression) : NULL;
	if (m->compression && *ret_compression == NULL)
		return err_set(err, ERR_UNSUPPORTED, "compression %.40s is not known",
			       m->compression);
	return 0;
}

int message_encode(const struct message_out *m, struct buf *out, struct err *err)
{
	_cleanup_json_ json_t *headers = NULL, *properties = NULL;
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_BODY_BYTES);
	const struct content_type *type = NULL;
	const struct compression *packing = NULL;
	int rc;

	rc = check(m, &type, &packing, err);
	if (rc < 0)
		return rc;
	rc = make_headers(m, &headers, err);
	if (rc < 0)
		return rc;
	rc = make_properties(m, &properties, err);
	if (rc < 0)
		return rc;
	rc = write_body(m, type, &body, err);
	if (rc == 0 && packing != NULL)
		rc = compress(packing, &body, headers, err);
	if (rc < 0)
		return err_wrap(err, "body of %.80s", m->task);
	return envelope_write(type->mime, headers, properties, (struct slice){body.data, body.len},
			      out, err);
}
