/*
 * redis_address.c: Redis URLs as kombu and Celery understand them.
 */
#include "redis.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "url.h"

#define DEFAULT_PORT 6379

/* "/3" or "3"; kombu takes an empty one for 0. */
static int parse_db(const char *text, int *ret, struct err *err)
{
	char *end;
	long n;

	while (*text == '/')
		text++;
	if (*text == '\0') {
		*ret = 0;
		return 0;
	}
	n = strtol(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || n > 1000000)
		return err_set(err, ERR_INVALID, "a Redis database is a number, not \"%.40s\"",
			       text);
	*ret = (int)n;
	return 0;
}

static int check_scheme(const char *scheme, bool *ret_socket, struct err *err)
{
	*ret_socket = strcmp(scheme, "redis+socket") == 0 || strcmp(scheme, "socket") == 0;
	if (*ret_socket || strcmp(scheme, "redis") == 0)
		return 0;
	if (strcmp(scheme, "rediss") == 0)
		return err_set(err, ERR_UNSUPPORTED,
			       "rediss:// (TLS) is not built into this program");
	if (strcmp(scheme, "sentinel") == 0)
		return err_set(err, ERR_UNSUPPORTED, "sentinel:// is not built into this program");
	return err_set(err, ERR_INVALID, "\"%.40s://\" is no Redis URL", scheme);
}

int redis_address_parse(const char *url, struct redis_address *ret, struct err *err)
{
	_cleanup_url_ struct url u = {0};
	_cleanup_free_ char *virtual_host = NULL;
	bool is_socket;
	int db = 0, rc;

	rc = url_parse(url, &u, err);
	if (rc < 0)
		return rc;
	rc = check_scheme(u.scheme, &is_socket, err);
	if (rc < 0)
		return rc;
	virtual_host = url_query_get(&u, "virtual_host");
	rc = parse_db(virtual_host ? virtual_host : is_socket ? "" : u.path, &db, err);
	if (rc < 0)
		return rc;
	if (is_socket && u.path[0] == '\0')
		return err_set(err, ERR_INVALID, "%s:// needs the path of a socket", u.scheme);
	*ret = (struct redis_address){
		.host = is_socket ? NULL : xstrdup(u.host[0] ? u.host : "localhost"),
		.path = is_socket ? xstrdup(u.path) : NULL,
		.port = is_socket ? 0
			: u.port  ? u.port
				  : DEFAULT_PORT,
		.user = xstrdup(u.user),
		.password = xstrdup(u.password),
		.db = db,
		.safe = url_safe(url),
		.key_prefix = xstrdup(""),
	};
	return 0;
}

void redis_address_done(struct redis_address *a)
{
	if (a->password)
		wipe(a->password, strlen(a->password));
	free(a->host);
	free(a->path);
	free(a->user);
	free(a->password);
	free(a->safe);
	free(a->key_prefix);
	*a = (struct redis_address){0};
}

bool redis_address_equal(const struct redis_address *a, const struct redis_address *b)
{
	if (a->db != b->db || strcmp(a->user, b->user) != 0)
		return false;
	if (a->path || b->path)
		return a->path && b->path && strcmp(a->path, b->path) == 0;
	return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}
