/*
 * sse.c: lines to fields, fields to events.
 */
#include "sse.h"

#include <string.h>

void sse_init(struct sse *s, size_t limit)
{
	*s = (struct sse){.retry_ms = -1, .line = BUF_INIT(limit), .data = BUF_INIT(limit)};
}

void sse_done(struct sse *s)
{
	buf_done(&s->line);
	buf_done(&s->data);
}

/* An id with a NUL is none at all; one that does not fit is not remembered either, so that we never
 * resume from somewhere else. */
static void take_id(struct sse *s, const char *value, size_t len)
{
	if (memchr(value, '\0', len) || len > SSE_ID_BYTES)
		return;
	memcpy(s->next_id, value, len);
	s->next_id[len] = '\0';
}

static void take_type(struct sse *s, const char *value, size_t len)
{
	if (len > SSE_TYPE_BYTES)
		len = SSE_TYPE_BYTES;
	memcpy(s->type, value, len);
	s->type[len] = '\0';
}

static void take_retry(struct sse *s, const char *value, size_t len)
{
	int64_t ms = 0;

	if (len == 0 || len > 9)
		return;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return;
		ms = ms * 10 + (value[i] - '0');
	}
	s->retry_ms = ms;
}

static void take_data(struct sse *s, const char *value, size_t len)
{
	if (s->has_data)
		buf_append_char(&s->data, '\n');
	buf_append(&s->data, value, len);
	s->has_data = true;
}

static void take_field(struct sse *s, const char *line, size_t len)
{
	static const struct {
		const char *name;
		void (*take)(struct sse *s, const char *value, size_t len);
	} fields[] = {
		{"data", take_data}, {"event", take_type}, {"id", take_id}, {"retry", take_retry}};
	const char *colon = memchr(line, ':', len);
	size_t name_len = colon ? (size_t)(colon - line) : len;
	const char *value = colon ? colon + 1 : line + len;
	size_t value_len = len - name_len - (colon ? 1 : 0);

	if (value_len > 0 && *value == ' ')
		value++, value_len--;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (strlen(fields[i].name) == name_len &&
		    memcmp(fields[i].name, line, name_len) == 0)
			fields[i].take(s, value, value_len);
}

/* A blank line ends the event; one without data is none, though its id counts. */
static int end_event(struct sse *s, sse_event_fn *event, void *arg, struct err *err)
{
	int r = buf_status(&s->data, err);

	memcpy(s->id, s->next_id, sizeof(s->id));
	if (r == 0 && s->has_data && s->data.len > 0)
		r = event(arg, s->type[0] ? s->type : "message", s->data.data, s->data.len, err);
	buf_reset(&s->data);
	s->has_data = false;
	s->type[0] = '\0';
	return r;
}

static int end_line(struct sse *s, sse_event_fn *event, void *arg, struct err *err)
{
	int r = buf_status(&s->line, err);
	const char *line = s->line.data;
	size_t len = s->line.len;

	if (r < 0)
		return r;
	if (!s->began && len >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0)
		line += 3, len -= 3;
	s->began = true;
	if (len == 0)
		r = end_event(s, event, arg, err);
	else if (line[0] != ':')
		take_field(s, line, len);
	buf_reset(&s->line);
	return r < 0 ? r : buf_status(&s->data, err);
}

int sse_feed(struct sse *s, const char *data, size_t len, sse_event_fn *event, void *arg,
	     struct err *err)
{
	size_t at = 0;

	while (at < len) {
		if (s->after_cr && data[at] == '\n') {
			s->after_cr = false;
			at++;
			continue;
		}
		s->after_cr = false;
		size_t n = 0;
		while (at + n < len && data[at + n] != '\n' && data[at + n] != '\r')
			n++;
		buf_append(&s->line, data + at, n);
		at += n;
		int r = buf_status(&s->line, err);
		if (r == 0 && at < len) {
			s->after_cr = data[at++] == '\r';
			r = end_line(s, event, arg, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}
