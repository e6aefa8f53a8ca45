/*
 * role_streams.c: the calls after which a connection is a stream.
 */
#include "role_served.h"

#include "clock.h"

int role_on_attach(struct served *s, struct err *err)
{
	struct http_stream *engine = NULL;
	int rc = role_relay_reserve(s->r->relay, err);

	if (rc < 0)
		return rc;
	rc = engine_direct_attach(s->r->engine, s->q.id, &engine, err);
	if (rc == 0)
		rc = role_answer(s, s->answer, err);
	if (rc == 0) {
		role_relay_add(s->r->relay, engine, s->peer->fd);
		return 0;
	}
	http_stream_close(engine);
	role_relay_release(s->r->relay);
	return rc;
}

/* Ends with either of the two. */
int role_on_events(struct served *s, struct err *err)
{
	struct engine_events *events = NULL;
	struct engine_notice notice;
	int rc = engine_events_open(s->r->engine, &events, err);

	if (rc < 0)
		return rc;
	for (rc = role_answer(s, s->answer, err); rc >= 0 && !waist_is_over(s->peer->fd);) {
		rc = engine_events_next(events, clock_deadline(USEC_PER_SEC), &notice, err);
		if (rc == -ERR_TIMEOUT) {
			rc = 0;
			continue;
		}
		if (rc <= 0)
			break;
		struct slice line = engine_events_line(events);
		rc = waist_send_bytes(s->peer->fd, line.data, line.len, clock_deadline(ANSWER_TIME),
				      err);
		if (rc == 0)
			rc = waist_send_bytes(s->peer->fd, "\n", 1, clock_deadline(ANSWER_TIME),
					      err);
	}
	engine_events_close(events);
	return 0;
}
