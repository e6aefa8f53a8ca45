/*
 * The server name in a TLS greeting.
 */
#include <string.h>

#include "egress_head.h"

struct cursor {
	const unsigned char *p, *end;
	bool bad;
};

static size_t number(struct cursor *c, size_t bytes)
{
	size_t value = 0;

	if ((size_t)(c->end - c->p) < bytes) {
		c->bad = true;
		c->p = c->end;
		return 0;
	}
	while (bytes-- > 0)
		value = value << 8 | *c->p++;
	return value;
}

/* What a length of `bytes` bytes announces, as a cursor of its own. */
static struct cursor vector(struct cursor *c, size_t bytes)
{
	size_t len = number(c, bytes);
	struct cursor inner = {.p = c->p, .end = c->p};

	if ((size_t)(c->end - c->p) < len) {
		c->bad = inner.bad = true;
		return inner;
	}
	inner.end = c->p += len;
	return inner;
}

/* Puts the handshake together, which may be cut into records. */
static enum egress_hello unwrap(const unsigned char *data, size_t len,
				unsigned char out[EGRESS_HELLO_BYTES], size_t *ret_len)
{
	size_t have = 0, want = 4;

	for (size_t at = 0; have < want;) {
		size_t piece;

		if (at < len && data[at] != 22)
			return HELLO_NOT_TLS;
		if (len - at < 5)
			return HELLO_MORE;
		piece = (size_t)data[at + 3] << 8 | data[at + 4];
		if (data[at + 1] != 3 || piece == 0 || piece > EGRESS_HELLO_BYTES - have)
			return HELLO_NOT_TLS;
		if (len - at - 5 < piece)
			return HELLO_MORE;
		memcpy(out + have, data + at + 5, piece);
		have += piece;
		at += 5 + piece;
		if (have >= 4) {
			want = 4 + ((size_t)out[1] << 16 | (size_t)out[2] << 8 | out[3]);
			if (out[0] != 1 || want > EGRESS_HELLO_BYTES)
				return HELLO_NOT_TLS;
		}
	}
	*ret_len = want;
	return HELLO_NAMED;
}

static enum egress_hello take_name(struct cursor list, char ret_name[OUTBOUND_NAME_BYTES + 1])
{
	struct cursor names = vector(&list, 2);

	while (!names.bad && names.p < names.end) {
		size_t kind = number(&names, 1);
		struct cursor name = vector(&names, 2);
		size_t len = (size_t)(name.end - name.p);

		if (names.bad || len == 0 || len > OUTBOUND_NAME_BYTES)
			return HELLO_NOT_TLS;
		if (kind != 0)
			continue;
		memcpy(ret_name, name.p, len);
		ret_name[len] = '\0';
		return memchr(name.p, 0, len) ? HELLO_NOT_TLS : HELLO_NAMED;
	}
	return HELLO_NOT_TLS;
}

enum egress_hello egress_hello_read(const void *data, size_t len,
				    char ret_name[OUTBOUND_NAME_BYTES + 1])
{
	unsigned char hello[EGRESS_HELLO_BYTES];
	size_t hello_len = 0;
	enum egress_hello found = unwrap(data, len, hello, &hello_len);
	struct cursor c = {.p = hello + 4, .end = hello + hello_len}, extensions;

	if (found != HELLO_NAMED)
		return found;
	number(&c, 2); /* version */
	if (c.end - c.p < 32)
		return HELLO_NOT_TLS;
	c.p += 32;     /* random */
	vector(&c, 1); /* session id */
	vector(&c, 2); /* cipher suites */
	vector(&c, 1); /* compression methods */
	if (c.bad)
		return HELLO_NOT_TLS;
	if (c.p == c.end)
		return HELLO_NAMELESS;
	extensions = vector(&c, 2);
	while (!extensions.bad && extensions.p < extensions.end) {
		size_t kind = number(&extensions, 2);
		struct cursor body = vector(&extensions, 2);

		if (!extensions.bad && kind == 0)
			return take_name(body, ret_name);
	}
	return c.bad || extensions.bad ? HELLO_NOT_TLS : HELLO_NAMELESS;
}
