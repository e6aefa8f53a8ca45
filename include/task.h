/*
 * task.h: what a task is, and the world it sees while it runs. Built-in tasks and those of modules
 * (task_module.h) are written against this.
 *
 * A task is a row: name, parameters, function. The worker binds the message's arguments to the
 * parameters, in Python's way and with Python's complaints, before the function is called. The
 * function runs in a pool thread; it must look at task_cancelled in anything that lasts.
 */
#ifndef CELERIAC_TASK_H
#define CELERIAC_TASK_H

#include <jansson.h>
#include <stdatomic.h>

#include "err.h"

struct task_ctx;

enum param_type {
	PARAM_ANY,
	PARAM_STR,
	PARAM_ID,     /* a str that becomes keys, labels and rows: 1 to BOUND_CONVERSATION_ID_BYTES
			 bytes, no control characters */
	PARAM_INT,    /* and, as Python would, bool is refused */
	PARAM_NUMBER, /* int or float, of any size */
	PARAM_BOOL,
	PARAM_LIST,
	PARAM_DICT
};
struct task_param {
	const char *name;
	enum param_type type;
	bool required;
};

/* `values`: one per parameter, NULL where the caller said nothing or None; borrowed. Returns 0 and
 * a given *ret_result, or a negative code: after task_raise that exception, else one made from
 * `err`. */
typedef int task_run_fn(struct task_ctx *ctx, json_t *const *values, json_t **ret_result,
			struct err *err);

struct task;
/* What a call is in truth: another task, of the same flags as far as the row goes, and its
 * arguments by name; given. Or raises. Pure. */
typedef int task_resolve_fn(struct task_ctx *ctx, json_t *const *values,
			    const struct task **ret_task, json_t **ret_kwargs, struct err *err);

enum task_flag {
	TASK_ACKS_LATE = 1u << 0, /* acked when done, whatever any setting says; every built-in task
				     has it */
	TASK_SANDBOX = 1u << 1,	  /* needs the engine; not for modules */
	TASK_STORED = 1u << 2,	  /* one row in tool_results, begun before and finished after the
				     function; not for modules */
	TASK_NETWORK = 1u << 3,	  /* its sandbox has network access where sandbox_settings say
				     nothing; not for modules */
	TASK_ANY_ARGUMENTS = 1u << 4 /* what no parameter takes is no mistake: *args, **kwargs */
};

/* What a task leaves to the settings is 0. */
enum task_choice { TASK_BY_SETTING = 0, TASK_YES, TASK_NO };
#define TASK_NONE		 (-1) /* of a span: none at all, whatever the settings say */
#define TASK_RETRIES_WITHOUT_END (-1)
#define TASK_RETRIES_NONE	 (-2)

/*
 * How a task is run: Celery's attributes of the same names. Annotations (CELERY_TASK_ANNOTATIONS)
 * go over what a task says, and that over the settings. Names of exceptions are "ValueError" or
 * "builtins.ValueError"; "Exception" is any: there are no classes here to derive from each other.
 */
struct task_options {
	enum task_choice acks_late;		     /* task_acks_late */
	enum task_choice acks_on_failure_or_timeout; /* task_acks_on_failure_or_timeout: both below
						      */
	enum task_choice acks_on_failure, acks_on_timeout;
	enum task_choice reject_on_worker_lost; /* task_reject_on_worker_lost: with late
						   acknowledgement, run again what a lost
						   worker ran */
	enum task_choice ignore_result;		/* task_ignore_result; the message's goes first */
	enum task_choice store_errors_even_if_ignored;
	enum task_choice track_started;
	int64_t max_retries;		    /* 0 = 3, or TASK_RETRIES_… */
	usec_t default_retry_delay;	    /* 0 = 180 s, TASK_NONE = at once */
	const char *rate_limit;		    /* "10/m"; NULL = task_default_rate_limit, "" = none */
	usec_t time_limit, soft_time_limit; /* the message's and remote control's go first */
	const char *const *autoretry_for, *const *dont_autoretry_for; /* NULL-terminated, or NULL */
	usec_t retry_backoff;	       /* of automatic retries: n, 2n, 4n …; 0 or TASK_NONE:
					  default_retry_delay each time */
	usec_t retry_backoff_max;      /* 0 = 600 s */
	enum task_choice retry_jitter; /* a random part of the backoff; default yes */
};

struct task {
	const char *name; /* dotted */
	task_run_fn *run;
	const struct task_param *params;
	size_t param_count;
	unsigned flags;
	const char *lane; /* parameter whose value names a lane: calls of one lane run one at a
			     time, in order */
	const char *kind; /* for TASK_STORED: tool_results.kind */
	const char *const *secret_params; /* NULL-terminated: redacted in rows, logs and events;
					     "param" or "param.member" of a dict; or NULL */
	const char *help;
	struct task_options options;
	const char *target; /* for TASK_STORED: parameter whose value is the name of a tool, which
			       the policy and sandbox_settings know as well; or NULL */
	task_resolve_fn *resolve; /* of a task that stands for others and has no `run`; not for
				     modules */
};

/* ---- inside a running task: for the thread that runs it, until it returns ---- */

/* The message, as the task may see it. Strings and values live until the task returns. */
struct task_request {
	const char *id, *name;		    /* the name that was sent */
	const char *root_id, *parent_id;    /* or NULL */
	const char *group;		    /* or NULL */
	int64_t group_index;		    /* -1: none */
	int64_t retries;		    /* how often it was retried before */
	usec_t eta, expires;		    /* wall, 0 = none */
	usec_t time_limit, soft_time_limit; /* that hold for this run, 0 = none */
	const char *hostname;		    /* of this worker: celery@host */
	const char *queue;		    /* it was taken from */
	const char *exchange, *routing_key; /* of delivery_info, "" when absent */
	int priority;			    /* 0-9 */
	bool redelivered;	     /* it was delivered before, perhaps to somebody who died */
	const char *reply_to;	     /* or NULL */
	const json_t *args, *kwargs; /* as they were sent: an array, an object */
	const json_t *headers, *properties; /* objects */
	const json_t *stamped_headers;	    /* array of names, or NULL */
	const json_t *stamps;		    /* object, or NULL */
};
const struct task_request *task_ctx_request(const struct task_ctx *ctx);
const char *task_ctx_id(const struct task_ctx *ctx);
int64_t task_ctx_retries(const struct task_ctx *ctx);

/* True when the worker wants this task to end: time limit, revoked, shutdown. What then is returned
 * hardly matters: the worker knows why it ended. */
bool task_cancelled(const struct task_ctx *ctx);
/* The same as a flag, for libraries that poll one. */
const atomic_bool *task_cancel_flag(const struct task_ctx *ctx);
enum task_cause {
	TASK_NOT_CANCELLED,
	TASK_SOFT_TIME_LIMIT, /* a task that returns 0, retries, rejects or ignores after this one
				 ends so, as if it had caught SoftTimeLimitExceeded */
	TASK_TIME_LIMIT,
	TASK_REVOKED_RUNNING,
	TASK_SHUTDOWN /* it goes back to its queue, if it is acknowledged late */
};
enum task_cause task_why_cancelled(const struct task_ctx *ctx);
/* Now, as deadlines are counted: monotonic. [any] */
usec_t task_clock(void);
/* Sleeps until `deadline` (monotonic) or cancellation; false when cancelled. */
bool task_sleep(struct task_ctx *ctx, usec_t deadline);

/* Raises a Python exception: module ("builtins", "myapp.errors"), class and message. Returns
 * -ERR_FAILED. */
int task_raise(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
	       const char *fmt, ...) printf_like(5, 6);
/* The same with `value`, of any kind and length, as the exception's one argument. */
int task_raise_value(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
		     const json_t *value);

/*
 * Asks to be run again, by anybody, after `countdown` (TASK_RETRY_DELAY: the task's
 * default_retry_delay); every header and option of the message is kept. Returns -ERR_RETRY, which
 * the task returns at once. After task_raise that exception is the reason, and the one raised when
 * max_retries is passed; else that is MaxRetriesExceededError. Not for TASK_STORED tasks.
 */
#define TASK_RETRY_DELAY (-1)
int task_retry(struct task_ctx *ctx, usec_t countdown, struct err *err);
/* The same with what else Task.retry takes; what is 0 is as the task has it:
 * task_retry_with(ctx, TASK_RETRY(.eta = tomorrow, .max_retries = 10), err). */
struct task_retry {
	size_t size;	     /* filled by TASK_RETRY: what was there when the module was compiled */
	usec_t countdown;    /* 0 = default_retry_delay, TASK_NONE = at once */
	usec_t eta;	     /* wall; where no countdown is said */
	int64_t max_retries; /* of this one; or TASK_RETRIES_… */
};
#define TASK_RETRY(...) (&(struct task_retry){.size = sizeof(struct task_retry), __VA_ARGS__})
int task_retry_with(struct task_ctx *ctx, const struct task_retry *how, struct err *err);
/*
 * Rejects the message. With `requeue` it goes back to the front of its queue, and nothing is
 * stored; else it goes to celeriac:dead, and the task is a FAILURE with the exception Reject.
 * `reason` may be NULL. Returns -ERR_REJECT. Not for TASK_STORED tasks.
 */
int task_reject(struct task_ctx *ctx, const char *reason, bool requeue, struct err *err);
/* Nothing is stored and nothing follows; the message is acknowledged. What task_update_state said
 * last stays. Returns -ERR_IGNORE. Not for TASK_STORED tasks. */
int task_ignore(struct task_ctx *ctx, struct err *err);

/*
 * Stores a state of the task's own, "PROGRESS" for instance, with `meta` (borrowed, NULL = None) as
 * its result: what AsyncResult.state and .info say. The states of exceptions (FAILURE, RETRY,
 * REVOKED) need {exc_type, exc_message, exc_module}, or clients could not read them: else
 * ERR_INVALID. Stored when this returns, or not at all; waits through an outage.
 */
int task_update_state(struct task_ctx *ctx, const char *state, const json_t *meta,
		      struct err *err) must_check;

/*
 * Sends a task, as send_task in Celery. `args` and `kwargs` may be NULL; `options` (object or NULL)
 * are those of apply_async: queue, countdown, eta, expires, priority, task_id, link, link_error,
 * chord, headers, time_limit … It is published when this returns, before this task's own message is
 * acknowledged, and is a child of this task. `ret_id` (or NULL) gets its id: unless the options say
 * one, it is made from this task's id and how many were sent before, so that a run after a crash
 * sends the same ids again. All borrowed. ERR_INVALID, ERR_TOOBIG: it cannot be sent so. Waits
 * through an outage.
 */
#define TASK_ID_SIZE 256
int task_send(struct task_ctx *ctx, const char *name, const json_t *args, const json_t *kwargs,
	      const json_t *options, char ret_id[TASK_ID_SIZE], struct err *err) must_check;
/* The same of any signature {task, args, kwargs, options, subtask_type, immutable}: also a chain, a
 * group or a chord, whose id is that of its last task, of the group, of the body. */
int task_send_signature(struct task_ctx *ctx, const json_t *signature, const json_t *options,
			char ret_id[TASK_ID_SIZE], struct err *err) must_check;

/* One line in the worker's log, with the task's name and id; levels are Python's. */
enum task_log_level {
	TASK_LOG_DEBUG = 10,
	TASK_LOG_INFO = 20,
	TASK_LOG_WARNING = 30,
	TASK_LOG_ERROR = 40,
	TASK_LOG_CRITICAL = 50
};
void task_log(struct task_ctx *ctx, enum task_log_level level, const char *fmt, ...)
	printf_like(3, 4);

#endif
