/*
 * Messages whose task does not run, or not to its end. See discard.h.
 */
#include "discard.h"

#include <string.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "outcome.h"
#include "settle.h"

/* REVOKED, for the reason that Celery's clients know. */
static void settle_revoked(struct request *r, const char *reason, int signum)
{
	_cleanup_json_ json_t *exception =
		json_pack("{s:s, s:[s], s:s}", "exc_type", "TaskRevokedError", "exc_message",
			  reason, "exc_module", "celery.exceptions");
	bool expired = strcmp(reason, "expired") == 0;

	state_count(&r->worker->state, expired ? COUNT_EXPIRED : COUNT_REVOKED);
	events_task_revoked(r, signum != 0, signum, expired);
	settle_result(r, TASK_REVOKED, exception, NULL);
}

bool discard_request(struct request *r)
{
	struct revoked *revoked = &r->worker->revoked;
	bool expired = r->message->expires != 0 && r->message->expires <= clock_wall();

	if (!expired && !revoked_has(revoked, r->id) &&
	    !revoked_has_stamp(revoked, r->message->headers))
		return false;
	log_info("Discarding revoked task: %s[%s]", r->shown, r->id);
	pool_let_go(&r->worker->pool); /* what follows from it may wait for a backend */
	settle_revoked(r, expired ? "expired" : "revoked", 0);
	return true;
}

void discard_terminated(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	int signum = atomic_load(&r->terminated);
	_cleanup_json_ json_t *row =
		json_pack("{s:s, s:[s], s:s}", "exc_type", "Terminated", "exc_message",
			  "terminated", "exc_module", "billiard.exceptions");

	ctx->record.finish.error = "terminated";
	if (!outcome_keep_row(ctx, row, true))
		return;
	log_error("Task %s[%s] terminated (signal %d)", r->shown, r->id, signum);
	settle_revoked(r, "terminated", signum);
}

const struct task discard_unregistered = {.name = ""};

void discard_unknown(struct request *r)
{
	state_count(&r->worker->state, COUNT_UNKNOWN);
	_cleanup_json_ json_t *exception =
		json_pack("{s:s, s:[s], s:s}", "exc_type", "NotRegistered", "exc_message", r->name,
			  "exc_module", "celery.exceptions");

	events_task_unknown(r);
	settle_result(r, TASK_FAILURE, exception, NULL);
}
