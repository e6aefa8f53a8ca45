/*
 * engine_remote.h: what the two files of the driver for engine roles share.
 */
#ifndef CELERIAC_ENGINE_REMOTE_H
#define CELERIAC_ENGINE_REMOTE_H

#include "engine_internal.h"
#include "waist.h"

/* What goes along with a request. */
struct remote_extra {
	const void *bytes; /* of q->size */
	const struct engine_pull *pull;
};

/* One request and its answer (given; NULL: not wanted). `ret_fd` (or NULL) keeps the connection
 * after an answer that is no refusal: it is a stream. */
int engine_remote_ask_all(struct engine *e, const struct waist_request *q,
			  const struct remote_extra *x, enum engine_limit limit, int *ret_fd,
			  json_t **ret, struct err *err) must_check;
/* A connection that `ret_fd` kept, for the next request. */
void engine_remote_give_back(struct engine *e, int fd);
int engine_remote_ask(struct engine *e, const struct waist_request *q, enum engine_limit limit,
		      json_t **ret, struct err *err) must_check;

/* engine_remote_streams.c */
int engine_remote_attach(struct engine *e, const char *id, struct http_stream **ret,
			 struct err *err) must_check;
int engine_remote_events(struct engine *e, struct http_stream **ret, struct err *err) must_check;

#endif
