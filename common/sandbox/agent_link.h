/*
 * agent_link.h: one attached agent. It runs next to hostile code and may be hostile itself:
 * everything it says is bounded and checked, and whoever waits for it does so with a deadline;
 * after silence the caller kills the container.
 *
 * [owner]: one thread at a time. After any failure but ERR_TIMEOUT of agent_link_receive the link
 * is good for nothing but agent_link_close.
 */
#ifndef CELERIAC_SANDBOX_AGENT_LINK_H
#define CELERIAC_SANDBOX_AGENT_LINK_H

#include "engine.h"
#include "frame.h"

struct agent_link;

/*
 * Attaches to the container and introduces itself, with `epoch` or, when the agent has obeyed a
 * higher one, with one above that. `joining`: its stream may be in the middle of something.
 * ERR_TIMEOUT: the agent does not answer; ERR_UNSUPPORTED: it speaks a version that we do not.
 */
int agent_link_open(struct engine *e, const char *container, uint32_t epoch, bool joining,
		    usec_t deadline, struct agent_link **ret, struct err *err) must_check;
void agent_link_close(struct agent_link *l);

uint32_t agent_link_epoch(const struct agent_link *l);
/* The version of the frames that both sides know. */
uint32_t agent_link_version(const struct agent_link *l);
/* Was a run going when we attached? Says so once. */
bool agent_link_was_busy(struct agent_link *l);
/* A run id that this link has not used. */
uint32_t agent_link_next_run(struct agent_link *l);
/* Between runs: connected, and nothing has come that nobody asked for. Does not block. */
bool agent_link_is_quiet(const struct agent_link *l);
/* To wait for the end of that quiet. */
int agent_link_fd(const struct agent_link *l);

/* Queues a frame; what is queued goes out when it has become much, and with agent_link_flush. */
int agent_link_send(struct agent_link *l, enum frame_type type, unsigned flags, uint32_t run,
		    const void *data, size_t len, usec_t deadline, struct err *err) must_check;
int agent_link_flush(struct agent_link *l, usec_t deadline, struct err *err) must_check;

/* The next frame of this epoch; borrowed until the next call. ERR_TIMEOUT at the deadline, with
 * nothing lost; ERR_CLOSED: the stream is at its end; ERR_CONFLICT: somebody else is attached, the
 * agent obeys us no more; ERR_PROTOCOL: it makes no sense. */
int agent_link_receive(struct agent_link *l, usec_t deadline, struct frame *ret,
		       struct err *err) must_check;
/* Sends a frame without payload, and waits for the next that comes; as agent_link_receive. */
int agent_link_ask(struct agent_link *l, enum frame_type type, uint32_t run, usec_t deadline,
		   struct frame *ret, struct err *err) must_check;

#endif
