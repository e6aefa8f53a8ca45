/*
 * pickle_integer.h: integers of any size, as Python pickles them. Private to common/backend. Pure.
 * [any]
 */
#ifndef CELERIAC_BACKEND_PICKLE_INTEGER_H
#define CELERIAC_BACKEND_PICKLE_INTEGER_H

#include <jansson.h>

#include "base.h"
#include "err.h"

/* `size` bytes with their sign, the lowest first (LONG1, LONG4). Given. ERR_TOOBIG: more digits
 * than Python reads; ERR_NOMEM. */
int pickle_integer_of_bytes(const unsigned char *p, size_t size, json_t **ret,
			    struct err *err) must_check;
/* A line of digits, which may end in "L" (LONG, of protocols below 2). Given. ERR_INVALID: it is
 * none. */
int pickle_integer_of_digits(struct slice line, json_t **ret, struct err *err) must_check;

#endif
