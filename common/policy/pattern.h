/*
 * pattern.h: patterns of the policy, taken apart once. Pure.
 */
#ifndef CELERIAC_POLICY_PATTERN_H
#define CELERIAC_POLICY_PATTERN_H

#include "policy.h"

#define PATTERN_BYTES 2048

/* `*` any characters, `?` one; in time linear in the text for each star. */
bool pattern_matches(const char *pattern, const char *text);

/* Scheme, host, port and path of a pattern; each but the host may be missing. */
struct url_pattern {
	bool any;     /* "*" */
	char *scheme; /* "http", "https" or NULL = both */
	char *host;   /* "*", a name, or "*." and a name, lower case; an address without brackets */
	uint16_t port; /* 0 = the scheme's own */
	bool any_port; /* the pattern names no scheme and no port */
	char *path;    /* a pattern, or NULL = every path */
};
/* ERR_INVALID says what is wrong. */
int url_pattern_parse(const char *text, struct url_pattern *ret, struct err *err) must_check;
void url_pattern_done(struct url_pattern *u);
/* Apart from the path. */
bool url_pattern_has_host(const struct url_pattern *u, const char *scheme,
			  const struct outbound_host *host, uint16_t port);

#endif
