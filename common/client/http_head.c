/*
 * http_head.c: a strict reader for the few lines before a stream begins.
 *
 * Whoever stands between us and the engine may be wrong about framing, so what two readers could
 * understand differently (folded lines, both kinds of length, two lengths) is refused.
 */
#include "http_head.h"

#include <string.h>
#include <strings.h>

#include "bounds.h"

void http_head_init(struct http_head *h)
{
	*h = (struct http_head){0};
}

static int read_status_line(struct http_head *h, struct err *err)
{
	const char *l = h->line;

	if (h->line_len < 12 || memcmp(l, "HTTP/1.", 7) != 0 || l[7] < '0' || l[7] > '9' ||
	    l[8] != ' ' || (h->line_len > 12 && l[12] != ' '))
		return err_set(err, ERR_PROTOCOL, "not an HTTP/1 answer: '%.32s'", l);
	int status = 0;
	for (int i = 9; i < 12; i++) {
		if (l[i] < '0' || l[i] > '9')
			return err_set(err, ERR_PROTOCOL, "bad HTTP status: '%.32s'", l);
		status = status * 10 + (l[i] - '0');
	}
	if (status < 100)
		return err_set(err, ERR_PROTOCOL, "bad HTTP status %d", status);
	h->status = status;
	return 0;
}

static int read_length(struct http_head *h, const char *value, struct err *err)
{
	uint64_t length = 0;

	if (!*value)
		return err_set(err, ERR_PROTOCOL, "empty Content-Length");
	for (const char *p = value; *p; p++) {
		if (*p < '0' || *p > '9' || length > (UINT64_MAX - 9) / 10)
			return err_set(err, ERR_PROTOCOL, "bad Content-Length '%.32s'", value);
		length = length * 10 + (uint64_t)(*p - '0');
	}
	if (h->has_length && h->length != length)
		return err_set(err, ERR_PROTOCOL, "two different Content-Lengths");
	h->has_length = true;
	h->length = length;
	return 0;
}

static bool is_name_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static int read_field(struct http_head *h, struct err *err)
{
	size_t name = 0;

	while (is_name_char(h->line[name]))
		name++;
	if (name == 0 || h->line[name] != ':')
		return err_set(err, ERR_PROTOCOL, "bad HTTP header line: '%.32s'", h->line);
	char *value = h->line + name + 1;
	while (*value == ' ' || *value == '\t')
		value++;
	for (size_t n = strlen(value); n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t');)
		value[--n] = '\0';

	if (name == strlen("content-length") && strncasecmp(h->line, "content-length", name) == 0) {
		int rc = read_length(h, value, err);
		if (rc < 0)
			return rc;
	} else if (name == strlen("transfer-encoding") &&
		   strncasecmp(h->line, "transfer-encoding", name) == 0) {
		if (strcasecmp(value, "chunked") != 0)
			return err_set(err, ERR_PROTOCOL, "transfer encoding '%.32s'", value);
		h->chunked = true;
	}
	if (h->chunked && h->has_length)
		return err_set(err, ERR_PROTOCOL, "both chunked and with a length");
	return 0;
}

/* One line without its end. 1 when it was the last of the head. */
static int read_line(struct http_head *h, struct err *err)
{
	if (h->line_len > 0 && h->line[h->line_len - 1] == '\r')
		h->line_len--;
	h->line[h->line_len] = '\0';
	for (size_t i = 0; i < h->line_len; i++) {
		unsigned char c = (unsigned char)h->line[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return err_set(err, ERR_PROTOCOL, "control character in an HTTP head");
	}
	if (h->status == 0)
		return read_status_line(h, err);
	if (h->line_len > 0)
		return read_field(h, err);
	if (h->status >= 200 || h->status == 101)
		return 1;

	/* An interim answer: the real one follows, still under the same total. */
	h->status = 0;
	h->has_length = h->chunked = false;
	h->length = 0;
	return 0;
}

int http_head_feed(struct http_head *h, const char *data, size_t len, size_t *ret_used,
		   struct err *err)
{
	for (size_t i = 0; i < len; i++) {
		if (++h->total > BOUND_HTTP_HEAD)
			return err_set(err, ERR_TOOBIG, "HTTP head beyond %u bytes",
				       BOUND_HTTP_HEAD);
		if (data[i] != '\n') {
			if (h->line_len + 1 >= sizeof(h->line))
				return err_set(err, ERR_TOOBIG, "HTTP header line beyond %d bytes",
					       HTTP_HEAD_LINE);
			h->line[h->line_len++] = data[i];
			continue;
		}
		int rc = read_line(h, err);
		if (rc < 0)
			return rc;
		h->line_len = 0;
		if (rc > 0) {
			*ret_used = i + 1;
			return 1;
		}
	}
	*ret_used = len;
	return 0;
}
