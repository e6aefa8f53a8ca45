/*
 * Asking an agent for a run that was begun before, by us or by somebody who is dead.
 */
#include "run.h"

#include <string.h>

#include "clock.h"
#include "log.h"

#define ACK_TIME (1 * USEC_PER_SEC)

/* The next STATE for `run`. */
static int await_state(struct agent_link *l, uint32_t run, usec_t deadline,
		       const struct run_wait *wait, struct frame_state *ret, struct err *err)
{
	usec_t next_tick = clock_mono() + RUN_TICK;
	struct frame f;
	int rc;

	for (;;) {
		usec_t now = clock_mono(), until = now + RUN_LOOK_AGAIN;

		if (wait->cancel && atomic_load_explicit(wait->cancel, memory_order_acquire))
			return err_set(err, ERR_CANCELLED, "cancelled before it began");
		if (now >= deadline)
			return err_set(err, ERR_TIMEOUT, "no answer about a run");
		if (wait->tick && now >= next_tick) {
			wait->tick(wait->arg);
			next_tick = now + RUN_TICK;
		}
		rc = agent_link_receive(l, until < deadline ? until : deadline, &f, err);
		if (rc == -ERR_TIMEOUT)
			continue;
		if (rc < 0)
			return rc;
		if (f.type != FRAME_STATE || f.run != run || !frame_state_decode(&f, ret))
			return err_set(err, ERR_PROTOCOL, "no answer about a run");
		return 0;
	}
}

int sandbox_run_ask(struct agent_link *l, const char *key, const struct run_wait *wait,
		    uint32_t *ret_run, struct frame_state *ret, struct err *err)
{
	usec_t deadline = clock_deadline(RUN_GRACE), limit = wait->limit;
	uint32_t run = agent_link_next_run(l);
	struct frame_state state = {.state = FRAME_STATE_NONE};
	int rc = agent_link_send(l, FRAME_ASK, 0, run, key, strlen(key), deadline, err);

	if (rc == 0)
		rc = agent_link_flush(l, deadline, err);
	if (rc == 0)
		rc = await_state(l, run, deadline, wait, &state, err);
	if (rc == 0 && state.state == FRAME_STATE_BUSY) {
		if (limit > (usec_t)state.left_ms * USEC_PER_MSEC)
			limit = (usec_t)state.left_ms * USEC_PER_MSEC;
		rc = await_state(l, run, clock_deadline(limit + RUN_GRACE), wait, &state, err);
		if (rc == 0 && state.state != FRAME_STATE_NONE)
			rc = err_set(err, ERR_PROTOCOL, "a run that does not end");
	}
	if (rc < 0)
		return err_wrap(err, "asking for a run");
	*ret_run = run;
	*ret = state;
	return 0;
}

void sandbox_run_acknowledge(struct agent_link *l, const char *key)
{
	usec_t deadline = clock_deadline(ACK_TIME);
	struct err err;

	if (agent_link_send(l, FRAME_ACK, 0, 0, key, strlen(key), deadline, &err) < 0 ||
	    agent_link_flush(l, deadline, &err) < 0)
		log_debug("an agent keeps what it need not: %s", err.msg);
}
