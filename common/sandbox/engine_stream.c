/*
 * engine_stream.c: stdin, stdout and stderr of a container's first process over one connection.
 */
#include "engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "docker_stream.h"

#define PIECE_BYTES (64u << 10)

struct engine_stream {
	struct http_stream *http;
	/* the reader's */
	struct docker_stream frames;
	const char *next; /* in `data`, not taken apart yet */
	size_t left;
	char data[PIECE_BYTES];
};

int engine_attach(struct engine *e, const char *id, struct engine_stream **ret, struct err *err)
{
	struct http_stream *http = NULL;
	int rc = e->driver->attach(e, id, &http, err);

	if (rc < 0)
		return rc;
	struct engine_stream *s = xmalloc(sizeof(*s));
	s->http = http;
	s->left = 0;
	s->next = s->data;
	docker_stream_init(&s->frames);
	*ret = s;
	return 0;
}

int engine_stream_write(struct engine_stream *s, const void *data, size_t len, usec_t deadline,
			struct err *err)
{
	return http_stream_write(s->http, data, len, deadline, err);
}

int engine_stream_read(struct engine_stream *s, usec_t deadline, enum engine_channel *ret_channel,
		       const void **ret_data, size_t *ret_len, struct err *err)
{
	struct slice piece;

	for (;;) {
		int rc = docker_stream_next(&s->frames, &s->next, &s->left, ret_channel, &piece,
					    err);
		if (rc > 0) {
			*ret_data = piece.data;
			*ret_len = piece.len;
		}
		if (rc != 0)
			return rc;
		ssize_t n = http_stream_read(s->http, s->data, sizeof(s->data), deadline, err);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return docker_stream_end(&s->frames, err);
		s->next = s->data;
		s->left = (size_t)n;
	}
}

int engine_stream_fd(const struct engine_stream *s)
{
	return http_stream_fd(s->http);
}

void engine_stream_close(struct engine_stream *s)
{
	if (!s)
		return;
	http_stream_close(s->http);
	free(s);
}
