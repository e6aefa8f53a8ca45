/*
 * http_url.c: where the stream of an HTTP+SSE server sends messages.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "http.h"
#include "mem.h"
#include "outbound.h"

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
	url = outbound_url_join(base, text);
	r = outbound_origin_parse(url, &origin, err);
	if (r < 0)
		return err_wrap(err, "endpoint event: URL");
	if (!outbound_origin_equal(&origin, &own))
		return err_set(err, ERR_DENIED,
			       "endpoint event: it names another origin than the stream's");
	*ret = TAKE(url);
	return 0;
}
