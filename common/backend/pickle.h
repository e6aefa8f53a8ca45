/*
 * pickle.h: plain data as Python pickles it, with the values that kombu's JSON has a type for
 * (pickle_types.h). Nothing else that names code is written or read: no other class or call, no
 * persistent id. Pure. [any]
 */
#ifndef CELERIAC_BACKEND_PICKLE_H
#define CELERIAC_BACKEND_PICKLE_H

#include <jansson.h>

#include "buf.h"
#include "err.h"

#define PICKLE_MARK 0x80 /* the first byte of protocol 2 and later */

/* Appends protocol 3, which every Python 3 reads: None, bool, int, float, str, list, dict, and of
 * typed values datetime, date, time, Decimal, UUID and bytes. ERR_TOOBIG; ERR_UNSUPPORTED: a lone
 * surrogate. */
int pickle_write(const json_t *value, struct buf *out, struct err *err) must_check;
/* The value of protocols 2 to 5; tuples become lists, and those others typed values. Given.
 * ERR_UNSUPPORTED: it holds something that is more than plain data; ERR_INVALID, ERR_TOOBIG. */
int pickle_read(struct slice text, json_t **ret, struct err *err) must_check;

#endif
