/*
 * conf.c: the table engine: one row, one value, read and shown by its type.
 */
#include "conf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "mem.h"
#include "url.h"

#define SHOWN_BYTES ((size_t)64 << 10)

static void *place(const struct conf_row *row, void *base)
{
	return (char *)base + row->offset;
}

static const void *const_place(const struct conf_row *row, const void *base)
{
	return (const char *)base + row->offset;
}

static bool has_text(const struct conf_row *row)
{
	return row->type == CONF_STRING || row->type == CONF_URL || row->type == CONF_MAP;
}

/* Refuses `text`; quotes it unless it may hold a secret. */
static int refuse(const struct conf_row *row, const char *label, const char *text, const char *why,
		  struct err *err)
{
	bool hide = (row->flags & CONF_SECRET) || row->type == CONF_URL || row->type == CONF_MAP;
	if (hide || *text == '\0')
		return err_set(err, ERR_INVALID, "%s: %s%s", label, *text ? "" : "is empty: ", why);
	return err_set(err, ERR_INVALID, "%s: \"%.64s\" %s", label, text, why);
}

static int check_bounds(const struct conf_row *row, const char *label, const char *text,
			double value, struct err *err)
{
	bool bounded = row->min < row->max;
	if (!bounded || (value >= row->min && value <= row->max))
		return 0;
	_cleanup_buf_ struct buf why = BUF_INIT(200);
	buf_append_str(&why, "is not between ");
	conf_show_number(row->type, row->min, &why);
	buf_append_str(&why, " and ");
	conf_show_number(row->type, row->max, &why);
	return refuse(row, label, text, why.data, err);
}

static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);
	for (const char *p = choices; *p;) {
		size_t n = strcspn(p, "|");
		if (n == len && memcmp(p, text, n) == 0)
			return true;
		p += n + (p[n] == '|');
	}
	return false;
}

static int check_map(const char *text, struct err *err)
{
	_cleanup_json_ json_t *map = NULL;
	int r = json_load_python(text, strlen(text), &map, err);
	if (r < 0)
		return r;
	return json_is_object(map) ? 0 : err_set(err, ERR_INVALID, "is not a JSON object");
}

static int set_text(const struct conf_row *row, const char **at, const char *text,
		    const char *label, struct err *err)
{
	if (row->type == CONF_URL && *text && !strstr(text, "://"))
		return refuse(row, label, text, "is not a URL (scheme://…)", err);
	if (row->choices && !is_choice(row->choices, text)) {
		_cleanup_free_ char *why = xasprintf("is not one of %s", row->choices);
		return refuse(row, label, text, why, err);
	}
	struct err reason;
	char *value = NULL;
	int r = row->type == CONF_MAP && *text ? check_map(text, &reason) : 0;
	if (r == 0 && row->expand)
		r = row->expand(text, &value, &reason);
	if (r == -ERR_NOMEM)
		return err_set(err, ERR_NOMEM, "%s: %s", label, reason.msg);
	if (r < 0)
		return refuse(row, label, text, reason.msg, err);
	if (!value)
		value = xstrdup(text);
	free((char *)(uintptr_t)*at);
	*at = value;
	return 0;
}

static void list_free(struct str_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct str_list){0};
}

static int set_list(const struct conf_row *row, struct str_list *at, const char *text,
		    const char *label, struct err *err)
{
	struct str_list list = {0};
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, ",");
		const char *end = p + n;
		const char *next = end + (*end == ',');
		p += strspn(p, " \t\n");
		while (end > p && strchr(" \t\n", end[-1]))
			end--;
		if (end > p) {
			list.items = xrealloc(list.items, (list.count + 1) * sizeof(*list.items));
			list.items[list.count++] = xstrndup(p, (size_t)(end - p));
		}
		p = next;
	}
	int r = check_bounds(row, label, text, (double)list.count, err);
	if (r < 0) {
		list_free(&list);
		return r;
	}
	list_free(at);
	*at = list;
	return 0;
}

static int set_int64(const struct conf_row *row, int64_t *at, const char *text, const char *label,
		     struct err *err)
{
	int64_t value;
	const char *why = "is not a whole number";
	bool ok;
	if (row->type == CONF_DURATION) {
		why = "is not a duration (seconds, or a number with us, ms, s, m, h or d)";
		ok = conf_parse_duration(text, &value);
	} else if (row->type == CONF_SIZE) {
		why = "is not a size (bytes, or a number with KiB, MiB, GiB or k, m, g)";
		ok = conf_parse_size(text, &value);
	} else {
		ok = conf_parse_int(text, &value);
	}
	if (!ok)
		return refuse(row, label, text, why, err);
	int r = check_bounds(row, label, text, (double)value, err);
	if (r == 0)
		*at = value;
	return r;
}

static int set_double(const struct conf_row *row, double *at, const char *text, const char *label,
		      struct err *err)
{
	double value;
	if (!conf_parse_double(text, &value))
		return refuse(row, label, text, "is not a number", err);
	int r = check_bounds(row, label, text, value, err);
	if (r == 0)
		*at = value;
	return r;
}

int conf_set(const struct conf_row *row, void *base, const char *text, const char *label,
	     struct err *err)
{
	void *at = place(row, base);
	if (*text == '\0' && (row->flags & CONF_NOT_EMPTY))
		return err_set(err, ERR_INVALID, "%s: must not be empty", label);
	switch (row->type) {
	case CONF_STRING:
	case CONF_URL:
	case CONF_MAP:
		return set_text(row, at, text, label, err);
	case CONF_BOOL:
		if (!conf_parse_bool(text, at))
			return refuse(row, label, text, "is not a boolean (1, 0, true, false)",
				      err);
		return 0;
	case CONF_DOUBLE:
		return set_double(row, at, text, label, err);
	case CONF_LIST:
		return set_list(row, at, text, label, err);
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
	default:
		return set_int64(row, at, text, label, err);
	}
}

static void show_text(const struct conf_row *row, const char *text, struct buf *out)
{
	if (!text || *text == '\0')
		return;
	bool hide = row->flags & CONF_SECRET;
	if (row->type == CONF_MAP)
		hide |= strcasestr(text, "pass") || strcasestr(text, "secret") ||
			strcasestr(text, "token") || strcasestr(text, "key\"");
	if (hide) {
		buf_append_str(out, "********");
	} else if (row->type == CONF_URL) {
		_cleanup_free_ char *safe = url_safe(text);
		buf_append_str(out, safe);
	} else {
		buf_append_str(out, text);
	}
}

void conf_show(const struct conf_row *row, const void *base, struct buf *out)
{
	const void *at = const_place(row, base);
	if (has_text(row)) {
		show_text(row, *(const char *const *)at, out);
	} else if (row->type == CONF_BOOL) {
		buf_append_str(out, *(const bool *)at ? "true" : "false");
	} else if (row->type == CONF_DOUBLE) {
		conf_show_number(row->type, *(const double *)at, out);
	} else if (row->type == CONF_LIST) {
		const struct str_list *list = at;
		for (size_t i = 0; i < list->count; i++)
			buf_appendf(out, "%s%s", i ? "," : "", list->items[i]);
	} else {
		conf_show_number(row->type, (double)*(const int64_t *)at, out);
	}
}

void conf_free(const struct conf_row *row, void *base)
{
	void *at = place(row, base);
	if (row->type == CONF_LIST) {
		list_free(at);
	} else if (has_text(row)) {
		const char **text = at;
		char *owned = (char *)(uintptr_t)*text;
		if (owned)
			wipe(owned, strlen(owned));
		free(owned);
		*text = NULL;
	}
}
