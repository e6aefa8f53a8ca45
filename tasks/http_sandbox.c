/*
 * http_sandbox.c: the request of a tool, made in a container of its own.
 *
 * The program is always the same (http_runner.py); request and secrets are data on its standard
 * input, and the answer is a file with a name made up for this call. Its only way out is the
 * agent's, under the rules of the worker's own requests, and leads to the tool's origin alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "http_tool.h"
#include "json.h"
#include "kept_run.h"
#include "mem.h"

extern const char script_http_runner[];

#define ANSWER_PREFIX ".celeriac-http-"

/* What the way out was used for. Its events come in the thread of the run. */
struct outing {
	const struct http_tool_request *request;
	const struct sandbox_egress *usual;
	struct http_tool_answer *answer;
	uint64_t bytes; /* that came from the host */
	char denied[256], failed[256];
};

/* The policy was asked with the whole path before; here is only whether it is that place. */
static bool leads_to(void *arg, const char *scheme, const struct outbound_host *host, uint16_t port,
		     const char *path unused_arg, const char **ret_reason)
{
	const struct outing *o = arg;
	const struct outbound_origin own = {
		.tls = o->request->tls, .host = o->request->host, .port = o->request->port};
	const struct outbound_origin there = {
		.tls = strcmp(scheme, "https") == 0, .host = *host, .port = port};

	*ret_reason = "only the tool's own origin";
	return outbound_origin_equal(&own, &there);
}

static void on_event(void *arg, const struct sandbox_egress_event *e)
{
	struct outing *o = arg;
	const char *reason = e->reason ? e->reason : "";

	o->bytes += e->down_bytes;
	if (*e->address)
		snprintf(o->answer->address, sizeof(o->answer->address), "%s", e->address);
	if (strcmp(e->decision, "deny") == 0)
		snprintf(o->denied, sizeof(o->denied), "%s", reason);
	else if (strcmp(e->decision, "error") == 0)
		snprintf(o->failed, sizeof(o->failed), "%s", reason);
	if (o->usual->record)
		o->usual->record(o->usual->record_arg, e);
}

static json_t *headers_of(const struct http_tool_request *r)
{
	json_t *list = json_array();

	for (char **line = r->headers; line && *line; line++) {
		const char *colon = strchr(*line, ':'), *value = colon + 1;
		value += strspn(value, " \t");
		json_t *pair = json_array();
		json_array_append_new(pair, json_text(*line, (size_t)(colon - *line), true));
		json_array_append_new(pair, json_text(value, strlen(value), true));
		json_array_append_new(list, pair);
	}
	return list;
}

/* What http_runner.py reads. */
static int write_request(const struct http_tool_request *r, const char *answer, struct buf *out,
			 struct err *err)
{
	_cleanup_json_wipe_ json_t *request = json_object();
	const char *authority = strstr(r->url, "://") + 3;
	size_t len = strcspn(authority, "/?#");
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_STDIN_BYTES);

	base64_encode(r->body, r->body_len, &body);
	json_object_set_new(request, "method", json_string(r->method));
	json_object_set_new(request, "tls", json_boolean(r->tls));
	json_object_set_new(request, "host", json_string(r->host.name));
	json_object_set_new(request, "port", json_integer(r->port));
	json_object_set_new(request, "authority", json_stringn(authority, len));
	json_object_set_new(request, "url", json_string(r->url));
	json_object_set_new(request, "target", json_string(authority + len));
	json_object_set_new(request, "headers", headers_of(r));
	json_object_set_new(request, "body",
			    r->body ? json_stringn(body.data, body.len) : json_null());
	json_object_set_new(request, "answer", json_string(answer));
	json_object_set_new(request, "limit", json_integer(HTTP_TOOL_BODY));
	/* all of it at once: a secret is not left behind by growing */
	if (buf_reserve(out, BOUND_STDIN_BYTES) == NULL)
		return err_set(err, ERR_NOMEM, "the request");
	json_dump_python(request, out);
	wipe(body.data, body.len);
	if (buf_status(out, err) < 0 || buf_status(&body, err) < 0)
		return err_set(err, ERR_TOOBIG, "the request has more than %u bytes",
			       BOUND_STDIN_BYTES);
	return 0;
}

/* One line of JSON, then the body. */
static int read_answer(const char *data, size_t len, struct http_tool_answer *a, struct err *err)
{
	const char *end = memchr(data, '\n', len);
	_cleanup_json_ json_t *head = NULL;
	struct err why;
	json_int_t status;

	if (!end || json_load_strict(data, (size_t)(end - data), &head, &why) < 0)
		return err_set(err, ERR_PROTOCOL, "the sandbox's answer cannot be read");
	const char *failed = json_member_str(head, "error"),
		   *type = json_member_str(head, "content_type");
	if (failed)
		return err_set(err, strstr(failed, "more than") ? ERR_TOOBIG : ERR_PROTOCOL, "%s",
			       failed);
	status = json_integer_value(json_object_get(head, "status"));
	size_t rest = len - (size_t)(end + 1 - data);
	if (status < 100 || status > 999 || rest > HTTP_TOOL_BODY)
		return err_set(err, ERR_PROTOCOL, "the sandbox's answer cannot be read");
	a->status = (int)status;
	snprintf(a->content_type, sizeof(a->content_type), "%s", type ? type : "");
	buf_append(&a->body, end + 1, rest);
	return buf_status(&a->body, err);
}

/* What came of the run. What the way out says counts for more than what the program says. */
static int judge(const struct outing *o, struct kept_run *k, const char *answer, struct err *err)
{
	size_t len = 0;
	_cleanup_free_ char *data = kept_run_take_file(k, answer, &len);
	enum sandbox_status status = k->outcome.status;

	if (o->denied[0])
		return err_set(err, ERR_DENIED, "%s", o->denied);
	if (status == SANDBOX_TIMEOUT)
		return err_set(err, ERR_TIMEOUT, "no answer within the time");
	if (o->bytes == 0 && o->failed[0])
		return err_set(err, ERR_UNAVAILABLE, "%s", o->failed);
	if (data && status == SANDBOX_OK)
		return read_answer(data, len, o->answer, err);
	return err_set(err, ERR_FAILED, "the sandbox ended without an answer (%s, exit code %d)",
		       sandbox_status_text(status), k->outcome.exit_code);
}

/* Where the row lets it out at all. */
static int need_way_out(const struct task_ctx *ctx, const struct sandbox_run *run, struct err *err)
{
	if (strcmp(task_ctx_settings(ctx)->sandbox_network, "egress") != 0)
		return err_set(err, ERR_UNSUPPORTED, "run_in_sandbox needs SANDBOX_NETWORK=egress");
	if (!run->egress)
		return err_set(err, ERR_DENIED, "sandbox_settings give the tool no network");
	return 0;
}

/* The answer is a file, and as large as it would be without the sandbox. */
static struct sandbox_terms room_for_answer(const struct sandbox_terms *usual)
{
	const int64_t size = HTTP_TOOL_BODY + BOUND_HTTP_HEAD;
	struct sandbox_terms terms = *usual;

	terms.files_max++;
	terms.file_size = terms.file_size > size ? terms.file_size : size;
	terms.files_size = terms.files_size > size ? terms.files_size : size;
	return terms;
}

int http_tool_exchange_in_sandbox(struct task_ctx *ctx, const struct http_tool_place *place,
				  const struct http_tool_request *r, usec_t timeout,
				  bool *ret_raised, struct http_tool_answer *ret, struct err *err)
{
	struct outing o = {.request = r, .answer = ret};
	_cleanup_buf_ struct buf request = BUF_INIT(BOUND_STDIN_BYTES);
	char id[UUID_SIZE], answer[sizeof(ANSWER_PREFIX) + UUID_SIZE];
	struct sandbox_run run = {
		.task_id = task_ctx_id(ctx),
		.conversation = place->conversation ? place->conversation : task_ctx_id(ctx),
		.project = place->project,
		.language = "python",
		.code = {script_http_runner, strlen(script_http_runner)},
		.timeout = timeout,
		.one_shot = true,
	};
	struct sandbox_egress way;
	struct sandbox_terms terms;
	struct kept_run *k;

	/* the same for the same task: a run may be taken over by somebody else */
	uuid8(task_ctx_id(ctx), id);
	snprintf(answer, sizeof(answer), ANSWER_PREFIX "%s", id);
	task_ctx_bind_run(ctx, &run);
	int rc = need_way_out(ctx, &run, err);
	if (rc < 0)
		return rc;
	terms = room_for_answer(run.terms);
	run.terms = &terms;
	o.usual = run.egress;
	way = *run.egress;
	way.scope = OUTBOUND_HTTP;
	way.allows = leads_to;
	way.record = on_event;
	way.allows_arg = way.record_arg = &o;
	way.callback = NULL;
	run.egress = &way;
	*ret = (struct http_tool_answer){.body = BUF_INIT(HTTP_TOOL_BODY)};
	rc = write_request(r, answer, &request, err);
	run.stdin_data = (struct slice){request.data, request.len};
	if (rc == 0) {
		rc = kept_run(ctx, &run, &k, err);
		*ret_raised = rc < 0;
	}
	wipe(request.data, request.len);
	if (rc < 0)
		return rc;
	rc = judge(&o, k, answer, err);
	kept_run_record(ctx, &run, k);
	if (rc < 0)
		http_tool_answer_done(ret);
	return rc;
}
