/*
 * The origin of an http or https URL, read once for check and connection.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "mem.h"
#include "outbound.h"

static int read_port(const char *text, size_t len, uint16_t *ret, struct err *err)
{
	unsigned port = 0;

	for (size_t i = 0; i < len && len <= 5; i++) {
		if (text[i] < '0' || text[i] > '9')
			return err_set(err, ERR_INVALID, "its port is not one");
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return err_set(err, ERR_INVALID, "its port is not one");
	*ret = (uint16_t)port;
	return 0;
}

static int read_authority(const char *text, size_t len, struct outbound_origin *o, struct err *err)
{
	const char *bracket = memrchr(text, ']', len);
	const char *from = bracket ? bracket : text;
	const char *colon = memchr(from, ':', len - (size_t)(from - text));
	size_t host = colon ? (size_t)(colon - text) : len;
	int rc;

	if (memchr(text, '@', len))
		return err_set(err, ERR_INVALID, "no user or password may stand in it");
	rc = colon ? read_port(colon + 1, len - host - 1, &o->port, err) : 0;
	return rc < 0 ? rc : outbound_host_parse(text, host, &o->host, err);
}

static bool is_clean(const char *url)
{
	for (; *url; url++)
		if ((unsigned char)*url <= ' ' || *url == 0x7f || *url == '\\' ||
		    (unsigned char)*url >= 0x80)
			return false;
	return true;
}

int outbound_origin_parse(const char *url, struct outbound_origin *ret, struct err *err)
{
	struct outbound_origin o = {.tls = strncasecmp(url, "https://", 8) == 0};
	size_t scheme = o.tls ? 8 : 7, authority;

	if (!o.tls && strncasecmp(url, "http://", 7) != 0)
		return err_set(err, ERR_INVALID, "only http:// and https://");
	if (strnlen(url, BOUND_URL_BYTES + 1) > BOUND_URL_BYTES)
		return err_set(err, ERR_TOOBIG, "more than %d bytes", BOUND_URL_BYTES);
	if (!is_clean(url))
		return err_set(err, ERR_INVALID, "a character that may not stand in it");
	o.port = o.tls ? 443 : 80;
	authority = strcspn(url + scheme, "/?#");
	o.length = scheme + authority;
	int rc = read_authority(url + scheme, authority, &o, err);
	if (rc == 0)
		*ret = o;
	return rc;
}

bool outbound_origin_equal(const struct outbound_origin *a, const struct outbound_origin *b)
{
	return a->tls == b->tls && a->port == b->port && a->host.is_address == b->host.is_address &&
	       strcmp(a->host.name, b->host.name) == 0;
}

/* RFC 3986 section 3.1. */
static bool has_scheme(const char *reference)
{
	size_t len = strcspn(reference, ":/?#");

	if (reference[len] != ':' || !isalpha((unsigned char)*reference))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)reference[i]) && !strchr("+-.", reference[i]))
			return false;
	return true;
}

char *outbound_url_join(const char *base, const char *reference)
{
	size_t scheme = (size_t)(strstr(base, "://") - base);
	size_t authority = scheme + 3 + strcspn(base + scheme + 3, "/?#");
	size_t path = authority + strcspn(base + authority, "?#");
	size_t keep;

	if (has_scheme(reference))
		return xstrdup(reference);
	if (strncmp(reference, "//", 2) == 0)
		keep = scheme + 1;
	else if (*reference == '/')
		keep = authority;
	else if (*reference == '?')
		keep = path;
	else if (*reference == '#' || *reference == '\0')
		keep = path + strcspn(base + path, "#");
	else
		for (keep = path; keep > authority && base[keep - 1] != '/';)
			keep--;
	return xasprintf("%.*s%s%s", (int)keep, base,
			 keep == authority && *reference && !strchr("/?#", *reference) ? "/" : "",
			 reference);
}
