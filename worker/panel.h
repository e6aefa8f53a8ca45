/*
 * panel.h: remote control: the table of commands (celery.worker.control.Panel) and the thread that
 * serves it.
 *
 * The thread has a connection of its own and waits for no task: what it needs of the rest of the
 * worker it reads under locks that are never held for long, and what belongs to another thread it
 * hands over.
 */
#ifndef CELERIAC_WORKER_PANEL_H
#define CELERIAC_WORKER_PANEL_H

#include <jansson.h>
#include <stdatomic.h>

#include "base.h"
#include "err.h"
#include "thread.h"

struct worker;

struct panel {
	int wake_fd; /* eventfd: stop */
	pthread_t thread;
	bool started;
	atomic_bool stopping;
	char *exchange, *reply_exchange, *queue; /* celery.pidbox, reply.celery.pidbox, <node>.… */
	/* the control thread's */
	usec_t declare_at;	   /* monotonic */
	struct queue_wish *queues; /* of queues that were added with one of their own */
};
int panel_start(struct worker *w, struct err *err) must_check;
/* The mailbox is gone afterwards. */
void panel_stop(struct worker *w);

/* ---- the commands ---- */
enum panel_type {
	PANEL_ANY,
	PANEL_STR,
	PANEL_STR_OR_LIST, /* a str, or a list of them */
	PANEL_BOOL,	   /* or a str or number that says so */
	PANEL_INT,
	PANEL_NUMBER
};
struct panel_param {
	const char *name;
	enum panel_type type;
	bool required;
};
#define PANEL_PARAMS 5

/* `values`: one per parameter, of its type, NULL when it was not sent or None; borrowed. Returns 0
 * and a given *ret_reply (NULL: None), or an error made by panel_raise. */
typedef int panel_fn(struct worker *w, json_t *const *values, json_t **ret_reply, struct err *err);

struct panel_command {
	const char *name, *alias;
	panel_fn *run;
	struct panel_param params[PANEL_PARAMS];
	bool strict; /* a further argument is an error, as in functions without **kwargs */
};
/* NULL when there is none. [any] */
const struct panel_command *panel_find(const char *name);
/* Arguments (an object, or NULL) to `values`, which has PANEL_PARAMS places. The error is Python's.
 * [any] */
int panel_bind(const struct panel_command *c, const json_t *arguments, json_t **values,
	       struct err *err) must_check;

/* A Python exception as the reply shows it: ValueError('…'). Returns -ERR_INVALID. */
int panel_raise(struct err *err, const char *type, const char *fmt, ...) printf_like(3, 4);
/* {"ok": …} and {"error": …}. Given. */
json_t *panel_ok(const char *fmt, ...) printf_like(1, 2);
json_t *panel_nok(const char *fmt, ...) printf_like(1, 2);
/* `fallback` when NULL. */
int64_t panel_int(const json_t *value, int64_t fallback);
bool panel_bool(const json_t *value);

/* ---- control_consumer.c ---- */
/* Says which exchanges our queues are bound to. */
void control_declare_queues(struct worker *w);
void control_forget_queues(struct worker *w);

panel_fn control_ping, control_clock, control_stats, control_report, control_conf, control_active,
	control_reserved, control_scheduled, control_revoked, control_registered,
	control_active_queues, control_query_task, control_hello, control_memsample,
	control_unsupported, control_revoke, control_terminate, control_revoke_by_stamped_headers,
	control_rate_limit, control_time_limit, control_enable_events, control_disable_events,
	control_heartbeat, control_election, control_shutdown, control_pool_grow,
	control_pool_shrink, control_pool_restart, control_autoscale, control_add_consumer,
	control_cancel_consumer, control_drain, control_undrain;

#endif
