/*
 * docker_stream.c: see docker_stream.h. The stream comes through the engine from a hostile
 * container; the frame heads are the engine's, but a proxy or an engine that attached with a
 * terminal may send anything.
 */
#include "docker_stream.h"

#include <string.h>

void docker_stream_init(struct docker_stream *d)
{
	*d = (struct docker_stream){0};
}

static int check_head(struct docker_stream *d, struct err *err)
{
	const unsigned char *h = d->head;

	if (h[0] > ENGINE_SYSTEM || h[1] || h[2] || h[3])
		return err_set(err, ERR_PROTOCOL,
			       "not a multiplexed stream: frame head %02x%02x%02x%02x", h[0], h[1],
			       h[2], h[3]);
	d->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
	return 0;
}

static int system_error(const struct docker_stream *d, struct err *err)
{
	return err_set(err, ERR_FAILED, "engine reports: %.*s", (int)d->system_len,
		       d->system_len ? d->system : "");
}

/* The engine's words are gathered until the frame ends or there are enough of them. */
static int take_system(struct docker_stream *d, struct slice piece, struct err *err)
{
	size_t room = sizeof(d->system) - d->system_len;
	size_t n = piece.len < room ? piece.len : room;

	memcpy(d->system + d->system_len, piece.data, n);
	d->system_len += n;
	if (d->left == 0 || d->system_len == sizeof(d->system))
		return system_error(d, err);
	return 0;
}

int docker_stream_next(struct docker_stream *d, const char **data, size_t *len,
		       enum engine_channel *ret_channel, struct slice *ret_piece, struct err *err)
{
	while (*len > 0) {
		if (d->left == 0) {
			d->head[d->head_len++] = (unsigned char)**data;
			(*data)++;
			(*len)--;
			if (d->head_len < sizeof(d->head))
				continue;
			d->head_len = 0;
			int rc = check_head(d, err);
			if (rc < 0)
				return rc;
			if (d->left == 0 && d->head[0] == ENGINE_SYSTEM)
				return system_error(d, err);
			continue;
		}
		struct slice piece = {.data = *data, .len = *len < d->left ? *len : d->left};
		*data += piece.len;
		*len -= piece.len;
		d->left -= (uint32_t)piece.len;
		if (d->head[0] != ENGINE_SYSTEM) {
			*ret_channel = (enum engine_channel)d->head[0];
			*ret_piece = piece;
			return 1;
		}
		int rc = take_system(d, piece, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int docker_stream_end(const struct docker_stream *d, struct err *err)
{
	if (d->left > 0 || d->head_len > 0)
		return err_set(err, ERR_CLOSED, "stream ended inside a frame");
	return 0;
}
