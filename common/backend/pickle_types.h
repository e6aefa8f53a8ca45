/*
 * pickle_types.h: the classes whose values kombu's JSON has objects for (typed.h), as Python
 * pickles them: a class by its name, called with what a value is made of. No other is known.
 * Private to common/backend. Pure. [any]
 */
#ifndef CELERIAC_BACKEND_PICKLE_TYPES_H
#define CELERIAC_BACKEND_PICKLE_TYPES_H

#include <jansson.h>

#include "base.h"
#include "buf.h"
#include "err.h"

/* Its number; -1: a class that is not known. */
int pickle_class(struct slice module, struct slice name);
/* What it makes of `args`, an array; given. ERR_UNSUPPORTED: nothing; ERR_NOMEM. What is between, a
 * time zone and its offset, is an object of a type that typed.h does not know. */
int pickle_call(int class, const json_t *args, json_t **ret, struct err *err) must_check;
/* Appends the call that makes a typed value; false: it is none, or not as kombu writes it, which
 * Python might not read. Without memory `out` has failed. */
bool pickle_write_typed(const json_t *value, struct buf *out);

#endif
