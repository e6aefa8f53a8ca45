/*
 * shutdown.h: how the worker ends, as Celery documents it, and the steps of it.
 *
 *   TERM            warm: what runs is finished, for CELERIAC_GRACE_TIME at most; more of them
 * change nothing INT             warm; the next one is a QUIT QUIT            soft, where
 * worker_soft_shutdown_timeout is set and something runs, then cold: what runs is cancelled and
 * goes back QUIT, INT       during soft or cold: cancelled now; once more: the process ends at once
 *   HUP             warm, then the program is started again in the same process
 *   REMAP_SIGTERM=SIGQUIT makes TERM a QUIT.
 */
#ifndef CELERIAC_WORKER_SHUTDOWN_H
#define CELERIAC_WORKER_SHUTDOWN_H

#include "worker.h"

enum shutdown_stage {
	SHUTDOWN_NONE,
	SHUTDOWN_WARM,
	SHUTDOWN_SOFT, /* as warm, but not for long */
	SHUTDOWN_COLD, /* cancelled */
	SHUTDOWN_LAST, /* cancelled, and somebody is impatient */
	SHUTDOWN_FORCED
};
struct shutdown {
	bool term_is_quit; /* REMAP_SIGTERM */
	enum shutdown_stage stage;
	bool interrupted; /* by INT, once */
	bool restart;	  /* by HUP */
	bool by_force;	  /* a signal said so, not the clock */
	int status;	  /* for exit(): 1 when INT began it or it was forced, as Celery's */
};
/* What a signal makes of it: pure. True when the stage changed. */
bool shutdown_signal(struct shutdown *s, int signum);
/* What the end of a stage's time makes of it: warm and soft become cold, cold and last forced. */
void shutdown_late(struct shutdown *s);

/*
 * Stops everything, reading further signals from `signals`. False when a task did not end or the
 * end was forced: threads of ours are still at work on `w`, and what they hold stays recorded as
 * ours, to be restored by the next worker. [main]
 */
bool worker_stop(struct worker *w, int signals, struct shutdown *s);
/* Lets go of the node's lease. */
void worker_leave(struct worker *w);

#endif
