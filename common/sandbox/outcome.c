/*
 * Outcomes: output as text, files and what was left out of them.
 */
#include "outcome.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "mem.h"

void sandbox_outcome_stream_init(struct outcome_stream *s, size_t limit)
{
	s->head = BUF_INIT(limit);
	s->tail = BUF_INIT(limit);
	s->limit = limit;
}

int sandbox_outcome_stream_add(struct outcome_stream *s, const void *data, size_t len, bool is_tail,
			       struct err *err)
{
	struct buf *b = is_tail ? &s->tail : &s->head;

	if (len > s->limit - s->head.len - s->tail.len)
		return err_set(err, ERR_PROTOCOL, "more output than the agent was allowed");
	buf_append(b, data, len);
	return buf_status(b, err);
}

size_t sandbox_outcome_whole(const char *data, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		unsigned char c = (unsigned char)data[len - back];

		if (c < 0x80)
			break;
		if (c >= 0xc0)
			return utf8_valid(data + len - back, back) == back ? len : len - back;
	}
	return len;
}

static size_t cut_begin(const char *data, size_t len)
{
	size_t n = 0;

	while (n < 3 && n < len && ((unsigned char)data[n] & 0xc0) == 0x80)
		n++;
	return n;
}

int sandbox_outcome_stream_text(const struct outcome_stream *s, uint64_t dropped, char **ret,
				size_t *ret_len, struct err *err)
{
	/* An invalid byte becomes three. */
	struct buf text = BUF_INIT(3 * s->limit + 100);
	size_t head = s->head.len, tail = 0;
	int rc;

	if (dropped > 0) {
		head = sandbox_outcome_whole(s->head.data, head);
		tail = cut_begin(s->tail.data, s->tail.len);
		dropped += s->head.len - head + tail;
	}
	utf8_clean(s->head.data, head, true, &text);
	if (dropped > 0)
		buf_appendf(&text, "\n[... %llu bytes dropped ...]\n", (unsigned long long)dropped);
	utf8_clean(s->tail.data + tail, s->tail.len - tail, true, &text);
	rc = buf_take(&text, ret, ret_len, err);
	return rc < 0 ? err_wrap(err, "output of a run") : 0;
}

struct slice sandbox_outcome_stream_end(const struct outcome_stream *s)
{
	const struct buf *b = s->tail.len > 0 ? &s->tail : &s->head;
	size_t len = b->len < 4096 ? b->len : 4096;

	return (struct slice){.data = b->data + b->len - len, .len = len};
}

void sandbox_outcome_stream_done(struct outcome_stream *s)
{
	buf_done(&s->head);
	buf_done(&s->tail);
}

/* Fit for a line of text: no control characters, valid UTF-8, not long. */
static char *clean_name(const char *name, size_t len)
{
	_cleanup_buf_ struct buf b = BUF_INIT(3 * BOUND_FILE_NAME_BYTES + 16);
	struct err err;
	char *text;
	size_t text_len;

	utf8_clean(name, len < BOUND_FILE_NAME_BYTES ? len : BOUND_FILE_NAME_BYTES, true, &b);
	if (len > BOUND_FILE_NAME_BYTES)
		buf_append_str(&b, "...");
	for (size_t i = 0; i < b.len; i++)
		if ((unsigned char)b.data[i] < 0x20 || b.data[i] == 0x7f)
			b.data[i] = '?';
	if (buf_take(&b, &text, &text_len, &err) < 0)
		return xstrdup("");
	return text;
}

void sandbox_outcome_add_skipped(struct sandbox_outcome *o, const char *name, size_t len,
				 const char *reason)
{
	o->skipped = xrealloc(o->skipped, (o->skipped_count + 1) * sizeof(*o->skipped));
	o->skipped[o->skipped_count++] = (struct sandbox_skipped_file){
		.name = clean_name(name, len), .reason = xstrdup(reason)};
}

int sandbox_outcome_add_file(struct sandbox_outcome *o, const char *name, size_t name_len,
			     size_t size, size_t limit, struct err *err)
{
	void *data = NULL;
	int rc = try_alloc(size + 1, limit + 1, "output file", &data, err);

	if (rc < 0)
		return rc;
	o->files = xrealloc(o->files, (o->file_count + 1) * sizeof(*o->files));
	o->files[o->file_count++] = (struct sandbox_output_file){
		.name = xstrndup(name, name_len), .data = data, .len = size};
	return 0;
}

void sandbox_outcome_drop_file(struct sandbox_outcome *o)
{
	struct sandbox_output_file *f = &o->files[--o->file_count];

	free(f->name);
	free(f->data);
}

void sandbox_outcome_done(struct sandbox_outcome *o)
{
	while (o->file_count > 0)
		sandbox_outcome_drop_file(o);
	free(o->files);
	for (size_t i = 0; i < o->skipped_count; i++) {
		free(o->skipped[i].name);
		free(o->skipped[i].reason);
	}
	free(o->skipped);
	free(o->stdout_text);
	free(o->stderr_text);
	*o = (struct sandbox_outcome){0};
}
