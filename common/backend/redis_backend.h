/*
 * redis_backend.h: what the files of the Redis backend share.
 */
#ifndef CELERIAC_REDIS_BACKEND_H
#define CELERIAC_REDIS_BACKEND_H

#include "backend.h"
#include "redis.h"

struct backend {
	bool disabled, shares_broker;
	bool extended;
	bool chord_ordered; /* result_chord_ordered: parts by group index, not by arrival */
	int64_t ttl;	    /* seconds */
	char *key_prefix;
	struct redis_link *link; /* borrowed from the broker when shared */
	struct redis_script store, unbegun, chord_part;
};

#endif
