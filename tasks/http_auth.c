/*
 * http_auth.c: the four kinds of authentication, and their secrets.
 */
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "http_tool.h"
#include "json.h"
#include "mem.h"

static const char *const secrets[] = {"token", "value", "password"};

static int open_member(json_t *auth, const char *name, const char *place,
		       const struct seal_keys *keys, struct err *err)
{
	const char *text = json_member_str(auth, name);
	_cleanup_buf_ struct buf open = BUF_INIT(BOUND_URL_BYTES);

	if (!text || !seal_is_sealed(text))
		return 0;
	int rc = seal_open(keys, place, text, &open, err);
	if (rc == 0)
		json_object_set_new(auth, name, json_text(open.data, open.len, true));
	wipe(open.data, open.len);
	return rc;
}

int http_tool_open(const json_t *tool, int64_t id, const struct seal_keys *keys, json_t **ret,
		   struct err *err)
{
	_cleanup_json_ json_t *copy = json_copy((json_t *)(uintptr_t)tool);
	const json_t *auth = json_member(tool, "auth");
	char place[64];

	if (json_is_object(auth)) {
		json_t *open = json_deep_copy(auth);
		json_object_set_new(copy, "auth", open);
		snprintf(place, sizeof(place), "http_tools.auth.%lld", (long long)id);
		for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
			int rc = open_member(open, secrets[i], place, keys, err);
			if (rc < 0)
				return rc;
		}
	}
	*ret = TAKE(copy);
	return 0;
}

static int need(const json_t *auth, const char *name, const char **ret, struct err *err)
{
	*ret = json_member_str(auth, name);
	return *ret ? 0 : err_set(err, ERR_INVALID, "auth: %s is missing", name);
}

static int bearer(const json_t *auth, struct buf *out, struct err *err)
{
	const char *token;
	int rc = need(auth, "token", &token, err);

	if (rc == 0)
		buf_appendf(out, "Authorization: Bearer %s", token);
	return rc;
}

static int api_key(const json_t *auth, struct buf *out, struct err *err)
{
	const char *header, *value;
	int rc = need(auth, "header", &header, err);

	if (rc == 0)
		rc = need(auth, "value", &value, err);
	if (rc == 0)
		buf_appendf(out, "%s: %s", header, value);
	return rc;
}

static int basic(const json_t *auth, struct buf *out, struct err *err)
{
	const char *user, *password;
	_cleanup_buf_ struct buf both = BUF_INIT(BOUND_URL_BYTES);
	int rc = need(auth, "user", &user, err);

	if (rc == 0)
		rc = need(auth, "password", &password, err);
	if (rc < 0)
		return rc;
	if (strchr(user, ':'))
		return err_set(err, ERR_INVALID, "auth: a colon in the user's name");
	buf_appendf(&both, "%s:%s", user, password);
	buf_append_str(out, "Authorization: Basic ");
	base64_encode(both.data, both.len, out);
	wipe(both.data, both.len);
	return buf_status(&both, err);
}

static int none(const json_t *auth unused_arg, struct buf *out unused_arg,
		struct err *err unused_arg)
{
	return 0;
}

int http_auth_header(const json_t *auth, struct buf *out, struct err *err)
{
	static const struct {
		const char *type;
		int (*write)(const json_t *auth, struct buf *out, struct err *err);
	} kinds[] = {{"none", none}, {"bearer", bearer}, {"api_key", api_key}, {"basic", basic}};
	const char *type = json_member_str(auth, "type");

	if (!auth || json_is_null(auth))
		return 0;
	for (size_t i = 0; type && i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].type, type) == 0) {
			int rc = kinds[i].write(auth, out, err);
			return rc < 0 ? rc : buf_status(out, err);
		}
	return err_set(err, ERR_INVALID, "auth: of no known type");
}
