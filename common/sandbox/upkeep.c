/*
 * upkeep.c: what is done with a conversation's container beside runs: its output directory is
 * emptied, it is removed.
 */
#include <stdlib.h>

#include "clock.h"
#include "mem.h"
#include "sandbox_internal.h"

struct upkeep {
	struct sandbox *s;
	struct session se;
};

static void renew(void *arg)
{
	struct upkeep *e = arg;

	sandbox_session_renew(e->s, &e->se);
}

/* A run that its worker has left is waited for. */
static int wait_for_quiet(struct upkeep *e, struct err *err)
{
	const struct run_wait wait = {
		.limit = e->s->settings->sandbox_max_timeout, .tick = renew, .arg = e};
	struct frame_state ignored;
	char nobody[UUID_SIZE];
	uint32_t run;

	if (!agent_link_was_busy(e->se.live->link))
		return 0;
	uuid4(nobody);
	return sandbox_run_ask(e->se.live->link, nobody, &wait, &run, &ignored, err);
}

static int ask_reset(struct upkeep *e, int64_t *ret_removed, struct err *err)
{
	struct agent_link *l = e->se.live->link;
	int rc = wait_for_quiet(e, err);
	usec_t deadline = clock_deadline(RUN_SEND_TIME);
	uint32_t run = agent_link_next_run(l);
	struct frame_cursor c;
	struct frame f;

	if (rc == 0)
		rc = agent_link_ask(l, FRAME_RESET, run, deadline, &f, err);
	if (rc < 0)
		return rc;
	c = (struct frame_cursor){.data = f.data, .left = f.len};
	if (f.type != FRAME_RESET_DONE || f.run != run)
		return err_set(err, ERR_PROTOCOL, "a frame of type %u for a reset", f.type);
	*ret_removed = (int64_t)(frame_get_u64(&c) & INT64_MAX);
	if (frame_get_u64(&c) > 0)
		return err_set(err, ERR_FAILED,
			       "the output directory could not be emptied in time");
	return 0;
}

static int reset(struct sandbox *s, const char *conversation, int64_t *ret_removed, struct err *err)
{
	const struct sandbox_run run = {.conversation = conversation};
	struct upkeep e = {.s = s};
	int64_t removed = 0;
	int rc = sandbox_session_open(s, &run, false, &e.se, err);

	if (rc < 0)
		return rc;
	if (e.se.live)
		rc = ask_reset(&e, &removed, err);
	if (rc < 0 && rc != -ERR_FAILED)
		sandbox_session_doubt(s, &e.se);
	else
		sandbox_session_keep(s, &e.se);
	if (rc == 0)
		*ret_removed = removed;
	return rc;
}

int sandbox_reset_output(struct sandbox *s, const char *conversation, int64_t *ret_removed,
			 struct err *err)
{
	struct sandbox_patience patience = sandbox_patience();
	int rc = sandbox_check_conversation(conversation, err);

	if (rc < 0)
		return rc;
	do
		rc = reset(s, conversation, ret_removed, err);
	while (rc < 0 && sandbox_try_again(s, &patience, err));
	return rc < 0 ? err_wrap(err, "sandbox") : 0;
}

/* By its labels: the index may be wrong or empty. */
static int remove_all_of(struct sandbox *s, const char *conversation, bool *ret_removed,
			 struct err *err)
{
	_cleanup_free_ struct engine_container *list = NULL;
	size_t n = 0;
	int rc = engine_list(s->engine, &list, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (!sandbox_container_is_of(s->settings->instance, &list[i], conversation))
			continue;
		rc = engine_remove(s->engine, list[i].id, err);
		*ret_removed = true;
	}
	return rc;
}

/* `removed` is also set when it is not known whether all are. */
static int close_once(struct sandbox *s, const char *conversation, bool *removed, struct err *err)
{
	struct index_record record;
	struct index_lease lease;
	int rc = sandbox_index_acquire(&s->index, conversation, clock_deadline(SANDBOX_WAIT_TIME),
				       NULL, &lease, &record, err);

	if (rc < 0)
		return rc;
	rc = remove_all_of(s, conversation, removed, err);
	if (rc == 0) {
		sandbox_live_free(sandbox_live_take(s, conversation));
		sandbox_index_forget(&s->index, conversation);
	}
	sandbox_index_release(&s->index, &lease);
	return rc;
}

int sandbox_close(struct sandbox *s, const char *conversation, bool *ret_removed, struct err *err)
{
	struct sandbox_patience patience = sandbox_patience();
	bool removed = false;
	int rc = sandbox_check_conversation(conversation, err);

	if (rc < 0)
		return rc;
	do
		rc = close_once(s, conversation, &removed, err);
	while (rc < 0 && sandbox_try_again(s, &patience, err));
	if (rc < 0)
		return err_wrap(err, "sandbox");
	*ret_removed = removed;
	return 0;
}
