/*
 * Names and meanings of how runs end.
 */
#include "verdict.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define NEARLY_FULL (64u << 10) /* bytes: no write of a reasonable size fits */

static const char *const status_texts[] = {
	[SANDBOX_OK] = "ok",
	[SANDBOX_ERROR] = "error",
	[SANDBOX_TIMEOUT] = "timeout",
	[SANDBOX_OOM] = "oom",
	[SANDBOX_KILLED] = "killed",
	[SANDBOX_DISK_FULL] = "disk_full",
	[SANDBOX_START_FAILED] = "start_failed",
	[SANDBOX_LOST] = "lost",
	[SANDBOX_CANCELLED] = "cancelled",
};

const char *sandbox_status_text(enum sandbox_status status)
{
	return (size_t)status < ARRAY_LEN(status_texts) ? status_texts[status] : "lost";
}

static const char *const skip_texts[FRAME_SKIP_COUNT] = {
	[FRAME_SKIP_NONE] = "skipped",
	[FRAME_SKIP_SYMLINK] = "a symbolic link",
	[FRAME_SKIP_NOT_REGULAR] = "not a regular file",
	[FRAME_SKIP_FILE_SIZE] = "too big",
	[FRAME_SKIP_TOTAL_SIZE] = "too much in all",
	[FRAME_SKIP_FILES] = "too many files",
	[FRAME_SKIP_DEPTH] = "too deep",
	[FRAME_SKIP_ENTRIES] = "too many entries",
	[FRAME_SKIP_TIME] = "took too long",
	[FRAME_SKIP_NAME] = "bad name",
	[FRAME_SKIP_UNREADABLE] = "unreadable",
	[FRAME_SKIP_CHANGED] = "changed while it was read",
	[FRAME_SKIP_OTHER_FS] = "on another file system",
};

const char *sandbox_verdict_skip_text(uint32_t reason)
{
	return skip_texts[reason < FRAME_SKIP_COUNT ? reason : FRAME_SKIP_NONE];
}

static bool disk_was_full(const struct frame_exit *e, struct slice error_text)
{
	static const char said[] = "No space left on device";

	if (e->free_bytes < NEARLY_FULL || e->free_inodes == 0 || e->tmp_free_bytes < NEARLY_FULL)
		return true;
	return error_text.len > 0 &&
	       memmem(error_text.data, error_text.len, said, sizeof(said) - 1) != NULL;
}

static enum sandbox_status not_started(const struct frame_exit *e, int *ret_exit_code)
{
	*ret_exit_code = VERDICT_CANNOT_RUN;
	if (e->start_errno == ENOSPC || e->start_errno == EDQUOT)
		return SANDBOX_DISK_FULL;
	if (e->start_errno == ENOENT || e->start_errno == ENOTDIR)
		*ret_exit_code = VERDICT_NOT_FOUND;
	return SANDBOX_START_FAILED;
}

static enum sandbox_status exited(const struct frame_exit *e, struct slice error_text,
				  int *ret_exit_code)
{
	*ret_exit_code = e->term_signal ? VERDICT_SIGNAL_BASE + (int)(e->term_signal & 0x7f)
					: (int)(e->exit_code & 0xff);
	if (*ret_exit_code == 0)
		return SANDBOX_OK;
	if (e->oom_kills > 0) {
		*ret_exit_code = VERDICT_KILLED;
		return SANDBOX_OOM;
	}
	/* Writing to a mapped file on a full disk is a bus error. */
	if ((e->term_signal == 0 || e->term_signal == SIGBUS) && disk_was_full(e, error_text))
		return SANDBOX_DISK_FULL;
	return e->term_signal ? SANDBOX_KILLED : SANDBOX_ERROR;
}

void sandbox_verdict_of(const struct frame_exit *e, struct slice error_text,
			enum sandbox_status *ret_status, int *ret_exit_code)
{
	*ret_exit_code = VERDICT_KILLED;
	switch (e->end) {
	case FRAME_END_EXITED:
		*ret_status = exited(e, error_text, ret_exit_code);
		return;
	case FRAME_END_TIMEOUT:
		*ret_status = SANDBOX_TIMEOUT;
		*ret_exit_code = VERDICT_TIMEOUT;
		return;
	case FRAME_END_CANCELLED:
		*ret_status = SANDBOX_CANCELLED;
		return;
	case FRAME_END_NOT_STARTED:
		*ret_status = not_started(e, ret_exit_code);
		return;
	default:
		*ret_status = SANDBOX_LOST;
		return;
	}
}

void sandbox_verdict_without_agent(bool timed_out, bool exists, bool running, bool oom_killed,
				   enum sandbox_status *ret_status, int *ret_exit_code)
{
	*ret_exit_code = VERDICT_KILLED;
	if (timed_out) {
		*ret_status = SANDBOX_TIMEOUT;
		*ret_exit_code = VERDICT_TIMEOUT;
	} else if (!exists || running) {
		*ret_status = SANDBOX_LOST;
	} else {
		/* The container ended under the run: only the run can have done that. */
		*ret_status = oom_killed ? SANDBOX_OOM : SANDBOX_KILLED;
	}
}
