/*
 * http_answer.c: what an answer is to the model.
 *
 * A response path is a JSON Pointer ("/data/0/name", RFC 6901) or, without its leading slash, names
 * with dots and positions in brackets ("data[0].name", also "$.data[0].name"). The answer itself is
 * untrusted text, whatever it says it is.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "codec.h"
#include "http_tool.h"
#include "json.h"
#include "mem.h"

#define CUT_MARK "\n[... cut, %zu of %zu bytes are shown ...]"

static const json_t *member(const json_t *value, const char *name)
{
	char *end;

	if (json_is_object(value))
		return json_object_get(value, name);
	if (!json_is_array(value) || !isdigit((unsigned char)*name))
		return NULL;
	unsigned long index = strtoul(name, &end, 10);
	return *end ? NULL : json_array_get(value, index);
}

/* "~1" is a slash, "~0" a tilde. */
static void unescape(char *token)
{
	char *out = token;

	for (; *token; token++, out++) {
		*out = *token;
		if (*token == '~' && (token[1] == '0' || token[1] == '1'))
			*out = *++token == '1' ? '/' : '~';
	}
	*out = '\0';
}

static const json_t *find_pointer(const json_t *value, char *path)
{
	while (value && *path == '/') {
		char *token = ++path;
		path += strcspn(path, "/");
		char rest = *path;
		*path = '\0';
		unescape(token);
		value = member(value, token);
		*path = rest;
	}
	return value;
}

static const json_t *find_dotted(const json_t *value, char *path)
{
	if (*path == '$')
		path++;
	while (value && *path) {
		char *token = path + strspn(path, ".[");
		bool bracket = token > path && token[-1] == '[';
		size_t len = strcspn(token, bracket ? "]" : ".[");
		char *next = token + len;
		if (bracket && *next != ']')
			return NULL;
		char rest = *next;
		*next = '\0';
		if (bracket && len >= 2 && strchr("'\"", token[0]) && token[len - 1] == token[0]) {
			token[len - 1] = '\0';
			token++;
		}
		value = member(value, token);
		path = next + (bracket ? 1 : 0);
		if (!bracket)
			*next = rest;
	}
	return value;
}

static const json_t *find(const json_t *value, const char *path)
{
	_cleanup_free_ char *copy = xstrdup(path);

	return *path == '/' ? find_pointer(value, copy) : find_dotted(value, copy);
}

static bool is_json(const char *type)
{
	size_t len = strcspn(type, "; ");

	return (len == 16 && strncasecmp(type, "application/json", len) == 0) ||
	       (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0);
}

static bool is_latin1(const char *type)
{
	const char *charset = strcasestr(type, "charset=");

	if (!charset)
		return false;
	charset += 8 + (charset[8] == '"');
	return strncasecmp(charset, "iso-8859-1", 10) == 0 ||
	       strncasecmp(charset, "latin1", 6) == 0;
}

/* UTF-8, cut between two characters. */
static int cut_text(const char *data, size_t len, bool latin1, size_t limit, json_t **ret,
		    struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(4 * BOUND_STDIN_BYTES),
				 cut = BUF_INIT(4 * BOUND_STDIN_BYTES);
	const struct buf *shown = &text;

	for (size_t i = 0; latin1 && i < len; i++)
		if ((unsigned char)data[i] < 0x80)
			buf_append_char(&text, data[i]);
		else
			buf_appendf(&text, "%c%c", 0xC0 | ((unsigned char)data[i] >> 6),
				    0x80 | ((unsigned char)data[i] & 0x3F));
	if (!latin1)
		utf8_clean(data, len, true, &text);
	if (text.len > limit) {
		size_t keep = limit;
		while (keep > 0 && ((unsigned char)text.data[keep] & 0xC0) == 0x80)
			keep--;
		buf_append(&cut, text.data, keep);
		buf_appendf(&cut, CUT_MARK, keep, text.len);
		shown = &cut;
	}
	int rc = buf_status(shown, err);
	if (rc == 0)
		*ret = json_text(shown->data, shown->len, true);
	return rc;
}

int http_answer_value(const struct http_tool_answer *a, const char *path, size_t limit,
		      json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *parsed = NULL;
	_cleanup_buf_ struct buf dumped = BUF_INIT(limit);
	struct err why;
	bool json = (is_json(a->content_type) || *path) &&
		    json_load_python(a->body.data, a->body.len, &parsed, &why) == 0;

	if (!json && (is_json(a->content_type) || *path) && why.code == ERR_NOMEM) {
		*err = why;
		return -err->code;
	}
	if (*path && !json)
		return err_set(err, ERR_INVALID, "response_path: the answer is no JSON");
	const json_t *value = json && *path ? find(parsed, path) : parsed;
	if (json && !value)
		return err_set(err, ERR_INVALID, "response_path: there is nothing at %.200s", path);
	if (json) {
		json_dump_strict(value, &dumped);
		if (!dumped.failed) {
			*ret = json_incref((json_t *)(uintptr_t)value);
			return 0;
		}
		if (dumped.failed == ERR_NOMEM)
			return buf_status(&dumped, err);
	}
	return cut_text(a->body.data, a->body.len, is_latin1(a->content_type), limit, ret, err);
}
