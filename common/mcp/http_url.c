/*
 * http_url.c: where the stream of an HTTP+SSE server sends messages.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "http.h"
#include "mem.h"
#include "outbound.h"

/* RFC 3986 §5.3 for what servers send: an absolute URL, "//host…", "/path", "?query" or a name
 * beside the last one of the base. Dots are left to the server. */
static char *resolve(const char *base, size_t authority, const char *reference)
{
	size_t path = authority + strcspn(base + authority, "?#");
	size_t keep;

	if (strncasecmp(reference, "http://", 7) == 0 || strncasecmp(reference, "https://", 8) == 0)
		return xstrdup(reference);
	if (strncmp(reference, "//", 2) == 0)
		keep = (size_t)(strchr(base, ':') - base) + 1;
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
	struct outbound_origin own, origin;
	_cleanup_free_ char *text = NULL, *url = NULL;
	int r;

	if (len == 0 || len > BOUND_URL_BYTES || memchr(reference, '\0', len))
		return err_set(err, ERR_PROTOCOL, "the endpoint event holds no URL");
	r = outbound_origin_parse(base, &own, err);
	if (r < 0)
		return err_wrap(err, "URL");
	text = xstrndup(reference, len);
	url = resolve(base, own.length, text);
	r = outbound_origin_parse(url, &origin, err);
	if (r < 0)
		return err_wrap(err, "endpoint event: URL");
	if (!outbound_origin_equal(&origin, &own))
		return err_set(err, ERR_DENIED,
			       "endpoint event: it names another origin than the stream's");
	*ret = TAKE(url);
	return 0;
}
