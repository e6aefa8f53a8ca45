/*
 * One run: what is sent, what comes back, and what it means.
 */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "log.h"
#include "mem.h"
#include "outcome.h"
#include "verdict.h"

struct going {
	struct agent_link *l;
	const struct run_plan *plan;
	uint32_t run;
	struct run_input in;
	struct run_egress egress;
	struct outcome_stream out, err;
	usec_t deadline, next_tick;
	usec_t note_at; /* USEC_NEVER = it is noted, or nobody wants to know */
	bool heard;	/* since the last tick */
	bool cancelled, started, stopped, left;
	bool harvest_comes; /* behind the EXIT, unasked */
	uint32_t note;
	struct frame_exit exit;
	char exit_text[BOUND_ERROR_TEXT];
};

static usec_t sooner(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/* The agent has said nothing for a while. Not every engine ends the stream of a container that is
 * gone. */
static int look_at_place(struct going *g, struct err *err)
{
	enum run_place place = g->plan->look ? g->plan->look(g->plan->arg) : RUN_PLACE_FINE;

	g->stopped = place == RUN_PLACE_STOPPED && !g->started;
	return place == RUN_PLACE_GONE ? err_set(err, ERR_CLOSED, "the sandbox is gone") : 0;
}

/* Written down beside the run, whose time is not ours to spend: what waits meanwhile is no silence.
 */
static void note(struct going *g, usec_t now)
{
	const struct sandbox_run *run = g->plan->run;
	struct err err;

	g->note_at = USEC_NEVER;
	if (run->note(run->note_arg, g->plan->container, false, &err) < 0)
		log_debug("where a run is was not noted: %s", err.msg);
	g->deadline += clock_mono() - now;
}

/* What has to be done from time to time while waiting. */
static int look_around(struct going *g, struct err *err)
{
	const struct run_plan *plan = g->plan;
	usec_t now = clock_mono();
	int rc;

	if (now >= g->note_at)
		note(g, now);
	if (now >= g->next_tick) {
		if (plan->tick)
			plan->tick(plan->arg);
		g->next_tick = now + RUN_TICK;
		if (!g->heard && look_at_place(g, err) < 0)
			return -ERR_CLOSED;
		g->heard = false;
	}
	if (g->stopped)
		return err_set(err, ERR_UNAVAILABLE, "the sandbox stands still");
	if (plan->run->leave && atomic_load_explicit(plan->run->leave, memory_order_acquire)) {
		g->left = true;
		return err_set(err, ERR_CANCELLED, "the run is left to itself");
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
		usec_t until = now + (g->plan->run->cancel || g->plan->run->leave ? RUN_LOOK_AGAIN
										  : RUN_TICK);
		struct err step;
		int rc = look_around(g, err);

		if (rc < 0)
			return rc;
		if (now >= g->deadline)
			return err_set(err, ERR_TIMEOUT, "the agent is silent");
		rc = sandbox_run_receive(&g->egress, sooner(sooner(until, g->note_at), g->deadline),
					 ret, &step);
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

/* Output: kept for the outcome, and told while it comes. Of the end it is not known yet how much is
 * missing before it. */
static int said(struct going *g, const struct frame *f, struct err *err)
{
	bool is_out = f->type == FRAME_STDOUT;
	int rc = sandbox_outcome_stream_add(is_out ? &g->out : &g->err, f->data, f->len,
					    f->flags & FRAME_TAIL, err);

	if (rc == 0 && !(f->flags & FRAME_TAIL) && g->plan->streams)
		sandbox_stream_add(*g->plan->stream, is_out ? STREAM_STDOUT : STREAM_STDERR,
				   f->data, f->len);
	return rc;
}

static void tell_from_now(struct going *g, bool resume)
{
	const struct run_plan *plan = g->plan;

	if (plan->streams == NULL)
		return;
	sandbox_stream_leave(*plan->stream);
	*plan->stream = sandbox_stream_open(plan->streams, plan->run->task_id, resume);
}

static void tell_tails(struct going *g)
{
	const struct frame_exit *e = &g->exit;

	if (g->plan->streams == NULL)
		return;
	sandbox_stream_tail(*g->plan->stream, STREAM_STDOUT, e->stdout_dropped, g->out.tail.data,
			    g->out.tail.len);
	sandbox_stream_tail(*g->plan->stream, STREAM_STDERR, e->stderr_dropped, g->err.tail.data,
			    g->err.tail.len);
}

static int take_exit(struct going *g, const struct frame *f, struct err *err)
{
	struct slice text;

	if (!frame_exit_decode(f, &g->exit, &text))
		return err_set(err, ERR_PROTOCOL, "a short EXIT");
	if (text.len >= sizeof(g->exit_text))
		text.len = sizeof(g->exit_text) - 1;
	memcpy(g->exit_text, text.data, text.len);
	return 1;
}

/* 1: it was the EXIT. */
static int take(struct going *g, const struct frame *f, struct err *err)
{
	g->started = g->heard = true;
	switch (f->type) {
	case FRAME_STARTED:
		return 0;
	case FRAME_STDOUT:
	case FRAME_STDERR:
		return said(g, f, err);
	case FRAME_STDIN_TAKEN:
		return taken(g, f, err);
	case FRAME_CHANNEL_OPEN:
	case FRAME_CHANNEL_SENT:
	case FRAME_CHANNEL_ENDED:
	case FRAME_CHANNEL_WRITTEN:
		return sandbox_run_egress_frame(&g->egress, f, err);
	case FRAME_EXIT:
		return take_exit(g, f, err);
	default:
		return err_set(err, ERR_PROTOCOL, "a frame of type %u in a run", f->type);
	}
}

/* Reads up to the EXIT. */
static int follow(struct going *g, struct err *err)
{
	struct frame f;
	int rc = g->in.data.len > 0 ? sandbox_run_send_input(g->l, g->run, &g->in, err) : 0;

	sandbox_run_egress_begin(&g->egress, g->l, g->run, g->plan->run->egress);
	while (rc == 0 && (rc = await(g, &f, err)) == 0) {
		/* A flood is no silence: the limit stands without it. */
		if (clock_mono() >= g->deadline)
			rc = err_set(err, ERR_TIMEOUT, "the agent does not come to an end");
		else
			rc = take(g, &f, err);
	}
	sandbox_run_egress_end(&g->egress);
	return rc < 0 ? rc : 0;
}

static void say_state_lost(struct sandbox_outcome *o)
{
	static const char note[] =
		"[the interpreter has ended: the variables of this conversation are lost]\n";
	const char *text = o->stderr_text ? o->stderr_text : "";
	const char *newline = o->stderr_len > 0 && text[o->stderr_len - 1] != '\n' ? "\n" : "";
	char *both = xasprintf("%s%s%s", text, newline, note);

	free(o->stderr_text);
	o->stderr_text = both;
	o->stderr_len = strlen(both);
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
	if (g->exit.flags & FRAME_EXIT_STATE_LOST)
		say_state_lost(o);
}

/* A program that the image does not have. */
static void say_what_is_missing(struct going *g)
{
	const struct run_plan *plan = g->plan;
	char *end = strchr(g->exit_text, ':');

	if (g->exit.start_errno != ENOENT || end == NULL)
		return;
	*end = '\0';
	char *text = xasprintf("language %s: the image %s has no program %s\n", plan->run->language,
			       plan->settings->sandbox_image, g->exit_text);

	snprintf(g->exit_text, sizeof(g->exit_text), "%s", text);
	free(text);
}

/* What did not get as far as the code, because its packages could not be installed. */
static void judge_packages(struct going *g, struct sandbox_outcome *o)
{
	static const char note[] = "[packages could not be installed; the code was not run]\n";
	const char *const *packages = g->plan->run->packages;
	struct err ignored;

	if (packages == NULL || *packages == NULL || g->exit.flags >> FRAME_EXIT_STEP & 0xff ||
	    o->status != SANDBOX_ERROR)
		return;
	o->status = SANDBOX_START_FAILED;
	if (sandbox_outcome_stream_add(&g->err, note, sizeof(note) - 1, true, &ignored) < 0)
		log_debug("no room to say that packages failed");
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
	o->killed = e->left;
	o->ended = e->remaining > 0		 ? SANDBOX_ENDED_CONTAINER
		   : e->flags & FRAME_EXIT_SWEPT ? SANDBOX_ENDED_SWEPT
		   : e->left > 0		 ? SANDBOX_ENDED_KILLED
						 : SANDBOX_ENDED_ALONE;
	o->stdout_dropped = e->stdout_dropped;
	o->stderr_dropped = e->stderr_dropped;
	judge_packages(g, o);
	say_what_is_missing(g);
	if (e->end == FRAME_END_NOT_STARTED &&
	    sandbox_outcome_stream_add(&g->err, g->exit_text, strlen(g->exit_text), false,
				       &ignored) < 0)
		log_debug("a run did not start: %s", g->exit_text);
}

/* The files, unless they count as the next run's. 0 = none, or all that there are. */
static int harvest(struct going *g, struct sandbox_outcome *o, struct err *err)
{
	enum sandbox_status status = o->status;
	int rc;

	if (g->harvest_comes && frame_exit_leaves_files(&g->exit))
		return sandbox_run_harvest(g->l, g->plan, g->run, o, err);
	if (status == SANDBOX_CANCELLED || status == SANDBOX_LOST || status == SANDBOX_START_FAILED)
		return 0;
	rc = sandbox_run_harvest_ask(g->l, g->plan, g->run, err);
	return rc < 0 ? rc : sandbox_run_harvest(g->l, g->plan, g->run, o, err);
}

/* After the EXIT: the verdict, the files, and whether the container can be used on. */
static enum run_fate conclude(struct going *g, struct sandbox_outcome *o)
{
	bool spent = g->exit.remaining > 0 || (g->exit.flags & FRAME_EXIT_TAMPERED) ||
		     g->exit.end == FRAME_END_SUPERSEDED;
	struct err err;

	judge(g, o);
	if (g->exit.flags & FRAME_EXIT_TAMPERED)
		o->misconduct = "the limits of the sandbox's agent were changed";
	tell_tails(g);
	if (harvest(g, o, &err) < 0) {
		log_debug("files of a run: %s", err.msg);
		sandbox_outcome_add_skipped(o, "", 0,
					    "the sandbox was lost before its files were read");
		spent = true;
	}
	return spent ? RUN_SPENT : RUN_FINE;
}

static void tell_began(struct going *g, bool again)
{
	const struct sandbox_run *run = g->plan->run;

	if (run->began)
		run->began(run->note_arg, g->plan->container, again);
	if (run->note && !again)
		g->note_at = clock_deadline(SANDBOX_NOTE_AFTER);
}

static int begin(struct going *g, struct err *err)
{
	const struct sandbox_run *run = g->plan->run;
	int rc = 0;

	if (run->begun) {
		tell_began(g, true);
		if (run->note)
			rc = run->note(run->note_arg, g->plan->container, true, err);
	}
	if (rc == 0)
		rc = sandbox_run_send(g->l, g->plan, &g->run, err);
	if (rc < 0)
		return rc;
	tell_from_now(g, false);
	g->note = g->plan->note;
	g->in = (struct run_input){.data = run->stdin_data};
	g->harvest_comes = agent_link_version(g->l) > 2;
	g->deadline = clock_mono() + run->timeout + RUN_GRACE;
	if (!run->begun)
		tell_began(g, false);
	return 0;
}

/* The run is there: what it has said comes once more, and then what it says. */
static void take_up(struct going *g, const struct frame_state *state)
{
	usec_t left = (usec_t)state->left_ms * USEC_PER_MSEC;
	size_t got = g->plan->run->stdin_data.len;

	if (state->stdin_got < got)
		got = (size_t)state->stdin_got;
	if (left > g->plan->run->timeout)
		left = g->plan->run->timeout;
	tell_from_now(g, true);
	g->note = state->note;
	g->in = (struct run_input){.data = g->plan->run->stdin_data,
				   .sent = got,
				   .taken = state->stdin_taken < got ? (size_t)state->stdin_taken
								     : got};
	g->started = true;
	g->harvest_comes = false;
	g->deadline = clock_mono() + left + RUN_GRACE;
	tell_began(g, false);
}

static bool has_key(const struct sandbox_run *run)
{
	return run->task_id && *run->task_id;
}

/* 1: `g` is the run that was begun before; 0: there is none. */
static int look_for(struct going *g, struct err *err)
{
	const struct sandbox_run *run = g->plan->run;
	const struct run_wait wait = {.limit = g->plan->settings->sandbox_max_timeout,
				      .cancel = g->plan->follow_only ? NULL : run->cancel,
				      .tick = g->plan->tick,
				      .arg = g->plan->arg};
	bool wanted = (run->begun || g->plan->begun || g->plan->follow_only) && has_key(run);
	struct frame_state state;
	char nobody[UUID_SIZE];
	int rc;

	if (!agent_link_was_busy(g->l) && !wanted)
		return 0;
	uuid4(nobody);
	rc = sandbox_run_ask(g->l, wanted ? run->task_id : nobody, &wait, &g->run, &state, err);
	if (rc < 0 || state.state == FRAME_STATE_NONE)
		return rc;
	take_up(g, &state);
	return 1;
}

static void streams_init(struct going *g)
{
	size_t limit = (size_t)g->plan->terms->output_limit;

	sandbox_outcome_stream_done(&g->out);
	sandbox_outcome_stream_done(&g->err);
	sandbox_outcome_stream_init(&g->out, limit);
	sandbox_outcome_stream_init(&g->err, limit);
}

/* What follow() has failed with, as a fate. */
static enum run_fate fate_of(const struct going *g, int rc)
{
	if (g->left)
		return RUN_LEFT;
	if (g->stopped)
		return RUN_UNBEGUN;
	if (rc == -ERR_TIMEOUT && clock_mono() >= g->deadline)
		return RUN_SILENT;
	if (rc == -ERR_CONFLICT)
		return RUN_TAKEN;
	if (rc != -ERR_CLOSED && rc != -ERR_UNAVAILABLE)
		return RUN_LOST;
	/* Without a key nobody can be asked for it. */
	return g->started || !has_key(g->plan->run) ? RUN_CUT : RUN_UNHEARD;
}

/* Up to the EXIT; a run that somebody else has cancelled is no verdict of ours. */
static int follow_to_the_end(struct going *g, bool found, struct err *err)
{
	int rc = follow(g, err);

	if (rc < 0 || !found || g->cancelled || g->plan->follow_only ||
	    g->exit.end != FRAME_END_CANCELLED)
		return rc;
	streams_init(g);
	rc = begin(g, err);
	return rc < 0 ? rc : follow(g, err);
}

int sandbox_run_execute(struct agent_link *l, const struct run_plan *plan,
			struct sandbox_outcome *ret, enum run_fate *ret_fate, struct err *err)
{
	struct going g = {
		.l = l, .plan = plan, .next_tick = clock_mono() + RUN_TICK, .note_at = USEC_NEVER};
	struct sandbox_outcome o = {.status = SANDBOX_LOST, .exit_code = VERDICT_KILLED};
	usec_t began = clock_mono();
	struct err trouble;
	int rc = look_for(&g, err), found = rc;

	if (rc == 0 && plan->follow_only) {
		*ret_fate = RUN_MISSING;
		*ret = o;
		return 0;
	}
	if (rc == 0)
		rc = begin(&g, err);
	if (rc < 0)
		return rc;
	streams_init(&g);
	rc = follow_to_the_end(&g, found > 0, &trouble);
	if (rc == 0) {
		*ret_fate = conclude(&g, &o);
	} else {
		log_debug("a run is lost: %s", trouble.msg);
		if (rc == -ERR_PROTOCOL)
			o.misconduct = "the agent's stream was forged or damaged";
		*ret_fate = fate_of(&g, rc);
		o.duration = clock_mono() - began;
	}
	o.reused = g.note & RUN_NOTE_REUSED;
	o.restarted = g.note & RUN_NOTE_RESTARTED;
	take_texts(&g, &o);
	sandbox_outcome_stream_done(&g.out);
	sandbox_outcome_stream_done(&g.err);
	*ret = o;
	return 0;
}
