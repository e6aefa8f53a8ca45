/*
 * role_streams.c: the calls after which a connection is a stream.
 */
#include "role_served.h"

#include "clock.h"
#include "role_held.h"

int role_on_attach(struct served *s, struct err *err)
{
	struct http_stream *engine = NULL;
	int rc = role_stream_enter(s->r, s->peer->share, err);

	if (rc < 0)
		return rc;
	rc = engine_direct_attach(s->r->engine, s->q.id, &engine, err);
	if (rc == 0)
		rc = role_answer(s, s->answer, err);
	if (rc == 0) {
		role_relay_add(s->r->relay, s->peer->share, engine, s->peer->fd);
		return 0;
	}
	http_stream_close(engine);
	role_stream_leave(s->r, s->peer->share);
	return rc;
}

/* What is handed over is the container's stream and nothing else: the engine has left HTTP on it
 * for good, on a connection that was made for this. One that is kept alive would be the engine
 * itself. */
static int hand_over(struct served *s, struct http_stream *engine, struct err *err)
{
	struct slice early;

	if (!http_stream_is_plain(engine, &early) || early.len > WAIST_EARLY)
		return err_set(err, ERR_UNSUPPORTED, "this engine's streams are not handed over");
	role_set(s, "size", json_integer((json_int_t)early.len));
	int rc = role_answer(s, s->answer, err);
	if (rc == 0)
		rc = waist_send_bytes(s->peer->fd, early.data, early.len,
				      clock_deadline(ANSWER_TIME), err);
	return rc < 0 ? rc : engine_held_send(s->peer->fd, http_stream_fd(engine), err);
}

int role_on_attach_fd(struct served *s, struct err *err)
{
	struct http_stream *engine = NULL;

	if (s->r->engine->unix_socket == NULL)
		return err_set(err, ERR_UNSUPPORTED, "this engine's streams are not handed over");
	int rc = engine_direct_attach(s->r->engine, s->q.id, &engine, err);
	if (rc == 0)
		rc = hand_over(s, engine, err);
	http_stream_close(engine);
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
