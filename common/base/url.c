/*
 * url.c: URLs taken apart, strictly.
 */
#include "url.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "mem.h"
#include "text.h"

/* The byte that "%xx" at text[i] stands for; -1 when it is broken or NUL. */
static int escape_value(const char *text, size_t len, size_t i)
{
	if (i + 2 >= len)
		return -1;
	int hi = text_hex(text[i + 1]);
	int lo = text_hex(text[i + 2]);
	return hi < 0 || lo < 0 || (hi | lo) == 0 ? -1 : hi << 4 | lo;
}

static char *decode(const char *text, size_t len)
{
	char *out = xmalloc(len + 1);
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int c = text[i] == '%' ? escape_value(text, len, i) : -1;
		if (c >= 0)
			i += 2;
		out[n++] = c >= 0 ? (char)c : text[i];
	}
	out[n] = '\0';
	return out;
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of "scheme" before "://", 0 if there is none. */
static size_t scheme_length(const char *text)
{
	if (!is_alpha(text[0]))
		return 0;
	size_t n = 1;
	while (is_alpha(text[n]) || is_digit(text[n]) ||
	       (text[n] != '\0' && strchr("+-._", text[n])))
		n++;
	return strncmp(text + n, "://", 3) == 0 ? n : 0;
}

static const char *find_last(const char *p, const char *end, char c)
{
	return p == end ? NULL : memrchr(p, c, (size_t)(end - p));
}

static int parse_port(const char *p, const char *end, int *ret)
{
	int port = 0;
	if (end - p > 5)
		return -1;
	for (; p < end; p++) {
		if (!is_digit(*p))
			return -1;
		port = port * 10 + (*p - '0');
	}
	*ret = port;
	return port <= 65535 ? 0 : -1;
}

/* What is wrong, or NULL. */
static const char *parse_host(const char *p, const char *end, bool has_user, struct url *u)
{
	const char *host_end;
	if (p < end && *p == '[') {
		const char *close = memchr(p, ']', (size_t)(end - p));
		if (!close)
			return "the host's bracket is not closed";
		u->host = xstrndup(p + 1, (size_t)(close - p - 1));
		host_end = close + 1;
		if (host_end < end && *host_end != ':')
			return "wrong text after the host";
	} else {
		const char *colon = memchr(p, ':', (size_t)(end - p));
		host_end = colon ? colon : end;
		u->host = decode(p, (size_t)(host_end - p));
	}
	if (host_end < end && parse_port(host_end + 1, end, &u->port) < 0)
		return "the port is not a number up to 65535";
	/* ":123/x@host" is rather a password with a slash in it than a port without a host. */
	if (host_end < end && u->host[0] == '\0' && !has_user)
		return "a port without a host";
	return NULL;
}

static const char *parse_authority(const char *p, const char *end, struct url *u)
{
	const char *at = find_last(p, end, '@');
	const char *user_end = at ? at : p;
	const char *colon = memchr(p, ':', (size_t)(user_end - p));
	if (colon) {
		u->user = decode(p, (size_t)(colon - p));
		u->password = decode(colon + 1, (size_t)(user_end - colon - 1));
	} else {
		u->user = decode(p, (size_t)(user_end - p));
		u->password = xstrdup("");
	}
	return parse_host(at ? at + 1 : p, end, at != NULL, u);
}

static const char *parse(const char *text, size_t len, struct url *u)
{
	size_t scheme = scheme_length(text);
	if (scheme == 0)
		return "it has no scheme://";
	u->scheme = xstrndup(text, scheme);
	for (char *p = u->scheme; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p + ('a' - 'A')) : *p;

	const char *end = text + len;
	for (const char *p = text; p < end; p++) {
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return "it holds a space or control character";
	}
	const char *start = text + scheme + 3;
	const char *path = start + strcspn(start, "/?#");
	const char *wrong = parse_authority(start, path, u);
	if (wrong)
		return wrong;

	const char *fragment = path + strcspn(path, "#");
	const char *query = path + strcspn(path, "?#");
	for (size_t i = 0; i < (size_t)(query - start); i++) {
		if (start[i] == '%' && escape_value(start, (size_t)(query - start), i) < 0)
			return "a % escape is broken";
	}
	u->path = decode(path, (size_t)(query - path));
	u->query = query < fragment ? xstrndup(query + 1, (size_t)(fragment - query - 1))
				    : xstrdup("");
	return NULL;
}

int url_parse(const char *text, struct url *ret, struct err *err)
{
	size_t len = strnlen(text, BOUND_URL_BYTES + 1);
	if (len > BOUND_URL_BYTES)
		return err_set(err, ERR_TOOBIG, "URL of more than %u bytes", BOUND_URL_BYTES);
	struct url u = {0};
	const char *wrong = parse(text, len, &u);
	if (wrong) {
		err_set(err, ERR_INVALID, "URL %.40s%s: %s", u.scheme ? u.scheme : "...",
			u.scheme ? "://..." : "", wrong);
		url_done(&u);
		return -ERR_INVALID;
	}
	*ret = u;
	return 0;
}

void url_done(struct url *u)
{
	if (!u)
		return;
	free(u->scheme);
	free(u->user);
	if (u->password)
		wipe(u->password, strlen(u->password));
	free(u->password);
	free(u->host);
	free(u->path);
	free(u->query);
	*u = (struct url){0};
}

char *url_query_get(const struct url *u, const char *key)
{
	const char *p = u->query ? u->query : "";
	while (*p) {
		size_t len = strcspn(p, "&");
		_cleanup_free_ char *pair = xstrndup(p, len);
		for (char *c = pair; *c; c++)
			*c = *c == '+' ? ' ' : *c;
		size_t name_len = strcspn(pair, "=");
		_cleanup_free_ char *name = decode(pair, name_len);
		if (strcmp(name, key) == 0) {
			const char *value = pair + name_len + (pair[name_len] == '=');
			return decode(value, strlen(value));
		}
		p += len + (p[len] == '&');
	}
	return NULL;
}
