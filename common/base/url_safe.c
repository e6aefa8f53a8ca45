/*
 * url_safe.c: URLs as they may be shown. When in doubt nothing but the scheme is.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "buf.h"
#include "mem.h"
#include "url.h"

/* Nothing sensible is longer; what is gets cut, which is safe. */
#define SAFE_BYTES ((size_t)64 << 10)

/* Does a further URL start at `p`? */
static bool scheme_at(const char *p)
{
	size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._");
	return n > 0 && strncmp(p + n, "://", 3) == 0;
}

static bool secret_key(const char *key, size_t len)
{
	static const char *const words[] = {"pass", "secret", "token", "key"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);
		for (size_t at = 0; at + n <= len; at++) {
			if (strncasecmp(key + at, words[i], n) == 0)
				return true;
		}
	}
	return false;
}

/* "?a=b&password=**" */
static void append_query(struct buf *out, const char *p)
{
	while (*p) {
		size_t len = strcspn(p, "&");
		size_t name = strcspn(p, "=");
		if (name < len && (memchr(p, '%', name) || secret_key(p, name))) {
			buf_append(out, p, name + 1);
			buf_append_str(out, "**");
		} else {
			buf_append(out, p, len);
		}
		p += len;
		if (*p == '&') {
			buf_append_char(out, '&');
			p++;
		}
	}
}

static void append_hidden(struct buf *out, const char *item)
{
	const char *end = strstr(item, "://");
	if (end && scheme_at(item))
		buf_append(out, item, (size_t)(end - item) + 3);
	buf_append_str(out, "\xe2\x80\xa6"); /* U+2026 */
}

static void append_item(struct buf *out, const char *item)
{
	_cleanup_url_ struct url u = {0};
	struct err ignored;
	if (url_parse(item, &u, &ignored) < 0) {
		append_hidden(out, item);
		return;
	}
	const char *authority = strstr(item, "://") + 3;
	const char *end = authority + strcspn(authority, "/?#");
	const char *at = memrchr(authority, '@', (size_t)(end - authority));
	const char *query = end + strcspn(end, "?");
	/* An '@' further on may end a password with a slash or question mark in it. */
	bool port = memchr(authority, ':', (size_t)(end - authority));
	if (!at && strchr(end, '@') && (port || strchr(end, '@') < query)) {
		append_hidden(out, item);
		return;
	}
	const char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
	if (colon) {
		buf_append(out, item, (size_t)(colon - item) + 1);
		buf_append_str(out, "**");
		buf_append(out, at, (size_t)(query - at));
	} else {
		buf_append(out, item, (size_t)(query - item));
	}
	append_query(out, query);
}

char *url_safe(const char *text)
{
	_cleanup_buf_ struct buf out = BUF_INIT(SAFE_BYTES);
	const char *p = text;
	while (*p) {
		/* A separator counts only before another scheme: passwords may hold one too. */
		size_t len = strcspn(p, ";,");
		while (p[len] && !scheme_at(p + len + 1))
			len += 1 + strcspn(p + len + 1, ";,");
		_cleanup_free_ char *item = xstrndup(p, len);
		append_item(&out, item);
		p += len;
		if (*p)
			buf_append_char(&out, *p++);
	}
	struct err ignored;
	char *ret;
	size_t len;
	if (buf_take(&out, &ret, &len, &ignored) < 0)
		return xstrdup("\xe2\x80\xa6");
	return ret;
}
