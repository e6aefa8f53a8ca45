/*
 * Where the body of a request ends, so that one channel carries one request to one host: a second
 * one behind it could name another.
 */
#include "egress_head.h"

#define CHUNK_DIGITS   15
#define EXTENSION_MOST 1024
#define TRAILER_MOST   8192

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* A line ends with CR LF and has neither elsewhere: what we take for one line an origin must not
 * take for two. */
static bool ends_line(struct egress_body *b, char c)
{
	char before = b->last;

	b->last = c;
	b->bad = b->bad || (before == '\r') != (c == '\n');
	return c == '\n';
}

static void size_line(struct egress_body *b, char c)
{
	int digit = hex(c);
	bool end = ends_line(b, c);

	if (b->at == CHUNK_SIZE && digit >= 0) {
		b->left = b->left << 4 | (unsigned)digit;
		b->bad = b->bad || ++b->digits > CHUNK_DIGITS;
		return;
	}
	if (b->digits == 0 || (b->at == CHUNK_SIZE && c != '\r' && c != ';' && c != ' '))
		b->bad = true;
	b->at = CHUNK_EXTENSION;
	if (++b->line > EXTENSION_MOST)
		b->bad = true;
	if (!end)
		return;
	b->line = b->digits = 0;
	b->at = b->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
}

static void after_data(struct egress_body *b, char c)
{
	if (c != '\r' && c != '\n')
		b->bad = true;
	if (ends_line(b, c))
		b->at = CHUNK_SIZE;
}

/* Lines up to an empty one. `line` counts the bytes of one, `left` those of all. */
static void trailer(struct egress_body *b, char c)
{
	if (++b->left > TRAILER_MOST)
		b->bad = true;
	if (!ends_line(b, c))
		b->line += c != '\r';
	else if (b->line == 0)
		b->at = CHUNK_END;
	else
		b->line = 0;
}

static void one(struct egress_body *b, char c)
{
	switch (b->at) {
	case CHUNK_SIZE:
	case CHUNK_EXTENSION:
		size_line(b, c);
		return;
	case CHUNK_DATA_END:
		after_data(b, c);
		return;
	case CHUNK_TRAILER:
		trailer(b, c);
		return;
	case CHUNK_DATA:
	case CHUNK_END:
		BUG("a chunk's place %d", (int)b->at);
	}
}

static size_t take_data(struct egress_body *b, size_t len)
{
	size_t n = b->left < len ? (size_t)b->left : len;

	b->left -= n;
	if (b->chunked && b->left == 0)
		b->at = CHUNK_DATA_END;
	return n;
}

size_t egress_body_feed(struct egress_body *b, const char *data, size_t len)
{
	size_t n = 0;

	if (!b->chunked)
		return take_data(b, len);
	while (n < len && !b->bad && b->at != CHUNK_END) {
		if (b->at == CHUNK_DATA)
			n += take_data(b, len - n);
		else
			one(b, data[n++]);
	}
	return b->bad ? 0 : n;
}

bool egress_body_is_over(const struct egress_body *b)
{
	return b->chunked ? b->at == CHUNK_END : b->left == 0;
}
