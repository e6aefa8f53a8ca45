/*
 * client.c: requests and their answers, and what servers say unasked in between.
 */
#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "rpc.h"
#include "version.h"

#define LOOK_AGAIN   (100 * USEC_PER_MSEC) /* at whether somebody asked us to stop */
#define LISTEN_AGAIN (60 * USEC_PER_SEC)
#define SIGN_TIME    (1 * USEC_PER_SEC)

json_t *mcp_client_info(void)
{
	return json_pack("{s:s, s:s}", "name", "celeriac", "version", CELERIAC_VERSION);
}

json_t *mcp_capabilities(const struct mcp_client *c)
{
	json_t *capabilities = json_object();

	if (c->config.hooks.input)
		json_object_set_new(capabilities, "elicitation", json_object());
	return capabilities;
}

json_t *mcp_meta(const struct mcp_client *c)
{
	json_t *meta = json_object();

	if (c->peer.era == MCP_ERA_STATELESS) {
		json_object_set_new(meta, "io.modelcontextprotocol/protocolVersion",
				    json_string(c->peer.version));
		json_object_set_new(meta, "io.modelcontextprotocol/clientInfo", mcp_client_info());
		json_object_set_new(meta, "io.modelcontextprotocol/clientCapabilities",
				    mcp_capabilities(c));
	}
	return meta;
}

/* Writes a message of ours and hands it over; takes `message`. */
static int send_message(struct mcp_client *c, json_t *message, const struct mcp_outgoing *what,
			usec_t deadline, struct err *err)
{
	_cleanup_json_ json_t *owned = message;
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_MCP_MESSAGE);
	struct mcp_outgoing m = *what;

	json_dump_strict(message, &text);
	if (buf_status(&text, err) < 0)
		return err_set(err, ERR_TOOBIG, "a message of more than %u bytes",
			       BOUND_MCP_MESSAGE);
	m.json = text.data;
	m.len = text.len;
	return c->transport->ops->send(c->transport, &m, deadline, err);
}

int mcp_notify(struct mcp_client *c, const char *method, json_t *params, usec_t deadline,
	       struct err *err)
{
	struct mcp_outgoing m = {.method = method};

	return send_message(c, rpc_request(0, method, params), &m, deadline, err);
}

/* ---- what servers ask ---- */
static bool is_input(const char *method)
{
	return strcmp(method, "elicitation/create") == 0;
}

static int answer_server(struct mcp_client *c, const json_t *message, usec_t deadline,
			 struct err *err)
{
	const char *method = json_member_str(message, "method");
	json_t *id = json_object_get(message, "id");
	json_t *result = NULL;
	struct mcp_outgoing m = {0};

	if (strcmp(method, "ping") == 0)
		result = json_object();
	else if (c->config.hooks.input && is_input(method))
		result = c->config.hooks.input(c->config.hooks.arg, method,
					       json_object_get(message, "params"));
	return send_message(c, rpc_answer(id, result, RPC_METHOD_NOT_FOUND, "Method not found"), &m,
			    deadline, err);
}

static void tell_progress(struct mcp_client *c, const json_t *params)
{
	const struct mcp_hooks *hooks = &c->config.hooks;
	json_t *total = json_member(params, "total");

	if (hooks->progress && c->progress_of &&
	    json_integer_value(json_object_get(params, "progressToken")) == c->progress_of &&
	    json_is_number(json_object_get(params, "progress")))
		hooks->progress(hooks->arg, json_number_value(json_object_get(params, "progress")),
				json_is_number(total) ? json_number_value(total) : -1,
				json_member_str(params, "message"));
}

static void tell_log(struct mcp_client *c, const json_t *params)
{
	const struct mcp_hooks *hooks = &c->config.hooks;
	const char *level = json_member_str(params, "level");
	json_t *data = json_object_get(params, "data");
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT);

	if (!hooks->log || !data)
		return;
	if (json_is_string(data))
		json_text_append(data, &text);
	else
		json_dump_strict(data, &text);
	hooks->log(hooks->arg, level ? level : "info", text.data);
}

static void take_notification(struct mcp_client *c, const json_t *message)
{
	const char *method = json_member_str(message, "method");
	const json_t *params = json_object_get(message, "params");

	if (strcmp(method, "notifications/progress") == 0)
		tell_progress(c, params);
	else if (strcmp(method, "notifications/message") == 0)
		tell_log(c, params);
	else if (strcmp(method, "notifications/tools/list_changed") == 0 &&
		 c->config.hooks.tools_changed)
		c->config.hooks.tools_changed(c->config.hooks.arg);
}

/* ---- the wait ---- */
static bool is_answer(const struct mcp_client *c, const json_t *message, enum rpc_kind kind,
		      int64_t id)
{
	if (kind != RPC_RESULT && kind != RPC_ERROR)
		return false;
	/* the answer to a POST may say no id where the server could not read ours */
	if (kind == RPC_ERROR && c->transport->http && c->transport->status >= 400 &&
	    json_is_null(json_object_get(message, "id") ? json_object_get(message, "id")
							: json_null()))
		return true;
	return rpc_answer_id(message) == id;
}

static void note_end_of_listening(struct mcp_client *c, const json_t *message, enum rpc_kind kind)
{
	if (c->listen_id && (kind == RPC_RESULT || kind == RPC_ERROR) &&
	    rpc_answer_id(message) == c->listen_id)
		c->transport->deaf = true;
}

/* One message, or ERR_CANCELLED as soon as somebody says so. */
static int next_message(struct mcp_client *c, usec_t deadline, json_t **ret, struct err *err)
{
	for (;;) {
		if (c->config.cancelled && atomic_load(c->config.cancelled))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		usec_t now = clock_mono();
		usec_t until = c->config.cancelled && deadline - now > LOOK_AGAIN ? now + LOOK_AGAIN
										  : deadline;
		int r = c->transport->ops->receive(c->transport, until, ret, err);
		if (r != -ERR_TIMEOUT || clock_mono() >= deadline)
			return r;
	}
}

static int wait_for(struct mcp_client *c, int64_t id, usec_t deadline, json_t **ret,
		    struct err *err)
{
	for (;;) {
		_cleanup_json_ json_t *message = NULL;
		int r = next_message(c, deadline, &message, err);

		if (r < 0)
			return r;
		enum rpc_kind kind = rpc_classify(message);
		if (is_answer(c, message, kind, id)) {
			*ret = TAKE(message);
			return 0;
		}
		note_end_of_listening(c, message, kind);
		if (kind == RPC_REQUEST)
			r = answer_server(c, message, deadline, err);
		else if (kind == RPC_NOTIFICATION)
			take_notification(c, message);
		if (r < 0)
			return r;
		/* a server that talks for ever does not keep us for ever */
		if (clock_mono() >= deadline)
			return err_set(err, ERR_TIMEOUT, "no answer within the time");
	}
}

/* Tells the server that nobody waits any more. */
static void give_up(struct mcp_client *c, int64_t id, const char *reason)
{
	struct err ignored;

	if (c->transport->lost || c->transport->ops->cancel(c->transport, id))
		return;
	_cleanup_json_ json_t *params =
		json_pack("{s:I, s:s}", "requestId", (json_int_t)id, "reason", reason);
	(void)!mcp_notify(c, "notifications/cancelled", params, clock_deadline(USEC_PER_SEC),
			  &ignored);
	json_t *message = NULL;
	/* HTTP: lets it leave */
	if (c->transport->http &&
	    c->transport->ops->receive(c->transport, clock_mono() + LOOK_AGAIN, &message,
				       &ignored) == 0)
		json_decref(message);
}

int mcp_request(struct mcp_client *c, const struct mcp_ask *what, usec_t deadline, json_t **ret,
		struct err *err)
{
	int64_t id = ++c->last_id;
	struct mcp_outgoing m = {
		.method = what->method, .tool = what->tool, .id = id, .params = what->headers};
	int r;

	c->transport->status = 0;
	_cleanup_json_ json_t *params = what->params ? json_copy(what->params) : json_object();
	json_t *meta = mcp_meta(c);
	if (c->config.hooks.progress && what->tool) {
		json_object_set_new(meta, "progressToken", json_integer(id));
		c->progress_of = id;
	}
	if (json_object_size(meta) > 0)
		json_object_set(params, "_meta", meta);
	json_decref(meta);
	r = send_message(c, rpc_request(id, what->method, params), &m, deadline, err);
	if (r == 0)
		r = wait_for(c, id, deadline, ret, err);
	if (r == -ERR_TIMEOUT || r == -ERR_CANCELLED) {
		if (!what->never_cancel)
			give_up(c, id, r == -ERR_TIMEOUT ? "timeout" : "cancelled");
		else
			c->transport->ops->cancel(c->transport, id);
	}
	c->progress_of = 0;
	return r < 0 ? err_wrap(err, "%s", what->method) : 0;
}

void mcp_listen(struct mcp_client *c)
{
	struct err ignored;

	if (c->peer.era != MCP_ERA_STATELESS || !c->peer.tools_change ||
	    !c->config.hooks.tools_changed)
		return;
	c->transport->deaf = false;
	c->listen_id = ++c->last_id;
	c->listen_again = clock_deadline(c->config.listen_again);
	const struct mcp_outgoing m = {.method = MCP_SUBSCRIBE, .id = c->listen_id};
	_cleanup_json_ json_t *params = json_pack("{s:o, s:{s:b}}", "_meta", mcp_meta(c),
						  "notifications", "toolsListChanged", 1);
	if (send_message(c, rpc_request(c->listen_id, MCP_SUBSCRIBE, params), &m,
			 clock_deadline(USEC_PER_SEC), &ignored) < 0)
		c->transport->deaf = true; /* and so is asked for again */
}

/* A stream that has ended is asked for again, and what was said meanwhile is not known. */
static void listen_again(struct mcp_client *c)
{
	if (!c->transport->deaf || !c->listen_id || clock_mono() < c->listen_again ||
	    !c->config.hooks.tools_changed)
		return;
	mcp_listen(c);
	c->config.hooks.tools_changed(c->config.hooks.arg);
}

void mcp_client_sign(struct mcp_client *c)
{
	/* the stateless generation has no ping */
	const char *method = c->peer.era == MCP_ERA_STATELESS ? "server/discover" : "ping";
	const struct mcp_outgoing m = {.method = method, .id = ++c->last_id};
	_cleanup_json_ json_t *params = json_object();
	_cleanup_json_ json_t *meta = mcp_meta(c);
	struct err ignored;

	if (c->transport->http)
		return;
	if (json_object_size(meta) > 0)
		json_object_set(params, "_meta", meta);
	if (send_message(c, rpc_request(m.id, method, params), &m, clock_deadline(SIGN_TIME),
			 &ignored) < 0)
		c->broken = true;
}

/* Whatever the server has said since. */
static void look(struct mcp_client *c)
{
	struct err err;

	for (int i = 0; i < BOUND_MCP_QUEUE; i++) {
		_cleanup_json_ json_t *message = NULL;
		int r = c->transport->ops->receive(c->transport, clock_mono(), &message, &err);
		if (r < 0) {
			if (r != -ERR_TIMEOUT && !c->transport->http)
				c->broken = true;
			return;
		}
		enum rpc_kind kind = rpc_classify(message);
		note_end_of_listening(c, message, kind);
		if (kind == RPC_NOTIFICATION)
			take_notification(c, message);
		else if (kind == RPC_REQUEST &&
			 answer_server(c, message, clock_deadline(USEC_PER_SEC), &err) < 0)
			c->broken = true;
	}
}

void mcp_client_look(struct mcp_client *c)
{
	look(c);
	listen_again(c);
}

int mcp_client_open(struct mcp_transport *t, const struct mcp_client_config *config,
		    usec_t deadline, struct mcp_client **ret, struct err *err)
{
	struct mcp_client *c = xcalloc(1, sizeof(*c));

	c->transport = t;
	c->config = *config;
	t->cancelled = config->cancelled;
	if (c->config.probe <= 0)
		c->config.probe = 5 * USEC_PER_SEC;
	if (c->config.listen_again <= 0)
		c->config.listen_again = LISTEN_AGAIN;
	int r = mcp_open(c, deadline, err);
	if (r < 0) {
		mcp_client_close(c, clock_mono());
		return r;
	}
	c->opened = true;
	mcp_listen(c);
	*ret = c;
	return 0;
}

void mcp_client_close(struct mcp_client *c, usec_t deadline)
{
	if (!c)
		return;
	c->transport->ops->close(c->transport, deadline);
	mcp_transport_free(c->transport);
	free(c);
}

void mcp_client_bind(struct mcp_client *c, const atomic_bool *cancelled,
		     const struct mcp_hooks *hooks)
{
	c->config.cancelled = c->transport->cancelled = cancelled;
	c->config.hooks = *hooks;
}

const struct mcp_peer *mcp_client_peer(const struct mcp_client *c)
{
	return &c->peer;
}

bool mcp_client_usable(const struct mcp_client *c)
{
	return !c->broken && !c->transport->lost && !c->transport->session_lost;
}
