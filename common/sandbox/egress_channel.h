/*
 * egress_channel.h: one connection out of a sandbox, as a machine of states.
 *
 *   HEAD ─▶ LOOKUP ─▶ CONNECTING ─┬──────────▶ RELAY ─▶ gone
 *     │        │           │      └─▶ GREETING ──┘
 *     └────────┴───────────┴─────────────┴─▶ refused: an answer or a reset, then gone
 */
#ifndef CELERIAC_SANDBOX_EGRESS_CHANNEL_H
#define CELERIAC_SANDBOX_EGRESS_CHANNEL_H

#include "egress.h"
#include "egress_head.h"
#include "egress_tls.h"

#define EGRESS_GREETING_TIME (20 * USEC_PER_SEC)

enum channel_state {
	CHANNEL_FREE,
	CHANNEL_HEAD,	    /* what the client wants is not known yet */
	CHANNEL_LOOKUP,	    /* the name is being looked up */
	CHANNEL_CONNECTING, /* to addresses[next - 1] */
	CHANNEL_GREETING,   /* the TLS greeting has to name the host */
	CHANNEL_RELAY,
	CHANNEL_ANSWERED /* refused; what the client still sends is thrown away */
};

struct egress_channel {
	struct egress *egress;
	enum channel_state state;
	uint32_t id;
	int fd;			/* of the origin, -1 = none */
	bool callback;		/* the origin is the application's, … */
	struct egress_tls *tls; /* … which may want TLS; else NULL */
	short tls_wanted;	/* what TLS waits for, 0 = nothing of its own */
	struct lookup *lookup;
	struct ip_address addresses[OUTBOUND_ADDRESSES];
	size_t address_count, next;
	struct egress_request request;
	struct buf up;	/* for the origin */
	size_t made;	/* first bytes of `up` that are not the client's own */
	size_t taken;	/* of the client's, out of the way and not told */
	size_t allowed; /* bytes the client may still send */
	size_t window;	/* bytes that may be sent to the client */
	bool client_done, origin_done, shut;
	usec_t began, deadline; /* monotonic; USEC_NEVER */
	uint64_t up_bytes, down_bytes;
};

struct egress {
	const struct sandbox_egress *wish;
	egress_send_fn *send;
	void *arg;
	struct egress_channel channels[FRAME_CHANNELS];
	int64_t connections, bytes; /* so far */
	usec_t second;		    /* monotonic: when this one began */
	int64_t in_second;	    /* connections */
};

/* egress_channel.c. Errors are those of `send`. */
int channel_open(struct egress *e, struct egress_channel *c, uint32_t id, struct err *err);
int channel_sent(struct egress_channel *c, const char *data, size_t len, struct err *err);
int channel_client_done(struct egress_channel *c, struct err *err);
/* The client is gone. */
void channel_gone(struct egress_channel *c, const char *reason);
/* What to wait for. */
struct pollfd channel_poll(const struct egress_channel *c);
int channel_work(struct egress_channel *c, short revents, usec_t now, struct err *err);

/* egress_connect.c: from a name to a connection */
/* Begins; 0 also when the channel was refused. */
int channel_route(struct egress_channel *c, struct err *err);
int channel_looked_up(struct egress_channel *c, struct err *err);
/* The first address, or the next after one that does not answer. */
int channel_connect_next(struct egress_channel *c, struct err *err);
int channel_connected(struct egress_channel *c, struct err *err);
void channel_close_origin(struct egress_channel *c);

/* egress_callback.c: requests to the application */
bool channel_is_callback(const struct egress_channel *c);
/* Puts what goes to the application in place of the request's head. ERR_DENIED. */
int channel_make_callback(struct egress_channel *c, struct err *err);
const struct outbound_host *channel_host(const struct egress_channel *c);
uint16_t channel_port(const struct egress_channel *c);

/* As recv and send on the origin's connection, through TLS where it has that. */
ssize_t channel_recv(struct egress_channel *c, void *data, size_t size);
ssize_t channel_write(struct egress_channel *c, const void *data, size_t len);
/* The client has taken something: more may be read. */
int channel_window_opened(struct egress_channel *c, struct err *err);

/* Ends with an HTTP answer. `decision` and `reason` are for the audit, `say` for the client. */
int channel_refuse(struct egress_channel *c, int status, const char *decision, const char *reason,
		   const char *say, struct err *err);
/* Ends both sides at once. */
int channel_reset(struct egress_channel *c, const char *decision, const char *reason,
		  struct err *err);
int channel_send(struct egress_channel *c, enum frame_type type, const void *data, size_t len,
		 struct err *err);

#endif
