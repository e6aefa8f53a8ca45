/*
 * task.h: what a task is, and the world it sees while it runs.
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
	enum task_choice reject_on_worker_lost;
	enum task_choice ignore_result; /* task_ignore_result; the message's goes first */
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
	const char *const
		*secret_params; /* NULL-terminated: redacted in rows, logs and events; or NULL */
	const char *help;
	struct task_options options;
};

/* ---- inside a running task ---- */
const char *task_ctx_id(const struct task_ctx *ctx);
/* True when the worker wants this task to end: revoked, time limit, shutdown. */
bool task_cancelled(const struct task_ctx *ctx);
const atomic_bool *task_cancel_flag(const struct task_ctx *ctx);
/* Sleeps until `deadline` (monotonic) or cancellation; false when cancelled. */
bool task_sleep(struct task_ctx *ctx, usec_t deadline);
/* Raises a Python exception: module ("builtins", "celeriac"), class and message. Returns
 * -ERR_FAILED. */
int task_raise(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
	       const char *fmt, ...) printf_like(5, 6);
/* The same with `value`, of any kind and length, as the exception's one argument. */
int task_raise_value(struct task_ctx *ctx, struct err *err, const char *module, const char *type,
		     const json_t *value);

/* How often this message was retried. */
int64_t task_ctx_retries(const struct task_ctx *ctx);
/* Asks to be run again, by anybody, after `countdown`; every header and option of the message is
 * kept. Returns -ERR_RETRY, which the task returns at once. Beyond max_retries it is a FAILURE. Not
 * for TASK_STORED tasks. */
int task_retry(struct task_ctx *ctx, usec_t countdown, struct err *err);

#endif
