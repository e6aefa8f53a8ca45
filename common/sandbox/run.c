/*
 * One run: what is sent, what comes back, and what it means.
 */
#include "run.h"

#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "outcome.h"
#include "verdict.h"

struct going {
	struct agent_link *l;
	const struct run_plan *plan;
	uint32_t run;
	struct run_input in;
	struct outcome_stream out, err;
	usec_t deadline, next_tick;
	bool cancelled;
	struct frame_exit exit;
	char exit_text[BOUND_ERROR_TEXT];
};

/* What has to be done from time to time while waiting. */
static int look_around(struct going *g, struct err *err)
{
	const struct run_plan *plan = g->plan;
	usec_t now = clock_mono();
	int rc;

	if (plan->tick && now >= g->next_tick) {
		plan->tick(plan->arg);
		g->next_tick = now + RUN_TICK;
	}
	if (g->cancelled || !plan->run->cancel ||
	    !atomic_load_explicit(plan->run->cancel, memory_order_acquire))
		return 0;
	g->cancelled = true;
	if (g->deadline > now + RUN_GRACE)
		g->deadline = now + RUN_GRACE;
	rc = agent_link_send(g->l, FRAME_CANCEL, 0, g->run, "", 0, g->deadline, err);
	return rc < 0 ? rc : agent_link_flush(g->l, g->deadline, err);
}

/* The next frame of the run, with the looking around in between. ERR_TIMEOUT: silence beyond the
 * run's limit. */
static int await(struct going *g, struct frame *ret, struct err *err)
{
	for (;;) {
		usec_t now = clock_mono();
		usec_t until = now + (g->plan->run->cancel ? RUN_LOOK_AGAIN : RUN_TICK);
		struct err step;
		int rc = look_around(g, err);

		if (rc < 0)
			return rc;
		if (now >= g->deadline)
			return err_set(err, ERR_TIMEOUT, "the agent is silent");
		rc = agent_link_receive(g->l, until < g->deadline ? until : g->deadline, ret,
					&step);
		if (rc == 0 && ret->run != g->run)
			return err_set(err, ERR_PROTOCOL, "a frame of another run");
		if (rc != -ERR_TIMEOUT) {
			if (rc < 0)
				*err = step;
			return rc;
		}
	}
}

static int taken(struct going *g, const struct frame *f, struct err *err)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};
	uint32_t n = frame_get_u32(&c);

	if (c.bad || n > g->in.sent - g->in.taken)
		return err_set(err, ERR_PROTOCOL, "more input taken than was given");
	g->in.taken += n;
	return sandbox_run_send_input(g->l, g->run, &g->in, err);
}

/* Reads up to the EXIT. */
static int follow(struct going *g, struct err *err)
{
	struct slice text;
	struct frame f;
	int rc = g->in.data.len > 0 ? sandbox_run_send_input(g->l, g->run, &g->in, err) : 0;

	while (rc == 0 && (rc = await(g, &f, err)) == 0) {
		/* A flood is no silence: the limit stands without it. */
		if (clock_mono() >= g->deadline)
			return err_set(err, ERR_TIMEOUT, "the agent does not come to an end");
		switch (f.type) {
		case FRAME_STDOUT:
		case FRAME_STDERR:
			rc = sandbox_outcome_stream_add(f.type == FRAME_STDOUT ? &g->out : &g->err,
							f.data, f.len, f.flags & FRAME_TAIL, err);
			break;
		case FRAME_STDIN_TAKEN:
			rc = taken(g, &f, err);
			break;
		case FRAME_EXIT:
			if (!frame_exit_decode(&f, &g->exit, &text))
				return err_set(err, ERR_PROTOCOL, "a short EXIT");
			if (text.len >= sizeof(g->exit_text))
				text.len = sizeof(g->exit_text) - 1;
			memcpy(g->exit_text, text.data, text.len);
			return 0;
		default:
			rc = err_set(err, ERR_PROTOCOL, "a frame of type %u in a run", f.type);
		}
	}
	return rc;
}

static void take_texts(struct going *g, struct sandbox_outcome *o)
{
	struct err ignored;

	/* Memory alone can be short here; the outcome then has no text. */
	if (sandbox_outcome_stream_text(&g->out, o->stdout_dropped, &o->stdout_text, &o->stdout_len,
					&ignored) < 0)
		log_debug("stdout of a run: %s", ignored.msg);
	if (sandbox_outcome_stream_text(&g->err, o->stderr_dropped, &o->stderr_text, &o->stderr_len,
					&ignored) < 0)
		log_debug("stderr of a run: %s", ignored.msg);
}

static void judge(struct going *g, struct sandbox_outcome *o)
{
	const struct frame_exit *e = &g->exit;
	struct err ignored;

	sandbox_verdict_of(e, sandbox_outcome_stream_end(&g->err), &o->status, &o->exit_code);
	/* A cancel that crossed the end of the run changes nothing. */
	o->duration = (usec_t)(e->wall_us < INT64_MAX ? e->wall_us : INT64_MAX);
	o->cpu_time = (usec_t)(e->cpu_us < INT64_MAX ? e->cpu_us : INT64_MAX);
	o->peak_memory = (int64_t)(e->peak_memory < INT64_MAX ? e->peak_memory : INT64_MAX);
	o->stdout_dropped = e->stdout_dropped;
	o->stderr_dropped = e->stderr_dropped;
	if (e->end == FRAME_END_NOT_STARTED &&
	    sandbox_outcome_stream_add(&g->err, g->exit_text, strlen(g->exit_text), false,
				       &ignored) < 0)
		log_debug("a run did not start: %s", g->exit_text);
}

/* After the EXIT: the verdict, the files, and whether the container can be used on. */
static enum run_fate conclude(struct going *g, struct sandbox_outcome *o)
{
	bool spent = g->exit.remaining > 0 || (g->exit.flags & FRAME_EXIT_TAMPERED) ||
		     g->exit.end == FRAME_END_SUPERSEDED;
	struct err err;

	judge(g, o);
	if (o->status == SANDBOX_CANCELLED || o->status == SANDBOX_LOST ||
	    o->status == SANDBOX_START_FAILED)
		return spent ? RUN_SPENT : RUN_FINE;
	if (sandbox_run_harvest(g->l, g->plan, g->run, o, &err) < 0) {
		log_debug("files of a run: %s", err.msg);
		sandbox_outcome_add_skipped(o, "", 0,
					    "the sandbox was lost before its files were read");
		spent = true;
	}
	return spent ? RUN_SPENT : RUN_FINE;
}

int sandbox_run_execute(struct agent_link *l, const struct run_plan *plan,
			struct sandbox_outcome *ret, enum run_fate *ret_fate, struct err *err)
{
	struct going g = {.l = l, .plan = plan, .in = {.data = plan->run->stdin_data}};
	size_t limit = (size_t)plan->settings->sandbox_output_limit;
	struct sandbox_outcome o = {.status = SANDBOX_LOST};
	usec_t began = clock_mono();
	struct err trouble;
	int rc = sandbox_run_send(l, plan, &g.run, err);

	if (rc < 0)
		return rc;
	sandbox_outcome_stream_init(&g.out, limit);
	sandbox_outcome_stream_init(&g.err, limit);
	g.deadline = clock_mono() + plan->run->timeout + RUN_GRACE;
	g.next_tick = clock_mono() + RUN_TICK;
	rc = follow(&g, &trouble);
	if (rc == 0) {
		*ret_fate = conclude(&g, &o);
	} else {
		log_debug("a run is lost: %s", trouble.msg);
		*ret_fate =
			rc == -ERR_TIMEOUT && clock_mono() >= g.deadline ? RUN_SILENT : RUN_LOST;
		o.duration = clock_mono() - began;
	}
	take_texts(&g, &o);
	sandbox_outcome_stream_done(&g.out);
	sandbox_outcome_stream_done(&g.err);
	*ret = o;
	return 0;
}
