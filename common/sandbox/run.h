/*
 * run.h: one run in an attached sandbox, from its files to its harvest.
 */
#ifndef CELERIAC_SANDBOX_RUN_H
#define CELERIAC_SANDBOX_RUN_H

#include "agent_link.h"
#include "language.h"
#include "sandbox.h"

#define RUN_GRACE                                                                                  \
	(8 * USEC_PER_SEC) /* beyond a run's limit, for killing, the rest of the output and its    \
			       report */
#define RUN_SEND_TIME  (60 * USEC_PER_SEC)   /* for code, files and the like */
#define RUN_TICK       (3 * USEC_PER_SEC)    /* while waiting, `tick` is called so often */
#define RUN_LOOK_AGAIN (200 * USEC_PER_MSEC) /* and `cancel` looked at so often */
#define HARVEST_TIME   (10 * USEC_PER_SEC)   /* for the agent; RUN_GRACE comes on top */

struct run_plan {
	const struct sandbox_run *run;
	const struct language *language;
	const struct settings *settings;
	void (*tick)(void *arg); /* or NULL */
	void *arg;
};

enum run_fate {
	RUN_FINE,   /* the sandbox can be used on */
	RUN_SPENT,  /* the outcome stands, but the container must go */
	RUN_LOST,   /* the agent's stream ended or made no sense: status is still open */
	RUN_SILENT, /* it said nothing any more after the time limit: status is still open */
};

/*
 * Sends everything, waits, harvests. Fails only when the run has certainly not begun, transient or
 * ERR_INVALID; the link is then good for nothing. From there on it is success with a fate.
 */
int sandbox_run_execute(struct agent_link *l, const struct run_plan *plan,
			struct sandbox_outcome *ret, enum run_fate *ret_fate,
			struct err *err) must_check;

/* run_input.c: all up to and including RUN. `ret_run`: its id. */
int sandbox_run_send(struct agent_link *l, const struct run_plan *plan, uint32_t *ret_run,
		     struct err *err) must_check;
/* Standard input within the window. */
struct run_input {
	struct slice data;
	size_t sent, taken;
};
int sandbox_run_send_input(struct agent_link *l, uint32_t run, struct run_input *in,
			   struct err *err) must_check;

/* run_harvest.c: the new files of /sandbox/output. */
int sandbox_run_harvest(struct agent_link *l, const struct run_plan *plan, uint32_t run,
			struct sandbox_outcome *o, struct err *err) must_check;

#endif
