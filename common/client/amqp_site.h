/*
 * amqp_site.h: the inside of an address.
 */
#ifndef CELERIAC_AMQP_SITE_H
#define CELERIAC_AMQP_SITE_H

#include <stdatomic.h>

#include "amqp.h"

#define AMQP_CONNECT_TIMEOUT (4 * USEC_PER_SEC) /* Celery's broker_connection_timeout */
#define AMQP_HEARTBEAT	     10

/* Constant but for refs and current. */
struct amqp_address {
	atomic_int refs;
	atomic_uint current; /* the server that all connections use; moves on when it fails */
	struct amqp_server *servers;
	size_t count; /* at least 1 */
	struct amqp_tuning tuning;
	char *safe;
};

/* `server` is of no use: everybody goes on to another, unless somebody has said so before. */
void amqp_address_failed(struct amqp_address *a, unsigned server);

#endif
