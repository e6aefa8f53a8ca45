/*
 * The channels of one run.
 */
#include "egress_channel.h"

#include <stdlib.h>

#include "clock.h"
#include "mem.h"

struct egress *egress_new(const struct sandbox_egress *wish, egress_send_fn *send, void *arg)
{
	struct egress *e = xcalloc(1, sizeof(*e));

	e->wish = wish;
	e->send = send;
	e->arg = arg;
	return e;
}

void egress_free(struct egress *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < FRAME_CHANNELS; i++)
		if (e->channels[i].state != CHANNEL_FREE)
			channel_gone(&e->channels[i], "the run has ended");
	free(e);
}

static struct egress_channel *find(struct egress *e, uint32_t id)
{
	for (size_t i = 0; i < FRAME_CHANNELS; i++)
		if (e->channels[i].state != CHANNEL_FREE && e->channels[i].id == id)
			return &e->channels[i];
	return NULL;
}

static int open_one(struct egress *e, uint32_t id, struct err *err)
{
	if (find(e, id))
		return err_set(err, ERR_PROTOCOL, "channel %u is open already", id);
	for (size_t i = 0; i < FRAME_CHANNELS; i++)
		if (e->channels[i].state == CHANNEL_FREE)
			return channel_open(e, &e->channels[i], id, err);
	return err_set(err, ERR_PROTOCOL, "more than %d channels", FRAME_CHANNELS);
}

static int written(struct egress_channel *c, size_t n, struct err *err)
{
	if (n > FRAME_CHANNEL_WINDOW - c->window)
		return err_set(err, ERR_PROTOCOL, "channel %u: more taken than was given", c->id);
	c->window += n;
	return channel_window_opened(c, err);
}

int egress_frame(struct egress *e, const struct frame *f, struct err *err)
{
	struct frame_cursor cursor = {.data = f->data, .left = f->len};
	uint32_t id = frame_get_u32(&cursor), value;
	struct egress_channel *c;

	if (cursor.bad)
		return err_set(err, ERR_PROTOCOL, "a short frame of a channel");
	if (f->type == FRAME_CHANNEL_OPEN)
		return open_one(e, id, err);
	c = find(e, id);
	if (c == NULL)
		return 0; /* it has ended here meanwhile */
	if (f->type == FRAME_CHANNEL_SENT)
		return channel_sent(c, (const char *)cursor.data, cursor.left, err);
	value = frame_get_u32(&cursor);
	if (cursor.bad)
		return err_set(err, ERR_PROTOCOL, "a short frame of a channel");
	if (f->type == FRAME_CHANNEL_WRITTEN)
		return written(c, value, err);
	if (value == FRAME_CHANNEL_HALF)
		return channel_client_done(c, err);
	channel_gone(c, "the client broke it off");
	return 0;
}

size_t egress_poll(struct egress *e, struct pollfd fds[FRAME_CHANNELS], usec_t *deadline)
{
	for (size_t i = 0; i < FRAME_CHANNELS; i++) {
		struct egress_channel *c = &e->channels[i];

		fds[i] = channel_poll(c);
		if (c->state != CHANNEL_FREE && c->deadline < *deadline)
			*deadline = c->deadline;
	}
	return FRAME_CHANNELS;
}

int egress_work(struct egress *e, const struct pollfd fds[FRAME_CHANNELS], struct err *err)
{
	usec_t now = clock_mono();

	for (size_t i = 0; i < FRAME_CHANNELS; i++) {
		struct egress_channel *c = &e->channels[i];
		int rc;

		if (c->state == CHANNEL_FREE || (!fds[i].revents && c->deadline > now))
			continue;
		rc = channel_work(c, fds[i].revents, now, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
