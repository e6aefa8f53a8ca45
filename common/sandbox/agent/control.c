/*
 * The control stream: frames of the worker are obeyed, ours are queued.
 */
#include "proxy.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void control_flush(struct agent *a)
{
	ssize_t n;

	a->due = 0;
	while (a->queue_len > 0) {
		n = write(a->control_out, a->queue + a->queue_begin, a->queue_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			/* Nobody can read it, now or later. */
			if (errno != EAGAIN)
				a->queue_len = 0;
			return;
		}
		a->queue_begin += (size_t)n;
		a->queue_len -= (size_t)n;
		a->stalled = false;
	}
}

int control_timeout(const struct agent *a)
{
	usec_t left = a->due - now_mono();

	if (a->queue_len == 0 || a->due == 0)
		return -1;
	return left <= 0 ? 0 : (int)(left / USEC_PER_MSEC) + 1;
}

void control_tick(struct agent *a)
{
	if (a->queue_len > 0 && a->due > 0 && now_mono() >= a->due)
		control_flush(a);
}

static size_t room(const struct agent *a)
{
	return AGENT_QUEUE - a->queue_len;
}

bool control_has_room(const struct agent *a)
{
	return room(a) >= 2 * (FRAME_HEADER + FRAME_PAYLOAD);
}

static bool wait_for_room(struct agent *a, size_t want)
{
	usec_t deadline = now_mono() + (a->stalled ? 0 : AGENT_SEND_MS * USEC_PER_MSEC);
	struct pollfd fd = {.fd = a->control_out, .events = POLLOUT};

	control_flush(a);
	while (room(a) < want) {
		usec_t left = deadline - now_mono();

		if (left <= 0) {
			a->stalled = true;
			return false;
		}
		poll(&fd, 1, (int)(left / USEC_PER_MSEC) + 1);
		control_flush(a);
	}
	return true;
}

static void append(struct agent *a, const void *data, size_t len)
{
	if (a->queue_begin + a->queue_len + len > AGENT_QUEUE) {
		memmove(a->queue, a->queue + a->queue_begin, a->queue_len);
		a->queue_begin = 0;
	}
	memcpy(a->queue + a->queue_begin + a->queue_len, data, len);
	a->queue_len += len;
}

/*
 * Every piece that goes out wakes the engine's shim, the engine and the worker. Most runs are over
 * before anybody could have seen what they say at first: that goes out with their end.
 */
static bool may_linger(const struct agent *a, enum frame_type type)
{
	return (type == FRAME_STARTED || type == FRAME_STDOUT || type == FRAME_STDERR) &&
	       a->queue_len < AGENT_LINGER;
}

static void go_out(struct agent *a, enum frame_type type, bool alone)
{
	if (a->corked)
		return;
	if (!may_linger(a, type) || (!alone && a->due == 0))
		control_flush(a);
	else if (alone)
		a->due = now_mono() + AGENT_LINGER_MS * USEC_PER_MSEC;
}

void control_send(struct agent *a, enum frame_type type, unsigned flags, uint32_t run,
		  const void *data, size_t len)
{
	unsigned char header[FRAME_HEADER];
	bool alone = a->queue_len == 0;

	if (room(a) < FRAME_HEADER + len && !wait_for_room(a, FRAME_HEADER + len))
		return;
	frame_header(header, type, flags, a->epoch, run, (uint32_t)len);
	append(a, header, sizeof(header));
	if (len > 0)
		append(a, data, len);
	go_out(a, type, alone);
}

void control_cork(struct agent *a)
{
	a->corked = true;
}

void control_uncork(struct agent *a)
{
	a->corked = false;
	control_flush(a);
}

void control_complain(struct agent *a, const char *text)
{
	control_send(a, FRAME_COMPLAINT, 0, a->run.id, text, strlen(text));
}

/* The one that is attached is obeyed no more. */
static void supersede(struct agent *a, uint32_t epoch, uint32_t version)
{
	if (a->epoch)
		control_send(a, FRAME_SUPERSEDED, 0, 0, "", 0);
	a->epoch = epoch;
	a->version = version < FRAME_VERSION ? version : FRAME_VERSION;
	a->waiting = 0;
	proxy_reset(&a->proxy);
	run_detach(a);
	kept_detach(a);
}

/*
 * A worker introduces itself. The highest epoch is obeyed; a run of an earlier one goes on if it
 * has a key, and ends here if not.
 */
static void hello(struct agent *a, const struct frame *f)
{
	unsigned char answer[2 * FRAME_HEADER + FRAME_WELCOME_SIZE], *p;
	struct frame_cursor c = {.data = f->data, .left = f->len};
	bool was_going = a->run.leader != 0;
	uint32_t flags = 0, version;

	if (f->len < FRAME_NONCE + 4)
		return;
	c.data += FRAME_NONCE;
	c.left -= FRAME_NONCE;
	version = frame_get_u32(&c);
	if (f->epoch > a->epoch && version >= FRAME_VERSION_MIN) {
		supersede(a, f->epoch, version);
		flags = FRAME_WELCOME_OBEYS;
		if (was_going)
			flags |= a->run.leader ? FRAME_WELCOME_BUSY : FRAME_WELCOME_ENDED;
	}
	if (!wait_for_room(a, sizeof(answer)))
		return;
	memcpy(answer, frame_sync_mark, FRAME_HEADER);
	frame_header(answer + FRAME_HEADER, FRAME_WELCOME, 0, f->epoch, 0, FRAME_WELCOME_SIZE);
	memcpy(answer + 2 * FRAME_HEADER, f->data, FRAME_NONCE);
	p = frame_put_u32(answer + 2 * FRAME_HEADER + FRAME_NONCE, FRAME_VERSION);
	frame_put_u32(frame_put_u32(p, flags), a->epoch);
	append(a, answer, sizeof(answer));
	control_flush(a);
}

static void add_strings(struct run *r, const struct frame *f)
{
	strings_add(f->type == FRAME_ARGS ? &r->args : &r->env, f);
	if (f->type == FRAME_ARGS && (f->flags & FRAME_LAST))
		step_end(r);
}

/* Frames that make up the next run. Another id than the last one begins a new one. */
static void request(struct agent *a, const struct frame *f)
{
	struct frame_run spec;

	if (a->run.leader)
		return control_complain(a, "a run is going");
	if (f->run == 0)
		return control_complain(a, "a run needs an id");
	if (f->run != a->run.id)
		run_prepare(a, f->run);
	if (f->type == FRAME_PUT)
		put_begin(a, f);
	else if (f->type == FRAME_PUT_DATA)
		put_data(a, f);
	else if (f->type == FRAME_ARGS || f->type == FRAME_ENV)
		add_strings(&a->run, f);
	else if (frame_run_decode(f, &spec))
		run_start(a, &spec);
	else
		control_complain(a, "bad RUN");
}

/* Now, or at the end of the run that is being put together. */
static void ask_harvest(struct agent *a, const struct frame *f)
{
	struct frame_harvest limits;
	struct run *r = &a->run;

	if (!frame_harvest_decode(f, &limits))
		return control_complain(a, "bad HARVEST");
	if (r->leader)
		return control_complain(a, "no HARVEST now");
	if (r->id == 0 || f->run != r->id)
		return harvest(a, &limits, f->run);
	r->harvest = limits;
	r->harvest_asked = true;
}

static void obey(struct agent *a, const struct frame *f)
{
	if (f->type == FRAME_HELLO)
		return hello(a, f);
	if (a->epoch == 0 || f->epoch != a->epoch)
		return;
	switch (f->type) {
	case FRAME_ARGS:
	case FRAME_ENV:
	case FRAME_PUT:
	case FRAME_PUT_DATA:
	case FRAME_RUN:
		return request(a, f);
	case FRAME_STDIN:
		return run_stdin(a, f);
	case FRAME_CHANNEL_DATA:
	case FRAME_CHANNEL_END:
	case FRAME_CHANNEL_TAKEN:
	case FRAME_CHANNEL_DIAL:
		return proxy_frame(a, f);
	case FRAME_CANCEL:
		if (a->run.leader && a->run.attached && f->run == a->run.id)
			run_end(a, FRAME_END_CANCELLED);
		return;
	case FRAME_HARVEST:
		return ask_harvest(a, f);
	case FRAME_ASK:
		return kept_ask(a, f);
	case FRAME_ACK:
		return kept_acknowledge(a, f);
	case FRAME_LOOK:
		return bounds_tell(a, f->run);
	case FRAME_RESET:
		if (a->run.leader)
			return control_complain(a, "no RESET during a run");
		return reset_output(a, f->run);
	default:
		return control_complain(a, "unknown frame");
	}
}

void control_read(struct agent *a)
{
	static unsigned char bytes[FRAME_PAYLOAD];
	struct frame f;
	bool whole;
	ssize_t n = read(a->control_in, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(a->control_in);
		a->control_in = -1;
		return;
	}
	for (size_t used = 0; used < (size_t)n;) {
		used += frame_read(&a->reader, bytes + used, (size_t)n - used, &f, &whole);
		if (whole)
			obey(a, &f);
	}
}
