/*
 * service.c: servers in containers that are reached by connections: our agent is their PID 1, and
 * what is said on a connection goes over its stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "sandbox_internal.h"
#include "tunnel.h"

#define LIFE	   (20 * 24 * 3600 * USEC_PER_SEC) /* of one server */
#define LOOK_AGAIN (50 * USEC_PER_MSEC) /* whether it takes connections, whether we are to stop */

struct sandbox_service {
	struct sandbox *s;
	struct tunnel *tunnel;
	char container[ENGINE_ID_SIZE];
};

/* A server that is being started. */
struct start {
	struct agent_link *link;
	uint32_t run, dials;
	uint16_t port;
	usec_t deadline;
	const atomic_bool *cancelled;
	struct said said;
};

/* ---- until it takes connections ---- */
static int dial(struct start *b, struct err *err)
{
	unsigned char bytes[8];

	frame_put_u32(frame_put_u32(bytes, ++b->dials), b->port);
	int rc = agent_link_send(b->link, FRAME_CHANNEL_DIAL, 0, b->run, bytes, sizeof(bytes),
				 b->deadline, err);
	return rc < 0 ? rc : agent_link_flush(b->link, b->deadline, err);
}

static int hang_up(struct start *b, struct err *err)
{
	unsigned char bytes[8];

	frame_put_u32(frame_put_u32(bytes, b->dials), FRAME_CHANNEL_RESET);
	int rc = agent_link_send(b->link, FRAME_CHANNEL_END, 0, b->run, bytes, sizeof(bytes),
				 b->deadline, err);
	return rc < 0 ? rc : agent_link_flush(b->link, b->deadline, err);
}

static int ended(struct start *b, const struct frame *f, struct err *err)
{
	struct frame_exit e;
	struct slice text;

	if (!frame_exit_decode(f, &e, &text))
		return err_set(err, ERR_PROTOCOL, "a short EXIT");
	if (e.end == FRAME_END_NOT_STARTED)
		said_add(&b->said, text.data, text.len);
	err_set(err, ERR_CLOSED, e.term_signal ? "it ended by signal %u" : "it ended with code %u",
		e.term_signal ? e.term_signal : e.exit_code);
	return -ERR_CLOSED;
}

/* 1: it takes connections. 0: not yet, and nothing is on its way. */
static int listen_to(struct start *b, struct err *err)
{
	for (;;) {
		struct frame f;
		int rc;

		if (b->cancelled && atomic_load(b->cancelled))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		if (clock_mono() >= b->deadline)
			return err_set(err, ERR_TIMEOUT, "it does not take connections on port %u",
				       b->port);
		rc = agent_link_receive(b->link, clock_deadline(LOOK_AGAIN), &f, err);
		if (rc == -ERR_TIMEOUT)
			continue;
		if (rc < 0)
			return rc;
		if (f.type == FRAME_STDOUT || f.type == FRAME_STDERR)
			said_add(&b->said, f.data, f.len);
		else if (f.type == FRAME_EXIT)
			return ended(b, &f, err);
		else if (f.type == FRAME_CHANNEL_OPEN)
			return 1;
		else if (f.type == FRAME_CHANNEL_ENDED)
			return 0;
	}
}

/* Between two tries nothing it says is lost, and that it ends is seen. */
static int pause_listening(struct start *b, struct err *err)
{
	usec_t until = clock_deadline(LOOK_AGAIN);
	struct frame f;
	int rc;

	while ((rc = agent_link_receive(b->link, until, &f, err)) == 0) {
		if (f.type == FRAME_STDOUT || f.type == FRAME_STDERR)
			said_add(&b->said, f.data, f.len);
		else if (f.type == FRAME_EXIT)
			return ended(b, &f, err);
		if (clock_mono() >= until)
			return 0;
	}
	return rc == -ERR_TIMEOUT ? 0 : rc;
}

static int await(struct start *b, struct err *err)
{
	int rc = dial(b, err);

	while (rc == 0 && (rc = listen_to(b, err)) == 0) {
		rc = pause_listening(b, err);
		if (rc == 0)
			rc = dial(b, err);
	}
	return rc < 0 ? rc : hang_up(b, err);
}

/* ---- from the container to the service ---- */
/* Its agent, and in it the server. */
static int begin(struct sandbox *s, const char *container, const struct sandbox_server_wish *wish,
		 struct start *b, struct err *err)
{
	const char *const *const steps[] = {wish->argv, NULL};
	_cleanup_free_ char **env = NULL;
	usec_t hello = clock_deadline(SANDBOX_HELLO_TIME);
	int rc = sandbox_server_env(s, wish->image, NULL, wish->env, &env, err);

	if (rc == 0)
		rc = agent_link_open(s->engine, container, 1, false,
				     hello < b->deadline ? hello : b->deadline, &b->link, err);
	if (rc == 0)
		rc = sandbox_server_run(b->link, steps, (const char *const *)env, FRAME_RUN_SERVER,
					LIFE, &b->run, err);
	return rc < 0 ? rc : await(b, err);
}

/* What it had to say is part of why it did not come to be. */
static int explain(const struct start *b, struct err *err)
{
	const char *words = b->said.text;
	struct err why = *err;
	size_t room = 200;

	if (b->said.len == 0 || err->code == ERR_CANCELLED)
		return -err->code;
	if (b->said.len > room)
		words += b->said.len - room;
	err_set(err, (enum err_code)why.code, "%.120s; it wrote: %s", why.msg, words);
	err->flags = why.flags;
	return -err->code;
}

int sandbox_service_start(struct sandbox *s, const struct sandbox_server_wish *wish,
			  struct sandbox_service **ret, struct err *err)
{
	struct start b = {
		.port = wish->port, .deadline = wish->deadline, .cancelled = wish->cancelled};
	struct sandbox_service *v = xcalloc(1, sizeof(*v));
	const struct server_container how = {.wish = wish, .agent = true};
	int rc = sandbox_server_make(s, &how, v->container, err);

	if (rc < 0) {
		free(v);
		return rc;
	}
	v->s = s;
	rc = begin(s, v->container, wish, &b, err);
	if (rc == 0)
		rc = tunnel_new(TAKE(b.link), b.run, b.port, &b.said, &v->tunnel, err);
	if (rc < 0) {
		rc = explain(&b, err);
		agent_link_close(b.link);
		sandbox_service_end(v);
		return rc;
	}
	*ret = v;
	return 0;
}

int sandbox_service_connect(void *service, int *ret, struct err *err)
{
	const struct sandbox_service *v = service;

	return tunnel_connect(v->tunnel, ret, err);
}

bool sandbox_service_lives(struct sandbox_service *v)
{
	return tunnel_lives(v->tunnel);
}

const char *sandbox_service_container(const struct sandbox_service *v)
{
	return v->container;
}

void sandbox_service_said(struct sandbox_service *v, char *out, size_t size)
{
	struct said said;

	tunnel_said(v->tunnel, &said);
	snprintf(out, size, "%s", said.len >= size ? said.text + said.len - size + 1 : said.text);
}

void sandbox_service_end(struct sandbox_service *v)
{
	if (!v)
		return;
	tunnel_free(v->tunnel);
	sandbox_container_drop(v->s, v->container);
	free(v);
}
