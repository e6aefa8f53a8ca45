/*
 * amqp_frame.c: frames from and to bytes. Pure.
 */
#include <string.h>

#include "amqp_wire.h"
#include "bounds.h"

#define FRAME_END    0xce
#define SMALL_METHOD 1024 /* without a table: some short strings of 255 bytes */

/* ---- writing ---- */

static void put_head(unsigned char head[FRAME_HEAD], enum frame_kind kind, uint16_t channel,
		     size_t len)
{
	head[0] = (unsigned char)kind;
	head[1] = (unsigned char)(channel >> 8);
	head[2] = (unsigned char)channel;
	for (int i = 0; i < 4; i++)
		head[3 + i] = (unsigned char)(len >> (24 - 8 * i));
}

void amqp_put_frame(struct buf *out, enum frame_kind kind, uint16_t channel, const void *payload,
		    size_t len)
{
	unsigned char head[FRAME_HEAD];

	put_head(head, kind, channel, len);
	buf_append(out, head, sizeof(head));
	buf_append(out, payload, len);
	buf_append_char(out, (char)FRAME_END);
}

void amqp_put_method(struct buf *out, uint16_t channel, amqp_method_number_t id, void *decoded)
{
	size_t room = SMALL_METHOD;
	int size = -1;
	char *p = NULL;

	while (size < 0 && room <= BOUND_AMQP_FRAME) {
		p = buf_reserve(out, FRAME_HEAD + 4 + room + 1);
		if (!p)
			return;
		size = amqp_encode_method(id, decoded, amqp_bytes_of(p + FRAME_HEAD + 4, room));
		room = room < BOUND_AMQP_FRAME - FRAME_HEAD - 1 - 4 && size < 0
			       ? BOUND_AMQP_FRAME - FRAME_HEAD - 1 - 4
			       : BOUND_AMQP_FRAME + 1;
	}
	if (size < 0) {
		buf_fail(out, ERR_TOOBIG);
		return;
	}
	put_head((unsigned char *)p, FRAME_METHOD, channel, (size_t)size + 4);
	for (int i = 0; i < 4; i++)
		p[FRAME_HEAD + i] = (char)(id >> (24 - 8 * i));
	p[FRAME_HEAD + 4 + size] = (char)FRAME_END;
	buf_added(out, FRAME_HEAD + 4 + (size_t)size + 1);
}

void amqp_put_header(struct buf *out, uint16_t channel, uint64_t body_size, const void *properties,
		     size_t len)
{
	unsigned char head[FRAME_HEAD + 12] = {0};

	put_head(head, FRAME_HEADER, channel, 12 + len);
	head[FRAME_HEAD + 1] = AMQP_CLASS_BASIC; /* then a weight of 0 */
	for (int i = 0; i < 8; i++)
		head[FRAME_HEAD + 4 + i] = (unsigned char)(body_size >> (56 - 8 * i));
	buf_append(out, head, sizeof(head));
	buf_append(out, properties, len);
	buf_append_char(out, (char)FRAME_END);
}

void amqp_put_heartbeat(struct buf *out)
{
	amqp_put_frame(out, FRAME_HEARTBEAT, 0, "", 0);
}

/* ---- reading ---- */

static uint32_t get_32(const char *data)
{
	const unsigned char *p = (const unsigned char *)data;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int amqp_get_frame(const char *data, size_t len, size_t frame_max, struct amqp_in_frame *ret,
		   size_t *ret_used, struct err *err)
{
	const unsigned char *p = (const unsigned char *)data;
	size_t size;

	/* What a server says that speaks another version, before it closes. */
	if (len >= 4 && memcmp(data, "AMQP", 4) == 0)
		return err_set(err, ERR_PROTOCOL, "the server does not speak AMQP 0-9-1");
	if (len >= 1 && p[0] != FRAME_METHOD && p[0] != FRAME_HEADER && p[0] != FRAME_BODY &&
	    p[0] != FRAME_HEARTBEAT && p[0] != 'A')
		return err_set(err, ERR_PROTOCOL, "a frame of unknown type 0x%02x: no AMQP server?",
			       p[0]);
	if (len < FRAME_HEAD)
		return 0;
	size = get_32(data + 3);
	if (size > frame_max - FRAME_HEAD - 1)
		return err_set(err, ERR_TOOBIG, "a frame of %zu bytes, and %zu were agreed upon",
			       size, frame_max);
	if (len < FRAME_HEAD + size + 1)
		return 0;
	if (p[FRAME_HEAD + size] != FRAME_END)
		return err_set(err, ERR_PROTOCOL, "a frame does not end where it says");
	*ret = (struct amqp_in_frame){
		.kind = (enum frame_kind)p[0],
		.channel = (uint16_t)(p[1] << 8 | p[2]),
		.payload = data + FRAME_HEAD,
		.len = size,
	};
	*ret_used = FRAME_HEAD + size + 1;
	return 1;
}

/* All that a server may say. Others have tables in them, which nobody has walked through. */
static bool is_servers(amqp_method_number_t id)
{
	switch (id) {
	case AMQP_CONNECTION_START_METHOD:
	case AMQP_CONNECTION_TUNE_METHOD:
	case AMQP_CONNECTION_OPEN_OK_METHOD:
	case AMQP_CONNECTION_CLOSE_METHOD:
	case AMQP_CONNECTION_CLOSE_OK_METHOD:
	case AMQP_CONNECTION_BLOCKED_METHOD:
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
	case AMQP_CHANNEL_OPEN_OK_METHOD:
	case AMQP_CHANNEL_CLOSE_METHOD:
	case AMQP_EXCHANGE_DECLARE_OK_METHOD:
	case AMQP_EXCHANGE_DELETE_OK_METHOD:
	case AMQP_EXCHANGE_BIND_OK_METHOD:
	case AMQP_EXCHANGE_UNBIND_OK_METHOD:
	case AMQP_QUEUE_DECLARE_OK_METHOD:
	case AMQP_QUEUE_BIND_OK_METHOD:
	case AMQP_QUEUE_UNBIND_OK_METHOD:
	case AMQP_QUEUE_PURGE_OK_METHOD:
	case AMQP_QUEUE_DELETE_OK_METHOD:
	case AMQP_BASIC_QOS_OK_METHOD:
	case AMQP_BASIC_CONSUME_OK_METHOD:
	case AMQP_BASIC_CANCEL_METHOD:
	case AMQP_BASIC_CANCEL_OK_METHOD:
	case AMQP_BASIC_RETURN_METHOD:
	case AMQP_BASIC_DELIVER_METHOD:
	case AMQP_BASIC_ACK_METHOD:
	case AMQP_BASIC_NACK_METHOD:
	case AMQP_CONFIRM_SELECT_OK_METHOD:
		return true;
	default:
		return false;
	}
}

int amqp_get_method(const struct amqp_in_frame *f, amqp_pool_t *pool, struct amqp_in_method *ret,
		    struct err *err)
{
	size_t size;
	int rc = 0;

	if (f->len < 4)
		return err_set(err, ERR_PROTOCOL, "a method without a number");
	ret->id = get_32(f->payload);
	if (!is_servers(ret->id))
		return err_set(err, ERR_PROTOCOL, "method 0x%08x is none of a server", ret->id);
	/* The one table that a server sends outside of contents, behind two bytes of version. */
	if (ret->id == AMQP_CONNECTION_START_METHOD)
		rc = f->len < 6 ? err_set(err, ERR_PROTOCOL, "connection.start is cut off")
				: amqp_table_walk(f->payload + 6, f->len - 6, &size, err);
	if (rc < 0)
		return rc;
	if (amqp_decode_method(ret->id, pool, amqp_bytes_of(f->payload + 4, f->len - 4),
			       &ret->decoded) < 0)
		return err_set(err, ERR_PROTOCOL, "method 0x%08x cannot be read", ret->id);
	return 0;
}

int amqp_get_header(const struct amqp_in_frame *f, uint64_t *ret_body, struct slice *ret_properties,
		    struct err *err)
{
	if (f->len < 14)
		return err_set(err, ERR_PROTOCOL, "a content header is cut off");
	*ret_body = (uint64_t)get_32(f->payload + 4) << 32 | get_32(f->payload + 8);
	*ret_properties = (struct slice){.data = f->payload + 12, .len = f->len - 12};
	return 0;
}
