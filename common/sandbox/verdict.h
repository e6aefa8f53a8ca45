/*
 * verdict.h: what an agent's EXIT means to people. Pure.
 */
#ifndef CELERIAC_SANDBOX_VERDICT_H
#define CELERIAC_SANDBOX_VERDICT_H

#include "frame.h"
#include "sandbox.h"

#define VERDICT_TIMEOUT	    124 /* as timeout(1) */
#define VERDICT_CANNOT_RUN  126 /* as a shell */
#define VERDICT_NOT_FOUND   127
#define VERDICT_SIGNAL_BASE 128
#define VERDICT_KILLED	    137 /* 128 + SIGKILL */

/*
 * Status and exit code of a run that the agent has reported. `error_text` is the end of its
 * standard error. The memory killer and a full disk are told from plain errors by what the agent
 * has seen of the container, and only for a run that failed.
 */
void sandbox_verdict_of(const struct frame_exit *e, struct slice error_text,
			enum sandbox_status *ret_status, int *ret_exit_code);

/* The same for a run whose agent was not heard any more: what the engine says about the container.
 */
void sandbox_verdict_without_agent(bool timed_out, bool exists, bool running, bool oom_killed,
				   enum sandbox_status *ret_status, int *ret_exit_code);

/* Why a file was left out; never NULL. */
const char *sandbox_verdict_skip_text(uint32_t reason);

#endif
