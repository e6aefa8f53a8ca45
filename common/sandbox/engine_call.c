/*
 * engine_call.c: one exchange with the engine: a client from the free list, the version before the
 * path, and the answer judged.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "login.h"
#include "mem.h"
#include "metrics.h"

static struct http_client *borrow_client(struct engine *e)
{
	struct http_client *c = NULL;

	mutex_lock(&e->lock);
	if (e->idle_count > 0)
		c = e->idle[--e->idle_count];
	mutex_unlock(&e->lock);
	return c ? c : http_client_new(&e->target);
}

static void return_client(struct engine *e, struct http_client *c)
{
	mutex_lock(&e->lock);
	bool keep = e->idle_count < ENGINE_IDLE_CLIENTS;
	if (keep)
		e->idle[e->idle_count++] = c;
	mutex_unlock(&e->lock);
	if (!keep)
		http_client_free(c);
}

static void count_call(const struct engine_request *req, const char *outcome, usec_t took)
{
	char call[METRIC_LABEL];

	engine_call_name(req->method, req->path, call, sizeof(call));
	metric_count(METRIC_ENGINE_CALLS, call, outcome);
	metric_observe(metric_series(METRIC_ENGINE_TIME, call, NULL), took);
}

static void tell_refused(const struct engine *e, int status)
{
	char reason[40];

	snprintf(reason, sizeof(reason), "HTTP status %d", status);
	login_refused("engine", e->address, reason);
}

int engine_exchange(struct engine *e, const struct engine_request *req, struct http_response *ret,
		    struct err *err)
{
	_cleanup_free_ char *path = NULL;
	char api[8] = "";

	/* a call that the role does not carry goes nowhere else */
	if (e->driver != &engine_direct)
		return err_set(err, ERR_UNSUPPORTED, "not carried by an engine role: %s %.60s",
			       req->method, req->path);
	if (!req->unversioned) {
		int rc = engine_negotiate(e, false, api, err);
		if (rc < 0)
			return rc;
	}
	path = api[0] ? xasprintf("/v%s%s", api, req->path) : xstrdup(req->path);
	struct http_request http = {
		.method = req->method,
		.path = path,
		.content_type = req->content_type,
		.body = req->body,
		.body_len = req->body_len,
		.timeout = (usec_t)req->limit * USEC_PER_SEC,
		.max_body = BOUND_ENGINE_BODY,
		.piece = req->piece,
		.give_up = req->give_up,
		.arg = req->arg,
	};
	struct http_client *c = borrow_client(e);
	usec_t began = clock_mono();
	int rc = http_do(c, &http, ret, err);
	count_call(req,
		   rc < 0	       ? "failed"
		   : ret->status < 400 ? "ok"
				       : "refused",
		   clock_mono() - began);
	if (rc == 0 && (ret->status == 401 || ret->status == 403 || ret->status == 407))
		tell_refused(e, ret->status);
	/* A client whose exchange broke has nothing worth keeping. */
	if (rc < 0)
		http_client_free(c);
	else
		return_client(e, c);
	/* what was garbled on the way comes whole another time */
	if (rc == -ERR_PROTOCOL)
		err_transient(err);
	return rc < 0 ? err_wrap(err, "engine %s", e->address) : 0;
}

static bool is_version_complaint(const char *message)
{
	return strstr(message, "client version") &&
	       (strstr(message, "too old") || strstr(message, "too new"));
}

int engine_reply_error(int status, const char *body, size_t len, struct err *err)
{
	_cleanup_json_ json_t *reply = NULL;
	struct err ignored;
	const char *message = NULL;

	if (json_load_strict(body, len, &reply, &ignored) == 0)
		message = json_member_str(reply, "message");
	if (status == 401 || status == 403 || status == 407)
		return err_set(err, ERR_DENIED, "engine, or what stands before it, refuses: %.160s",
			       message ? message : "HTTP 403");
	if (status == 502 || status == 503 || status == 504)
		return err_set(err, ERR_UNAVAILABLE, "engine: HTTP %d: %.160s", status,
			       message ? message : "");
	if (!message) {
		int rc = err_set(err, ERR_PROTOCOL, "HTTP %d that is not an engine's", status);
		return status >= 500 ? err_transient(err) : rc;
	}
	/* Said of a path that the engine does not know, not of a thing that is gone. */
	if (status == 404 && strcmp(message, "page not found") != 0)
		return err_set(err, ERR_NOTFOUND, "engine: %.200s", message);
	if (status == 409)
		return err_set(err, ERR_CONFLICT, "engine: %.200s", message);
	if (status == 404 || is_version_complaint(message))
		return err_set(err, ERR_UNSUPPORTED, "engine: %.200s", message);
	int rc = err_set(err, ERR_FAILED, "engine: %.200s", message);
	return status >= 500 ? err_transient(err) : rc;
}

/* An engine that was exchanged for another while we run may want another version. */
static void forget_version(struct engine *e)
{
	mutex_lock(&e->lock);
	e->api[0] = '\0';
	mutex_unlock(&e->lock);
}

int engine_call(struct engine *e, const char *method, const char *path, const char *body,
		enum engine_limit limit, json_t **ret, struct err *err)
{
	_cleanup_response_ struct http_response response = RESPONSE_INIT;
	const struct buf *answer = &response.body;
	struct engine_request req = {
		.method = method,
		.path = path,
		.content_type = body ? "application/json" : NULL,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.limit = limit,
	};

	int rc = engine_exchange(e, &req, &response, err);
	if (rc < 0)
		return rc;
	if ((response.status < 200 || response.status > 299) && response.status != 304) {
		rc = engine_reply_error(response.status, answer->data, answer->len, err);
		if (rc == -ERR_UNSUPPORTED)
			forget_version(e);
		return rc;
	}
	if (!ret)
		return 0;
	struct err why;
	if (json_load_strict(answer->data, answer->len, ret, &why) == 0)
		return 0;
	/* no engine says so: what is between us may be gone the next time */
	rc = err_set(err, ERR_PROTOCOL,
		     "engine: %s %.60s: an answer that is not an engine's: %.160s", method, path,
		     why.msg);
	return err_transient(err);
}
