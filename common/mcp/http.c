/*
 * http.c: servers behind a URL, as a transport.
 */
#include "http.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "json.h"
#include "mem.h"

#define DELETE_TIME  (2 * USEC_PER_SEC)
#define RESOLVE_TIME (5 * USEC_PER_SEC)
#define LOOK_AGAIN   (100 * USEC_PER_MSEC) /* at whether somebody asked us to stop */
#define ADDRESS_AGE  (60 * USEC_PER_SEC) /* a session may outlive what its host's name stood for */

static struct mcp_http *of(struct mcp_transport *t)
{
	return (struct mcp_http *)(void *)t;
}

/* Why nothing more will come of an exchange, once. */
static int take_failure(struct mcp_http *h, struct err *err)
{
	*err = h->failed;
	h->base.status = h->failed_status;
	h->failed.code = 0;
	return -err->code;
}

static bool is_cancelled(const struct mcp_http *h)
{
	return h->base.cancelled && atomic_load(h->base.cancelled);
}

/* HTTP+SSE: the stream is opened with the first message, and says where that goes. */
static int need_endpoint(struct mcp_http *h, usec_t deadline, struct err *err)
{
	int r = h->exchanges ? 0 : mcp_http_begin(h, MCP_STREAM, NULL, 0, err);

	while (r == 0 && !h->post) {
		usec_t look = clock_deadline(LOOK_AGAIN);

		http_multi_run(h->multi, look < deadline ? look : deadline);
		if (h->failed.code)
			return take_failure(h, err);
		if (!h->post && is_cancelled(h))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		if (!h->post && clock_mono() >= deadline)
			return err_set(err, ERR_TIMEOUT, "the server's stream named no endpoint");
	}
	return r;
}

static int need_addresses(struct mcp_http *h, usec_t deadline, struct err *err)
{
	usec_t now = clock_mono(), end = now + RESOLVE_TIME;

	if (!h->outbound || now < h->resolve_at)
		return 0;
	int r = outbound_resolve(h->outbound, OUTBOUND_MCP, &h->origin.host, h->origin.port,
				 deadline < end ? deadline : end, h->base.cancelled, h->addresses,
				 &h->address_count, err);
	if (r == 0)
		h->resolve_at = clock_deadline(ADDRESS_AGE);
	return r;
}

static void end_all_but_stream(struct mcp_http *h)
{
	for (struct mcp_exchange *x = h->exchanges, *next; x; x = next) {
		next = x->next;
		if (x->kind != MCP_STREAM)
			mcp_http_end(x);
	}
}

static int http_send(struct mcp_transport *t, const struct mcp_outgoing *m, usec_t deadline,
		     struct err *err)
{
	struct mcp_http *h = of(t);
	int r;

	if (t->lost)
		return err_set(err, ERR_CLOSED, "the server closed its stream");
	if (m->method && strcmp(m->method, "initialize") == 0)
		end_all_but_stream(h); /* of a session that is no more */
	r = need_addresses(h, deadline, err);
	if (r == 0 && t->handshake)
		r = need_endpoint(h, deadline, err);
	return r < 0 ? r : mcp_http_begin(h, MCP_POST, m, 0, err);
}

static bool take_message(struct mcp_http *h, json_t **ret)
{
	if (h->queue_next >= json_array_size(h->queue))
		return false;
	*ret = json_incref(json_array_get(h->queue, h->queue_next++));
	h->base.status = h->queue_status;
	if (h->queue_next == json_array_size(h->queue)) {
		json_array_clear(h->queue);
		h->queue_next = 0;
	}
	return true;
}

static int http_receive(struct mcp_transport *t, usec_t deadline, json_t **ret, struct err *err)
{
	struct mcp_http *h = of(t);
	bool late = false; /* what has come by then is taken in all the same */

	for (;;) {
		if (take_message(h, ret))
			return 0;
		if (h->failed.code)
			return take_failure(h, err);
		if (t->lost)
			return err_set(err, ERR_CLOSED, "the server closed its stream");
		usec_t resume = mcp_http_resume(h);
		if (late)
			return err_set(err, ERR_TIMEOUT, "no message within the time");
		late = clock_mono() >= deadline;
		http_multi_run(h->multi, resume < deadline ? resume : deadline);
	}
}

static void http_agreed(struct mcp_transport *t, enum mcp_era era, const char *version)
{
	struct mcp_http *h = of(t);

	h->era = era;
	snprintf(h->version, sizeof(h->version), "%s", version);
	if (era == MCP_ERA_STATELESS)
		h->session[0] = '\0'; /* it knows none, whatever the server says */
}

static void http_older(struct mcp_transport *t)
{
	struct mcp_http *h = of(t);

	end_all_but_stream(h);
	t->handshake = true;
	h->session[0] = '\0';
	free(h->post);
	h->post = NULL;
}

static void http_listen(struct mcp_transport *t)
{
	struct mcp_http *h = of(t);
	struct err ignored;

	if (!t->handshake && h->era == MCP_ERA_HANDSHAKE)
		(void)!mcp_http_begin(h, MCP_LISTEN, NULL, 0, &ignored);
}

static bool http_cancel(struct mcp_transport *t, int64_t id)
{
	struct mcp_http *h = of(t);
	bool closed = false;

	for (struct mcp_exchange *x = h->exchanges, *next; x; x = next) {
		next = x->next;
		if (x->id == id && x->kind != MCP_STREAM) {
			mcp_http_end(x);
			closed = true;
		}
	}
	return closed && h->era == MCP_ERA_STATELESS;
}

static void end_all(struct mcp_http *h)
{
	while (h->exchanges)
		mcp_http_end(h->exchanges);
}

/* A session of the handshake generation is given back; that the server does not know how is fine.
 */
static void http_close(struct mcp_transport *t, usec_t deadline)
{
	struct mcp_http *h = of(t);
	usec_t now = clock_mono();
	struct err err;

	end_all(h);
	if (h->session[0] && h->era == MCP_ERA_HANDSHAKE && !t->session_lost) {
		usec_t end = deadline < now + DELETE_TIME ? deadline : now + DELETE_TIME;
		if (end > now && mcp_http_begin(h, MCP_DELETE, NULL, end - now, &err) == 0)
			while (h->exchanges && clock_mono() < end)
				http_multi_run(h->multi, end);
	}
	end_all(h);
	h->session[0] = '\0';
}

static void http_free(struct mcp_transport *t)
{
	struct mcp_http *h = of(t);

	end_all(h);
	http_multi_free(h->multi);
	for (char **line = h->headers; line && *line; line++) {
		wipe(*line, strlen(*line));
		free(*line);
	}
	free(h->headers);
	free(h->url);
	free(h->post);
	json_decref(h->queue);
	free(h);
}

static const struct mcp_transport_ops http_ops = {
	.send = http_send,
	.receive = http_receive,
	.agreed = http_agreed,
	.older = http_older,
	.listen = http_listen,
	.cancel = http_cancel,
	.close = http_close,
	.free = http_free,
};

/* The protocol's own headers are not for operators. */
static const char *const reserved[] = {
	"Content-Type",		"Accept",     "Mcp-Session-Id", "Last-Event-ID",
	"MCP-Protocol-Version", "Mcp-Method", "Mcp-Name",	NULL};

static int copy_headers(const char *const *lines, char ***ret, struct err *err)
{
	size_t count = 0;

	while (lines && lines[count]) {
		int r = http_header_check(lines[count++], reserved, err);
		if (r < 0)
			return err_wrap(err, "headers");
		if (count > 64)
			return err_set(err, ERR_TOOBIG, "headers: more than 64");
	}
	char **copy = xcalloc(count + 1, sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = xstrdup(lines[i]);
	*ret = copy;
	return 0;
}

int mcp_http_new(const struct mcp_http_config *config, struct mcp_transport **ret, struct err *err)
{
	struct outbound_origin origin;
	char **headers = NULL;
	int r = outbound_origin_parse(config->url, &origin, err);

	if (r < 0)
		return err_wrap(err, "URL");
	if (config->outbound)
		r = outbound_check_host(config->outbound, OUTBOUND_MCP, &origin.host, origin.port,
					err);
	if (r == 0)
		r = copy_headers(config->headers, &headers, err);
	if (r < 0)
		return r;
	struct mcp_http *h = xcalloc(1, sizeof(*h));
	h->base = (struct mcp_transport){.ops = &http_ops, .http = true, .handshake = config->sse};
	h->multi = http_multi_new();
	h->url = xstrdup(config->url);
	h->post = config->sse ? NULL : xstrdup(config->url);
	h->headers = headers;
	h->origin = origin;
	h->outbound = config->outbound;
	h->local = config->local;
	h->queue = json_array();
	*ret = &h->base;
	return 0;
}
