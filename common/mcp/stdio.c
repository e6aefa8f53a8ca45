/*
 * stdio.c: the standard streams of a server: one message per line, in UTF-8.
 *
 * What a server prints beside its messages (banners, an installer's words) is passed over, up to a
 * number of lines: a server that only prints is not one.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "transport.h"

#define READ_SIZE 65536

struct stdio {
	struct mcp_transport base;
	struct mcp_pipe pipe;
	bool closed;
	struct buf in; /* bytes of lines that are not complete */
	size_t looked; /* of them, those without an end of line */
	size_t noise;
	json_t *batch; /* messages that came in one line (2025-03-26), and the next of them */
	size_t batch_next;
};

static struct stdio *of(struct mcp_transport *t)
{
	return (struct stdio *)(void *)t;
}

static int stdio_send(struct mcp_transport *t, const struct mcp_outgoing *m, usec_t deadline,
		      struct err *err)
{
	struct stdio *s = of(t);
	_cleanup_buf_ struct buf line = BUF_INIT(BOUND_MCP_MESSAGE + 1);

	buf_append(&line, m->json, m->len);
	buf_append_char(&line, '\n');
	int r = buf_status(&line, err);
	if (r == 0)
		r = s->pipe.write(s->pipe.arg, line.data, line.len, deadline, err);
	if (r < 0 && r != -ERR_TOOBIG)
		t->lost = true; /* perhaps in the middle of a line */
	return r;
}

/* A line that is a message, or NULL. */
static json_t *parse_line(struct stdio *s, const char *line, size_t len)
{
	struct err why;
	json_t *message = NULL;

	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	if (len == 0)
		return NULL;
	if (json_load_strict(line, len, &message, &why) == 0 &&
	    (json_is_object(message) || json_is_array(message)))
		return message;
	json_decref(message);
	if (s->noise++ == 0)
		log_debug("MCP server: not a message on its stdout: %.*s",
			  (int)(len < 200 ? len : 200), line);
	return NULL;
}

/* The next complete line taken from what was read; false when there is none. */
static bool take_line(struct stdio *s, json_t **ret)
{
	char *end = memchr(s->in.data + s->looked, '\n', s->in.len - s->looked);

	if (!end) {
		s->looked = s->in.len;
		return false;
	}
	size_t len = (size_t)(end - s->in.data);
	*ret = parse_line(s, s->in.data, len);
	buf_consume(&s->in, len + 1);
	s->looked = 0;
	return true;
}

static int fill(struct stdio *s, usec_t deadline, struct err *err)
{
	char piece[READ_SIZE];
	ssize_t n = s->pipe.read(s->pipe.arg, piece, sizeof(piece), deadline, err);

	if (n < 0) {
		if (n != -ERR_TIMEOUT)
			s->base.lost = true;
		return (int)n;
	}
	if (n == 0) {
		s->base.lost = true;
		return err_set(err, ERR_CLOSED, "the server ended");
	}
	buf_append(&s->in, piece, (size_t)n);
	int r = buf_status(&s->in, err);
	if (r < 0) {
		s->base.lost = true;
		return err_set(err, ERR_TOOBIG, "a line of the server's is longer than %u bytes",
			       BOUND_MCP_MESSAGE);
	}
	return 0;
}

static json_t *from_batch(struct stdio *s)
{
	json_t *next = json_incref(json_array_get(s->batch, s->batch_next++));

	if (s->batch_next >= json_array_size(s->batch)) {
		json_decref(s->batch);
		s->batch = NULL;
	}
	return next;
}

static int stdio_receive(struct mcp_transport *t, usec_t deadline, json_t **ret, struct err *err)
{
	struct stdio *s = of(t);

	for (;;) {
		json_t *message = NULL;
		if (s->batch && (message = from_batch(s))) {
			*ret = message;
			return 0;
		}
		if (!take_line(s, &message)) {
			int r = fill(s, deadline, err);
			if (r < 0)
				return r;
			continue;
		}
		if (s->noise > BOUND_MCP_NOISE) {
			t->lost = true;
			return err_set(err, ERR_PROTOCOL,
				       "the server prints to its stdout what are no messages");
		}
		if (json_is_array(message)) {
			s->batch = message;
			s->batch_next = 0;
		} else if (message) {
			*ret = message;
			return 0;
		}
	}
}

static void stdio_agreed(struct mcp_transport *t unused_arg, enum mcp_era era unused_arg,
			 const char *version unused_arg)
{
}

static bool stdio_cancel(struct mcp_transport *t unused_arg, int64_t id unused_arg)
{
	return false;
}

static void stdio_close(struct mcp_transport *t, usec_t deadline)
{
	struct stdio *s = of(t);

	if (!s->closed && s->pipe.close)
		s->pipe.close(s->pipe.arg, deadline);
	s->closed = true;
}

static void stdio_free(struct mcp_transport *t)
{
	struct stdio *s = of(t);

	stdio_close(t, clock_mono());
	buf_done(&s->in);
	json_decref(s->batch);
	free(s);
}

static const struct mcp_transport_ops stdio_ops = {
	.send = stdio_send,
	.receive = stdio_receive,
	.agreed = stdio_agreed,
	.cancel = stdio_cancel,
	.close = stdio_close,
	.free = stdio_free,
};

struct mcp_transport *mcp_stdio_new(const struct mcp_pipe *pipe)
{
	struct stdio *s = xcalloc(1, sizeof(*s));

	s->base.ops = &stdio_ops;
	s->pipe = *pipe;
	s->in = BUF_INIT(BOUND_MCP_MESSAGE + READ_SIZE);
	return &s->base;
}

void mcp_transport_free(struct mcp_transport *t)
{
	if (t)
		t->ops->free(t);
}
