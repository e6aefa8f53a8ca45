/*
 * amqp_properties.c: what a content header says beside the size of the body. Pure.
 */
#include <stdlib.h>
#include <string.h>

#include "amqp_wire.h"
#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"

static const struct text_property {
	amqp_flags_t flag;
	size_t offset; /* in the library's structure */
	const char *name;
} texts[AMQP_TEXTS] = {
#define TEXT(FLAG, member)                                                                         \
	{                                                                                          \
		FLAG, offsetof(amqp_basic_properties_t, member), #member                           \
	}
	[AMQP_CONTENT_TYPE] = TEXT(AMQP_BASIC_CONTENT_TYPE_FLAG, content_type),
	[AMQP_CONTENT_ENCODING] = TEXT(AMQP_BASIC_CONTENT_ENCODING_FLAG, content_encoding),
	[AMQP_CORRELATION_ID] = TEXT(AMQP_BASIC_CORRELATION_ID_FLAG, correlation_id),
	[AMQP_REPLY_TO] = TEXT(AMQP_BASIC_REPLY_TO_FLAG, reply_to),
	[AMQP_EXPIRATION] = TEXT(AMQP_BASIC_EXPIRATION_FLAG, expiration),
	[AMQP_MESSAGE_ID] = TEXT(AMQP_BASIC_MESSAGE_ID_FLAG, message_id),
	[AMQP_TYPE] = TEXT(AMQP_BASIC_TYPE_FLAG, type),
	[AMQP_USER_ID] = TEXT(AMQP_BASIC_USER_ID_FLAG, user_id),
	[AMQP_APP_ID] = TEXT(AMQP_BASIC_APP_ID_FLAG, app_id),
#undef TEXT
};

static amqp_bytes_t *text_of(amqp_basic_properties_t *p, size_t i)
{
	return (amqp_bytes_t *)(void *)((char *)p + texts[i].offset);
}

/* ---- reading ---- */

/* Skips a short string: false when it does not end in time. */
static bool skip_short(const unsigned char *data, size_t len, size_t *at)
{
	if (*at >= len || (size_t)data[*at] > len - *at - 1)
		return false;
	*at += 1 + (size_t)data[*at];
	return true;
}

int amqp_properties_walk(const void *data, size_t len, struct err *err)
{
	const unsigned char *p = data;
	size_t at = 2, size;
	unsigned flags;

	if (len < 2)
		return err_set(err, ERR_PROTOCOL, "properties without flags");
	flags = (unsigned)p[0] << 8 | p[1];
	/* Bit 0 announces more flags, of which there are none. */
	if (flags & 1u)
		return err_set(err, ERR_PROTOCOL, "properties that AMQP 0-9-1 does not have");
	if ((flags & AMQP_BASIC_CONTENT_TYPE_FLAG) && !skip_short(p, len, &at))
		return err_set(err, ERR_PROTOCOL, "properties end within a text");
	if ((flags & AMQP_BASIC_CONTENT_ENCODING_FLAG) && !skip_short(p, len, &at))
		return err_set(err, ERR_PROTOCOL, "properties end within a text");
	if (!(flags & AMQP_BASIC_HEADERS_FLAG))
		return 0;
	return amqp_table_walk(p + at, len - at, &size, err);
}

static int clean_text(amqp_bytes_t b, char **ret, struct err *err)
{
	struct buf out = BUF_INIT(4 * 256);

	utf8_clean(b.len > 0 ? b.bytes : "", b.len, true, &out);
	return buf_take(&out, ret, NULL, err);
}

static int take_properties(amqp_basic_properties_t *p, struct amqp_properties *ret, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < AMQP_TEXTS; i++)
		if (p->_flags & texts[i].flag)
			rc = clean_text(*text_of(p, i), &ret->text[i], err);
	if (rc == 0 && (p->_flags & AMQP_BASIC_HEADERS_FLAG))
		rc = amqp_table_to_json(&p->headers, &ret->headers, err);
	ret->has_priority = (p->_flags & AMQP_BASIC_PRIORITY_FLAG) != 0;
	ret->priority = ret->has_priority ? p->priority : 0;
	ret->has_timestamp = (p->_flags & AMQP_BASIC_TIMESTAMP_FLAG) != 0;
	ret->timestamp = ret->has_timestamp ? p->timestamp : 0;
	ret->delivery_mode = p->_flags & AMQP_BASIC_DELIVERY_MODE_FLAG ? p->delivery_mode : 0;
	return rc;
}

int amqp_properties_read(const void *data, size_t len, struct amqp_properties *ret, struct err *err)
{
	amqp_pool_t pool;
	void *decoded;
	int rc = amqp_properties_walk(data, len, err);

	if (rc < 0)
		return rc;
	init_amqp_pool(&pool, 4096);
	if (amqp_decode_properties(AMQP_CLASS_BASIC, &pool, amqp_bytes_of(data, len), &decoded) <
	    0) {
		rc = err_set(err, ERR_PROTOCOL, "properties cannot be read");
	} else {
		struct amqp_properties p = {0};

		rc = take_properties(decoded, &p, err);
		if (rc == 0)
			*ret = p;
		else
			amqp_properties_done(&p);
	}
	empty_amqp_pool(&pool);
	return rc;
}

/* ---- writing, in the order of the flags ---- */

static int write_text(const struct amqp_properties *p, enum amqp_text i, struct buf *out,
		      struct err *err)
{
	size_t len;

	if (!p->text[i])
		return 0;
	len = strlen(p->text[i]);
	if (len > 255)
		return err_set(err, ERR_TOOBIG, "%s has more than 255 bytes", texts[i].name);
	buf_append_char(out, (char)len);
	buf_append(out, p->text[i], len);
	return 0;
}

static unsigned flags_of(const struct amqp_properties *p)
{
	unsigned flags = 0;

	for (size_t i = 0; i < AMQP_TEXTS; i++)
		if (p->text[i])
			flags |= texts[i].flag;
	flags |= p->headers ? AMQP_BASIC_HEADERS_FLAG : 0;
	flags |= p->has_priority ? AMQP_BASIC_PRIORITY_FLAG : 0;
	flags |= p->has_timestamp ? AMQP_BASIC_TIMESTAMP_FLAG : 0;
	flags |= p->delivery_mode ? AMQP_BASIC_DELIVERY_MODE_FLAG : 0;
	return flags;
}

static int write_headers(const struct amqp_properties *p, struct buf *out, struct err *err)
{
	if (!p->headers)
		return 0;
	if (!json_is_object(p->headers))
		return err_set(err, ERR_INVALID, "headers are no object");
	return amqp_json_to_table(p->headers, out, err);
}

int amqp_properties_write(const struct amqp_properties *p, struct buf *out, struct err *err)
{
	unsigned flags = flags_of(p);
	int rc;

	buf_append_char(out, (char)(flags >> 8));
	buf_append_char(out, (char)flags);
	if ((rc = write_text(p, AMQP_CONTENT_TYPE, out, err)) < 0 ||
	    (rc = write_text(p, AMQP_CONTENT_ENCODING, out, err)) < 0 ||
	    (rc = write_headers(p, out, err)) < 0)
		return rc;
	if (p->delivery_mode)
		buf_append_char(out, (char)p->delivery_mode);
	if (p->has_priority)
		buf_append_char(out, (char)p->priority);
	for (int i = AMQP_CORRELATION_ID; i <= AMQP_MESSAGE_ID && rc == 0; i++)
		rc = write_text(p, (enum amqp_text)i, out, err);
	for (int shift = 56; p->has_timestamp && shift >= 0; shift -= 8)
		buf_append_char(out, (char)(p->timestamp >> shift));
	for (int i = AMQP_TYPE; i < AMQP_TEXTS && rc == 0; i++)
		rc = write_text(p, (enum amqp_text)i, out, err);
	return rc < 0 ? rc : buf_status(out, err);
}

void amqp_properties_done(struct amqp_properties *p)
{
	for (size_t i = 0; i < AMQP_TEXTS; i++)
		free(p->text[i]);
	json_decref(p->headers);
	*p = (struct amqp_properties){0};
}
