/*
 * outcome.h: putting an outcome together from what an agent says.
 */
#ifndef CELERIAC_SANDBOX_OUTCOME_H
#define CELERIAC_SANDBOX_OUTCOME_H

#include "buf.h"
#include "sandbox.h"

/* One output stream on its way to text. */
struct outcome_stream {
	struct buf head, tail;
	size_t limit;
};
void sandbox_outcome_stream_init(struct outcome_stream *s, size_t limit);
/* ERR_PROTOCOL: more than the limit that the agent was given. */
int sandbox_outcome_stream_add(struct outcome_stream *s, const void *data, size_t len, bool is_tail,
			       struct err *err) must_check;
/* The text: valid UTF-8 without NUL; where something is missing, a line says how much. Given. */
int sandbox_outcome_stream_text(const struct outcome_stream *s, uint64_t dropped, char **ret,
				size_t *ret_len, struct err *err) must_check;
/* The last bytes that came. Borrowed. */
struct slice sandbox_outcome_stream_end(const struct outcome_stream *s);
void sandbox_outcome_stream_done(struct outcome_stream *s);

/* How much of it is left without the beginning of a character that is cut off at the end. Pure. */
size_t sandbox_outcome_whole(const char *data, size_t len);

/* Adds a file that was left out; `name` is foreign and cleaned. */
void sandbox_outcome_add_skipped(struct sandbox_outcome *o, const char *name, size_t len,
				 const char *reason);
/* Adds an empty file of `size` bytes to be filled. ERR_NOMEM, ERR_TOOBIG. */
int sandbox_outcome_add_file(struct sandbox_outcome *o, const char *name, size_t name_len,
			     size_t size, size_t limit, struct err *err) must_check;
/* Removes the last one again. */
void sandbox_outcome_drop_file(struct sandbox_outcome *o);

#endif
