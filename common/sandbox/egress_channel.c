/*
 * One connection out of a sandbox.
 */
#include "egress_channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

#define PIECE	      (16u << 10)
#define TELL_TAKEN    (16u << 10)
#define CHANNEL_BYTES (FRAME_CHANNEL_WINDOW + 3 * EGRESS_HEAD_BYTES)
#define HEAD_TIME     (20 * USEC_PER_SEC)

/* ---- frames to the client ---- */
int channel_send(struct egress_channel *c, enum frame_type type, const void *data, size_t len,
		 struct err *err)
{
	unsigned char bytes[4 + PIECE];

	if (len > PIECE)
		BUG("a piece of %zu bytes for a channel", len);
	frame_put_u32(bytes, c->id);
	memcpy(bytes + 4, data, len);
	if (type == FRAME_CHANNEL_DATA)
		c->window -= len;
	return c->egress->send(c->egress->arg, type, bytes, 4 + len, err);
}

static int send_number(struct egress_channel *c, enum frame_type type, uint32_t value,
		       struct err *err)
{
	unsigned char bytes[4];

	frame_put_u32(bytes, value);
	return channel_send(c, type, bytes, sizeof(bytes), err);
}

/* `n` bytes of the client's are out of the way. */
static int taken(struct egress_channel *c, size_t n, struct err *err)
{
	int rc;

	c->taken += n;
	if (c->client_done || c->taken == 0 || (c->taken < TELL_TAKEN && c->up.len > 0))
		return 0;
	rc = send_number(c, FRAME_CHANNEL_TAKEN, (uint32_t)c->taken, err);
	c->allowed += c->taken;
	c->taken = 0;
	return rc;
}

/* ---- the end ---- */
static void record(struct egress_channel *c, const char *decision, const char *reason)
{
	const struct sandbox_egress *w = c->egress->wish;
	struct sandbox_egress_event event = {
		.decision = decision,
		.method = c->request.method,
		.host = c->request.host.name,
		.port = c->request.port,
		.reason = reason,
		.up_bytes = c->up_bytes,
		.down_bytes = c->down_bytes,
		.duration = clock_mono() - c->began,
	};
	char address[IP_ADDRESS_TEXT] = "";

	if (c->next > 0)
		ip_address_format(&c->addresses[c->next - 1], address);
	event.address = address;
	if (w->record)
		w->record(w->record_arg, &event);
}

static void release(struct egress_channel *c)
{
	egress_tls_free(c->tls);
	c->tls = NULL;
	channel_close_origin(c);
	lookup_free(c->lookup);
	c->lookup = NULL;
	egress_request_done(&c->request);
	buf_done(&c->up);
}

void channel_gone(struct egress_channel *c, const char *reason)
{
	if (c->state == CHANNEL_RELAY || c->state == CHANNEL_GREETING)
		record(c, "allow", reason);
	else if (c->state != CHANNEL_ANSWERED)
		record(c, "error", reason);
	release(c);
	*c = (struct egress_channel){.state = CHANNEL_FREE};
}

int channel_reset(struct egress_channel *c, const char *decision, const char *reason,
		  struct err *err)
{
	int rc = send_number(c, FRAME_CHANNEL_END, FRAME_CHANNEL_RESET, err);

	record(c, decision, reason);
	release(c);
	*c = (struct egress_channel){.state = CHANNEL_FREE};
	return rc;
}

int channel_refuse(struct egress_channel *c, int status, const char *decision, const char *reason,
		   const char *say, struct err *err)
{
	_cleanup_buf_ struct buf answer = BUF_INIT(1024);
	int rc = 0;

	record(c, decision, reason);
	release(c);
	buf_appendf(&answer,
		    "HTTP/1.1 %d celeriac: %s\r\nContent-Type: text/plain\r\nConnection: close\r\n"
		    "Content-Length: %zu\r\n\r\nceleriac: %s\n",
		    status, say, strlen(say) + 11, say);
	c->up = BUF_INIT(0);
	c->state = CHANNEL_ANSWERED;
	c->deadline = clock_deadline(HEAD_TIME);
	if (answer.len <= c->window)
		rc = channel_send(c, FRAME_CHANNEL_DATA, answer.data, answer.len, err);
	if (rc == 0)
		rc = send_number(c, FRAME_CHANNEL_END, FRAME_CHANNEL_HALF, err);
	if (rc == 0 && c->client_done)
		channel_gone(c, "");
	return rc;
}

/* ---- from the client ---- */
int channel_open(struct egress *e, struct egress_channel *c, uint32_t id, struct err *err)
{
	(void)err;
	*c = (struct egress_channel){.egress = e,
				     .state = CHANNEL_HEAD,
				     .id = id,
				     .fd = -1,
				     .up = BUF_INIT(CHANNEL_BYTES),
				     .allowed = FRAME_CHANNEL_WINDOW,
				     .window = FRAME_CHANNEL_WINDOW,
				     .began = clock_mono(),
				     .deadline = clock_deadline(HEAD_TIME)};
	return 0;
}

/* Of `len` bytes at the end of `up` only what belongs to the request stays. */
static int trim_body(struct egress_channel *c, size_t len, struct err *err)
{
	size_t mine;

	if (c->request.connect)
		return 0;
	mine = egress_body_feed(&c->request.body, c->up.data + c->up.len - len, len);
	c->up.len -= len - mine;
	return taken(c, len - mine, err);
}

/* The head has come: what goes to the origin takes its place. */
static int take_head(struct egress_channel *c, size_t head, struct err *err)
{
	size_t rest = c->up.len - head;
	struct buf up = BUF_INIT(CHANNEL_BYTES);
	struct err why;
	int rc;

	if (egress_request_parse(c->up.data, head, &c->request, &why) < 0)
		return channel_refuse(c, 400, "deny", why.msg, "not a request to a proxy", err);
	if (channel_is_callback(c) && channel_make_callback(c, &why) < 0)
		return channel_refuse(c, 403, "deny", why.msg, why.msg, err);
	buf_append(&up, c->request.head.data, c->request.head.len);
	buf_append(&up, c->up.data + head, rest);
	rc = buf_status(&up, err);
	buf_done(&c->up);
	c->up = up;
	c->made = c->request.head.len;
	buf_done(&c->request.head);
	if (rc == 0)
		rc = taken(c, head, err);
	if (rc == 0)
		rc = trim_body(c, rest, err);
	if (rc == 0 && c->request.body.bad)
		return channel_refuse(c, 400, "deny", "a body that is not chunked coding",
				      "not a request to a proxy", err);
	return rc < 0 ? rc : channel_route(c, err);
}

static int look_for_head(struct egress_channel *c, struct err *err)
{
	size_t head = egress_head_length(c->up.data, c->up.len);

	if (head == 0 && c->up.len < EGRESS_HEAD_BYTES && !c->client_done)
		return 0;
	if (head == 0 || head > EGRESS_HEAD_BYTES)
		return channel_refuse(c, 400, "deny", head ? "too long a head" : "no whole head",
				      "not a request to a proxy", err);
	return take_head(c, head, err);
}

/* The TLS greeting, once it is whole, names the host that was asked for, or nobody. */
static int check_greeting(struct egress_channel *c, struct err *err)
{
	char name[OUTBOUND_NAME_BYTES + 1];
	struct outbound_host host;
	struct err ignored;

	switch (egress_hello_read(c->up.data, c->up.len, name)) {
	case HELLO_MORE:
		if (c->up.len < EGRESS_HELLO_BYTES && !c->client_done)
			return 0;
		return channel_reset(c, "deny", "no whole TLS greeting", err);
	case HELLO_NOT_TLS:
		return channel_reset(c, "deny", "what goes through the tunnel is not TLS", err);
	case HELLO_NAMELESS:
		if (!c->request.host.is_address)
			return channel_reset(c, "deny", "a TLS greeting without a server name",
					     err);
		break;
	case HELLO_NAMED:
		if (outbound_host_parse(name, strlen(name), &host, &ignored) < 0 ||
		    strcmp(host.name, c->request.host.name) != 0)
			return channel_reset(c, "deny", "TLS with another host than was asked for",
					     err);
		break;
	}
	c->state = CHANNEL_RELAY;
	c->deadline = USEC_NEVER;
	return 0;
}

static int count(struct egress_channel *c, uint64_t *which, size_t n, struct err *err)
{
	struct egress *e = c->egress;

	*which += n;
	e->bytes += (int64_t)n;
	if (e->bytes <= e->wish->max_bytes)
		return 0;
	return channel_reset(c, "deny", "more bytes than one run may send and receive", err);
}

static int flush(struct egress_channel *c, struct err *err);

int channel_sent(struct egress_channel *c, const char *data, size_t len, struct err *err)
{
	int rc;

	if (len > c->allowed || c->client_done)
		return err_set(err, ERR_PROTOCOL, "channel %u: more than its window", c->id);
	c->allowed -= len;
	if (c->state == CHANNEL_ANSWERED)
		return taken(c, len, err);
	buf_append(&c->up, data, len);
	rc = buf_status(&c->up, err);
	if (rc < 0)
		return rc;
	if (c->state == CHANNEL_HEAD)
		return look_for_head(c, err);
	rc = trim_body(c, len, err);
	if (rc == 0 && c->request.body.bad)
		return channel_reset(c, "deny", "a body that is not chunked coding", err);
	if (rc == 0 && c->state == CHANNEL_GREETING)
		rc = check_greeting(c, err);
	if (rc == 0 && c->state == CHANNEL_RELAY)
		rc = flush(c, err);
	return rc;
}

/* ---- to and from the origin ---- */
static int end_if_over(struct egress_channel *c)
{
	if (c->origin_done && c->client_done && c->up.len == 0)
		channel_gone(c, NULL);
	return 0;
}

/* What the client has sent goes on, as far as the origin takes it. */
static int flush(struct egress_channel *c, struct err *err)
{
	size_t gone = 0, made;
	ssize_t n;
	int rc;

	while (gone < c->up.len) {
		n = channel_write(c, c->up.data + gone, c->up.len - gone);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return channel_reset(c, "allow", "the host broke it off", err);
		if (n < 0)
			break;
		gone += (size_t)n;
	}
	buf_consume(&c->up, gone);
	made = gone < c->made ? gone : c->made;
	c->made -= made;
	rc = taken(c, gone - made, err);
	if (rc == 0)
		rc = count(c, &c->up_bytes, gone, err);
	if (rc < 0 || c->state == CHANNEL_FREE)
		return rc;
	/* A plain request tells its end itself, and an origin might take a half-closed connection
	 * for a client that has gone. */
	if (c->client_done && c->up.len == 0 && c->request.connect && !c->shut) {
		c->shut = true;
		shutdown(c->fd, SHUT_WR);
	}
	return end_if_over(c);
}

static int read_origin(struct egress_channel *c, struct err *err)
{
	char bytes[PIECE];
	size_t most = c->window < sizeof(bytes) ? c->window : sizeof(bytes);
	ssize_t n = channel_recv(c, bytes, most);
	int rc;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return channel_reset(c, "allow", "the host broke it off", err);
	if (n > 0) {
		rc = channel_send(c, FRAME_CHANNEL_DATA, bytes, (size_t)n, err);
		return rc < 0 ? rc : count(c, &c->down_bytes, (size_t)n, err);
	}
	c->origin_done = true;
	rc = send_number(c, FRAME_CHANNEL_END, FRAME_CHANNEL_HALF, err);
	if (rc < 0)
		return rc;
	/* Nobody will read what the client of a plain request still sends. */
	if (!c->request.connect)
		c->up.len = 0;
	return end_if_over(c);
}

int channel_client_done(struct egress_channel *c, struct err *err)
{
	if (c->client_done)
		return err_set(err, ERR_PROTOCOL, "channel %u ended twice", c->id);
	c->client_done = true;
	switch (c->state) {
	case CHANNEL_HEAD:
		if (c->up.len > 0)
			return look_for_head(c, err);
		return channel_reset(c, "error", "nothing was asked for", err);
	case CHANNEL_GREETING:
		return check_greeting(c, err);
	case CHANNEL_RELAY:
		return flush(c, err);
	case CHANNEL_ANSWERED:
		channel_gone(c, "");
		return 0;
	case CHANNEL_LOOKUP:
	case CHANNEL_CONNECTING:
	case CHANNEL_FREE:
		break;
	}
	return 0;
}

struct pollfd channel_poll(const struct egress_channel *c)
{
	struct pollfd fd = {.fd = -1};

	switch (c->state) {
	case CHANNEL_LOOKUP:
		return (struct pollfd){.fd = lookup_fd(c->lookup), .events = POLLIN};
	case CHANNEL_CONNECTING:
		return (struct pollfd){.fd = c->fd, .events = POLLOUT};
	case CHANNEL_RELAY:
		fd.events = (short)((!c->origin_done && c->window > 0 ? POLLIN : 0) |
				    (c->up.len > 0 && c->tls_wanted == 0 ? POLLOUT : 0) |
				    c->tls_wanted);
		if (fd.events)
			fd.fd = c->fd;
		return fd;
	case CHANNEL_FREE:
	case CHANNEL_HEAD:
	case CHANNEL_GREETING:
	case CHANNEL_ANSWERED:
		break;
	}
	return fd;
}

/* Too long in a state. */
static int late(struct egress_channel *c, struct err *err)
{
	switch (c->state) {
	case CHANNEL_LOOKUP:
		return channel_refuse(c, 504, "error", "the name was not looked up in time",
				      "the name cannot be looked up", err);
	case CHANNEL_CONNECTING:
		return channel_connect_next(c, err);
	case CHANNEL_HEAD:
	case CHANNEL_GREETING:
	case CHANNEL_ANSWERED:
	case CHANNEL_RELAY:
	case CHANNEL_FREE:
		break;
	}
	return channel_reset(c, "error", "the client says nothing", err);
}

static bool may_read(const struct egress_channel *c)
{
	return c->state == CHANNEL_RELAY && !c->origin_done && c->window > 0;
}

static int read_what_is_here(struct egress_channel *c, struct err *err)
{
	int rc = 0;

	while (rc == 0 && may_read(c) && c->tls && egress_tls_has_more(c->tls))
		rc = read_origin(c, err);
	return rc;
}

int channel_window_opened(struct egress_channel *c, struct err *err)
{
	return read_what_is_here(c, err);
}

static int relay(struct egress_channel *c, short revents, struct err *err)
{
	/* TLS may have to write in order to read, and the other way round */
	int rc = c->up.len > 0 && (revents & POLLOUT || c->tls) ? flush(c, err) : 0;

	if (rc == 0 && may_read(c) && (revents & (POLLIN | POLLHUP | POLLERR) || c->tls))
		rc = read_origin(c, err);
	return rc < 0 ? rc : read_what_is_here(c, err);
}

int channel_work(struct egress_channel *c, short revents, usec_t now, struct err *err)
{
	int rc;

	if (!revents)
		return c->deadline <= now ? late(c, err) : 0;
	if (c->state == CHANNEL_LOOKUP)
		return channel_looked_up(c, err);
	if (c->state == CHANNEL_RELAY)
		return relay(c, revents, err);
	if (c->state != CHANNEL_CONNECTING)
		return 0;
	rc = channel_connected(c, err);
	/* what the client sent without waiting */
	if (rc == 0 && c->state == CHANNEL_GREETING)
		rc = check_greeting(c, err);
	if (rc == 0 && c->state == CHANNEL_RELAY)
		rc = flush(c, err);
	return rc;
}
