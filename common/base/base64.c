/*
 * base64.c: the body encoding of kombu's virtual transports, and of input files.
 */
#include "codec.h"

#define SPACE 64
#define BAD   65

static const char g_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Of '+' to 'z'. */
static const unsigned char g_digits[] = {
	62,  BAD, BAD, BAD, 63,	 52,  53, 54, 55, 56, 57, 58, 59, 60, 61, BAD,
	BAD, BAD, BAD, BAD, BAD, BAD, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,
	10,  11,  12,  13,  14,	 15,  16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
	BAD, BAD, BAD, BAD, BAD, BAD, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35,
	36,  37,  38,  39,  40,	 41,  42, 43, 44, 45, 46, 47, 48, 49, 50, 51,
};

static unsigned value_of(char c)
{
	unsigned at = (unsigned char)c - (unsigned)'+';

	if (at < sizeof(g_digits))
		return g_digits[at];
	return c == ' ' || (c >= '\t' && c <= '\r') ? SPACE : BAD;
}

void base64_encode(const void *data, size_t len, struct buf *out)
{
	const unsigned char *in = data;
	char *to = buf_reserve(out, (len + 2) / 3 * 4);
	if (!to || len == 0)
		return;
	size_t n = 0;
	size_t i = 0;
	for (; i + 2 < len; i += 3) {
		unsigned v = (unsigned)in[i] << 16 | (unsigned)in[i + 1] << 8 | in[i + 2];
		to[n++] = g_alphabet[v >> 18];
		to[n++] = g_alphabet[v >> 12 & 63];
		to[n++] = g_alphabet[v >> 6 & 63];
		to[n++] = g_alphabet[v & 63];
	}
	if (i < len) {
		bool two = i + 1 < len;
		unsigned v = (unsigned)in[i] << 16 | (two ? (unsigned)in[i + 1] << 8 : 0u);
		to[n++] = g_alphabet[v >> 18];
		to[n++] = g_alphabet[v >> 12 & 63];
		to[n++] = two ? g_alphabet[v >> 6 & 63] : '=';
		to[n++] = '=';
	}
	buf_added(out, n);
}

static size_t size_of(size_t digits)
{
	return digits / 4 * 3 + (digits % 4 > 1 ? digits % 4 - 1 : 0);
}

/* Room for what `text` decodes to if it is valid: as if none of it were white space or padding, or,
 * where that is more than `room`, just so much. */
static size_t decoded_size(const char *text, size_t len, size_t room)
{
	size_t digits = 0;
	if (size_of(len) <= room)
		return size_of(len);
	for (size_t i = 0; i < len; i++)
		digits += value_of(text[i]) < SPACE;
	return size_of(digits);
}

static int bad(size_t at, struct err *err)
{
	return err_set(err, ERR_INVALID, "base64: wrong character or padding at byte %zu", at);
}

/* How many characters at the beginning are groups of four digits; decoded, if `to` is not NULL. */
static size_t groups(const char *text, size_t len, char *to)
{
	size_t i = 0;
	for (; i + 4 <= len; i += 4) {
		unsigned a = value_of(text[i]), b = value_of(text[i + 1]),
			 c = value_of(text[i + 2]), d = value_of(text[i + 3]);
		if ((a | b | c | d) >= SPACE)
			break;
		if (to) {
			*to++ = (char)(a << 2 | b >> 4);
			*to++ = (char)(b << 4 | c >> 2);
			*to++ = (char)(c << 6 | d);
		}
	}
	return i;
}

/* `to` has room for what comes out, or is NULL: then it is only looked at. */
static int decode(const char *text, size_t len, char *to, size_t *ret_len, struct err *err)
{
	unsigned acc = 0;
	unsigned have = 0; /* digits in the group */
	unsigned pads = 0;
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		if (have == 0 && pads == 0) {
			size_t whole = groups(text + i, len - i, to ? to + n : NULL);
			n += whole / 4 * 3;
			i += whole;
			if (i == len)
				break;
		}
		unsigned v = value_of(text[i]);
		if (v == SPACE)
			continue;
		if (text[i] == '=' && have >= 2 && have + pads < 4) {
			pads++;
			continue;
		}
		if (v == BAD || pads)
			return bad(i, err);
		acc = acc << 6 | v;
		if (++have == 4) {
			if (to) {
				to[n] = (char)(acc >> 16);
				to[n + 1] = (char)(acc >> 8);
				to[n + 2] = (char)acc;
			}
			n += 3;
			acc = 0;
			have = 0;
		}
	}
	if (have + pads != (have ? 4u : 0u))
		return bad(len, err);
	if (to && have == 2) {
		to[n++] = (char)(acc >> 4);
	} else if (to && have == 3) {
		to[n++] = (char)(acc >> 10);
		to[n++] = (char)(acc >> 2);
	}
	*ret_len = n;
	return 0;
}

int base64_decode(const char *text, size_t len, struct buf *out, struct err *err)
{
	char *to = buf_reserve(out, decoded_size(text, len, out->limit - out->len));
	size_t n;
	int rc = to ? decode(text, len, to, &n, err) : buf_status(out, err);

	if (rc == 0)
		buf_added(out, n);
	return rc;
}

int base64_check(const char *text, size_t len, struct err *err)
{
	size_t n;

	return decode(text, len, NULL, &n, err);
}
