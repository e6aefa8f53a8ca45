/*
 * url.h: the URLs of brokers, backends, databases and engines; and the only place that hides
 * passwords.
 */
#ifndef CELERIAC_URL_H
#define CELERIAC_URL_H

#include "base.h"
#include "err.h"
#include "mem.h"

/* All strings owned by the struct, percent-decoded, "" when absent. */
struct url {
	char *scheme; /* lower case, "redis+socket" kept as it is */
	char *user;
	char *password;
	char *host;  /* without brackets */
	int port;    /* 0 when absent */
	char *path;  /* with its leading slash, decoded; for redis+socket the socket's path */
	char *query; /* without '?', not decoded */
};

/* Strict: scheme://[user[:password]@]host[:port][/path][?query] or scheme:///path. ERR_INVALID,
 * ERR_TOOBIG (BOUND_URL_BYTES); the message never holds the password. [any] */
int url_parse(const char *text, struct url *ret, struct err *err) must_check;
void url_done(struct url *u);
#define _cleanup_url_ _cleanup_(url_done)

/* The value of `key` in the query, decoded; NULL when absent. Given. [any] */
char *url_query_get(const struct url *u, const char *key);

/* The URL with its password (and passwords of `;`-separated further URLs) as "**", in Celery's way.
 * Never fails: what cannot be parsed becomes "scheme://…". Given. [any] */
char *url_safe(const char *text);

#endif
