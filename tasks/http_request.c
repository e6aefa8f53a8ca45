/*
 * http_request.c: one request of a tool, from its row and parameters.
 *
 * The URL is taken apart before anything is put into it: scheme, host and port are the template's
 * own and hold no placeholder, so that no value can make the request go elsewhere.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "http_multi.h"
#include "http_tool.h"
#include "json.h"
#include "mem.h"

#define BODY_MAX    (16u << 20)
#define HEADERS_MAX 64

static const char *text_of(const json_t *tool, const char *name)
{
	const char *text = json_member_str(tool, name);

	return text ? text : "";
}

/* ---- the URL ---- */
/* Where the template leads: no parameter has a say in it. */
static int read_origin(const char *url, struct outbound_origin *ret, struct err *err)
{
	const char *colon = strstr(url, "://");
	const char *authority = colon ? colon + 3 : "";

	if (memchr(authority, '{', strcspn(authority, "/?#")))
		return err_set(err, ERR_INVALID, "url: no parameter may stand in host or port");
	int rc = outbound_origin_parse(url, ret, err);
	return rc < 0 ? err_wrap(err, "url") : 0;
}

/* What no placeholder has used goes behind the query. */
static void add_rest(const json_t *params, const json_t *used, bool *has_query, struct buf *out)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_URL_BYTES);
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)params, name, value)
	{
		if (json_object_get(used, name) || json_is_null(value))
			continue;
		buf_reset(&text);
		http_value_text(value, &text);
		buf_append_char(out, *has_query ? '&' : '?');
		*has_query = true;
		http_percent_encode(name, strlen(name), out);
		buf_append_char(out, '=');
		http_percent_encode(text.data, text.len, out);
		if (text.failed)
			buf_fail(out, text.failed);
	}
}

/* Whether a segment is "." or "..", in whatever spelling: a path is compared with the policy as it
 * stands, and what servers make of dots is their own. */
static bool climbs(const char *path)
{
	while (*path) {
		size_t len = strcspn(path, "/"), dots = 0, i = 0;

		while (i < len) {
			if (path[i] == '.')
				i++;
			else if (strncasecmp(path + i, "%2e", 3) == 0)
				i += 3;
			else
				break;
			dots++;
		}
		if (i == len && (dots == 1 || dots == 2))
			return true;
		path += len + (path[len] == '/');
	}
	return false;
}

int http_tool_set_url(struct http_tool_request *r, const char *url, struct err *err)
{
	struct outbound_origin origin;
	int rc = outbound_origin_parse(url, &origin, err);

	if (rc < 0)
		return rc;
	const char *at = url + origin.length;
	size_t path = strcspn(at, "?#"), query = strcspn(at + path, "#");
	_cleanup_free_ char *text = path > 0 ? xstrndup(at, path) : xstrdup("/");
	if (climbs(text))
		return err_set(err, ERR_INVALID, "a segment of its path is . or ..");
	free(r->url);
	free(r->path);
	r->url = xasprintf("%.*s%s%.*s", (int)origin.length, url, text, (int)query, at + path);
	r->path = TAKE(text);
	r->tls = origin.tls;
	r->host = origin.host;
	r->port = origin.port;
	return 0;
}

static int make_url(const json_t *tool, const json_t *params, const json_t *known, json_t *used,
		    bool rest_in_query, struct http_tool_request *r, struct err *err)
{
	const char *url = text_of(tool, "url");
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_URL_BYTES), path = BUF_INIT(BOUND_URL_BYTES);
	struct outbound_origin origin;
	int rc = read_origin(url, &origin, err);

	if (rc < 0)
		return rc;
	r->tls = origin.tls;
	r->host = origin.host;
	r->port = origin.port;
	const char *at = url + origin.length;
	size_t path_len = strcspn(at, "?#"), query_len = 0;
	buf_append(&out, url, origin.length);
	if (path_len == 0)
		buf_append_char(&path, '/');
	rc = http_template(TEMPLATE_PATH, at, path_len, params, known, used, &path, err);
	if (rc < 0)
		return rc;
	if (climbs(path.data))
		return err_set(err, ERR_INVALID, "url: a segment of its path is . or ..");
	buf_append(&out, path.data, path.len);
	bool has_query = at[path_len] == '?';
	if (has_query) {
		query_len = strcspn(at + path_len, "#");
		rc = http_template(TEMPLATE_QUERY, at + path_len, query_len, params, known, used,
				   &out, err);
	}
	if (rc == 0 && rest_in_query)
		add_rest(params, used, &has_query, &out);
	if (rc == 0 && buf_status(&out, err) < 0)
		rc = err_wrap(err, "url");
	if (rc == 0)
		rc = buf_take(&path, &r->path, NULL, err);
	return rc < 0 ? rc : buf_take(&out, &r->url, NULL, err);
}

/* ---- the body ---- */
static void form_of(const json_t *params, const json_t *used, struct buf *out)
{
	_cleanup_buf_ struct buf query = BUF_INIT(BODY_MAX);
	bool has = false;

	add_rest(params, used, &has, &query);
	if (query.len > 1)
		buf_append(out, query.data + 1, query.len - 1);
	if (query.failed)
		buf_fail(out, query.failed);
}

static void json_of(const json_t *params, const json_t *used, struct buf *out)
{
	_cleanup_json_ json_t *rest = json_object();
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)params, name,
			    value) if (!json_object_get(used, name))
		json_object_set(rest, name, value);
	json_dump_strict(rest, out);
}

static int fill_body(const json_t *tool, const json_t *params, const json_t *known,
		     const json_t *used, const char *type, struct buf *out, struct err *err)
{
	const char *body = text_of(tool, "body");
	bool json = strcmp(type, "application/json") == 0;
	bool form = strcmp(type, "application/x-www-form-urlencoded") == 0;
	_cleanup_json_ json_t *parsed = NULL;
	struct err why;

	if (!*body && form)
		form_of(params, used, out);
	else if (!*body)
		json_of(params, used, out);
	else {
		int rc = http_template(json   ? TEMPLATE_JSON
				       : form ? TEMPLATE_FORM
					      : TEMPLATE_TEXT,
				       body, strlen(body), params, known, NULL, out, err);
		if (rc < 0)
			return rc;
	}
	if (*body && json && json_load_strict(out->data, out->len, &parsed, &why) < 0)
		return err_set(err, why.code == ERR_NOMEM ? ERR_NOMEM : ERR_INVALID,
			       why.code == ERR_NOMEM ? "body: no memory to look whether it is JSON"
						     : "body: with these parameters it is no JSON");
	return buf_status(out, err);
}

/* ---- the headers ---- */
struct lines {
	char **list;
	size_t count;
};

/* Takes `line`. */
static int add_line(struct lines *l, char *line, struct err *err)
{
	int rc = l->count == HEADERS_MAX ? err_set(err, ERR_TOOBIG, "more than %d", HEADERS_MAX)
					 : http_header_check(line, NULL, err);

	if (rc < 0) {
		rc = err_wrap(err, "headers");
		wipe(line, strlen(line));
		free(line);
		return rc;
	}
	l->list[l->count++] = line;
	return 0;
}

static bool has_header(const struct lines *l, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < l->count; i++)
		if (strncasecmp(l->list[i], name, len) == 0 && l->list[i][len] == ':')
			return true;
	return false;
}

static int add_own(struct lines *l, const char *text, struct err *err)
{
	int rc = 0;

	while (rc == 0 && *text) {
		size_t len = strcspn(text, "\n"), end = len;
		while (end > 0 && strchr(" \t\r", text[end - 1]))
			end--;
		if (end > 0)
			rc = add_line(l, xstrndup(text, end), err);
		text += len + (text[len] == '\n');
	}
	return rc;
}

static int add_auth(struct lines *l, const json_t *auth, struct err *err)
{
	_cleanup_buf_ struct buf line = BUF_INIT(2 * BOUND_URL_BYTES);
	int rc = http_auth_header(auth, &line, err);

	if (rc == 0 && line.len > 0)
		rc = add_line(l, xstrdup(line.data), err);
	wipe(line.data, line.len);
	return rc;
}

static int make_headers(const json_t *tool, const char *type, struct http_tool_request *r,
			struct err *err)
{
	struct lines l = {xcalloc(HEADERS_MAX + 1, sizeof(char *)), 0};
	int rc = add_own(&l, text_of(tool, "headers"), err);

	r->headers = l.list;
	if (rc == 0)
		rc = add_auth(&l, json_member(tool, "auth"), err);
	if (rc == 0 && r->body && !has_header(&l, "Content-Type"))
		rc = add_line(&l, xasprintf("Content-Type: %s", type), err);
	if (rc == 0 && !has_header(&l, "Accept"))
		rc = add_line(&l, xstrdup("Accept: application/json, text/*;q=0.9, */*;q=0.5"),
			      err);
	return rc;
}

static const char *find_method(const char *name)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (strcmp(methods[i], name) == 0)
			return methods[i];
	return NULL;
}

static int make(const json_t *tool, const json_t *params, struct http_tool_request *r,
		struct err *err)
{
	const json_t *known = json_object_get(json_object_get(tool, "input_schema"), "properties");
	const char *method = text_of(tool, "method"), *type = text_of(tool, "content_type");
	_cleanup_json_ json_t *used = json_object();
	_cleanup_buf_ struct buf body = BUF_INIT(BODY_MAX);

	r->method = find_method(*method ? method : "GET");
	if (!r->method)
		return err_set(err, ERR_INVALID,
			       "method: %.20s is none of GET, POST, PUT, PATCH, DELETE", method);
	bool has_body = r->method[0] == 'P';
	type = *type ? type : "application/json";
	int rc = make_url(tool, params, known, used, !has_body, r, err);
	if (rc == 0 && has_body) {
		rc = fill_body(tool, params, known, used, type, &body, err);
		if (rc == 0)
			rc = buf_take(&body, &r->body, &r->body_len, err);
	}
	return rc < 0 ? rc : make_headers(tool, type, r, err);
}

int http_tool_request(const json_t *tool, const json_t *params, struct http_tool_request *ret,
		      struct err *err)
{
	struct http_tool_request r = {0};
	int rc = make(tool, params, &r, err);

	if (rc < 0) {
		http_tool_request_done(&r);
		return rc;
	}
	*ret = r;
	return 0;
}

void http_tool_request_done(struct http_tool_request *r)
{
	for (char **line = r->headers; line && *line; line++) {
		wipe(*line, strlen(*line));
		free(*line);
	}
	free(r->headers);
	free(r->url);
	free(r->path);
	free(r->body);
	*r = (struct http_tool_request){0};
}
