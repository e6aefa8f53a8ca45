/*
 * amqp_lib.h: rabbitmq-c, which we use for its methods, properties and tables alone, under either
 * of the names that its releases give it.
 */
#ifndef CELERIAC_AMQP_LIB_H
#define CELERIAC_AMQP_LIB_H

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#endif

#include "base.h"

static inline amqp_bytes_t amqp_bytes_of(const void *data, size_t len)
{
	/* The library only reads what it encodes. */
	union {
		const void *in;
		void *out;
	} v = {.in = data};

	return (amqp_bytes_t){.len = len, .bytes = v.out};
}

#endif
