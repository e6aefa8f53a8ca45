/*
 * Attaching to an agent, and frames to and from it.
 */
#include "agent_link.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "clock.h"
#include "codec.h"
#include "log.h"
#include "mem.h"

#define SEND_AT_ONCE (128u << 10) /* bytes queued before they are sent */
#define KEEP_BYTES   (16u << 10)
#define HELLO_TRIES  3
#define FOREIGN_MAX  1024 /* frames of other epochs and complaints in a row */

struct agent_link {
	struct engine_stream *stream;
	uint32_t epoch, last_run, version;
	bool was_busy;
	bool joined; /* the agent has answered */
	struct buf out;
	struct frame_reader reader;
	const unsigned char *piece; /* of the stream, not read yet */
	size_t left;
};

static void close_link(struct agent_link **l)
{
	agent_link_close(*l);
}

void agent_link_close(struct agent_link *l)
{
	if (l == NULL)
		return;
	engine_stream_close(l->stream);
	buf_done(&l->out);
	free(l);
}

uint32_t agent_link_epoch(const struct agent_link *l)
{
	return l->epoch;
}

uint32_t agent_link_version(const struct agent_link *l)
{
	return l->version;
}

bool agent_link_was_busy(struct agent_link *l)
{
	bool busy = l->was_busy;

	l->was_busy = false;
	return busy;
}

uint32_t agent_link_next_run(struct agent_link *l)
{
	if (++l->last_run == 0)
		l->last_run = 1;
	return l->last_run;
}

bool agent_link_is_quiet(const struct agent_link *l)
{
	struct pollfd fd = {.fd = engine_stream_fd(l->stream), .events = POLLIN};

	return l->left == 0 && l->out.len == 0 && poll(&fd, 1, 0) == 0;
}

int agent_link_fd(const struct agent_link *l)
{
	return engine_stream_fd(l->stream);
}

int agent_link_flush(struct agent_link *l, usec_t deadline, struct err *err)
{
	int rc = buf_status(&l->out, err);

	if (rc == 0 && l->out.len > 0)
		rc = engine_stream_write(l->stream, l->out.data, l->out.len, deadline, err);
	/* A link lives for as long as its conversation; what one large file needed must not. */
	if (l->out.size > KEEP_BYTES)
		buf_done(&l->out);
	else
		buf_reset(&l->out);
	return rc < 0 ? err_wrap(err, "to the agent") : 0;
}

int agent_link_send(struct agent_link *l, enum frame_type type, unsigned flags, uint32_t run,
		    const void *data, size_t len, usec_t deadline, struct err *err)
{
	unsigned char header[FRAME_HEADER];

	if (len > FRAME_PAYLOAD)
		BUG("frame of %zu bytes", len);
	frame_header(header, type, flags, l->epoch, run, (uint32_t)len);
	buf_append(&l->out, header, sizeof(header));
	buf_append(&l->out, data, len);
	if (l->out.len >= SEND_AT_ONCE)
		return agent_link_flush(l, deadline, err);
	return 0;
}

/* Puts bytes of the stream into `piece`; 0 or an error. */
static int receive_piece(struct agent_link *l, usec_t deadline, struct err *err)
{
	enum engine_channel channel;
	const void *data;
	int rc;

	while (l->left == 0) {
		rc = engine_stream_read(l->stream, deadline, &channel, &data, &l->left, err);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			l->left = 0;
			return err_set(err, ERR_CLOSED, "the agent's stream ended");
		}
		l->piece = data;
		if (channel == ENGINE_STDOUT)
			break;
		/* The agent writes to its standard output alone; a flood of the other is no sign of
		 * life. */
		l->left = 0;
		if (clock_mono() >= deadline)
			return err_set(err, ERR_TIMEOUT, "nothing from the agent within the time");
	}
	return 0;
}

static int receive_any(struct agent_link *l, usec_t deadline, struct frame *ret, struct err *err)
{
	bool whole = false;
	size_t used;
	int rc;

	while (!whole) {
		rc = receive_piece(l, deadline, err);
		if (rc < 0)
			return rc;
		used = frame_read(&l->reader, l->piece, l->left, ret, &whole);
		l->piece += used;
		l->left -= used;
		/* from its first frame on an agent's stream is in step; what is not, is not its own
		 */
		if (l->reader.lost && l->joined)
			return err_set(err, ERR_PROTOCOL, "no sense in the agent's stream");
		if (l->reader.lost && clock_mono() >= deadline)
			return err_set(err, ERR_TIMEOUT, "no sense in the agent's stream");
	}
	return 0;
}

int agent_link_receive(struct agent_link *l, usec_t deadline, struct frame *ret, struct err *err)
{
	for (int i = 0; i < FOREIGN_MAX; i++) {
		int rc = receive_any(l, deadline, ret, err);

		if (rc == -ERR_CLOSED && l->reader.lost)
			rc = err_set(err, ERR_PROTOCOL, "the stream ended in nonsense");
		if (rc < 0)
			return rc == -ERR_TIMEOUT ? rc : err_wrap(err, "from the agent");
		if (l->reader.lost || ret->type < FRAME_WELCOME)
			return err_set(err, ERR_PROTOCOL, "from the agent: not a frame of its own");
		if (ret->type == FRAME_COMPLAINT)
			log_debug("the agent complains: %.*s",
				  (int)(ret->len < 200 ? ret->len : 200), (const char *)ret->data);
		else if (ret->epoch == l->epoch && ret->type == FRAME_SUPERSEDED)
			return err_set(err, ERR_CONFLICT, "another worker has attached");
		else if (ret->epoch == l->epoch)
			return 0;
	}
	return err_set(err, ERR_PROTOCOL, "from the agent: nothing but frames that are not for us");
}

static int send_hello(struct agent_link *l, const unsigned char nonce[FRAME_NONCE], bool preamble,
		      usec_t deadline, struct err *err)
{
	unsigned char payload[FRAME_NONCE + 4];
	char *zeros;
	int rc;

	if (preamble && (zeros = buf_reserve(&l->out, FRAME_PREAMBLE)) != NULL) {
		memset(zeros, 0, FRAME_PREAMBLE);
		buf_added(&l->out, FRAME_PREAMBLE);
	}
	buf_append(&l->out, frame_sync_mark, FRAME_HEADER);
	memcpy(payload, nonce, FRAME_NONCE);
	frame_put_u32(payload + FRAME_NONCE, FRAME_VERSION);
	rc = agent_link_send(l, FRAME_HELLO, 0, 0, payload, sizeof(payload), deadline, err);
	return rc < 0 ? rc : agent_link_flush(l, deadline, err);
}

/* 1 when the agent obeys; 0 when it obeys another, whose epoch is then in l->epoch. */
static int hello(struct agent_link *l, bool preamble, usec_t deadline, struct err *err)
{
	unsigned char nonce[FRAME_NONCE];
	struct frame_welcome w;
	struct frame_cursor c;
	struct frame f;
	int rc;

	random_bytes(nonce, sizeof(nonce));
	frame_reader_init_joining(&l->reader, l->epoch, nonce);
	rc = send_hello(l, nonce, preamble, deadline, err);
	if (rc == 0)
		rc = receive_any(l, deadline, &f, err);
	if (rc < 0)
		return rc;
	c = (struct frame_cursor){.data = f.data + FRAME_NONCE, .left = f.len - FRAME_NONCE};
	w.version = frame_get_u32(&c);
	w.flags = frame_get_u32(&c);
	w.epoch = frame_get_u32(&c);
	/* One that is ahead of us by more does not obey us. */
	if (w.version < FRAME_VERSION_MIN || w.version > FRAME_VERSION + 1)
		return err_set(err, ERR_UNSUPPORTED, "the agent speaks version %u, not %u",
			       w.version, FRAME_VERSION);
	l->version = w.version < FRAME_VERSION ? w.version : FRAME_VERSION;
	l->was_busy = w.flags & FRAME_WELCOME_BUSY;
	if (w.flags & FRAME_WELCOME_OBEYS)
		return 1;
	if (w.epoch < l->epoch || w.epoch == UINT32_MAX)
		return err_set(err, ERR_PROTOCOL, "the agent refuses epoch %u and obeys %u",
			       l->epoch, w.epoch);
	l->epoch = w.epoch;
	return 0;
}

int agent_link_open(struct engine *e, const char *container, uint32_t epoch, bool joining,
		    usec_t deadline, struct agent_link **ret, struct err *err)
{
	_cleanup_(close_link) struct agent_link *l = xcalloc(1, sizeof(*l));
	int rc;

	l->out = BUF_INIT(SEND_AT_ONCE + 2 * FRAME_PREAMBLE);
	l->epoch = epoch;
	rc = engine_attach(e, container, &l->stream, err);
	for (int i = 0; rc == 0 && i < HELLO_TRIES; i++) {
		rc = hello(l, joining && i == 0, deadline, err);
		if (rc == 0)
			l->epoch++;
	}
	if (rc == 0)
		rc = err_set(err, ERR_PROTOCOL, "the agent obeys nobody");
	if (rc < 0)
		return err_wrap(err, "hello");
	l->joined = true;
	*ret = TAKE(l);
	return 0;
}

int agent_link_ask(struct agent_link *l, enum frame_type type, uint32_t run, usec_t deadline,
		   struct frame *ret, struct err *err)
{
	int rc = agent_link_send(l, type, 0, run, "", 0, deadline, err);

	if (rc == 0)
		rc = agent_link_flush(l, deadline, err);
	return rc < 0 ? rc : agent_link_receive(l, deadline, ret, err);
}
