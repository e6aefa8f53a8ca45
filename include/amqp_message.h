/*
 * amqp_message.h: a task message as RabbitMQ carries it, and as kombu's virtual envelope
 * (message.h), which is what all above the broker reads and writes. Pure, [any].
 */
#ifndef CELERIAC_AMQP_MESSAGE_H
#define CELERIAC_AMQP_MESSAGE_H

#include "amqp.h"
#include "buf.h"
#include "err.h"

/* Appends the envelope of a delivery: its body as it is, in base64, its headers and properties, and
 * as delivery_info where it came from; `redelivered` is in it when it is true. ERR_TOOBIG; the
 * delivery's own fault, if it has one. */
int amqp_envelope_from_delivery(const struct amqp_delivery *d, struct buf *out,
				struct err *err) must_check;
/*
 * What to publish so that a reader of RabbitMQ gets what a reader of the envelope would: properties
 * given (amqp_properties_done), the body appended. Properties that AMQP does not have are left out,
 * so is user_id, which must be that of the connection. ERR_INVALID, ERR_TOOBIG: it is no envelope,
 * or its headers have no place in AMQP.
 */
int amqp_envelope_to_publish(const char *envelope, size_t len, struct amqp_properties *ret,
			     struct buf *body, struct err *err) must_check;

#endif
