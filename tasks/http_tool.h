/*
 * http_tool.h: custom HTTP tools: a row of http_tools and parameters become one request, its answer
 * becomes a result. All pure but the exchange itself and what is around it.
 */
#ifndef CELERIAC_HTTP_TOOL_H
#define CELERIAC_HTTP_TOOL_H

#include <jansson.h>
#include <stdatomic.h>

#include "buf.h"
#include "err.h"
#include "outbound.h"
#include "seal.h"

/* ---- http_template.c ---- */
enum template_kind {
	TEMPLATE_PATH,	/* percent-encoded; a value may not be "." or ".." as a whole segment */
	TEMPLATE_QUERY, /* percent-encoded */
	TEMPLATE_JSON,	/* inside a string its characters, elsewhere the value */
	TEMPLATE_FORM,	/* form-encoded */
	TEMPLATE_TEXT	/* as it is */
};
/*
 * Appends `text` with each {name} of `params` (or of `known`, an object of properties: absent there
 * means empty, null in JSON) replaced; other braces stay. Names used are set in `used` (object, or
 * NULL). ERR_INVALID, ERR_TOOBIG.
 */
int http_template(enum template_kind kind, const char *text, size_t len, const json_t *params,
		  const json_t *known, json_t *used, struct buf *out, struct err *err) must_check;
/* A value as text: strings as they are, numbers and booleans as JSON writes them, null as nothing,
 * lists and objects as JSON. */
void http_value_text(const json_t *value, struct buf *out);
void http_percent_encode(const char *text, size_t len, struct buf *out);

/* ---- http_request.c ---- */
struct http_tool_request {
	const char *method; /* of the tool */
	char *url;	    /* what is asked for: the very text that was checked */
	char *path;	    /* of it, without query: for the policy and the record */
	struct outbound_host host;
	uint16_t port;
	bool tls;
	char **headers; /* "Name: value", NULL-terminated; may hold secrets */
	char *body;	/* or NULL */
	size_t body_len;
};
/* `tool`: the members of a row of http_tools, secrets in `auth` opened. `params` fits its
 * input_schema. ERR_INVALID names what is wrong, without secrets. */
int http_tool_request(const json_t *tool, const json_t *params, struct http_tool_request *ret,
		      struct err *err) must_check;
void http_tool_request_done(struct http_tool_request *r);
/* Sets what the URL, another one than the template's, says: url (without fragment), path, host,
 * port and tls. ERR_INVALID, and nothing is changed. */
int http_tool_set_url(struct http_tool_request *r, const char *url, struct err *err) must_check;

/* ---- http_redirect.c ---- */
#define HTTP_TOOL_REDIRECTS 5
/* How many redirects the tool follows. ERR_INVALID: more than HTTP_TOOL_REDIRECTS, or no number. */
int http_tool_redirects(const json_t *tool, int *ret, struct err *err) must_check;
/*
 * 1 and `r` is what an answer of `status` with this Location (or NULL) asks for instead; 0 when it
 * asks for nothing. What the tool's row says in headers goes to the tool's own origin only.
 * ERR_INVALID: no URL that may be asked for; ERR_DENIED: from https to http, or a body that would
 * go to another origin. Whoever asks judges the new URL like the first. Pure.
 */
int http_tool_redirect(struct http_tool_request *r, int status, const char *location,
		       struct err *err) must_check;

/* ---- http_auth.c ---- */
/* A copy of `tool` whose sealed secrets are open; given, to be wiped with http_tool_wipe. `id` is
 * its row's, 0 of an inline one. */
int http_tool_open(const json_t *tool, int64_t id, const struct seal_keys *keys, json_t **ret,
		   struct err *err) must_check;
/* Appends a header line for `auth` (object), or nothing. */
int http_auth_header(const json_t *auth, struct buf *out, struct err *err) must_check;

/* ---- http_exchange.c ---- */
struct http_tool_answer {
	int status;
	char content_type[160];
	char address[IP_ADDRESS_TEXT]; /* that was connected to, "" = none */
	char *location;		       /* or NULL */
	struct buf body;
};
#define HTTP_TOOL_BODY (16u << 20) /* bytes of an answer, decompressed */
void http_tool_answer_done(struct http_tool_answer *a);
/* Makes the request. Every address that the host stands for is judged before any is connected to,
 * and no other one is: a name is looked up once. Redirects are answers. `cancelled` (or NULL) ends
 * it: ERR_CANCELLED. ERR_DENIED, ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_PROTOCOL, ERR_TOOBIG, without
 * any secret of the request. */
int http_tool_exchange(const struct http_tool_request *r, struct outbound *outbound,
		       usec_t deadline, const atomic_bool *cancelled, struct http_tool_answer *ret,
		       struct err *err) must_check;

/* ---- http_answer.c ---- */
/* What the model gets: JSON as a value, of it what `path` names; anything else as text, cut at
 * `limit` bytes with a mark. Given. ERR_INVALID: there is nothing at `path`. */
int http_answer_value(const struct http_tool_answer *a, const char *path, size_t limit,
		      json_t **ret, struct err *err) must_check;

/* ---- http_sandbox.c ---- */
struct task_ctx;
struct http_tool_place {
	const char *conversation, *project; /* or NULL */
};
/* The same in a container of its own, and the row's facts about that run. *ret_raised: what went
 * wrong is an exception of the task. ERR_UNSUPPORTED: SANDBOX_NETWORK is not egress. */
int http_tool_exchange_in_sandbox(struct task_ctx *ctx, const struct http_tool_place *place,
				  const struct http_tool_request *r, usec_t timeout,
				  bool *ret_raised, struct http_tool_answer *ret,
				  struct err *err) must_check;

/* ---- http_ask.c ---- */
/* Makes the request, through the gate and recorded, and what its answers ask for instead, or, where
 * sandbox_settings want it so, once in a sandbox. Whatever goes wrong on the way is a result, but
 * ERR_CANCELLED and what the sandbox's task raises. */
int http_tool_ask(struct task_ctx *ctx, const json_t *tool, const struct http_tool_place *place,
		  struct http_tool_request *r, json_t **ret_result, struct err *err) must_check;

#endif
