/*
 * amqp_conn.c: the bytes of a connection, and how it ends.
 */
#include "amqp_conn.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "mem.h"

#define IN_SIZE (2 * (size_t)BOUND_AMQP_FRAME)

int amqp_refusal(unsigned code, amqp_bytes_t text, struct err *err)
{
	static const struct refusal {
		unsigned code;
		enum err_code is;
	} refusals[] = {
		{311, ERR_TOOBIG},	/* content-too-large */
		{320, ERR_UNAVAILABLE}, /* connection-forced */
		{402, ERR_DENIED},	/* invalid-path */
		{403, ERR_DENIED},	/* access-refused */
		{404, ERR_NOTFOUND},	/* not-found */
		{405, ERR_CONFLICT},	/* resource-locked */
		{406, ERR_CONFLICT},	/* precondition-failed */
		{503, ERR_INVALID},	/* command-invalid */
		{530, ERR_DENIED},	/* not-allowed */
		{540, ERR_UNSUPPORTED}, /* not-implemented */
		{541, ERR_UNSUPPORTED}, /* internal-error: RabbitMQ 4.3 says it of what it has given
					   up */
	};
	enum err_code is = ERR_FAILED;
	int len = text.len > AMQP_REFUSAL_MOST ? AMQP_REFUSAL_MOST : (int)text.len;

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (refusals[i].code == code)
			is = refusals[i].is;
	(void)err_set(err, is, "%.*s (%u)", len, len > 0 ? (const char *)text.bytes : "", code);
	/* Somebody else has it for now: an exclusive queue of a connection that is ending. */
	if (code == 405)
		(void)err_transient(err);
	return -err->code;
}

int amqp_arguments(const json_t *object, amqp_pool_t *pool, struct buf *bytes, amqp_table_t *ret,
		   struct err *err)
{
	size_t offset = 0;
	int rc;

	*ret = (amqp_table_t){0};
	if (!object)
		return 0;
	if (!json_is_object(object))
		return err_set(err, ERR_INVALID, "arguments are no object");
	rc = amqp_json_to_table(object, bytes, err);
	if (rc < 0)
		return rc;
	return amqp_decode_table(amqp_bytes_of(bytes->data, bytes->len), pool, ret, &offset) < 0
		       ? err_set(err, ERR_INVALID, "arguments cannot be written")
		       : 0;
}

int amqp_conn_write(struct amqp_conn *c, struct err *err)
{
	int rc = buf_status(&c->out, err);
	size_t done = 0;

	while (rc == 0 && done < c->out.len) {
		struct iovec iov = {.iov_base = c->out.data + done, .iov_len = c->out.len - done};
		ssize_t n = socket_write(&c->socket, &iov, 1, err);

		if (n < 0)
			rc = (int)n;
		if (n <= 0)
			break;
		done += (size_t)n;
		c->wrote_at = clock_mono();
	}
	buf_consume(&c->out, done);
	return rc;
}

ssize_t amqp_conn_fill(struct amqp_conn *c, struct err *err)
{
	ssize_t n;

	if (c->in_at == c->in_len)
		c->in_at = c->in_len = 0;
	/* What is left is less than a frame. */
	if (c->in_len > IN_SIZE / 2 && c->in_at > 0) {
		memmove(c->in, c->in + c->in_at, c->in_len - c->in_at);
		c->in_len -= c->in_at;
		c->in_at = 0;
	}
	n = socket_read(&c->socket, c->in + c->in_len, IN_SIZE - c->in_len, err);
	if (n > 0) {
		c->in_len += (size_t)n;
		c->read_at = clock_mono();
	}
	return n;
}

int amqp_conn_next(struct amqp_conn *c, struct amqp_in_frame *ret, struct err *err)
{
	size_t used;
	int rc = amqp_get_frame(c->in + c->in_at, c->in_len - c->in_at, c->frame_max, ret, &used,
				err);

	if (rc == 1)
		c->in_at += used;
	return rc;
}

int amqp_conn_method(struct amqp_conn *c, const struct amqp_in_frame *f, struct amqp_in_method *ret,
		     struct err *err)
{
	recycle_amqp_pool(&c->pool);
	return amqp_get_method(f, &c->pool, ret, err);
}

/* Looks through what was read: 1 when the answer is there. */
static int find_close_ok(struct amqp_conn *c, struct err *err)
{
	struct amqp_in_frame f;
	struct amqp_in_method m;
	int rc;

	while ((rc = amqp_conn_next(c, &f, err)) == 1) {
		if (f.kind != FRAME_METHOD || f.channel != 0)
			continue;
		rc = amqp_conn_method(c, &f, &m, err);
		if (rc < 0)
			return rc;
		if (m.id == AMQP_CONNECTION_CLOSE_OK_METHOD)
			return 1;
	}
	return rc;
}

void amqp_conn_finish(struct amqp_conn *c, usec_t deadline)
{
	amqp_connection_close_t bye = {.reply_code = 200, .reply_text = amqp_cstring_bytes("bye")};
	struct err err;
	ssize_t n = 1;

	amqp_put_method(&c->out, 0, AMQP_CONNECTION_CLOSE_METHOD, &bye);
	for (;;) {
		short events;

		if (amqp_conn_write(c, &err) < 0 || (n > 0 && find_close_ok(c, &err) != 0))
			return;
		n = amqp_conn_fill(c, &err);
		if (n < 0)
			return;
		events = (short)(POLLIN | (c->out.len > 0 ? POLLOUT : 0));
		if (n == 0 && socket_wait(&c->socket, events, deadline, &err) < 0)
			return;
	}
}

void amqp_conn_free(struct amqp_conn *c)
{
	if (!c)
		return;
	socket_close(&c->socket);
	empty_amqp_pool(&c->pool);
	buf_done(&c->out);
	free(c->in);
	amqp_address_unref(c->address);
	free(c);
}
