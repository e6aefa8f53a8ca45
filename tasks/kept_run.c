/*
 * A run in a sandbox and what the row borrows of it. See kept_run.h.
 */
#include "kept_run.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "tasks.h"

static void kept_stored(void *arg)
{
	struct kept_run *k = arg;
	const struct sandbox_run run = {
		.task_id = k->task_id, .conversation = k->conversation, .one_shot = k->one_shot};

	sandbox_acknowledge(k->sandbox, &run, &k->outcome);
}

static void kept_free(void *arg)
{
	struct kept_run *k = arg;

	sandbox_outcome_done(&k->outcome);
	free(k->files);
	free(k->conversation);
	free(k->task_id);
	free(k);
}

/* What it took to have nothing of it left, for row and audit; not said of what ended by itself. */
static void record_end(struct task_record *record, const struct sandbox_outcome *o)
{
	static const char *const ended[] = {
		[SANDBOX_ENDED_KILLED] = "killed",
		[SANDBOX_ENDED_SWEPT] = "swept",
		[SANDBOX_ENDED_CONTAINER] = "container",
	};

	if (o->ended == SANDBOX_ENDED_ALONE)
		return;
	if (!record->detail)
		record->detail = json_object();
	json_object_set_new(record->detail, "ended", json_string(ended[o->ended]));
	json_object_set_new(record->detail, "killed", json_integer(o->killed));
}

void kept_run_record(struct task_ctx *ctx, const struct sandbox_run *run, struct kept_run *k)
{
	struct task_record *record = task_ctx_record(ctx);
	const struct sandbox_outcome *o = &k->outcome;

	k->files = xcalloc(o->file_count + 1, sizeof(*k->files));
	k->file_count = o->file_count;
	for (size_t i = 0; i < o->file_count; i++) {
		k->files[i].name = o->files[i].name;
		k->files[i].data = o->files[i].data;
		k->files[i].len = o->files[i].len;
	}
	store_describe_files(task_ctx_row(ctx), k->files, o->file_count);
	record_end(record, o);
	record->conversation = run->conversation;
	record->project = run->project;
	record->finish = (struct store_finish){.status = sandbox_status_text(o->status),
					       .exit_code = o->exit_code,
					       .stdout_text = o->stdout_text,
					       .stderr_text = o->stderr_text,
					       .container = o->container,
					       .files = k->files,
					       .file_count = o->file_count};
}

char *kept_run_take_file(struct kept_run *k, const char *name, size_t *ret_len)
{
	struct sandbox_outcome *o = &k->outcome;

	for (size_t i = 0; i < o->file_count; i++) {
		struct sandbox_output_file f = o->files[i];
		if (strcmp(f.name, name) != 0)
			continue;
		memmove(&o->files[i], &o->files[i + 1],
			(o->file_count - i - 1) * sizeof(o->files[0]));
		o->file_count--;
		free(f.name);
		*ret_len = f.len;
		return f.data;
	}
	return NULL;
}

/* What it cost, and what it took to end it. */
static void log_end(const struct sandbox_outcome *o)
{
	static const char *const ended[] = {
		[SANDBOX_ENDED_ALONE] = "nothing was left",
		[SANDBOX_ENDED_KILLED] = "its processes were killed",
		[SANDBOX_ENDED_SWEPT] = "everything of its user was killed",
		[SANDBOX_ENDED_CONTAINER] = "its container was removed",
	};

	log_info("Run in %.12s: %s, exit code %d, %lld ms CPU, %lld KiB; %s (%u)", o->container,
		 sandbox_status_text(o->status), o->exit_code,
		 (long long)(o->cpu_time / USEC_PER_MSEC), (long long)(o->peak_memory / 1024),
		 ended[o->ended], o->killed);
}

int kept_run(struct task_ctx *ctx, const struct sandbox_run *run, struct kept_run **ret,
	     struct err *err)
{
	struct sandbox *s = NULL;
	struct kept_run *k;
	int rc = require_sandbox(ctx, &s, err);

	if (rc < 0)
		return rc;
	k = xcalloc(1, sizeof(*k));
	rc = sandbox_execute(s, run, &k->outcome, err);
	if (rc < 0) {
		free(k);
		return raise_sandbox_error(ctx, run->conversation, err);
	}
	k->sandbox = s;
	k->conversation = xstrdup(run->conversation);
	k->task_id = xstrdup(run->task_id);
	k->one_shot = run->one_shot;
	task_ctx_record(ctx)->stored = kept_stored;
	task_ctx_record(ctx)->cleanup = kept_free;
	task_ctx_record(ctx)->cleanup_arg = k;
	log_end(&k->outcome);
	if (k->outcome.misconduct)
		task_ctx_audit(ctx, "deny", "privilege", k->outcome.container,
			       k->outcome.misconduct, USEC_NEVER, NULL);
	if (k->outcome.status == SANDBOX_CANCELLED)
		return err_set(err, ERR_CANCELLED, "the run was cancelled");
	*ret = k;
	return 0;
}
