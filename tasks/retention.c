/*
 * celeriac.retention: what is older than the settings say goes from the database and from
 * MEDIA_DIR.
 */
#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "store.h"
#include "tasks.h"

static bool is_cancelled(void *ctx)
{
	return task_cancelled(ctx);
}

static void count(const char *kind, int64_t gone)
{
	if (gone > 0)
		metric_add(metric_series(METRIC_REAPED, kind, NULL), (uint64_t)gone);
}

static void say(const struct store_retained *done)
{
	count("result", done->results);
	count("output", done->outputs);
	count("event", done->events);
	count("media", done->files);
	if (done->results + done->outputs + done->events + done->files > 0)
		log_info("retention: %lld tool call(s), %lld output(s), %lld event(s), %lld "
			 "file(s) of "
			 "%lld bytes are gone",
			 (long long)done->results, (long long)done->outputs,
			 (long long)done->events, (long long)done->files, (long long)done->bytes);
	if (done->more)
		log_warning(
			"retention: there was no time for all (CELERIAC_RETENTION_TIME): the next "
			"run goes on");
}

static int run_retention(struct task_ctx *ctx, unused_arg json_t *const *values,
			 json_t **ret_result, struct err *err)
{
	const struct settings *s = task_ctx_settings(ctx);
	const struct store_retention retention = {
		.results = s->retention_results,
		.outputs = s->retention_outputs,
		.events = s->retention_events,
		.media = s->retention_outputs > 0 ? s->retention_media : 0,
		.deadline = clock_deadline(s->retention_time),
		.stop = is_cancelled,
		.arg = ctx};
	struct store_retained done = {0};
	struct store *store = task_ctx_store(ctx);
	int rc;

	if (store == NULL)
		return task_raise(ctx, err, "builtins", "RuntimeError", "DATABASE_URL is not set");
	do
		rc = store_retain(store, &retention, &done, err);
	while (task_asks_again(ctx, &rc, err));
	say(&done);
	if (rc < 0)
		return rc;
	*ret_result = json_pack("{s:I, s:I, s:I, s:I, s:I, s:b}", "results",
				(json_int_t)done.results, "outputs", (json_int_t)done.outputs,
				"events", (json_int_t)done.events, "files", (json_int_t)done.files,
				"bytes", (json_int_t)done.bytes, "more", done.more);
	return 0;
}

const struct task task_celeriac_retention = {
	.name = "celeriac.retention",
	.run = run_retention,
	.flags = TASK_ACKS_LATE,
	.help = "removes tool calls, outputs, events and files older than CELERIAC_RETENTION_* say",
};
