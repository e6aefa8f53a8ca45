/*
 * server.c: MCP servers in containers of their own, reached by their standard streams.
 *
 * What a server writes to its stderr is kept apart, the end of it, and never stops it.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fault.h"
#include "mem.h"
#include "said.h"
#include "sandbox_internal.h"

#define GRACE	(2 * USEC_PER_SEC)
#define LOOK_MS 20

struct sandbox_server {
	struct sandbox *s;
	struct engine_stream *stream;
	char container[ENGINE_ID_SIZE];
	const char *rest; /* of its stdout, read and not taken yet: borrowed from the stream */
	size_t rest_len;
	struct said said; /* of its stderr, the end */
};

int sandbox_server_start(struct sandbox *s, const struct sandbox_server_wish *wish,
			 struct sandbox_server **ret, struct err *err)
{
	struct sandbox_server *v;
	const struct server_container how = {.wish = wish};
	struct engine_stream *stream = NULL;
	char id[ENGINE_ID_SIZE];
	int rc = sandbox_need(s, err);

	if (rc == 0)
		rc = sandbox_server_create(s, &how, id, err);
	if (rc < 0)
		return rc;
	FAULT_POINT("server.created");
	rc = engine_attach(s->engine, id, &stream, err);
	if (rc == 0)
		rc = engine_start(s->engine, id, err);
	FAULT_POINT("server.started");
	if (rc < 0) {
		engine_stream_close(stream);
		sandbox_container_drop(s, id);
		return err_wrap(err, "starting MCP server %.100s", wish->name);
	}
	v = xcalloc(1, sizeof(*v));
	v->s = s;
	v->stream = stream;
	memcpy(v->container, id, sizeof(id));
	*ret = v;
	return 0;
}

ssize_t sandbox_server_read(struct sandbox_server *v, void *data, size_t size, usec_t deadline,
			    struct err *err)
{
	while (v->rest_len == 0) {
		enum engine_channel channel;
		const void *piece;
		size_t len;
		int rc = engine_stream_read(v->stream, deadline, &channel, &piece, &len, err);
		if (rc <= 0)
			return rc;
		if (channel == ENGINE_STDERR) {
			said_add(&v->said, piece, len);
			/* one that writes there without end does not keep us beyond the time */
			if (clock_mono() >= deadline)
				return err_set(err, ERR_TIMEOUT, "nothing from the server");
		} else {
			v->rest = piece;
			v->rest_len = len;
		}
	}
	size_t n = v->rest_len < size ? v->rest_len : size;
	memcpy(data, v->rest, n);
	v->rest += n;
	v->rest_len -= n;
	return (ssize_t)n;
}

int sandbox_server_write(struct sandbox_server *v, const void *data, size_t len, usec_t deadline,
			 struct err *err)
{
	return engine_stream_write(v->stream, data, len, deadline, err);
}

const char *sandbox_server_stderr(const struct sandbox_server *v)
{
	return v->said.text;
}

const char *sandbox_server_container(const struct sandbox_server *v)
{
	return v->container;
}

static bool still_runs(struct sandbox_server *v)
{
	struct engine_container c;
	struct err err;

	return engine_inspect(v->s->engine, v->container, &c, &err) == 0 && c.running;
}

void sandbox_server_end(struct sandbox_server *v, usec_t deadline)
{
	usec_t grace = clock_deadline(GRACE);
	if (!v)
		return;
	engine_stream_close(v->stream);
	while (clock_mono() < (deadline < grace ? deadline : grace) && still_runs(v))
		poll(NULL, 0, LOOK_MS);
	sandbox_container_drop(v->s, v->container);
	free(v);
}
