/*
 * engine_events.c: what the engine tells by itself of our containers: one JSON object a line, for
 * as long as the connection holds.
 */
#include "engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define LINE_BYTES (256u << 10) /* one event, labels and all */

struct engine_events {
	struct http_stream *http;
	char *instance;
	struct buf line;
	bool told; /* it is whole, and the next one begins anew */
	/* read and not taken apart yet */
	const char *next;
	size_t left;
	char data[4096];
};

/* What is asked for, and what comes: Docker's words, and Podman's, which filters by "died" and says
 * "die". */
#define ENDS "\"die\",\"destroy\",\"died\",\"remove\""

static bool is_end(const char *action)
{
	static const char *const ends[] = {"die", "destroy", "remove"};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (strcmp(action, ends[i]) == 0)
			return true;
	return false;
}

/* A text that does not fit is none of ours. */
static void copy(char *ret, size_t size, const char *text)
{
	size_t n = strlen(text);

	memcpy(ret, text, n < size ? n : 0);
	ret[n < size ? n : 0] = '\0';
}

bool engine_parse_notice(const char *line, size_t len, const char *instance,
			 struct engine_notice *ret)
{
	_cleanup_json_ json_t *event = NULL;
	const json_t *attributes;
	const char *action, *id;
	struct err ignored;

	if (json_load_strict(line, len, &event, &ignored) < 0)
		return false;
	action = json_member_str(event, "Action");
	id = json_member_str(json_member(event, "Actor"), "ID");
	attributes = json_member(json_member(event, "Actor"), "Attributes");
	if (!action || !id || engine_check_id(id, &ignored) < 0 || !json_is_object(attributes))
		return false;
	const char *name = json_member_str(attributes, "name");
	if (!name || !engine_is_ours(instance, name, attributes))
		return false;
	/* The filter is the engine's, or a proxy's. */
	if (!is_end(action))
		return false;
	*ret = (struct engine_notice){0};
	copy(ret->id, sizeof(ret->id), id);
	copy(ret->role, sizeof(ret->role), engine_label(attributes, "role"));
	copy(ret->conversation, sizeof(ret->conversation),
	     engine_label(attributes, "conversation"));
	return true;
}

int engine_direct_events(struct engine *e, struct http_stream **ret, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT(2048);
	_cleanup_free_ char *filter =
		xasprintf("{\"type\":[\"container\"],\"event\":[" ENDS "],"
			  "\"label\":[\"" ENGINE_LABEL_PREFIX "instance=%s\"]}",
			  e->instance);
	char api[8];
	int rc = engine_negotiate(e, false, api, err);

	if (rc < 0)
		return rc;
	buf_appendf(&path, "/v%s/events?filters=", api);
	engine_encode(filter, "", &path);
	rc = buf_status(&path, err);
	if (rc < 0)
		return rc;
	struct http_request req = {.method = "GET",
				   .path = path.data,
				   .timeout = ENGINE_LIMIT_ATTACH * USEC_PER_SEC,
				   .until_close = true};
	rc = http_stream_open(&e->target, &req, ret, err);
	return rc < 0 ? err_wrap(err, "engine %s: events", e->address) : 0;
}

int engine_events_open(struct engine *e, struct engine_events **ret, struct err *err)
{
	struct http_stream *http = NULL;
	int rc = e->driver->events(e, &http, err);

	if (rc < 0)
		return rc;
	struct engine_events *ev = xcalloc(1, sizeof(*ev));
	ev->http = http;
	ev->instance = xstrdup(e->instance);
	ev->line = BUF_INIT(LINE_BYTES);
	*ret = ev;
	return 0;
}

/* 1 and a line in ev->line, 0 when more is needed. */
static int take_line(struct engine_events *ev, struct err *err)
{
	const char *end = ev->left > 0 ? memchr(ev->next, '\n', ev->left) : NULL;
	size_t len = end ? (size_t)(end - ev->next) : ev->left;

	buf_append(&ev->line, ev->next, len);
	ev->next += end ? len + 1 : len;
	ev->left -= end ? len + 1 : len;
	int rc = buf_status(&ev->line, err);
	return rc < 0 ? rc : end != NULL;
}

int engine_events_next(struct engine_events *ev, usec_t deadline, struct engine_notice *ret,
		       struct err *err)
{
	for (;;) {
		if (ev->told)
			buf_reset(&ev->line);
		ev->told = false;
		int rc = take_line(ev, err);

		if (rc < 0)
			return rc;
		if (rc > 0) {
			ev->told = true;
			if (engine_parse_notice(ev->line.data, ev->line.len, ev->instance, ret))
				return 1;
			continue;
		}
		ssize_t n = http_stream_read(ev->http, ev->data, sizeof(ev->data), deadline, err);
		if (n <= 0)
			return (int)n;
		ev->next = ev->data;
		ev->left = (size_t)n;
	}
}

struct slice engine_events_line(const struct engine_events *ev)
{
	return (struct slice){ev->line.data, ev->line.len};
}

int engine_events_fd(const struct engine_events *ev)
{
	return http_stream_fd(ev->http);
}

void engine_events_close(struct engine_events *ev)
{
	if (!ev)
		return;
	http_stream_close(ev->http);
	buf_done(&ev->line);
	free(ev->instance);
	free(ev);
}
