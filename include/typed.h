/*
 * typed.h: values that JSON has no type for, as kombu writes them (kombu/utils/json.py).
 *
 * Since 5.3 an object of exactly the two members "__type__" and "__value__" stands for a datetime,
 * a date, a time, a decimal, a UUID or bytes; before, all of these but bytes were plain strings.
 * Such objects stay in arguments and results as they came; these functions are for those who need
 * what is inside, and take both forms. All [any].
 */
#ifndef CELERIAC_TYPED_H
#define CELERIAC_TYPED_H

#include <jansson.h>

#include "base.h"
#include "buf.h"
#include "err.h"

#define TYPED_KEY "__type__" /* of each such object, and of no other */

enum typed_kind {
	TYPED_NONE, /* any other value */
	TYPED_DATETIME,
	TYPED_DATE,
	TYPED_TIME,
	TYPED_DECIMAL,
	TYPED_UUID,
	TYPED_BYTES,
	TYPED_BASE64,
	TYPED_UNKNOWN /* the two members, but a type that kombu does not know */
};
enum typed_kind typed_kind(const json_t *value);
/* The same for those who write it as something else than this object: TYPED_NONE also where the
 * value is not what its type says, and so is no more than an object. */
enum typed_kind typed_whole_kind(const json_t *value);

/* ERR_INVALID when `value` or anything in it is of an unknown type, or not what its type says:
 * kombu cannot read such a message either. */
int typed_check(const json_t *value, struct err *err) must_check;

/* Appends the bytes of bytes, in either typed form, or of a plain string as UTF-8. ERR_INVALID. */
int typed_read_bytes(const json_t *value, struct buf *out, struct err *err) must_check;

/* The instant of a datetime or date (its midnight), typed or plain, then as clock_isoparse reads
 * it; without an offset it is UTC. ERR_INVALID. */
int typed_read_time(const json_t *value, usec_t *ret_wall, struct err *err) must_check;

/* A decimal, UUID (32 or 36 characters) or time as its text; also of the plain string. Borrowed;
 * NULL for anything else. */
const char *typed_text(const json_t *value);

/* Bytes as kombu writes them: "bytes" when they are UTF-8, else "base64". Given; NULL without
 * memory. */
json_t *typed_bytes(const void *data, size_t len);
/* A datetime or date from its ISO text. Given; NULL without memory. */
json_t *typed_time(enum typed_kind kind, const char *iso);

#endif
