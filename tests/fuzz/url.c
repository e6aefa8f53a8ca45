/* URLs of brokers, backends and databases. */
#include "common/client/pg_conn.h"
#include "fuzz.h"
#include "pg.h"
#include "redis.h"
#include "url.h"

static void each_host(void *arg, const char *host, int port)
{
	(void)arg, (void)port;
	FUZZ_CHECK(host != NULL);
}

int fuzz_url(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xmemdup(data, size), *safe = url_safe(text), *pg = NULL;
	_cleanup_url_ struct url u = {0};
	struct redis_address a = {0};
	struct err err;
	int rc = url_parse(text, &u, &err);

	FUZZ_CHECK(safe != NULL);
	if (rc < 0)
		fuzz_failed(rc, &err);
	else {
		_cleanup_free_ char *value = url_query_get(&u, "ssl_cert_reqs");

		fuzz_made_text(value);
		FUZZ_CHECK(u.scheme[0] && u.port >= 0 && u.port <= 65535);
		/* Longer than any word of ours, and only there. */
		if (strlen(u.password) >= 16 && strchr(u.password, '*') == NULL) {
			_cleanup_free_ char *rest = xstrdup(text);
			char *at = strstr(rest, u.password);

			if (at && strstr(at + 1, u.password) == NULL)
				FUZZ_CHECK(strstr(safe, u.password) == NULL);
		}
	}
	if (redis_address_parse(text, &a, &err) < 0)
		fuzz_failed(-err.code, &err);
	else
		redis_address_done(&a);
	rc = pg_url_parse(text, &pg, &err);
	if (rc < 0)
		fuzz_failed(rc, &err);
	else
		(void)pg_url_hosts(pg, each_host, NULL);
	fuzz_made_text(pg);
	return 0;
}
