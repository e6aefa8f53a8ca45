/*
 * Receiving the files of /sandbox/output. The agent keeps the budgets; that it did is checked here
 * once more.
 */
#include "run.h"

#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "outcome.h"
#include "verdict.h"

static int begin_file(struct run_harvest *r, const struct frame *f, struct err *err)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};
	uint64_t size = frame_get_u64(&c);
	const char *name = (const char *)c.data;
	const struct sandbox_terms *s = r->terms;
	int rc;

	if (c.bad || r->open || !frame_name_is_good(name, c.left, BOUND_OUTPUT_DEPTH + 1))
		return err_set(err, ERR_PROTOCOL, "a file that cannot be");
	if (r->o->file_count >= (size_t)s->files_max || size > (uint64_t)s->file_size ||
	    size > (uint64_t)s->files_size - r->total)
		return err_set(err, ERR_PROTOCOL, "more files than the agent was allowed");
	for (size_t i = 0; i < r->o->file_count; i++)
		if (strlen(r->o->files[i].name) == c.left &&
		    memcmp(r->o->files[i].name, name, c.left) == 0)
			return err_set(err, ERR_PROTOCOL, "a file that comes twice");
	rc = sandbox_outcome_add_file(r->o, name, c.left, (size_t)size, (size_t)s->file_size, err);
	if (rc < 0)
		return rc;
	r->open = true;
	r->got = 0;
	r->total += size;
	return 0;
}

static int fill_file(struct run_harvest *r, const struct frame *f, struct err *err)
{
	struct sandbox_output_file *file = r->open ? &r->o->files[r->o->file_count - 1] : NULL;

	if (file == NULL || f->len > file->len - r->got)
		return err_set(err, ERR_PROTOCOL, "more of a file than was announced");
	memcpy(file->data + r->got, f->data, f->len);
	r->got += f->len;
	return 0;
}

/* One line about what was left out; the agent was told how many there may be. */
static int add_skipped(struct run_harvest *r, const char *name, size_t len, uint32_t reason,
		       struct err *err)
{
	if (r->o->skipped_count >= FRAME_SKIPPED_MAX + (size_t)r->terms->files_max)
		return err_set(err, ERR_PROTOCOL, "too many skipped files");
	sandbox_outcome_add_skipped(r->o, name, len, sandbox_verdict_skip_text(reason));
	return 0;
}

static int end_file(struct run_harvest *r, const struct frame *f, struct err *err)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};
	uint32_t reason = frame_get_u32(&c);
	struct sandbox_output_file *file = r->open ? &r->o->files[r->o->file_count - 1] : NULL;
	int rc = 0;

	if (file == NULL || c.bad || (reason == FRAME_SKIP_NONE && r->got != file->len))
		return err_set(err, ERR_PROTOCOL, "a file that ends too early");
	r->open = false;
	if (reason != FRAME_SKIP_NONE) {
		rc = add_skipped(r, file->name, strlen(file->name), reason, err);
		sandbox_outcome_drop_file(r->o);
	}
	return rc;
}

static int skipped(struct run_harvest *r, const struct frame *f, struct err *err)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};
	uint32_t reason = frame_get_u32(&c);

	if (c.bad)
		return err_set(err, ERR_PROTOCOL, "a short SKIPPED");
	return add_skipped(r, (const char *)c.data, c.left, reason, err);
}

static void finish(struct run_harvest *r, const struct frame *f)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};
	uint32_t all;
	char text[64];

	frame_get_u32(&c);
	all = frame_get_u32(&c);
	if (all <= FRAME_SKIPPED_MAX)
		return;
	snprintf(text, sizeof(text), "and %u more", all - FRAME_SKIPPED_MAX);
	sandbox_outcome_add_skipped(r->o, "", 0, text);
}

int sandbox_run_harvest_take(struct run_harvest *r, const struct frame *f, struct err *err)
{
	switch (f->type) {
	case FRAME_FILE:
		return begin_file(r, f, err);
	case FRAME_FILE_DATA:
		return fill_file(r, f, err);
	case FRAME_FILE_END:
		return end_file(r, f, err);
	case FRAME_SKIPPED:
		return skipped(r, f, err);
	case FRAME_HARVESTED:
		if (r->open)
			break;
		finish(r, f);
		return 1;
	default:
		break;
	}
	return err_set(err, ERR_PROTOCOL, "a frame of type %u in a harvest", f->type);
}

int sandbox_run_harvest_ask(struct agent_link *l, const struct run_plan *plan, uint32_t run,
			    struct err *err)
{
	const struct sandbox_terms *s = plan->terms;
	struct frame_harvest limits = {.files = (uint32_t)s->files_max,
				       .depth = BOUND_OUTPUT_DEPTH,
				       .entries = BOUND_OUTPUT_WALK,
				       .time_ms = HARVEST_TIME / USEC_PER_MSEC,
				       .file_size = (uint64_t)s->file_size,
				       .total_size = (uint64_t)s->files_size};
	unsigned char bytes[FRAME_STRUCT_MAX];

	return agent_link_send(l, FRAME_HARVEST, 0, run, bytes,
			       frame_harvest_encode(&limits, bytes), clock_deadline(RUN_SEND_TIME),
			       err);
}

int sandbox_run_harvest(struct agent_link *l, const struct run_plan *plan, uint32_t run,
			struct sandbox_outcome *o, struct err *err)
{
	struct run_harvest r = {.o = o, .terms = plan->terms};
	usec_t deadline = clock_deadline(HARVEST_TIME + RUN_GRACE);
	struct frame f;
	int rc = agent_link_flush(l, deadline, err);

	while (rc == 0 && (rc = agent_link_receive(l, deadline, &f, err)) == 0) {
		if (clock_mono() >= deadline)
			rc = err_set(err, ERR_TIMEOUT, "it does not come to an end");
		else if (f.run != run)
			rc = err_set(err, ERR_PROTOCOL, "a frame of another run");
		else
			rc = sandbox_run_harvest_take(&r, &f, err);
		if (rc == 1)
			return 0;
	}
	if (r.open)
		sandbox_outcome_drop_file(o);
	return err_wrap(err, "harvest");
}
