/*
 * backoff.c: pauses between tries.
 */
#include "backoff.h"

#include "codec.h"

usec_t backoff_next(usec_t last, usec_t most)
{
	if (last == 0)
		return BACKOFF_FIRST;
	return last * 2 < most ? last * 2 : most;
}

usec_t backoff_jitter(usec_t pause)
{
	uint32_t random;

	random_bytes(&random, sizeof(random));
	return pause / 2 + (usec_t)(random % (uint32_t)(pause / 2 + 1));
}
