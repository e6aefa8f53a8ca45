/*
 * http_template.c: {name} in URLs and bodies.
 *
 * A value goes where its placeholder stands and nowhere else: it is encoded for its place, so that
 * it cannot end a path, begin a query, close a string or add a field.
 */
#include <ctype.h>
#include <string.h>

#include "bounds.h"
#include "http_tool.h"
#include "json.h"

void http_percent_encode(const char *text, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if ((c < 0x80 && isalnum(c)) || (c && strchr("-._~", c)))
			buf_append_char(out, (char)c);
		else
			buf_appendf(out, "%%%02X", c);
	}
}

/* application/x-www-form-urlencoded: as above, but a space is a plus. */
static void form_encode(const char *text, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == ' ')
			buf_append_char(out, '+');
		else
			http_percent_encode(text + i, 1, out);
}

void http_value_text(const json_t *value, struct buf *out)
{
	if (json_is_string(value) && !json_is_python_number(value))
		json_text_append(value, out);
	else if (value && !json_is_null(value))
		json_dump_strict(value, out);
}

/* Length of "{name}" at `text`, 0 if there is none. */
static size_t placeholder(const char *text, size_t len, struct slice *ret_name)
{
	size_t n = 1;

	if (len < 3 || text[0] != '{' || !(isalpha((unsigned char)text[1]) || text[1] == '_'))
		return 0;
	while (n < len && (isalnum((unsigned char)text[n]) || text[n] == '_'))
		n++;
	if (n >= len || text[n] != '}')
		return 0;
	*ret_name = (struct slice){text + 1, n - 1};
	return n + 1;
}

/* The inside of a JSON string. */
static void json_inside(const struct buf *text, struct buf *out)
{
	_cleanup_json_ json_t *string = json_text(text->data, text->len, false);
	_cleanup_buf_ struct buf dumped = BUF_INIT(8 * BOUND_BODY_BYTES);

	json_dump_strict(string, &dumped);
	if (dumped.failed)
		buf_fail(out, dumped.failed);
	else
		buf_append(out, dumped.data + 1, dumped.len - 2);
}

static int put(enum template_kind kind, const json_t *value, bool in_string, struct buf *out,
	       struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_STDIN_BYTES);

	if (kind == TEMPLATE_JSON && !in_string) {
		if (value)
			json_dump_strict(value, out);
		else
			buf_append_str(out, "null");
		return 0;
	}
	http_value_text(value, &text);
	switch (kind) {
	case TEMPLATE_PATH:
	case TEMPLATE_QUERY:
		http_percent_encode(text.data, text.len, out);
		break;
	case TEMPLATE_JSON:
		json_inside(&text, out);
		break;
	case TEMPLATE_FORM:
		form_encode(text.data, text.len, out);
		break;
	case TEMPLATE_TEXT:
		buf_append(out, text.data, text.len);
		break;
	}
	return buf_status(&text, err);
}

/* "/./", "/../" and the like, also where a value made them. */
static int check_segments(const char *path, struct err *err)
{
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");
		if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return err_set(err, ERR_INVALID, "url: a segment of dots");
		p += n + (p[n] == '/');
	}
	return 0;
}

int http_template(enum template_kind kind, const char *text, size_t len, const json_t *params,
		  const json_t *known, json_t *used, struct buf *out, struct err *err)
{
	bool in_string = false;
	size_t begin = out->len, n;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < len; i += n) {
		struct slice name;
		char key[256];
		n = placeholder(text + i, len - i, &name);
		if (n > 0 && name.len < sizeof(key)) {
			memcpy(key, name.data, name.len);
			key[name.len] = '\0';
		}
		if (n == 0 || name.len >= sizeof(key) ||
		    (!json_object_get(params, key) && !json_object_get(known, key))) {
			n = 1;
			if (kind == TEMPLATE_JSON && text[i] == '\\' && in_string && i + 1 < len)
				n = 2;
			else if (text[i] == '"')
				in_string = !in_string;
			buf_append(out, text + i, n);
			continue;
		}
		if (used)
			json_object_set_new(used, key, json_true());
		rc = put(kind, json_object_get(params, key), in_string, out, err);
	}
	if (rc == 0)
		rc = buf_status(out, err);
	if (rc == 0 && kind == TEMPLATE_PATH)
		rc = check_segments(out->data + begin, err);
	return rc;
}
