/*
 * pg_url.c: database URLs as Flask applications write them, turned into what libpq takes.
 */
#include "pg_conn.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "mem.h"
#include "pg.h"

/* libpq's own words would repeat the URL, and the password with it; but the name of a wrong option
 * helps. */
static int refuse(const char *libpq_text, struct err *err)
{
	static const char harmless[] = "invalid URI query parameter:";

	if (libpq_text && strncmp(libpq_text, harmless, strlen(harmless)) == 0)
		return err_set(err, ERR_INVALID, "the database URL: %.*s",
			       (int)strcspn(libpq_text, "\n"), libpq_text);
	return err_set(err, ERR_INVALID, "the database URL is not one that PostgreSQL understands");
}

int pg_url_parse(const char *url, char **ret, struct err *err)
{
	_cleanup_free_ char *form = NULL;
	const char *rest = strstr(url, "://");
	size_t scheme = rest ? (size_t)(rest - url) : 0, base;
	PQconninfoOption *options;
	char *text = NULL;
	int rc = 0;

	if (strlen(url) > BOUND_URL_BYTES)
		return err_set(err, ERR_TOOBIG, "the database URL has more than %u bytes",
			       BOUND_URL_BYTES);
	/* postgresql+psycopg2:// names a Python driver, which is not ours. */
	base = strcspn(url, "+:");
	if (base > scheme)
		base = scheme;
	if (!(base == 10 && strncasecmp(url, "postgresql", base) == 0) &&
	    !(base == 8 && strncasecmp(url, "postgres", base) == 0))
		return err_set(err, ERR_INVALID,
			       "the database URL does not begin with postgresql://");
	form = xasprintf("postgresql%s", rest);
	options = PQconninfoParse(form, &text);
	if (options)
		PQconninfoFree(options);
	else
		rc = refuse(text, err);
	if (text)
		PQfreemem(text);
	if (rc == 0)
		*ret = TAKE(form);
	return rc;
}

/* The `i`th of a list as libpq writes it, the last one for those beyond: "" = none. Given. */
static char *item(const char *list, size_t i)
{
	const char *at = list ? list : "";

	for (; i > 0 && strchr(at, ','); i--)
		at = strchr(at, ',') + 1;
	return xstrndup(at, strcspn(at, ","));
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
	while (options->keyword && strcmp(options->keyword, keyword) != 0)
		options++;
	return options->keyword ? options->val : NULL;
}

static void each_of(const char *hosts, const char *ports, pg_host_fn *each, void *arg)
{
	size_t count = 1;

	if (!hosts || !*hosts)
		return;
	for (const char *c = hosts; *c; c++)
		count += *c == ',';
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *host = item(hosts, i), *port = item(ports, i);

		if (*host && *host != '/') /* a directory of sockets */
			each(arg, host, *port ? atoi(port) : 5432);
	}
}

bool pg_url_hosts(const char *url, pg_host_fn *each, void *arg)
{
	_cleanup_free_ char *form = NULL;
	PQconninfoOption *options;
	struct err ignored;

	if (pg_url_parse(url, &form, &ignored) < 0)
		return false;
	options = PQconninfoParse(form, NULL);
	if (!options)
		return false;
	each_of(value_of(options, "host"), value_of(options, "port"), each, arg);
	each_of(value_of(options, "hostaddr"), value_of(options, "port"), each, arg);
	PQconninfoFree(options);
	return true;
}
