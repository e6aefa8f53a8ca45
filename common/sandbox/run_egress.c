/*
 * A run's way out, beside its frames: while one is waited for, connections go on.
 */
#include "run.h"

#include <poll.h>

#include "clock.h"
#include "egress.h"

/* For egress_new: `arg` is the run_egress. */
static int send_channel(void *arg, enum frame_type type, const void *data, size_t len,
			struct err *err)
{
	struct run_egress *x = arg;

	return agent_link_send(x->link, type, 0, x->run, data, len, clock_deadline(RUN_SEND_TIME),
			       err);
}

void sandbox_run_egress_begin(struct run_egress *x, struct agent_link *l, uint32_t run,
			      const struct sandbox_egress *wish)
{
	*x = (struct run_egress){.link = l, .run = run};
	if (wish)
		x->egress = egress_new(wish, send_channel, x);
}

void sandbox_run_egress_end(struct run_egress *x)
{
	egress_free(x->egress);
	x->egress = NULL;
}

int sandbox_run_egress_frame(struct run_egress *x, const struct frame *f, struct err *err)
{
	int rc;

	if (x->egress == NULL)
		return err_set(err, ERR_PROTOCOL, "a channel of a run without a way out");
	rc = egress_frame(x->egress, f, err);
	return rc < 0 ? rc : agent_link_flush(x->link, clock_deadline(RUN_SEND_TIME), err);
}

/* Waits for a frame, a connection or the deadline, and serves the connections. */
static int turn(struct run_egress *x, usec_t deadline, struct err *err)
{
	struct pollfd fds[1 + FRAME_CHANNELS];
	size_t n;
	int rc;

	fds[0] = (struct pollfd){.fd = agent_link_fd(x->link), .events = POLLIN};
	n = egress_poll(x->egress, fds + 1, &deadline);
	poll(fds, 1 + (nfds_t)n, clock_left_ms(deadline));
	rc = egress_work(x->egress, fds + 1, err);
	return rc < 0 ? rc : agent_link_flush(x->link, clock_deadline(RUN_SEND_TIME), err);
}

int sandbox_run_receive(struct run_egress *x, usec_t deadline, struct frame *ret, struct err *err)
{
	struct err late;
	int rc;

	if (x->egress == NULL)
		return agent_link_receive(x->link, deadline, ret, err);
	/* frames come first: a run's output does not wait for its connections */
	while ((rc = agent_link_receive(x->link, 0, ret, &late)) == -ERR_TIMEOUT) {
		if (clock_mono() >= deadline)
			break;
		rc = turn(x, deadline, err);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		*err = late;
	return rc;
}
