/*
 * redis_command.c: commands as wire bytes, written straight into the caller's buffer.
 *
 * hiredis' own formatter allocates for each argument; every task sends several commands, so this
 * one does not. What it understands is what our commands need; anything else in a format is a
 * programmer's mistake.
 */
#include "redis_conn.h"

#include <openssl/evp.h>
#include <string.h>

#include "codec.h"

#define HEAD_SIZE 24 /* '*' or '$', 20 digits, CR LF */

#define DIGITS_SIZE 20 /* of 2^64 - 1 */

static size_t make_digits(uint64_t n, char out[DIGITS_SIZE])
{
	char reversed[DIGITS_SIZE];
	size_t len = 0;

	do {
		reversed[len++] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	for (size_t i = 0; i < len; i++)
		out[i] = reversed[len - 1 - i];
	return len;
}

static size_t make_head(char kind, size_t n, char out[HEAD_SIZE])
{
	size_t len;

	out[0] = kind;
	len = 1 + make_digits(n, out + 1);
	out[len++] = '\r';
	out[len++] = '\n';
	return len;
}

static void append_head(struct buf *out, char kind, size_t n)
{
	char head[HEAD_SIZE];

	buf_append(out, head, make_head(kind, n, head));
}

static void append_arg(struct buf *out, const void *data, size_t len)
{
	char head[HEAD_SIZE];
	size_t head_len = make_head('$', len, head);
	char *to = buf_reserve(out, head_len + len + 2);

	if (!to)
		return;
	memcpy(to, head, head_len);
	if (len > 0)
		memcpy(to + head_len, data, len);
	memcpy(to + head_len + len, "\r\n", 2);
	buf_added(out, head_len + len + 2);
}

/* A format being read, with its values. */
struct format {
	const char *at;
	va_list ap;
};

static int64_t take_signed(struct format *f, size_t longs)
{
	if (longs == 0)
		return va_arg(f->ap, int);
	return longs == 1 ? va_arg(f->ap, long) : va_arg(f->ap, long long);
}

static uint64_t take_unsigned(struct format *f, size_t longs)
{
	if (longs == 0)
		return va_arg(f->ap, unsigned);
	return longs == 1 ? va_arg(f->ap, unsigned long) : va_arg(f->ap, unsigned long long);
}

static void append_int(struct format *f, struct buf *out)
{
	const char *spec = f->at;
	char digits[DIGITS_SIZE];
	size_t longs = 0;
	int64_t n;

	while (*f->at == 'l' || *f->at == 'z') {
		longs += *f->at == 'l' ? 1 : 2; /* size_t is as long as long long here */
		f->at++;
	}
	switch (*f->at++) {
	case 'd':
	case 'i':
		n = take_signed(f, longs);
		if (n < 0)
			buf_append_char(out, '-');
		buf_append(out, digits, make_digits(n < 0 ? -(uint64_t)n : (uint64_t)n, digits));
		break;
	case 'u':
		buf_append(out, digits, make_digits(take_unsigned(f, longs), digits));
		break;
	default:
		BUG("redis_command: unknown conversion %%%s", spec);
	}
}

/* One conversion; f->at is behind its '%'. */
static void append_conversion(struct format *f, struct buf *out)
{
	const char *s;

	switch (*f->at) {
	case '%':
		f->at++;
		buf_append_char(out, '%');
		break;
	case 's':
		f->at++;
		buf_append_str(out, va_arg(f->ap, const char *));
		break;
	case 'b':
		f->at++;
		s = va_arg(f->ap, const char *);
		buf_append(out, s, va_arg(f->ap, size_t));
		break;
	case 'g':
		f->at++;
		buf_appendf(out, "%g", va_arg(f->ap, double));
		break;
	case 'f':
		f->at++;
		buf_appendf(out, "%f", va_arg(f->ap, double));
		break;
	case '.':
		if (strncmp(f->at, ".17g", 4) != 0)
			BUG("redis_command: unknown conversion %%%s", f->at);
		f->at += 4;
		buf_appendf(out, "%.17g", va_arg(f->ap, double));
		break;
	default:
		append_int(f, out);
	}
}

/* An argument made of text and conversions: written first, its length put before it afterwards. */
static void append_mixed(struct format *f, struct buf *out)
{
	size_t start = out->len, len, head_len;
	char head[HEAD_SIZE];

	while (*f->at != '\0' && *f->at != ' ') {
		size_t plain = strcspn(f->at, " %");

		buf_append(out, f->at, plain);
		f->at += plain;
		if (*f->at == '%') {
			f->at++;
			append_conversion(f, out);
		}
	}
	if (out->failed)
		return;
	len = out->len - start;
	head_len = make_head('$', len, head);
	if (!buf_reserve(out, head_len + 2))
		return;
	memmove(out->data + start + head_len, out->data + start, len);
	memcpy(out->data + start, head, head_len);
	buf_added(out, head_len);
	buf_append(out, "\r\n", 2);
}

/* True when the argument at `s` is the conversion `c` and nothing else. */
static bool is_whole(const char *s, char c)
{
	return s[0] == '%' && s[1] == c && (s[2] == '\0' || s[2] == ' ');
}

static size_t count_args(const char *fmt)
{
	size_t n = 0;

	while (*(fmt += strspn(fmt, " ")) != '\0') {
		n++;
		fmt += strcspn(fmt, " ");
	}
	return n;
}

void redis_command_va(struct buf *out, const char *fmt, va_list ap)
{
	struct format f = {.at = fmt};
	const char *s;

	va_copy(f.ap, ap);
	append_head(out, '*', count_args(fmt));
	while (*(f.at += strspn(f.at, " ")) != '\0') {
		if (is_whole(f.at, 's')) {
			f.at += 2;
			s = va_arg(f.ap, const char *);
			append_arg(out, s, strlen(s));
		} else if (is_whole(f.at, 'b')) {
			f.at += 2;
			s = va_arg(f.ap, const char *);
			append_arg(out, s, va_arg(f.ap, size_t));
		} else {
			append_mixed(&f, out);
		}
	}
	va_end(f.ap);
}

void redis_command(struct buf *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	redis_command_va(out, fmt, ap);
	va_end(ap);
}

void redis_command_argv(struct buf *out, const struct slice *argv, size_t argc)
{
	append_head(out, '*', argc);
	for (size_t i = 0; i < argc; i++)
		append_arg(out, argv[i].data, argv[i].len);
}

void redis_command_evalsha(struct buf *out, const struct redis_script *s, size_t keys,
			   const struct slice *args, size_t count)
{
	char digits[DIGITS_SIZE];

	append_head(out, '*', 3 + count);
	append_arg(out, "EVALSHA", 7);
	append_arg(out, s->sha, strlen(s->sha));
	append_arg(out, digits, make_digits(keys, digits));
	for (size_t i = 0; i < count; i++)
		append_arg(out, args[i].data, args[i].len);
}

/* Redis names a script by the SHA-1 of its text. */
void redis_script_init(struct redis_script *s, const char *text)
{
	unsigned char digest[20];
	unsigned len = 0;

	if (EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL) != 1 ||
	    len != sizeof(digest))
		BUG("no SHA-1");
	s->text = text;
	hex_encode(digest, sizeof(digest), s->sha);
}
