/*
 * A run's output: the first half of the limit goes out as it comes, of the rest only the end is
 * kept. So a flood costs the worker nothing, and the program that makes it runs on.
 */
#include "agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void capture_init(struct capture *c, int fd, enum frame_type type, size_t limit)
{
	free(c->ring);
	*c = (struct capture){
		.fd = fd, .type = type, .head_left = limit - limit / 2, .ring_size = limit / 2};
}

static void keep(struct capture *c, const unsigned char *data, size_t len)
{
	size_t part;

	if (c->ring == NULL && c->ring_size > 0)
		c->ring = malloc(c->ring_size);
	if (c->ring == NULL)
		c->ring_size = 0;
	if (len > c->ring_size) {
		c->dropped += len - c->ring_size;
		data += len - c->ring_size;
		len = c->ring_size;
	}
	if (c->ring_len + len > c->ring_size) {
		c->dropped += c->ring_len + len - c->ring_size;
		c->ring_len = c->ring_size - len;
	}
	c->ring_len += len;
	while (len > 0) {
		part = c->ring_size - c->ring_pos < len ? c->ring_size - c->ring_pos : len;
		memcpy(c->ring + c->ring_pos, data, part);
		c->ring_pos = (c->ring_pos + part) % c->ring_size;
		data += part;
		len -= part;
	}
}

void capture_read(struct agent *a, struct capture *c)
{
	static unsigned char bytes[FRAME_PAYLOAD];
	size_t head;
	ssize_t n;

	if (c->fd < 0)
		return;
	n = read(c->fd, bytes, sizeof(bytes));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(c->fd);
		c->fd = -1;
		return;
	}
	c->total += (uint64_t)n;
	head = (size_t)n < c->head_left ? (size_t)n : c->head_left;
	c->head_left -= head;
	if (head > 0)
		control_send(a, c->type, 0, a->run.id, bytes, head);
	if ((size_t)n > head)
		keep(c, bytes + head, (size_t)n - head);
}

/* The kept end, in order; flagged as a tail when something is missing before it. */
static void send_tail(struct agent *a, struct capture *c)
{
	size_t pos, part;

	for (; c->ring_len > 0; c->ring_len -= part) {
		pos = (c->ring_pos + c->ring_size - c->ring_len) % c->ring_size;
		part = c->ring_size - pos < c->ring_len ? c->ring_size - pos : c->ring_len;
		if (part > FRAME_PAYLOAD)
			part = FRAME_PAYLOAD;
		control_send(a, c->type, c->dropped > 0 ? FRAME_TAIL : 0, a->run.id, c->ring + pos,
			     part);
	}
}

void capture_finish(struct agent *a, struct capture *c)
{
	usec_t deadline = now_mono() + USEC_PER_SEC;

	while (c->fd >= 0 && now_mono() < deadline) {
		uint64_t before = c->total;

		capture_read(a, c);
		if (c->fd >= 0 && c->total == before)
			break;
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	send_tail(a, c);
	free(c->ring);
	c->ring = NULL;
}
