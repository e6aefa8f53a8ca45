/*
 * docker_stream.h: Docker's multiplexed stream taken apart. Pure: knows no sockets, keeps no bytes.
 *
 * A frame is {type, 0, 0, 0, size as 32 bits big-endian} and `size` bytes. Frames are split
 * anywhere, may be empty and may be larger than any memory; so pieces of them are handed on as they
 * come.
 */
#ifndef CELERIAC_DOCKER_STREAM_H
#define CELERIAC_DOCKER_STREAM_H

#include "base.h"
#include "engine.h"
#include "err.h"

struct docker_stream {
	/* private */
	unsigned char head[8];
	unsigned head_len;
	uint32_t left;	  /* bytes of the frame still to come */
	char system[160]; /* the engine's own words, so far */
	size_t system_len;
};

void docker_stream_init(struct docker_stream *d);

/*
 * Takes what it can from *data, *len and moves them on. 1: a piece of `*ret_channel` is in
 * *ret_piece, borrowed from the input, never empty. 0: the input is used up. ERR_PROTOCOL: not such
 * a stream; ERR_FAILED: the engine reports trouble in the stream itself (type 3). After an error
 * there is no way on. [any]
 */
int docker_stream_next(struct docker_stream *d, const char **data, size_t *len,
		       enum engine_channel *ret_channel, struct slice *ret_piece,
		       struct err *err) must_check;

/* The connection ended: 0 between frames, ERR_CLOSED inside one. */
int docker_stream_end(const struct docker_stream *d, struct err *err) must_check;

#endif
