/*
 * http_ask.c: the requests of one call of an HTTP tool: each through the gate, made, recorded; and
 * the tool result that comes of the last answer.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "http_tool.h"
#include "json.h"
#include "mem.h"
#include "tool.h"

#define TIMEOUT 30.0 /* seconds, of a tool that says none */

/* A call of a tool under way. */
struct ask {
	struct task_ctx *ctx;
	const json_t *tool;
	const struct http_tool_place *place;
	usec_t began, deadline;
	int redirects; /* that may still be followed */
	bool raised;   /* an exception, which is no result */
};

static usec_t time_limit(const json_t *tool)
{
	const json_t *timeout = json_object_get(tool, "timeout");
	double seconds = json_is_number(timeout) ? json_number_value(timeout) : TIMEOUT;

	if (!(seconds > 0))
		seconds = TIMEOUT;
	return (usec_t)((seconds < 3600 ? seconds : 3600) * (double)USEC_PER_SEC);
}

static json_t *answer_result(const json_t *tool, const struct http_tool_answer *a, bool follows,
			     size_t limit, usec_t duration)
{
	const char *path = json_member_str(tool, "response_path");
	bool good = a->status >= 200 && a->status < 300;
	_cleanup_json_ json_t *value = NULL;
	struct err why;
	char text[64];

	if (http_answer_value(a, good && path ? path : "", limit, &value, &why) < 0)
		return tool_result("error", NULL, NULL, true, why.msg, duration);
	snprintf(text, sizeof(text), "HTTP status %d%s", a->status,
		 a->status >= 300 && a->status < 400 && !follows ? ", redirects are not followed"
								 : "");
	return tool_result(good ? "ok" : "error", TAKE(value), NULL, !good, good ? NULL : text,
			   duration);
}

static void note(struct task_ctx *ctx, const struct http_tool_request *r,
		 const struct http_tool_answer *a, const struct err *failed, usec_t duration)
{
	_cleanup_free_ char *target =
		xasprintf("%s %s://%s:%u%.200s", r->method, r->tls ? "https" : "http", r->host.name,
			  r->port, r->path);
	_cleanup_json_ json_t *detail = json_pack("{s:i, s:I, s:s}", "status", a->status, "bytes",
						  (json_int_t)a->body.len, "address", a->address);

	task_ctx_audit(ctx,
		       !failed			    ? "allow"
		       : failed->code == ERR_DENIED ? "deny"
						    : "error",
		       "http", target, failed ? failed->msg : NULL, duration, detail);
}

/* What went wrong on the way, as a result. */
static json_t *failure(const struct err *err, usec_t duration)
{
	const char *status = err->code == ERR_TIMEOUT  ? "timeout"
			     : err->code == ERR_DENIED ? "denied"
						       : "error";

	return tool_result(status, NULL, NULL, true, err->msg, duration);
}

/* In a sandbox the tool's limit is what the run may take, within that of its terms. */
static int exchange(struct ask *k, const struct http_tool_request *r, struct http_tool_answer *ret,
		    struct err *err)
{
	usec_t limit = time_limit(k->tool), most = task_ctx_terms(k->ctx)->max_timeout;

	if (!task_ctx_in_sandbox(k->ctx))
		return http_tool_exchange(r, task_ctx_outbound(k->ctx), k->deadline,
					  task_cancel_flag(k->ctx), ret, err);
	return http_tool_exchange_in_sandbox(k->ctx, k->place, r, limit < most ? limit : most,
					     &k->raised, ret, err);
}

/* One request and its record. */
static int make(struct ask *k, const struct http_tool_request *r, struct http_tool_answer *ret,
		struct err *err)
{
	struct http_tool_answer a = {.body = BUF_INIT(0)};
	usec_t began = clock_mono();
	char reason[TASK_REASON_SIZE];

	if (!task_ctx_may_reach(k->ctx, r->tls, &r->host, r->port, r->path, reason))
		return err_set(err, ERR_DENIED, "%s", reason);
	int rc = exchange(k, r, &a, err);
	note(k->ctx, r, &a, rc < 0 ? err : NULL, clock_mono() - began);
	if (rc == 0)
		*ret = a;
	return rc;
}

/* Requests until an answer asks for no other. */
static int make_all(struct ask *k, struct http_tool_request *r, struct http_tool_answer *ret,
		    struct err *err)
{
	const bool follows = k->redirects > 0;

	for (;;) {
		int rc = make(k, r, ret, err);
		if (rc < 0 || !follows)
			return rc;
		rc = http_tool_redirect(r, ret->status, ret->location, err);
		if (rc == 0)
			return 0;
		if (rc > 0 && k->redirects-- == 0)
			rc = err_set(err, ERR_PROTOCOL, "more redirects than the tool follows");
		http_tool_answer_done(ret);
		if (rc < 0)
			return rc;
	}
}

int http_tool_ask(struct task_ctx *ctx, const json_t *tool, const struct http_tool_place *place,
		  struct http_tool_request *r, json_t **ret_result, struct err *err)
{
	struct ask k = {.ctx = ctx, .tool = tool, .place = place, .began = clock_mono()};
	_cleanup_(http_tool_answer_done) struct http_tool_answer a = {.body = BUF_INIT(0)};
	struct err why = {0};
	int rc = http_tool_redirects(tool, &k.redirects, &why);

	k.deadline = k.began + time_limit(tool);
	if (task_ctx_in_sandbox(ctx))
		k.redirects = 0; /* a call has one run */
	const bool follows = rc == 0 && k.redirects > 0;
	if (rc == 0)
		rc = make_all(&k, r, &a, &why);
	usec_t duration = clock_mono() - k.began;
	if (rc == -ERR_CANCELLED || k.raised) {
		*err = why;
		return rc;
	}
	*ret_result = rc < 0 ? failure(&why, duration)
			     : answer_result(tool, &a, follows,
					     (size_t)task_ctx_settings(ctx)->sandbox_output_limit,
					     duration);
	return 0;
}
