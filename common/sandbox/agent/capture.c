/*
 * A run's output: the first half of the limit is kept as it comes, of the rest only the end. So a
 * flood costs the worker nothing, the program that makes it runs on, and whoever attaches later is
 * told from the beginning.
 */
#include "agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_FIRST 4096u

void capture_init(struct capture *c, int fd, enum frame_type type, size_t limit)
{
	capture_free(c);
	*c = (struct capture){
		.fd = fd, .type = type, .head_size = limit - limit / 2, .ring_size = limit / 2};
}

void capture_free(struct capture *c)
{
	free(c->head);
	free(c->ring);
	*c = (struct capture){.fd = -1};
}

size_t capture_bytes(const struct capture *c)
{
	return c->head_room + (c->ring ? c->ring_size : 0);
}

/* Memory for `want` bytes of the head more, as far as it may grow. Without memory it ends here. */
static size_t head_room(struct capture *c, size_t want)
{
	size_t room = 2 * c->head_room > HEAD_FIRST ? 2 * c->head_room : HEAD_FIRST;
	unsigned char *head;

	if (want > c->head_size - c->head_len)
		want = c->head_size - c->head_len;
	if (c->head_len + want <= c->head_room)
		return want;
	if (room < c->head_len + want)
		room = c->head_len + want;
	if (room > c->head_size)
		room = c->head_size;
	head = realloc(c->head, room);
	if (head == NULL) {
		c->head_size = c->head_len;
		return 0;
	}
	c->head = head;
	c->head_room = room;
	return want;
}

static void keep_end(struct capture *c, const unsigned char *data, size_t len)
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

void capture_read(struct capture *c)
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
	head = head_room(c, (size_t)n);
	if (head > 0)
		memcpy(c->head + c->head_len, bytes, head);
	c->head_len += head;
	if ((size_t)n > head)
		keep_end(c, bytes + head, (size_t)n - head);
}

void capture_close(struct capture *c)
{
	usec_t deadline = now_mono() + USEC_PER_SEC;

	while (c->fd >= 0 && now_mono() < deadline) {
		uint64_t before = c->total;

		capture_read(c);
		if (c->fd >= 0 && c->total == before)
			break;
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void send_piece(struct agent *a, struct capture *c, uint32_t run)
{
	size_t part = c->head_len - c->sent;

	if (part > FRAME_PAYLOAD)
		part = FRAME_PAYLOAD;
	control_send(a, c->type, 0, run, c->head + c->sent, part);
	c->sent += part;
}

void capture_pump(struct agent *a, struct capture *c, uint32_t run)
{
	while (c->sent < c->head_len && control_has_room(a))
		send_piece(a, c, run);
}

void capture_send_rest(struct agent *a, struct capture *c, uint32_t run)
{
	size_t pos, part;

	while (c->sent < c->head_len)
		send_piece(a, c, run);
	/* The kept end, in order; flagged as a tail when something is missing before it. */
	for (size_t left = c->ring_len; left > 0; left -= part) {
		pos = (c->ring_pos + c->ring_size - left) % c->ring_size;
		part = c->ring_size - pos < left ? c->ring_size - pos : left;
		if (part > FRAME_PAYLOAD)
			part = FRAME_PAYLOAD;
		control_send(a, c->type, c->dropped > 0 ? FRAME_TAIL : 0, run, c->ring + pos, part);
	}
}
