/*
 * nodename.c: who we are, in Celery's way of writing it.
 */
#include "nodename.h"

#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"

#define NAME_BYTES  255
#define LABEL_BYTES 100
#define PATH_BYTES  4095

/* %h %d of `host`, %n `name` (NULL: the first part of the host), %p `node` (NULL: not allowed, nor
 * are %i and %I). */
static int expand_with(const char *text, const char *host, const char *name, const char *node,
		       struct buf *out, struct err *err)
{
	const char *dot = strchr(host, '.');
	for (const char *p = text; *p; p++) {
		if (*p != '%') {
			buf_append_char(out, *p);
			continue;
		}
		switch (*++p) {
		case 'h':
			buf_append_str(out, host);
			break;
		case 'n':
			if (name)
				buf_append(out, name, strcspn(name, "@"));
			else
				buf_append(out, host, dot ? (size_t)(dot - host) : strlen(host));
			break;
		case 'd':
			buf_append_str(out, dot ? dot + 1 : "");
			break;
		case '%':
			buf_append_char(out, '%');
			break;
		case 'p':
		case 'i':
		case 'I':
			if (node) {
				buf_append_str(out, *p == 'p' ? node : *p == 'i' ? "0" : "");
				break;
			}
			__attribute__((fallthrough));
		default:
			return err_set(err, ERR_INVALID, "may have %%h, %%n, %%d%s and %%%% only",
				       node ? ", %p, %i, %I" : "");
		}
	}
	return buf_status(out, err);
}

static int expand(const char *text, struct buf *out, struct err *err)
{
	char host[NAME_BYTES + 1] = "";
	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
		memcpy(host, "localhost", sizeof("localhost"));
	return expand_with(text, host, NULL, NULL, out, err);
}

int nodename_expand_path(const char *text, const char *node, char **ret, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(PATH_BYTES);
	const char *at = strchr(node, '@');
	size_t len;
	int r = expand_with(text, at ? at + 1 : node, node, node, &out, err);
	return r < 0 ? r : buf_take(&out, ret, &len, err);
}

int nodename_expand(const char *text, char **ret, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(NAME_BYTES);
	/* As Celery: without '@' it is a host, without a name the name is celery. */
	const char *at = strchr(text, '@');
	if (!at)
		buf_append_str(&out, "celery@");
	else if (at == text)
		buf_append_str(&out, "celery");
	int r = expand(*text ? text : "%h", &out, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < out.len; i++) {
		if ((unsigned char)out.data[i] <= ' ' || out.data[i] == 0x7f)
			return err_set(err, ERR_INVALID, "holds a space or control character");
	}
	if (out.data[out.len - 1] == '@')
		return err_set(err, ERR_INVALID, "has no host after the @");
	size_t len;
	return buf_take(&out, ret, &len, err);
}

int nodename_check_label(const char *text, char **ret, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t len = strlen(text);
	if (len == 0 || len > LABEL_BYTES || text[strspn(text, allowed)] || strchr("_.-", text[0]))
		return err_set(
			err, ERR_INVALID,
			"is not a name (1 to %d of A-Z a-z 0-9 _ . -, a letter or digit first)",
			LABEL_BYTES);
	*ret = xstrdup(text);
	return 0;
}

int nodename_expand_label(const char *text, char **ret, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(NAME_BYTES);
	int r = expand(*text ? text : "%h", &out, err);
	return r < 0 ? r : nodename_check_label(out.data, ret, err);
}
