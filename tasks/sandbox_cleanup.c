/*
 * sandbox.cleanup: one sweep over idle and orphaned sandboxes of every engine, sent by beat.
 */
#include "fleet.h"
#include "log.h"
#include "metrics.h"
#include "store.h"
#include "tasks.h"

/* No trouble of the sweep's. */
static void sweep_files(struct store *store)
{
	struct err err;
	int64_t removed = 0;

	if (store == NULL)
		return;
	if (store_sweep_media(store, &removed, &err) < 0)
		log_debug("files that nobody ended: %s", err.msg);
	if (removed > 0)
		log_info("left over and removed: %lld file(s) in MEDIA_DIR", (long long)removed);
	metric_add(metric_series(METRIC_REAPED, "file", NULL), (uint64_t)removed);
}

static int run_cleanup(struct task_ctx *ctx, unused_arg json_t *const *values, json_t **ret_result,
		       struct err *err)
{
	struct sandbox_report report = {0};
	struct sandbox *any = NULL;
	int rc = require_sandbox(ctx, &any, err);

	if (rc < 0)
		return rc;
	rc = fleet_cleanup(task_ctx_fleet(ctx), &report, err);
	if (rc < 0)
		return raise_sandbox_error(ctx, "", err);
	sweep_files(task_ctx_store(ctx));
	task_ctx_record(ctx)->finish.status = "ok";
	*ret_result = json_pack("{s:I, s:I, s:I, s:I}", "idle", (json_int_t)report.idle, "orphans",
				(json_int_t)report.orphans, "kept", (json_int_t)report.kept,
				"failed", (json_int_t)report.failed);
	return 0;
}

const struct task task_sandbox_cleanup = {
	.name = "sandbox.cleanup",
	.run = run_cleanup,
	.params = NULL,
	.param_count = 0,
	.flags = TASK_ACKS_LATE | TASK_SANDBOX | TASK_STORED,
	.kind = "sandbox",
	.help = "removes idle and orphaned sandboxes",
};
