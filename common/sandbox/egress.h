/*
 * egress.h: the way out of a sandbox that has no network. The agent carries what a run's programs
 * say to the proxy on their loopback address as channels (frame.h); here is the proxy: an HTTP
 * proxy (absolute http URLs and CONNECT) that decides, looks names up, connects and relays.
 *
 * Everything from a channel is hostile. Order of a connection: its head is read, the policy's
 * domain rules and the worker's own rules are asked by name, only then the name is looked up, every
 * address is judged, the connection goes to a judged address; where domain rules stand, a tunnel
 * carries TLS whose server name is the host that was asked for. Whatever ends it, one record is
 * given to the audit.
 *
 * One run, one thread: the one that follows the run. Nothing blocks but the callbacks.
 */
#ifndef CELERIAC_SANDBOX_EGRESS_H
#define CELERIAC_SANDBOX_EGRESS_H

#include <poll.h>

#include "frame.h"
#include "outbound.h"
#include "sandbox.h"

/* Sends one frame of the run to the agent; `data` begins with the channel. */
typedef int egress_send_fn(void *arg, enum frame_type type, const void *data, size_t len,
			   struct err *err);

struct egress;
/* `wish` and what it points to are borrowed until egress_free. */
struct egress *egress_new(const struct sandbox_egress *wish, egress_send_fn *send, void *arg);
/* Closes what is open, and records it. NULL is fine. */
void egress_free(struct egress *e);
/* A frame of a channel. ERR_PROTOCOL: the agent broke the rules of the channels; or an error of
 * `send`. */
int egress_frame(struct egress *e, const struct frame *f, struct err *err) must_check;
/* Fills in what to wait for, so many entries, and moves *deadline (monotonic) nearer if need be. */
size_t egress_poll(struct egress *e, struct pollfd fds[FRAME_CHANNELS], usec_t *deadline);
/* After poll, with the same entries. */
int egress_work(struct egress *e, const struct pollfd fds[FRAME_CHANNELS],
		struct err *err) must_check;

#endif
