/*
 * http_redirect.c: what an answer asks for in place of what was asked.
 *
 * Methods change as RFC 9110 section 15.4 lets clients do and as browsers do. A server that was
 * reached may not send us anywhere with what was meant for it: another origin gets no header of the
 * tool's and no body.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_tool.h"
#include "json.h"
#include "mem.h"

int http_tool_redirects(const json_t *tool, int *ret, struct err *err)
{
	const json_t *value = json_object_get(tool, "redirects");
	json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;

	if (value == NULL || json_is_null(value))
		n = 0;
	if (n < 0 || n > HTTP_TOOL_REDIRECTS)
		return err_set(err, ERR_INVALID, "redirects: a number from 0 to %d",
			       HTTP_TOOL_REDIRECTS);
	*ret = (int)n;
	return 0;
}

static bool is_named(const char *line, const char *name)
{
	size_t len = strlen(name);

	return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

/* All but Accept, or only what describes a body. */
static void drop_headers(struct http_tool_request *r, bool all)
{
	char **to = r->headers;

	for (char **from = r->headers; from && *from; from++) {
		bool goes = all ? !is_named(*from, "Accept")
				: strncasecmp(*from, "Content-", strlen("Content-")) == 0;
		if (!goes) {
			*to++ = *from;
			continue;
		}
		wipe(*from, strlen(*from));
		free(*from);
	}
	if (to)
		*to = NULL;
}

static void drop_body(struct http_tool_request *r)
{
	if (r->body)
		wipe(r->body, r->body_len);
	free(TAKE(r->body));
	r->body_len = 0;
	drop_headers(r, false);
}

static bool is_redirect(int status)
{
	return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

int http_tool_redirect(struct http_tool_request *r, int status, const char *location,
		       struct err *err)
{
	const struct outbound_origin from = {.tls = r->tls, .host = r->host, .port = r->port};

	if (!is_redirect(status) || !location)
		return 0;
	_cleanup_free_ char *url = outbound_url_join(r->url, location);
	int rc = http_tool_set_url(r, url, err);
	if (rc < 0)
		return err_wrap(err, "redirect");
	const struct outbound_origin to = {.tls = r->tls, .host = r->host, .port = r->port};
	if (from.tls && !to.tls)
		return err_set(err, ERR_DENIED, "redirect: from https to http");
	if ((status == 303 && strcmp(r->method, "GET") != 0) ||
	    (status <= 302 && strcmp(r->method, "POST") == 0)) {
		r->method = "GET";
		drop_body(r);
	}
	if (outbound_origin_equal(&from, &to))
		return 1;
	if (r->body)
		return err_set(err, ERR_DENIED, "redirect: a body does not go to another origin");
	drop_headers(r, true);
	return 1;
}
