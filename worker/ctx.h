/*
 * ctx.h: the inside of task_ctx, the world a running task sees (task.h).
 */
#ifndef CELERIAC_WORKER_CTX_H
#define CELERIAC_WORKER_CTX_H

#include "task.h"
#include "worker.h"

struct task_ctx {
	struct worker *worker;
	struct request *request;
	const struct task *task; /* that of the request, or the one it stands for */
	json_t *resolved;	 /* arguments of the latter, or NULL */
	/* the exception raised, exc_type NULL if none; owned */
	char *exc_module, *exc_type;
	json_t *exc_message; /* array of arguments */
	struct task_request shown;
	unsigned sent;	       /* tasks, while it ran */
	usec_t countdown, eta; /* of task_retry: after, or at a time of the wall clock */
	int64_t max_retries;   /* likewise; 0 = the task's, or TASK_RETRIES_… */
	bool requeue;	       /* of task_reject */
	json_t *reason;	       /* likewise, or NULL */
	bool timed_out;	       /* by the hard time limit */
	struct policy *policy; /* in force when the call came, or NULL */
	const char *conversation, *project; /* of the call, or NULL; borrowed from its message */
	const char *target;		    /* the tool it names, or NULL; likewise */
	json_t *denied;			    /* the tool result of a call that was, or NULL */
	char *entered, *entered_project;    /* id by which a quota counts it, or NULL; owned: they
					       outlive the request */
	usec_t ran;			    /* how long it did */
	struct sandbox_terms terms;	    /* what sandbox_settings grant it */
	const struct sandbox_run *run;	    /* that it makes, or NULL; borrowed */
	bool in_sandbox;		    /* so does the row: not by the worker itself */
	struct sandbox_egress egress;	    /* of the run, if it has a way out */
	struct task_record record;
	struct store_task row;
	bool placed;		 /* by place_call, and not used yet */
	struct sandbox *sandbox; /* where it runs; NULL = it needs none, or there is none */
	int attempt;		 /* of the row */
	bool begun; /* what the task does in a sandbox may be under way there already */
};

/* What the task may see of its message, once its time limits are known. */
void task_ctx_show(struct task_ctx *ctx);
/* What a task returns that wants to be retried, rejected or ignored. */
bool task_ctx_is_signal(int rc);
void task_ctx_done(struct task_ctx *ctx);
/* Sets the exception; arguments [text]. */
void task_ctx_set_exception(struct task_ctx *ctx, const char *module, const char *type,
			    const char *text);
/* {exc_type, exc_message, exc_module} as Celery stores it. Given. */
json_t *task_ctx_exception(const struct task_ctx *ctx);

/* repr() of the exception: "RuntimeError('no')". */
void task_ctx_repr(const struct task_ctx *ctx, struct buf *out);

#endif
