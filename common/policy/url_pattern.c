/*
 * Patterns of URLs. They are compared part by part: a star in a host never reaches over into
 * another part.
 */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "pattern.h"

static const struct {
	const char *name;
	uint16_t port;
} schemes[] = {{"http", 80}, {"https", 443}};

void url_pattern_done(struct url_pattern *u)
{
	free(u->scheme);
	free(u->host);
	free(u->path);
	*u = (struct url_pattern){0};
}

static int take_scheme(const char **text, struct url_pattern *u, struct err *err)
{
	const char *end = strstr(*text, "://");
	size_t len;

	if (end == NULL)
		return 0;
	len = (size_t)(end - *text);
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (len != strlen(schemes[i].name) || strncmp(*text, schemes[i].name, len) != 0)
			continue;
		u->scheme = xstrdup(schemes[i].name);
		u->port = schemes[i].port;
		*text = end + 3;
		return 0;
	}
	if (len == 1 && **text == '*') {
		*text = end + 3;
		return 0;
	}
	return err_set(err, ERR_INVALID, "the scheme is http, https or *");
}

/* "host" or "host:port", of `len` bytes. */
static int take_host(const char *text, size_t len, struct url_pattern *u, struct err *err)
{
	struct outbound_host host;
	size_t digits = 0, skip = strncmp(text, "*.", 2) == 0 ? 2 : 0;
	unsigned port = 0;
	int rc = 0;

	while (digits < len && text[len - digits - 1] >= '0' && text[len - digits - 1] <= '9')
		digits++;
	if (digits < len && text[len - digits - 1] == ':') {
		for (size_t i = len - digits; i < len && port <= UINT16_MAX; i++)
			port = port * 10 + (unsigned)(text[i] - '0');
		if (port == 0 || port > UINT16_MAX)
			return err_set(err, ERR_INVALID, "the port");
		u->port = (uint16_t)port;
		len -= digits + 1;
	}
	if (len == 1 && text[0] == '*') {
		u->host = xstrdup("*");
		return 0;
	}
	rc = outbound_host_parse(text + skip, len - skip, &host, err);
	if (rc == 0)
		u->host = xasprintf("%s%s", skip ? "*." : "", host.name);
	return rc;
}

int url_pattern_parse(const char *text, struct url_pattern *ret, struct err *err)
{
	struct url_pattern u = {0};
	size_t len;
	int rc = 0;

	if (strcmp(text, "*") == 0) {
		u.any = true;
		*ret = u;
		return 0;
	}
	rc = take_scheme(&text, &u, err);
	len = strcspn(text, "/?#");
	if (rc == 0 && text[len] != '\0' && text[len] != '/')
		rc = err_set(err, ERR_INVALID, "a query is not compared");
	if (rc == 0)
		rc = take_host(text, len, &u, err);
	if (rc == 0 && strpbrk(text + len, "?#"))
		rc = err_set(err, ERR_INVALID, "a query is not compared");
	if (rc < 0) {
		url_pattern_done(&u);
		return rc;
	}
	u.any_port = u.port == 0;
	if (text[len] == '/' && strcmp(text + len, "/*") != 0)
		u.path = xstrdup(text + len);
	*ret = u;
	return 0;
}

static bool has_name(const char *pattern, const struct outbound_host *host)
{
	size_t len = strlen(pattern), name = strlen(host->name);

	if (strcmp(pattern, "*") == 0)
		return true;
	if (strncmp(pattern, "*.", 2) != 0)
		return strcmp(pattern, host->name) == 0;
	return !host->is_address && name > len - 1 &&
	       strcmp(host->name + name - (len - 1), pattern + 1) == 0;
}

/* Without scheme and port a host is meant on the usual ports. */
static bool has_port(const struct url_pattern *u, uint16_t port)
{
	if (!u->any_port)
		return u->port == port;
	return port == 80 || port == 443 || strcmp(u->host, "*") == 0;
}

bool url_pattern_has_host(const struct url_pattern *u, const char *scheme,
			  const struct outbound_host *host, uint16_t port)
{
	if (u->any)
		return true;
	if (u->scheme && strcmp(u->scheme, scheme) != 0)
		return false;
	return has_name(u->host, host) && has_port(u, port);
}
