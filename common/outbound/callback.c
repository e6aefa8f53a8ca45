/*
 * Requests of sandboxes to the application.
 */
#include "callback.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "json.h"
#include "mem.h"

#define SECRET_BYTES 16 /* at least */

static int take_methods(const char *text, size_t len, struct callback *c, struct err *err)
{
	for (size_t i = 0; i < len; i++)
		if (!(text[i] >= 'A' && text[i] <= 'Z') && text[i] != ',')
			return err_set(err, ERR_INVALID, "methods are capital letters and commas");
	c->methods = len ? xasprintf(",%.*s,", (int)len, text) : xstrdup(",GET,POST,");
	return 0;
}

/* Plain segments: what every server reads in the same way. */
static bool is_plain_path(const char *path, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (path[i] == '\\' || path[i] == ';' || (unsigned char)path[i] <= ' ' ||
		    (unsigned char)path[i] >= 0x7f)
			return false;
		/* an escaped slash, backslash, dot or NUL */
		if (path[i] == '%' && len - i >= 3) {
			static const char *const twice[] = {"2f", "2F", "5c", "5C",
							    "2e", "2E", "00", "25"};

			for (size_t t = 0; t < ARRAY_LEN(twice); t++)
				if (strncmp(path + i + 1, twice[t], 2) == 0)
					return false;
		}
		if (path[i] != '/')
			continue;
		size_t segment = strcspn(path + i + 1, "/?");
		if (i + 1 < len && path[i + 1] == '/')
			return false;
		if ((segment == 1 || segment == 2) && strncmp(path + i + 1, "..", segment) == 0)
			return false;
	}
	return true;
}

int callback_parse(const char *text, const char *secret, struct callback *ret, struct err *err)
{
	const char *url = strrchr(text, ' '), *path;
	struct outbound_origin origin = {0};
	struct callback c = {0};
	struct err why;
	int rc;

	url = url ? url + 1 : text;
	rc = take_methods(text, url == text ? 0 : (size_t)(url - text) - 1, &c, &why);
	if (rc == 0)
		rc = outbound_origin_parse(url, &origin, &why);
	path = url + origin.length;
	if (rc == 0 && (strpbrk(path, "?#") || !is_plain_path(path, strlen(path))))
		rc = err_set(&why, ERR_INVALID, "the path");
	if (rc == 0 && strlen(secret) < SECRET_BYTES)
		rc = err_set(&why, ERR_INVALID, "SANDBOX_CALLBACK_SECRET needs %d bytes at least",
			     SECRET_BYTES);
	if (rc < 0) {
		callback_done(&c);
		return err_set(err, ERR_INVALID, "SANDBOX_CALLBACK_URL: %s", why.msg);
	}
	c.tls = origin.tls;
	c.host = origin.host;
	c.port = origin.port;
	c.prefix = xstrdup(path);
	for (size_t len = strlen(c.prefix); len > 0 && c.prefix[len - 1] == '/'; len--)
		c.prefix[len - 1] = '\0';
	c.secret = xstrdup(secret);
	c.secret_len = strlen(secret);
	*ret = c;
	return 0;
}

void callback_done(struct callback *c)
{
	if (c->secret)
		wipe(c->secret, c->secret_len);
	free(c->secret);
	free(c->prefix);
	free(c->methods);
	*c = (struct callback){0};
}

char *callback_url(const struct callback *c)
{
	return xasprintf("http://" CALLBACK_HOST "%s", c->prefix);
}

int callback_allows(const struct callback *c, const char *method, const char *path, struct err *err)
{
	_cleanup_free_ char *wanted = xasprintf(",%s,", method);
	size_t prefix = strlen(c->prefix), len = strcspn(path, "?");

	if (strstr(c->methods, wanted) == NULL)
		return err_set(err, ERR_DENIED, "the method is not one of the callback's");
	if (!is_plain_path(path, len))
		return err_set(err, ERR_DENIED, "a path that can be read in two ways");
	if (strncmp(path, c->prefix, prefix) != 0 ||
	    (path[prefix] != '\0' && strchr("/?", path[prefix]) == NULL))
		return err_set(err, ERR_DENIED, "the path is not below the callback's");
	return 0;
}

static void base64url(const void *data, size_t len, struct buf *out)
{
	size_t begin = out->len;

	base64_encode(data, len, out);
	while (out->len > begin && out->data[out->len - 1] == '=')
		out->data[--out->len] = '\0';
	for (size_t i = begin; i < out->len; i++) {
		if (out->data[i] == '+')
			out->data[i] = '-';
		else if (out->data[i] == '/')
			out->data[i] = '_';
	}
}

void callback_sign(const struct callback *c, const char *task, const char *conversation,
		   const char *project, usec_t now, struct buf *out)
{
	_cleanup_json_ json_t *claims = json_pack(
		"{s:s, s:s, s:s?, s:I}", "task", task, "conversation", conversation, "project",
		project, "exp", (json_int_t)((now + CALLBACK_VALID) / USEC_PER_SEC));
	_cleanup_free_ char *text = claims ? json_dumps(claims, JSON_COMPACT) : NULL;
	const char *said = text ? text : "{}"; /* no claims, then nothing is granted */
	unsigned char mac[HMAC_SHA256_SIZE];
	size_t begin = out->len;

	buf_append_str(out, "v1.");
	base64url(said, strlen(said), out);
	hmac_sha256(c->secret, c->secret_len, out->data + begin, out->len - begin, mac);
	buf_append_char(out, '.');
	base64url(mac, sizeof(mac), out);
}
