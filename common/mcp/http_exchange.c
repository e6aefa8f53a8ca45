/*
 * http_exchange.c: one HTTP exchange with a server: its headers, its answer taken apart, its end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "clock.h"
#include "header.h"
#include "http.h"
#include "json.h"
#include "login.h"
#include "mem.h"
#include "rpc.h"

#define HEADERS_MAX  (BOUND_MCP_HEADERS + 96)
#define RESUME_AFTER (1 * USEC_PER_SEC) /* where the server does not say */
#define RESUME_MAX   (60 * USEC_PER_SEC)
#define RESUMES	     64 /* of one request */

/* ---- what came ---- */
static void fail(struct mcp_http *h, int status, const struct err *why)
{
	if (h->failed.code)
		return;
	h->failed = *why;
	h->failed_status = status;
}

static int push(struct mcp_exchange *x, json_t *message, int status, struct err *err)
{
	struct mcp_http *h = x->http;
	enum rpc_kind kind = rpc_classify(message);

	if (x->listens && kind != RPC_NOTIFICATION)
		return 0; /* it is over, or was refused */
	if (json_array_size(h->queue) - h->queue_next >= BOUND_MCP_QUEUE)
		return err_set(err, ERR_TOOBIG, "more than %d messages at once", BOUND_MCP_QUEUE);
	if ((kind == RPC_RESULT || kind == RPC_ERROR) && rpc_answer_id(message) == x->id)
		x->answered = true;
	json_array_append(h->queue, message);
	h->queue_status = status;
	return 0;
}

static int take_text(struct mcp_exchange *x, int status, const char *text, size_t len,
		     struct err *err)
{
	json_t *message = NULL, *one;
	size_t i;
	int r = json_load_strict(text, len, &message, err);

	if (r < 0)
		return err_wrap(err, "the server's answer");
	_cleanup_json_ json_t *owned = message;
	if (!json_is_array(message))
		return push(x, message, status, err);
	json_array_foreach(message, i, one)
	{
		r = push(x, one, status, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_event(void *arg, const char *type, const char *data, size_t len, struct err *err)
{
	struct mcp_exchange *x = arg;
	struct mcp_http *h = x->http;

	if (x->kind == MCP_STREAM && !h->post && strcmp(type, "endpoint") == 0)
		return mcp_url_endpoint(h->url, data, len, &h->post, err);
	if (strcmp(type, "message") != 0)
		return 0;
	return take_text(x, 200, data, len, err);
}

/* ---- what libcurl calls ---- */
static int on_judge(void *arg, const struct ip_address *a, uint16_t port, struct err *err)
{
	struct mcp_http *h = ((struct mcp_exchange *)arg)->http;

	if (!h->outbound)
		return 0;
	return outbound_check_address(h->outbound, OUTBOUND_MCP, &h->origin.host, a, port, err);
}

static void on_header(void *arg, const char *name, const char *value)
{
	struct mcp_exchange *x = arg;

	if (strcasecmp(name, "Content-Type") == 0) {
		x->events = strncasecmp(value, "text/event-stream", 17) == 0;
		x->json = strncasecmp(value, "application/json", 16) == 0;
	} else if (strcasecmp(name, "Mcp-Session-Id") == 0 && x->initialize) {
		bool visible = *value && strlen(value) <= MCP_SESSION_BYTES;
		for (const char *s = value; *s; s++)
			if (*s < 0x21 || *s > 0x7e)
				visible = false;
		if (visible)
			snprintf(x->http->session, sizeof(x->http->session), "%s", value);
	}
}

static int on_body(void *arg, int status, const char *data, size_t len, struct err *err)
{
	struct mcp_exchange *x = arg;

	if (x->events && status == 200)
		return sse_feed(&x->sse, data, len, take_event, x, err);
	buf_append(&x->body, data, len);
	if (buf_status(&x->body, err) < 0)
		return err_set(err, ERR_TOOBIG, "an answer of more than %u bytes",
			       BOUND_MCP_MESSAGE);
	return 0;
}

/* A stream that ended before it brought the answer: it goes on with another GET, in the generation
 * that knows such. */
static bool will_resume(struct mcp_exchange *x)
{
	bool listens = x->kind == MCP_LISTEN;

	if (x->kind == MCP_STREAM || x->kind == MCP_DELETE || !x->events ||
	    x->http->era == MCP_ERA_STATELESS || x->resumed >= RESUMES)
		return false;
	if (!listens && (x->id == 0 || x->answered || !x->sse.id[0]))
		return false;
	usec_t after = x->sse.retry_ms < 0 ? RESUME_AFTER : x->sse.retry_ms * USEC_PER_MSEC;
	if (!listens)
		x->kind = MCP_RESUME;
	x->resume_at = clock_mono() + (after > RESUME_MAX ? RESUME_MAX : after);
	return true;
}

static void tell_refused(const struct mcp_exchange *x, int status)
{
	const struct outbound_origin *o = &x->http->origin;
	_cleanup_free_ char *where =
		xasprintf("%s://%s:%u", o->tls ? "https" : "http", o->host.name, o->port);

	login_refused("MCP server", where, status == 401 ? "HTTP status 401" : "HTTP status 403");
}

/* What an HTTP error says, without its body: that is a page for people as often as not. */
static int http_failure(const struct mcp_exchange *x, int status, struct err *err)
{
	static const struct {
		int status;
		enum err_code code;
		const char *text;
	} meanings[] = {
		{401, ERR_DENIED, "the server wants other credentials (401)"},
		{403, ERR_DENIED, "the server forbids it (403)"},
		{404, ERR_NOTFOUND, "there is nothing at this URL (404)"},
		{405, ERR_UNSUPPORTED, "the server takes no such requests here (405)"},
		{429, ERR_UNAVAILABLE, "the server has too many requests (429)"},
	};

	if (status == 401 || status == 403)
		tell_refused(x, status);
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (meanings[i].status == status)
			return err_set(err, meanings[i].code, "%s", meanings[i].text);
	if (x->kind == MCP_STREAM && status == 200)
		return err_set(err, ERR_PROTOCOL, "the answer is no stream of events");
	return err_set(err, status >= 500 ? ERR_UNAVAILABLE : ERR_PROTOCOL,
		       "HTTP status %d where an answer was expected", status);
}

static void finished(struct mcp_exchange *x, int status, const struct err *failed)
{
	struct mcp_http *h = x->http;
	struct err err = {0};

	if (x->listens)
		h->base.deaf = true;
	if (x->kind == MCP_DELETE || x->kind == MCP_LISTEN ||
	    x->listens) /* 405: it has nothing to say */
		return;
	if (status == 404 && h->session[0]) {
		h->base.session_lost = true;
		h->session[0] = '\0';
		err_set(&err, ERR_NOTFOUND, "the server no longer knows the session");
		fail(h, status, &err);
		return;
	}
	if (!failed && !x->events && x->body.len > 0 && (x->json || status >= 400) &&
	    take_text(x, status, x->body.data, x->body.len, &err) == 0)
		return;
	if (x->kind == MCP_STREAM) {
		h->base.lost = true;
		if (status != 200 || !x->events)
			http_failure(x, status, &err);
		else if (failed)
			err = *failed;
		else
			err_set(&err, ERR_CLOSED, "the server closed its stream");
		fail(h, status, failed && !status ? failed : &err);
	} else if (failed) {
		fail(h, status, failed);
	} else if (status >= 300 || (status != 200 && status != 202 && status != 204)) {
		http_failure(x, status, &err);
		fail(h, status, &err);
	} else if (x->id && !x->answered && !h->base.handshake) {
		if (!err.code)
			err_set(&err, ERR_PROTOCOL, "the server's answer ended before it was one");
		fail(h, status, &err);
	}
}

static void on_done(void *arg, int status, const struct err *failed)
{
	struct mcp_exchange *x = arg;

	x->exchange = NULL;
	if ((!failed || failed->code == ERR_UNAVAILABLE || failed->code == ERR_PROTOCOL) &&
	    (status == 200 || x->resumed) && will_resume(x))
		return;
	finished(x, status, failed);
	mcp_http_end(x);
}

/* ---- what is sent ---- */
struct head {
	const char *lines[HEADERS_MAX + 1];
	size_t count;
	struct buf text[6];
	size_t texts;
};

static void add(struct head *head, const char *line)
{
	if (head->count < HEADERS_MAX)
		head->lines[head->count++] = line;
}

static void add_value(struct head *head, const char *name, const char *value, bool encode)
{
	struct buf *b = &head->text[head->texts++];

	*b = BUF_INIT(BOUND_HTTP_HEAD);
	buf_appendf(b, "%s: ", name);
	if (encode)
		mcp_header_value(value, strlen(value), b);
	else
		buf_append_str(b, value);
	add(head, b->data);
}

static void make_head(struct mcp_exchange *x, const struct mcp_outgoing *m, struct head *head)
{
	struct mcp_http *h = x->http;

	for (char **line = h->headers; line && *line; line++)
		add(head, *line);
	if (x->kind == MCP_POST) {
		add(head, "Content-Type: application/json");
		add(head, "Accept: application/json, text/event-stream");
	} else if (x->kind != MCP_DELETE) {
		add(head, "Accept: text/event-stream");
	}
	if (h->version[0] && !h->base.handshake && !x->initialize)
		add_value(head, "MCP-Protocol-Version", h->version, false);
	if (h->session[0] && !x->initialize)
		add_value(head, "Mcp-Session-Id", h->session, false);
	if (x->sse.id[0])
		add_value(head, "Last-Event-ID", x->sse.id, false);
	if (h->era == MCP_ERA_STATELESS && m && m->method) {
		add_value(head, "Mcp-Method", m->method, false);
		if (m->tool)
			add_value(head, "Mcp-Name", m->tool, true);
		for (const char *const *line = m->params; line && *line; line++)
			add(head, *line);
	}
}

static void start(struct mcp_exchange *x, const struct mcp_outgoing *m, usec_t timeout)
{
	static const char *const methods[] = {[MCP_POST] = "POST",
					      [MCP_RESUME] = "GET",
					      [MCP_STREAM] = "GET",
					      [MCP_DELETE] = "DELETE"};
	struct mcp_http *h = x->http;
	struct head head = {0};
	struct http_handler handler = {.judge = on_judge,
				       .header = on_header,
				       .body = on_body,
				       .done = on_done,
				       .arg = x,
				       .local = h->local};

	make_head(x, m, &head);
	x->events = x->json = false;
	x->exchange = http_exchange_begin(h->multi, methods[x->kind],
					  x->kind == MCP_POST ? h->post : h->url, head.lines,
					  m ? m->json : NULL, m ? m->len : 0, timeout, &handler);
	if (h->address_count > 0)
		http_exchange_pin(x->exchange, &h->origin.host, h->origin.port, h->addresses,
				  h->address_count);
	for (size_t i = 0; i < head.texts; i++)
		buf_done(&head.text[i]);
}

int mcp_http_begin(struct mcp_http *h, enum mcp_exchange_kind kind, const struct mcp_outgoing *m,
		   usec_t timeout, struct err *err)
{
	if (m && m->len > BOUND_MCP_MESSAGE)
		return err_set(err, ERR_TOOBIG, "a message of more than %u bytes",
			       BOUND_MCP_MESSAGE);
	struct mcp_exchange *x = xcalloc(1, sizeof(*x));

	x->http = h;
	x->kind = kind;
	x->id = m ? m->id : 0;
	x->initialize = m && m->method && strcmp(m->method, "initialize") == 0;
	x->listens = m && m->method && strcmp(m->method, MCP_SUBSCRIBE) == 0;
	x->body = BUF_INIT(BOUND_MCP_MESSAGE);
	sse_init(&x->sse, BOUND_MCP_MESSAGE);
	x->next = h->exchanges;
	h->exchanges = x;
	start(x, m, timeout);
	return 0;
}

void mcp_http_end(struct mcp_exchange *x)
{
	struct mcp_http *h = x->http;

	for (struct mcp_exchange **p = &h->exchanges; *p; p = &(*p)->next)
		if (*p == x) {
			*p = x->next;
			break;
		}
	if (x->exchange)
		http_exchange_end(x->exchange);
	sse_done(&x->sse);
	buf_done(&x->body);
	free(x);
}

usec_t mcp_http_resume(struct mcp_http *h)
{
	usec_t now = clock_mono(), next = USEC_NEVER;

	for (struct mcp_exchange *x = h->exchanges; x; x = x->next) {
		if (x->exchange)
			continue;
		if (x->resume_at <= now) {
			char id[SSE_ID_BYTES + 1];
			memcpy(id, x->sse.id, sizeof(id));
			sse_done(&x->sse);
			sse_init(&x->sse, BOUND_MCP_MESSAGE);
			memcpy(x->sse.id, id, sizeof(id));
			memcpy(x->sse.next_id, id, sizeof(id));
			x->resumed++;
			start(x, NULL, 0);
		} else if (x->resume_at < next) {
			next = x->resume_at;
		}
	}
	return next;
}
