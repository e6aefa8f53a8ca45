/*
 * amqp_wire.h: AMQP's bytes, pure: frames, methods, properties, tables. The only files that know
 * rabbitmq-c are those that include this.
 */
#ifndef CELERIAC_AMQP_WIRE_H
#define CELERIAC_AMQP_WIRE_H

#include "amqp.h"
#include "amqp_lib.h"
#include "buf.h"

#define AMQP_CLASS_BASIC 60

/* ---- amqp_table.c ---- */
/* The size of the table that begins at `bytes`, itself included, when all of it is well formed and
 * no deeper than BOUND_AMQP_DEPTH. ERR_PROTOCOL, ERR_TOOBIG. */
int amqp_table_walk(const void *bytes, size_t len, size_t *ret_size, struct err *err) must_check;
/* Of a table that was walked through. Given. ERR_NOMEM. */
int amqp_table_to_json(const amqp_table_t *t, json_t **ret, struct err *err) must_check;

/* ---- amqp_properties.c ---- */
/* Whether the library may decode the payload of a content header, from its flags on. */
int amqp_properties_walk(const void *data, size_t len, struct err *err) must_check;

/* ---- amqp_frame.c: writing; out->failed says that a frame was too long ---- */
enum frame_kind { FRAME_METHOD = 1, FRAME_HEADER = 2, FRAME_BODY = 3, FRAME_HEARTBEAT = 8 };
#define FRAME_HEAD 7 /* bytes before a payload; one follows it */
void amqp_put_frame(struct buf *out, enum frame_kind kind, uint16_t channel, const void *payload,
		    size_t len);
/* A method of the library with its structure. */
void amqp_put_method(struct buf *out, uint16_t channel, amqp_method_number_t id, void *decoded);
/* The header of a content with properties as amqp_properties_write wrote them. */
void amqp_put_header(struct buf *out, uint16_t channel, uint64_t body_size, const void *properties,
		     size_t len);
void amqp_put_heartbeat(struct buf *out);

/* ---- … reading ---- */
struct amqp_in_frame {
	enum frame_kind kind;
	uint16_t channel;
	const char *payload; /* borrowed */
	size_t len;
};
/* The first frame of what was read: 1 and its size in *ret_used, 0 when it is not complete,
 * ERR_PROTOCOL; ERR_TOOBIG when it is longer than `frame_max`, before any of it is waited for. */
int amqp_get_frame(const char *data, size_t len, size_t frame_max, struct amqp_in_frame *ret,
		   size_t *ret_used, struct err *err) must_check;
struct amqp_in_method {
	amqp_method_number_t id;
	void *decoded; /* in the pool */
};
/* Of a frame of kind FRAME_METHOD; `pool` was recycled by the caller. ERR_PROTOCOL. */
int amqp_get_method(const struct amqp_in_frame *f, amqp_pool_t *pool, struct amqp_in_method *ret,
		    struct err *err) must_check;
/* Of one of kind FRAME_HEADER: the size of the body; the properties are what follows. */
int amqp_get_header(const struct amqp_in_frame *f, uint64_t *ret_body, struct slice *ret_properties,
		    struct err *err) must_check;
/* Whether the method answers a request of number `request`. */
static inline bool amqp_answers(amqp_method_number_t id, amqp_method_number_t request)
{
	return id == request + 1;
}

#endif
