/*
 * The head of a request to the proxy.
 */
#include "egress_head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

#define HEADERS_MOST 100

struct text {
	const char *p;
	size_t len;
};

static bool is_token_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (!is_token_char(t.p[i]))
			return false;
	return t.len > 0;
}

static bool is(struct text t, const char *name)
{
	return t.len == strlen(name) && strncasecmp(t.p, name, t.len) == 0;
}

/* Up to `c`, which is taken as well; false when it is not there. */
static bool split(struct text *rest, char c, struct text *ret)
{
	const char *at = memchr(rest->p, c, rest->len);

	if (at == NULL)
		return false;
	*ret = (struct text){rest->p, (size_t)(at - rest->p)};
	rest->len -= ret->len + 1;
	rest->p = at + 1;
	return true;
}

static struct text trimmed(struct text t)
{
	while (t.len > 0 && (t.p[0] == ' ' || t.p[0] == '\t')) {
		t.p++;
		t.len--;
	}
	while (t.len > 0 && (t.p[t.len - 1] == ' ' || t.p[t.len - 1] == '\t'))
		t.len--;
	return t;
}

/* A line without its CR LF; neither may stand alone. */
static bool take_line(struct text *rest, struct text *ret)
{
	if (!split(rest, '\n', ret) || ret->len == 0 || ret->p[ret->len - 1] != '\r')
		return false;
	ret->len--;
	return memchr(ret->p, '\r', ret->len) == NULL && memchr(ret->p, '\0', ret->len) == NULL;
}

/* "host" or "host:port". */
static int take_authority(struct text t, uint16_t usual_port, struct egress_request *r,
			  struct err *err)
{
	size_t host = t.len, i;
	unsigned port = usual_port;

	for (i = t.len; i > 0 && t.p[i - 1] >= '0' && t.p[i - 1] <= '9'; i--)
		;
	if (i > 0 && t.p[i - 1] == ':') {
		if (t.len - i == 0 || t.len - i > 5)
			return err_set(err, ERR_INVALID, "the port");
		port = 0;
		for (size_t d = i; d < t.len; d++)
			port = port * 10 + (unsigned)(t.p[d] - '0');
		host = i - 1;
	}
	if (port == 0 || port > UINT16_MAX)
		return err_set(err, ERR_INVALID, "the port");
	r->port = (uint16_t)port;
	return outbound_host_parse(t.p, host, &r->host, err);
}

/* Visible ASCII of a path and query; a fragment is not sent. */
static bool is_path(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.p[i] <= ' ' || t.p[i] >= 0x7f || t.p[i] == '#' || t.p[i] == '\\')
			return false;
	return true;
}

void egress_head_begin(struct egress_request *r, const char *path, const struct outbound_host *host,
		       uint16_t port, uint16_t usual_port)
{
	bool brackets = host->is_address && host->address.v6;

	buf_appendf(&r->head, "%s %s HTTP/1.%d\r\nHost: ", r->method, path, r->old ? 0 : 1);
	buf_appendf(&r->head, brackets ? "[%s]" : "%s", host->name);
	if (port != usual_port)
		buf_appendf(&r->head, ":%u", port);
	buf_append_str(&r->head, "\r\nConnection: close\r\n");
}

static int take_target(struct text target, struct egress_request *r, struct err *err)
{
	static const char http[] = "http://";
	struct text path;
	size_t end;
	int rc;

	if (r->connect)
		return take_authority(target, 0, r, err);
	if (target.len < sizeof(http) - 1 || strncasecmp(target.p, http, sizeof(http) - 1) != 0)
		return err_set(err, ERR_INVALID,
			       "a target that is not an http:// URL (https goes by CONNECT)");
	target.p += sizeof(http) - 1;
	target.len -= sizeof(http) - 1;
	for (end = 0; end < target.len && strchr("/?#", target.p[end]) == NULL; end++)
		;
	rc = take_authority((struct text){target.p, end}, 80, r, err);
	if (rc < 0)
		return rc;
	path = (struct text){target.p + end, target.len - end};
	if (!is_path(path))
		return err_set(err, ERR_INVALID, "the path of the URL");
	r->path = xasprintf("%s%.*s", path.len > 0 && path.p[0] == '/' ? "" : "/", (int)path.len,
			    path.p);
	egress_head_begin(r, r->path, &r->host, r->port, 80);
	r->headers = r->head.len;
	return 0;
}

static int take_request_line(struct text line, struct egress_request *r, struct err *err)
{
	struct text method, target;

	if (!split(&line, ' ', &method) || !split(&line, ' ', &target) || !is_token(method) ||
	    method.len >= sizeof(r->method) || (!is(line, "HTTP/1.1") && !is(line, "HTTP/1.0")))
		return err_set(err, ERR_INVALID, "not a request of HTTP/1.1");
	memcpy(r->method, method.p, method.len);
	r->connect = strcmp(r->method, "CONNECT") == 0;
	r->old = is(line, "HTTP/1.0");
	return take_target(target, r, err);
}

static int take_length(struct egress_request *r, struct text value, bool *seen, struct err *err)
{
	uint64_t length = 0;

	if (*seen || value.len == 0 || value.len > 15)
		return err_set(err, ERR_INVALID, "Content-Length");
	*seen = true;
	for (size_t i = 0; i < value.len; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			return err_set(err, ERR_INVALID, "Content-Length");
		length = length * 10 + (uint64_t)(value.p[i] - '0');
	}
	r->body.left = length;
	return 0;
}

/* Those that are meant for the proxy, or that we set. */
static bool stays_here(struct text name)
{
	static const char *const names[] = {"Host",	  "Connection",	    "Proxy-Connection",
					    "Keep-Alive", "Upgrade",	    "Proxy-Authorization",
					    "TE",	  EGRESS_RUN_HEADER};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (is(name, names[i]))
			return true;
	return false;
}

static int take_header(struct text line, struct egress_request *r, bool *has_length,
		       struct err *err)
{
	struct text name, value;
	int rc = 0;

	if (!split(&line, ':', &name) || !is_token(name))
		return err_set(err, ERR_INVALID, "a header line");
	value = trimmed(line);
	if (is(name, "Content-Length")) {
		rc = take_length(r, value, has_length, err);
	} else if (is(name, "Transfer-Encoding")) {
		if (r->body.chunked || !is(value, "chunked"))
			return err_set(err, ERR_INVALID, "Transfer-Encoding");
		r->body.chunked = true;
	}
	if (rc == 0 && !r->connect && !stays_here(name))
		buf_appendf(&r->head, "%.*s: %.*s\r\n", (int)name.len, name.p, (int)value.len,
			    value.p);
	return rc;
}

size_t egress_head_length(const char *data, size_t len)
{
	const char *end = memmem(data, len, "\r\n\r\n", 4);

	return end ? (size_t)(end - data) + 4 : 0;
}

static int parse(struct text rest, struct egress_request *r, struct err *err)
{
	struct text line;
	bool has_length = false;
	int rc = take_line(&rest, &line) ? take_request_line(line, r, err)
					 : err_set(err, ERR_INVALID, "the first line");

	for (int i = 0; rc == 0; i++) {
		if (!take_line(&rest, &line))
			return err_set(err, ERR_INVALID, "a header line");
		if (line.len == 0)
			break;
		if (i == HEADERS_MOST)
			return err_set(err, ERR_INVALID, "more than %d headers", HEADERS_MOST);
		rc = take_header(line, r, &has_length, err);
	}
	if (rc == 0 && has_length && r->body.chunked)
		return err_set(err, ERR_INVALID, "both Content-Length and Transfer-Encoding");
	if (rc == 0 && !r->connect)
		buf_append_str(&r->head, "\r\n");
	return rc < 0 ? rc : buf_status(&r->head, err);
}

int egress_request_parse(const char *data, size_t len, struct egress_request *ret, struct err *err)
{
	struct egress_request r = {.head = BUF_INIT(2 * EGRESS_HEAD_BYTES)};
	int rc = parse((struct text){data, len}, &r, err);

	if (rc < 0) {
		egress_request_done(&r);
		return rc;
	}
	*ret = r;
	return 0;
}

void egress_request_done(struct egress_request *r)
{
	buf_done(&r->head);
	free(r->path);
	r->path = NULL;
}
