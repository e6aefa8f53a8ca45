/*
 * families.c: THE table of what is counted by label. To add one: a member of enum metric, a row
 * here, a line in celeriac-worker(8) or celeriac-beat(8).
 */
#include "families.h"

/* clang-format off */
const struct metric_family metric_families[METRICS] = {
	[METRIC_TASKS] = { "celeriac_tasks_total", METRIC_COUNTER, { "name", "state" },
			   "Tasks that ended, by name and by the state they ended in." },
	[METRIC_TASK_RUNTIME] = { "celeriac_task_runtime_seconds", METRIC_HISTOGRAM, { "name" },
				  "From a task's start to its end." },
	[METRIC_TASK_WAIT] = { "celeriac_task_wait_seconds", METRIC_HISTOGRAM, { "name" },
			       "From the claim of a message, or from its eta, to the start of its task." },
	[METRIC_DECISIONS] = { "celeriac_decisions_total", METRIC_COUNTER, { "kind", "decision" },
			       "What the gate and those behind it decided, as in activity_events." },
	[METRIC_ENGINE_CALLS] = { "celeriac_engine_calls_total", METRIC_COUNTER, { "call", "outcome" },
				  "Requests to the Docker engine: ok, refused (an HTTP status) or failed (no answer)." },
	[METRIC_ENGINE_TIME] = { "celeriac_engine_call_seconds", METRIC_HISTOGRAM, { "call" },
				 "Time that the engine took." },
	[METRIC_STORE_TIME] = { "celeriac_store_seconds", METRIC_HISTOGRAM, { NULL },
				"Time of one call to PostgreSQL, waiting for a connection included." },
	[METRIC_STORE_ERRORS] = { "celeriac_store_errors_total", METRIC_COUNTER, { NULL },
				  "Calls to PostgreSQL that were not answered." },
	[METRIC_BEAT_LATE] = { "celeriac_beat_late_seconds", METRIC_HISTOGRAM, { NULL },
			       "From the time of a slot to when its message was on its queue." },
	[METRIC_REAPED] = { "celeriac_reaped_total", METRIC_COUNTER, { "kind" },
			    "What sweeps of this worker have removed: containers by what was wrong with them, volumes, networks, files; and "
			    "what was too old: results, outputs, events, media." },
	[METRIC_ENGINE_DISK] = { "celeriac_engine_disk_bytes", METRIC_GAUGE, { "engine", "what" },
				 "Of the file system where an engine keeps its own: size, free; on it: images, own_images, own_volumes." },
	[METRIC_SANDBOXES] = { "celeriac_sandboxes", METRIC_GAUGE, { "engine", "state" },
			       "Sandboxes of this worker: busy with a call, idle between two of a conversation, ready for one." },
};
/* clang-format on */

const usec_t metric_buckets[METRIC_BUCKETS] = {
	1000,	2500,	 5000,	  10000,   25000,    50000,    100000,	  250000,
	500000, 1000000, 2500000, 5000000, 10000000, 60000000, 300000000,
};
