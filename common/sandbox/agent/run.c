/*
 * One run from its start to its EXIT. It is over when its leader is gone (or has to go) and nothing
 * else of it is alive.
 */
#include "agent.h"

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
	feed_close(&r->in);
	*r = (struct run){
		.id = id, .put_fd = -1, .out = {.fd = -1}, .err = {.fd = -1}, .in = {.fd = -1}};
}

static void send_exit(struct agent *a, struct frame_exit *e)
{
	unsigned char bytes[FRAME_STRUCT_MAX + sizeof(a->run.start_text)];
	struct run *r = &a->run;
	size_t len = frame_exit_encode(e, bytes), text = strlen(r->start_text);

	memcpy(bytes + len, r->start_text, text);
	control_send(a, FRAME_EXIT, 0, r->id, bytes, len + text);
	run_prepare(a, 0);
}

static void not_started(struct agent *a)
{
	struct frame_exit e = {.end = FRAME_END_NOT_STARTED,
			       .start_errno = (uint32_t)a->run.start_errno};

	state_space(AGENT_HOME, &e.free_bytes, &e.free_inodes);
	if (state_is_tampered(a))
		e.flags |= FRAME_EXIT_TAMPERED;
	send_exit(a, &e);
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

static void start_leader(struct agent *a, const struct frame_run *spec)
{
	struct run *r = &a->run;
	char **argv = strings_vector(&r->args), **envp = strings_vector(&r->env);
	int error = ENOMEM;

	if (argv && envp) {
		r->began = now_mono();
		error = spawn_leader(r, spec, argv, envp);
	}
	if (error)
		run_spoil(r, error, argv && argv[0] ? argv[0] : "run", "");
	free(argv);
	free(envp);
}

void run_start(struct agent *a, const struct frame_run *spec)
{
	struct run *r = &a->run;
	uint32_t limit =
		spec->output_limit < FRAME_OUTPUT_MAX ? spec->output_limit : FRAME_OUTPUT_MAX;
	int error = make_output_dir();

	if (error)
		run_spoil(r, error, "directory", AGENT_OUTPUT);
	if (r->put_fd >= 0)
		run_spoil(r, EPROTO, "incomplete input file", r->put_name);
	if (r->args.bad || r->env.bad || r->args.count == 0)
		run_spoil(r, E2BIG, "arguments or environment", "");
	r->oom_kills_before = state_oom_kills();
	if (r->start_errno == 0)
		start_leader(a, spec);
	if (r->start_errno)
		return not_started(a);
	r->deadline = r->began + (usec_t)spec->timeout_ms * USEC_PER_MSEC;
	capture_init(&r->out, r->out.fd, FRAME_STDOUT, limit);
	capture_init(&r->err, r->err.fd, FRAME_STDERR, limit);
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

void run_end(struct agent *a, enum frame_end end)
{
	struct run *r = &a->run;
	struct frame_exit e = {.end = end};
	uint64_t ignored;

	state_space(AGENT_HOME, &e.free_bytes, &e.free_inodes);
	state_space("/tmp", &e.tmp_free_bytes, &ignored);
	reap_everything(a, end == FRAME_END_EXITED ? AGENT_EXIT_MS * USEC_PER_MSEC : 0, &e.left,
			&e.remaining);
	capture_finish(a, &r->out);
	capture_finish(a, &r->err);
	fill_status(r, &e);
	e.wall_us = (uint64_t)((r->leader_gone ? r->ended : now_mono()) - r->began);
	e.cpu_us = r->cpu_us;
	e.peak_memory = r->peak_memory;
	e.oom_kills = state_oom_kills() - r->oom_kills_before;
	e.stdout_total = r->out.total;
	e.stdout_dropped = r->out.dropped;
	e.stderr_total = r->err.total;
	e.stderr_dropped = r->err.dropped;
	if (state_is_tampered(a))
		e.flags |= FRAME_EXIT_TAMPERED;
	r->leader = 0;
	send_exit(a, &e);
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
			run_end(a, FRAME_END_TIMEOUT);
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
		return -1;
	left = (r->leader_gone ? r->drain_deadline : r->deadline) - now_mono();
	return left <= 0 ? 0 : (int)(left / USEC_PER_MSEC) + 1;
}

static void taken(struct agent *a, size_t len)
{
	unsigned char bytes[4];

	frame_put_u32(bytes, (uint32_t)len);
	control_send(a, FRAME_STDIN_TAKEN, 0, a->run.id, bytes, sizeof(bytes));
}

void run_stdin(struct agent *a, const struct frame *f)
{
	struct feed *in = &a->run.in;

	if (a->run.leader == 0 || f->run != a->run.id)
		return;
	if (in->fd < 0)
		return taken(a, f->len);
	if (in->bytes == NULL)
		in->bytes = malloc(FRAME_STDIN_WINDOW);
	if (in->bytes == NULL || in->len + f->len > FRAME_STDIN_WINDOW)
		return control_complain(a, "more standard input than the window has room for");
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
