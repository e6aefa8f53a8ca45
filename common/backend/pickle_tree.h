/*
 * pickle_tree.h: what the memo of a pickle gave more than once. Private to common/backend.
 */
#ifndef CELERIAC_BACKEND_PICKLE_TREE_H
#define CELERIAC_BACKEND_PICKLE_TREE_H

#include <jansson.h>

#include "err.h"

/* A copy of `value` in which no container is twice, though values that are none are shared; given.
 * ERR_TOOBIG: too deep, too many values, too much text (keys, which are copied, and texts), or it
 * holds itself. Pure. [any] */
int pickle_tree(json_t *value, json_t **ret, struct err *err) must_check;
/* Set that error, the second for too much text; both answer -code. */
int pickle_holds_itself(struct err *err);
int pickle_repeats(struct err *err);

#endif
