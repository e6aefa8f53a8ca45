/*
 * pickle.h: plain data as Python pickles it. Nothing that names code is written or read: no class,
 * no call, no persistent id. Pure. [any]
 */
#ifndef CELERIAC_BACKEND_PICKLE_H
#define CELERIAC_BACKEND_PICKLE_H

#include <jansson.h>

#include "buf.h"
#include "err.h"

#define PICKLE_MARK 0x80 /* the first byte of protocol 2 and later */

/* Appends protocol 2, which every Python reads: None, bool, int, float, str, list, dict.
 * ERR_TOOBIG; ERR_UNSUPPORTED: a lone surrogate. */
int pickle_write(const json_t *value, struct buf *out, struct err *err) must_check;
/* The value of protocols 2 to 5; tuples become lists. Given. ERR_UNSUPPORTED: it holds something
 * that is more than plain data; ERR_INVALID, ERR_TOOBIG. */
int pickle_read(struct slice text, json_t **ret, struct err *err) must_check;

#endif
