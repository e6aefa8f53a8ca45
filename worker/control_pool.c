/*
 * Remote control of the pool and of the worker itself: size, limits, events, shutdown.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "panel.h"
#include "worker.h"

#define NO_AUTOSCALE "%s is not supported with autoscale. Adjust autoscale range instead."

/* ---- the pool ---- */

static int resize(struct worker *w, int64_t size, struct err *err)
{
	if (size < 1)
		return panel_raise(err, "ValueError", "Can't shrink pool. One thread must stay.");
	if (size > POOL_MAX)
		return panel_raise(err, "ValueError", "Can't grow pool beyond %d threads.",
				   POOL_MAX);
	worker_set_prefetch(w, (size_t)size);
	if (pool_resize(&w->pool, (size_t)size, err) == 0)
		return 0;
	return panel_raise(err, "OSError", "%s", err->msg);
}

static bool is_sane(int64_t n)
{
	return n > -POOL_MAX - 1 && n < POOL_MAX + 1;
}

int control_pool_grow(struct worker *w, json_t *const *values, json_t **ret, struct err *err)
{
	int64_t n = panel_int(values[0], 1);
	int rc;

	if (w->autoscaler.on) {
		*ret = panel_nok(NO_AUTOSCALE, "pool_grow");
		return 0;
	}
	rc = resize(w, is_sane(n) ? (int64_t)pool_size(&w->pool) + n : INT64_MAX, err);
	if (rc == 0)
		*ret = panel_ok("pool will grow");
	return rc;
}

int control_pool_shrink(struct worker *w, json_t *const *values, json_t **ret, struct err *err)
{
	int64_t n = panel_int(values[0], 1);
	int rc;

	if (w->autoscaler.on) {
		*ret = panel_nok(NO_AUTOSCALE, "pool_shrink");
		return 0;
	}
	rc = resize(w, is_sane(n) ? (int64_t)pool_size(&w->pool) - n : 0, err);
	if (rc == 0)
		*ret = panel_ok("pool will shrink");
	return rc;
}

int control_pool_restart(struct worker *w, unused_arg json_t *const *values, json_t **ret,
			 struct err *err)
{
	if (!w->settings.worker_pool_restarts)
		return panel_raise(err, "ValueError", "Pool restarts not enabled");
	if (pool_restart(&w->pool, err) < 0)
		return panel_raise(err, "OSError", "%s", err->msg);
	*ret = panel_ok("reload started");
	return 0;
}

int control_autoscale(struct worker *w, json_t *const *values, json_t **ret, struct err *err)
{
	const struct autoscaler *a = &w->autoscaler;
	int64_t max = panel_int(values[0], -1), min = panel_int(values[1], -1);

	if (!a->on)
		return panel_raise(err, "ValueError", "Autoscale not enabled");
	if ((values[0] != NULL && (max < 1 || max > POOL_MAX)) ||
	    (values[1] != NULL && (min < 0 || min > POOL_MAX)) ||
	    (max < 0 ? (int64_t)a->max : max) < (min < 0 ? (int64_t)a->min : min))
		return panel_raise(err, "ValueError", "autoscale must be %d >= max >= min >= 0",
				   POOL_MAX);
	autoscaler_update(w, max, min);
	*ret = panel_ok("autoscale now max=%zu min=%zu", a->max, a->min);
	return 0;
}

/* ---- limits ---- */

/* Text, a number or nothing: as the rate is shown. */
static void rate_text(const json_t *value, char out[64])
{
	if (json_is_string(value))
		snprintf(out, 64, "%s", json_string_value(value));
	else if (json_is_number(value) && json_number_value(value) != 0)
		snprintf(out, 64, "%.15g", json_number_value(value));
	else
		out[0] = '\0';
}

int control_rate_limit(struct worker *w, json_t *const *values, json_t **ret, struct err *err)
{
	const char *name = json_string_value(values[0]);
	const struct task *task;
	char text[64];
	double per_second;

	rate_text(values[1], text);
	if (limits_parse_rate(text, &per_second, err) < 0) {
		(void)panel_raise(err, "ValueError", "%s", err->msg);
		*ret = panel_nok("Invalid rate limit string: %s", err->msg);
		return 0;
	}
	task = name ? worker_find_task(w, name) : NULL;
	if (task == NULL) {
		log_error("Rate limit attempt for unknown task %s", name ? name : "None");
		*ret = panel_nok("unknown task");
		return 0;
	}
	limits_set_rate(&w->limits, task->name, per_second, text);
	schedule_reset_turns(&w->schedule, &w->limits, task, clock_mono());
	state_wake_consumer(&w->state);
	if (per_second <= 0) {
		log_info("Rate limits disabled for tasks of type %s", name);
		*ret = panel_ok("rate limit disabled successfully");
		return 0;
	}
	log_info("New rate limit for tasks of type %s: %s.", name, text);
	*ret = panel_ok("new rate limit set successfully");
	return 0;
}

static usec_t seconds(const json_t *value)
{
	double n = json_number_value(value);

	return value == NULL || !(n > 0) || n > 1e9 ? 0 : (usec_t)(n * (double)USEC_PER_SEC);
}

int control_time_limit(struct worker *w, json_t *const *values, json_t **ret,
		       unused_arg struct err *err)
{
	const char *name = json_string_value(values[0]);
	const struct task *task = name ? worker_find_task(w, name) : NULL;

	if (task == NULL) {
		log_error("Change time limit attempt for unknown task %s", name ? name : "None");
		*ret = panel_nok("unknown task");
		return 0;
	}
	limits_set_time(&w->limits, task->name, seconds(values[2]), seconds(values[1]));
	log_info("New time limits for tasks of type %s: soft=%g hard=%g", name,
		 json_number_value(values[2]), json_number_value(values[1]));
	*ret = panel_ok("time limits set successfully");
	return 0;
}

/* ---- events ---- */

int control_enable_events(struct worker *w, unused_arg json_t *const *values, json_t **ret,
			  unused_arg struct err *err)
{
	if (events_enable(w, true)) {
		log_info("Events of group {task} enabled by remote.");
		*ret = panel_ok("task events enabled");
	} else {
		*ret = panel_ok("task events already enabled");
	}
	return 0;
}

int control_disable_events(struct worker *w, unused_arg json_t *const *values, json_t **ret,
			   unused_arg struct err *err)
{
	if (events_enable(w, false)) {
		log_info("Events of group {task} disabled by remote.");
		*ret = panel_ok("task events disabled");
	} else {
		*ret = panel_ok("task events already disabled");
	}
	return 0;
}

int control_heartbeat(struct worker *w, unused_arg json_t *const *values, unused_arg json_t **ret,
		      unused_arg struct err *err)
{
	events_heartbeat(w);
	return 0;
}

/* ---- the worker ---- */

int control_election(unused_arg struct worker *w, unused_arg json_t *const *values,
		     unused_arg json_t **ret, unused_arg struct err *err)
{
	return 0; /* gossip's; we take no part */
}

/* As if TERM had been sent: warm. */
int control_shutdown(struct worker *w, json_t *const *values, unused_arg json_t **ret,
		     unused_arg struct err *err)
{
	const char *text = json_string_value(values[0]);

	log_warning("%s", text ? text : "Got shutdown from remote");
	atomic_store(&w->asked_to_stop, true);
	kill(getpid(), SIGTERM);
	return 0;
}
