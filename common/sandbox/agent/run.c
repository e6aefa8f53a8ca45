/*
 * One run from its start to its EXIT. It is over when its leader is gone (or has to go) and nothing
 * else of it is alive.
 */
#include "proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void feed_close(struct feed *in)
{
	if (in->fd >= 0)
		close(in->fd);
	free(in->bytes);
	*in = (struct feed){.fd = -1};
}

/* Forgets what was being put together; a run that is going is ended. */
void run_prepare(struct agent *a, uint32_t id)
{
	struct run *r = &a->run;

	if (r->leader)
		run_end(a, FRAME_END_SUPERSEDED);
	if (r->put_fd >= 0)
		close(r->put_fd);
	strings_done(&r->args);
	strings_done(&r->env);
	stdio_close(&r->io);
	feed_close(&r->in);
	capture_free(&r->out);
	capture_free(&r->err);
	*r = (struct run){.id = id,
			  .put_fd = -1,
			  .out = {.fd = -1},
			  .err = {.fd = -1},
			  .in = {.fd = -1},
			  .io = STDIO_INIT};
}

void run_leader_gone(struct run *r, int status)
{
	r->leader_gone = true;
	r->leader_status = status;
	r->ended = now_mono();
	r->drain_deadline = r->ended + AGENT_DRAIN_MS * USEC_PER_MSEC;
	/* Otherwise the streams would have no end. */
	if (status != 0)
		stdio_close_child(&r->io);
}

/* The run has ended: it is told, kept, and whoever waits for that hears of it. */
static void conclude(struct agent *a, const struct frame_exit *e)
{
	const struct frame_state none = {.state = FRAME_STATE_NONE};
	unsigned char bytes[FRAME_STRUCT_MAX];
	uint32_t waiting = a->waiting;

	a->run.leader = 0;
	control_cork(a);
	kept_add(a, &a->run, e, a->run.attached);
	if (a->run.attached && a->run.harvest_asked && frame_exit_leaves_files(e))
		harvest(a, &a->run.harvest, a->run.id);
	control_uncork(a);
	run_prepare(a, 0);
	a->waiting = 0;
	if (waiting)
		control_send(a, FRAME_STATE, 0, waiting, bytes, frame_state_encode(&none, bytes));
}

static void not_started(struct agent *a)
{
	struct frame_exit e = {.end = FRAME_END_NOT_STARTED,
			       .start_errno = (uint32_t)a->run.start_errno};

	state_space(AGENT_HOME, &e.free_bytes, &e.free_inodes);
	if (state_is_tampered(a))
		e.flags |= FRAME_EXIT_TAMPERED;
	conclude(a, &e);
}

static int make_output_dir(void)
{
	int home = tree_home(), dir;

	if (home < 0)
		return errno;
	dir = tree_make_dir(home, AGENT_OUTPUT);
	close(home);
	if (dir < 0)
		return errno;
	close(dir);
	return 0;
}

static void start(struct agent *a, const struct frame_run *spec)
{
	struct run *r = &a->run;
	int error = stdio_open(&r->io, spec->flags & FRAME_RUN_STDIN);

	if (error)
		return run_spoil(r, error, "streams", "");
	r->spec = *spec;
	r->spec.key = (struct slice){0};
	if (r->step_count == 0 || r->step_ends[r->step_count - 1] < r->args.count)
		step_end(r);
	r->began = now_mono();
	if (step_start(a) != 0)
		return;
	r->is_python = spec->flags & FRAME_RUN_PYTHON;
	r->in.fd = r->io.ours[0];
	r->out.fd = r->io.ours[1];
	r->err.fd = r->io.ours[2];
	for (int i = 0; i < 3; i++)
		r->io.ours[i] = -1;
}

void run_start(struct agent *a, const struct frame_run *spec)
{
	struct run *r = &a->run;
	uint32_t limit =
		spec->output_limit < FRAME_OUTPUT_MAX ? spec->output_limit : FRAME_OUTPUT_MAX;
	int error;

	python_seal(a);
	kept_settle(a);
	memcpy(r->key, spec->key.data, spec->key.len);
	r->note = spec->note;
	r->attached = true;
	error = make_output_dir();
	if (error)
		run_spoil(r, error, "directory", AGENT_OUTPUT);
	if (r->put_fd >= 0)
		run_spoil(r, EPROTO, "incomplete input file", r->put_name);
	if (r->args.bad || r->env.bad || r->args.count == 0)
		run_spoil(r, E2BIG, "arguments or environment", "");
	r->oom_kills_before = state_oom_kills();
	state_memory(&r->before);
	if (spec->flags & FRAME_RUN_PROXY) {
		error = proxy_open(&a->proxy);
		if (error)
			run_spoil(r, error, "the way out", "");
	} else if (spec->flags & FRAME_RUN_SERVER) {
		proxy_serve(&a->proxy);
	}
	if (r->start_errno == 0)
		start(a, spec);
	if (r->start_errno) {
		proxy_close(&a->proxy);
		return not_started(a);
	}
	r->deadline = r->began + (usec_t)spec->timeout_ms * USEC_PER_MSEC;
	r->next_measure = spec->flags & FRAME_RUN_INSTALL ? r->began : USEC_NEVER;
	capture_init(&r->out, r->out.fd, FRAME_STDOUT, limit);
	capture_init(&r->err, r->err.fd, FRAME_STDERR, limit);
	control_send(a, FRAME_STARTED, 0, r->id, "", 0);
}

static void fill_status(const struct run *r, struct frame_exit *e)
{
	if (!r->leader_gone)
		return;
	if (WIFEXITED(r->leader_status))
		e->exit_code = (uint32_t)WEXITSTATUS(r->leader_status);
	else if (WIFSIGNALED(r->leader_status))
		e->term_signal = (uint32_t)WTERMSIG(r->leader_status);
}

/* All processes of the run together, files in memory included, when the container never needed more
 * than now; else the largest process is all that is known. */
static uint64_t peak_memory(const struct run *r)
{
	struct memory_use now;

	state_memory(&now);
	if (now.peak <= r->before.peak || now.peak < r->before.now + r->peak_memory)
		return r->peak_memory;
	return now.peak - r->before.now;
}

void run_end(struct agent *a, enum frame_end end)
{
	struct run *r = &a->run;
	struct frame_exit e = {.end = end};
	uint64_t ignored;
	bool was_python;

	state_space(AGENT_HOME, &e.free_bytes, &e.free_inodes);
	state_space("/tmp", &e.tmp_free_bytes, &ignored);
	python_run_over(a, end == FRAME_END_EXITED);
	if (reap_everything(a, end == FRAME_END_EXITED ? AGENT_EXIT_MS * USEC_PER_MSEC : 0, &e.left,
			    &e.remaining))
		e.flags |= FRAME_EXIT_SWEPT;
	/* what it has made since the last look */
	if (end == FRAME_END_EXITED && r->next_measure != USEC_NEVER &&
	    measure_is_over(FRAME_INSTALL_DIR))
		e.end = FRAME_END_TOO_LARGE;
	proxy_close(&a->proxy);
	capture_close(&r->out);
	capture_close(&r->err);
	fill_status(r, &e);
	e.wall_us = (uint64_t)((r->leader_gone ? r->ended : now_mono()) - r->began);
	e.cpu_us = r->cpu_us;
	e.peak_memory = peak_memory(r);
	e.oom_kills = state_oom_kills();
	/* It cannot be read any more when a run has taken our descriptors. */
	e.oom_kills -= r->oom_kills_before < e.oom_kills ? r->oom_kills_before : e.oom_kills;
	e.stdout_total = r->out.total;
	e.stdout_dropped = r->out.dropped;
	e.stderr_total = r->err.total;
	e.stderr_dropped = r->err.dropped;
	if (state_is_tampered(a))
		e.flags |= FRAME_EXIT_TAMPERED;
	e.flags |= (uint32_t)r->step << FRAME_EXIT_STEP;
	e.start_errno = end == FRAME_END_NOT_STARTED ? (uint32_t)r->start_errno : 0;
	if (a->python.lost)
		e.flags |= FRAME_EXIT_STATE_LOST;
	was_python = r->is_python;
	conclude(a, &e);
	python_after(a, was_python);
}

void run_tick(struct agent *a)
{
	struct run *r = &a->run;
	usec_t now;

	if (r->leader == 0)
		return;
	now = now_mono();
	if (!r->leader_gone) {
		if (now >= r->deadline)
			return run_end(a, FRAME_END_TIMEOUT);
		if (now < r->next_measure)
			return;
		if (measure_is_over(FRAME_INSTALL_DIR))
			return run_end(a, FRAME_END_TOO_LARGE);
		r->next_measure = now_mono() + AGENT_MEASURE_MS * USEC_PER_MSEC;
		return;
	}
	if (r->leader_status == 0 && !step_is_last(r)) {
		r->step++;
		if (step_start(a) != 0)
			run_end(a, FRAME_END_NOT_STARTED);
		return;
	}
	if ((r->out.fd < 0 && r->err.fd < 0) || now >= r->drain_deadline)
		run_end(a, FRAME_END_EXITED);
}

int run_timeout(const struct agent *a)
{
	const struct run *r = &a->run;
	usec_t left;

	if (r->leader == 0)
		return python_idle((struct agent *)(uintptr_t)a);
	left = r->leader_gone		       ? r->drain_deadline
	       : r->next_measure < r->deadline ? r->next_measure
					       : r->deadline;
	left -= now_mono();
	return left <= 0 ? 0 : (int)(left / USEC_PER_MSEC) + 1;
}

uint32_t run_left_ms(const struct agent *a)
{
	usec_t left = a->run.leader_gone ? 0 : a->run.deadline - now_mono();

	return left <= 0 ? 0 : (uint32_t)(left / USEC_PER_MSEC) + 1;
}

void run_pump(struct agent *a)
{
	struct run *r = &a->run;

	if (r->leader == 0 || !r->attached)
		return;
	capture_pump(a, &r->out, r->id);
	capture_pump(a, &r->err, r->id);
}

void run_detach(struct agent *a)
{
	if (a->run.leader && a->run.key[0])
		a->run.attached = a->run.harvest_asked = false;
	else
		run_prepare(a, 0);
}

void run_attach(struct agent *a, uint32_t id)
{
	struct run *r = &a->run;

	r->id = id;
	r->attached = true;
	r->out.sent = r->err.sent = 0;
	run_pump(a);
}

static void taken(struct agent *a, size_t len)
{
	unsigned char bytes[4];

	a->run.stdin_taken += len;
	if (!a->run.attached)
		return;
	frame_put_u32(bytes, (uint32_t)len);
	control_send(a, FRAME_STDIN_TAKEN, 0, a->run.id, bytes, sizeof(bytes));
}

void run_stdin(struct agent *a, const struct frame *f)
{
	struct feed *in = &a->run.in;

	if (a->run.leader == 0 || !a->run.attached || f->run != a->run.id)
		return;
	a->run.stdin_got += f->len;
	if (in->fd < 0)
		return taken(a, f->len);
	if (in->bytes == NULL)
		in->bytes = malloc(FRAME_STDIN_WINDOW);
	if (in->bytes == NULL || in->len + f->len > FRAME_STDIN_WINDOW) {
		a->run.stdin_got -= f->len;
		return control_complain(a, "more standard input than the window has room for");
	}
	if (in->begin + in->len + f->len > FRAME_STDIN_WINDOW) {
		memmove(in->bytes, in->bytes + in->begin, in->len);
		in->begin = 0;
	}
	memcpy(in->bytes + in->begin + in->len, f->data, f->len);
	in->len += f->len;
	in->last = in->last || (f->flags & FRAME_LAST);
	run_feed(a);
}

void run_feed(struct agent *a)
{
	struct feed *in = &a->run.in;
	size_t gone = 0;
	ssize_t n;

	if (in->fd < 0)
		return;
	while (in->len > 0) {
		n = write(in->fd, in->bytes + in->begin, in->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		/* Nobody reads it any more: the rest is thrown away. */
		if (n < 0) {
			n = (ssize_t)in->len;
			in->last = true;
		}
		in->begin += (size_t)n;
		in->len -= (size_t)n;
		gone += (size_t)n;
	}
	if (in->len == 0 && in->last)
		feed_close(in);
	if (gone > 0)
		taken(a, gone);
}
