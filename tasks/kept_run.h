/*
 * kept_run.h: a run in a sandbox whose outcome the task's row borrows until it is written.
 */
#ifndef CELERIAC_KEPT_RUN_H
#define CELERIAC_KEPT_RUN_H

#include "task_house.h"

struct kept_run {
	struct sandbox_outcome outcome;
	/* of the row: those of the outcome, described */
	struct store_file *files;
	size_t file_count;

	/* private */
	struct sandbox *sandbox;
	char *conversation, *task_id;
	bool one_shot;
};

/* Runs it, and raises what went wrong. *ret belongs to the task's record, which acknowledges the
 * run once the row is written and frees it afterwards. A run that was cancelled is -ERR_CANCELLED.
 */
int kept_run(struct task_ctx *ctx, const struct sandbox_run *run, struct kept_run **ret,
	     struct err *err) must_check;
/* Takes a file out of the outcome, so that it is no deliverable; given, or NULL. */
char *kept_run_take_file(struct kept_run *k, const char *name, size_t *ret_len);
/* Fills the row from the outcome, with all files that are left in it. */
void kept_run_record(struct task_ctx *ctx, const struct sandbox_run *run, struct kept_run *k);

#endif
