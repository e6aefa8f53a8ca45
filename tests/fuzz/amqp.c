/* What a RabbitMQ server sends: the first byte chooses between a stream of frames, as the client's
 * connection reads it, properties, and a header table, which is the same after it was written. */
#include "bounds.h"
#include "common/client/amqp_wire.h"
#include "fuzz.h"

static void properties_done(struct amqp_properties *p)
{
	for (size_t i = 0; i < AMQP_TEXTS; i++)
		fuzz_made_text(p->text[i]);
	fuzz_made_json(p->headers);
	amqp_properties_done(p);
}

static void read_frames(const char *data, size_t size)
{
	struct amqp_in_frame f;
	amqp_pool_t pool;
	size_t used = 0;
	struct err err;
	int rc = 0;

	init_amqp_pool(&pool, 4096);
	for (size_t at = 0; rc >= 0 && at < size; at += used) {
		struct amqp_in_method m;
		struct slice properties;
		uint64_t body;

		rc = amqp_get_frame(data + at, size - at, BOUND_AMQP_FRAME, &f, &used, &err);
		if (rc != 1)
			break;
		FUZZ_CHECK(used <= size - at && f.len < used);
		if (f.kind == FRAME_METHOD) {
			recycle_amqp_pool(&pool);
			rc = amqp_get_method(&f, &pool, &m, &err);
		} else if (f.kind == FRAME_HEADER) {
			struct amqp_properties p;

			rc = amqp_get_header(&f, &body, &properties, &err);
			if (rc == 0)
				rc = amqp_properties_read(properties.data, properties.len, &p,
							  &err);
			if (rc == 0)
				properties_done(&p);
		}
	}
	if (rc < 0)
		fuzz_failed(rc, &err);
	empty_amqp_pool(&pool);
}

static void read_properties(const char *data, size_t size)
{
	struct amqp_properties p, again;
	_cleanup_buf_ struct buf out = BUF_INIT(4 * BOUND_AMQP_FRAME);
	struct err err;
	int rc = amqp_properties_read(data, size, &p, &err);

	if (rc < 0) {
		fuzz_failed(rc, &err);
		return;
	}
	/* What is not UTF-8 grows when it is made so, and may be too long then. */
	if (amqp_properties_write(&p, &out, &err) == 0) {
		if (amqp_properties_read(out.data, out.len, &again, &err) < 0) {
			FUZZ_CHECK(false);
			again = (struct amqp_properties){0};
		}
		FUZZ_CHECK((p.headers != NULL) == (again.headers != NULL));
		FUZZ_CHECK(p.has_priority == again.has_priority && p.priority == again.priority);
		amqp_properties_done(&again);
	}
	properties_done(&p);
}

static void read_table(const char *data, size_t size)
{
	_cleanup_json_ json_t *value = NULL, *again = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(16 * BOUND_AMQP_FRAME);
	struct err err;
	int rc = amqp_json_from_table(data, size, &value, &err);

	if (rc < 0) {
		fuzz_failed(rc, &err);
		return;
	}
	fuzz_made_json(value);
	if (amqp_json_to_table(value, &out, &err) < 0) {
		fuzz_failed(-err.code, &err);
		return;
	}
	fuzz_made(&out);
	FUZZ_CHECK(amqp_json_from_table(out.data, out.len, &again, &err) == 0);
}

int fuzz_amqp(const uint8_t *bytes, size_t size)
{
	const char *data = (const char *)bytes + 1;

	if (size == 0)
		return 0;
	switch (bytes[0]) {
	case 'f':
		read_frames(data, size - 1);
		break;
	case 'p':
		read_properties(data, size - 1);
		break;
	default:
		read_table(data, size - 1);
		break;
	}
	return 0;
}
