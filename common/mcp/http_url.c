/*
 * http_url.c: where an MCP server is, read once for the check and the connection.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "http.h"
#include "mem.h"
#include "outbound.h"

/* After "http://": the length of host and port, or 0 with the error set. */
static size_t authority_length(const char *p, struct err *err)
{
	size_t n = strcspn(p, "/?#");

	if (n == 0)
		err_set(err, ERR_INVALID, "URL: no host");
	else if (memchr(p, '@', n))
		err_set(err, ERR_INVALID, "URL: no user or password may stand in it");
	else
		return n;
	return 0;
}

static int read_port(const char *p, size_t len, uint16_t *ret, struct err *err)
{
	unsigned port = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9' || len > 5)
			return err_set(err, ERR_INVALID, "URL: its port is not one");
		port = port * 10 + (unsigned)(p[i] - '0');
	}
	if (port == 0 || port > 65535)
		return err_set(err, ERR_INVALID, "URL: its port is not one");
	*ret = (uint16_t)port;
	return 0;
}

int mcp_url_origin(const char *url, char host[288], uint16_t *ret_port, bool *ret_tls,
		   struct err *err)
{
	bool tls = strncasecmp(url, "https://", 8) == 0;
	uint16_t port = tls ? 443 : 80;

	if (!tls && strncasecmp(url, "http://", 7) != 0)
		return err_set(err, ERR_INVALID, "URL: only http:// and https://");
	if (strlen(url) > BOUND_URL_BYTES)
		return err_set(err, ERR_TOOBIG, "URL: more than %d bytes", BOUND_URL_BYTES);
	for (const char *s = url; *s; s++)
		if (*s <= ' ' || *s == 0x7f || *s == '\\' || (unsigned char)*s >= 0x80)
			return err_set(err, ERR_INVALID,
				       "URL: a character that may not stand in it");
	const char *p = url + (tls ? 8 : 7);
	size_t n = authority_length(p, err);
	if (n == 0)
		return -err->code;
	const char *bracket = memchr(p, ']', n);
	const char *from = bracket ? bracket : p;
	const char *colon = memchr(from, ':', n - (size_t)(from - p));
	size_t host_len = colon ? (size_t)(colon - p) : n;
	if (host_len >= 288)
		return err_set(err, ERR_INVALID, "URL: its host is too long");
	int r = colon ? read_port(colon + 1, n - host_len - 1, &port, err) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < host_len; i++)
		host[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]);
	host[host_len] = '\0';
	*ret_port = port;
	*ret_tls = tls;
	return 0;
}

/* RFC 3986 §5.3 for what servers send: an absolute URL, "//host…", "/path", "?query" or a name
 * beside the last one of the base. Dots are left to the server. */
static char *resolve(const char *base, const char *reference)
{
	size_t scheme = (size_t)(strstr(base, "://") - base);
	size_t authority = scheme + 3 + strcspn(base + scheme + 3, "/?#");
	size_t path = authority + strcspn(base + authority, "?#");
	size_t keep;

	if (strncasecmp(reference, "http://", 7) == 0 || strncasecmp(reference, "https://", 8) == 0)
		return xstrdup(reference);
	if (strncmp(reference, "//", 2) == 0)
		keep = scheme + 1;
	else if (*reference == '/')
		keep = authority;
	else if (*reference == '?')
		keep = path;
	else
		for (keep = path; keep > authority && base[keep - 1] != '/';)
			keep--;
	return xasprintf("%.*s%s%s", (int)keep, base,
			 keep == authority && *reference != '/' && *reference != '?' ? "/" : "",
			 reference);
}

int mcp_url_endpoint(const char *base, const char *reference, size_t len, char **ret,
		     struct err *err)
{
	char host[288], own[288];
	uint16_t port, own_port;
	bool tls, own_tls;

	if (len == 0 || len > BOUND_URL_BYTES || memchr(reference, '\0', len))
		return err_set(err, ERR_PROTOCOL, "the endpoint event holds no URL");
	_cleanup_free_ char *text = xstrndup(reference, len);
	_cleanup_free_ char *url = resolve(base, text);
	int r = mcp_url_origin(base, own, &own_port, &own_tls, err);
	if (r == 0)
		r = mcp_url_origin(url, host, &port, &tls, err);
	if (r < 0)
		return err_wrap(err, "endpoint event");
	if (strcmp(host, own) != 0 || port != own_port || tls != own_tls)
		return err_set(err, ERR_DENIED,
			       "endpoint event: it names another origin than the stream's");
	*ret = TAKE(url);
	return 0;
}
