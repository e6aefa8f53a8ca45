/*
 * fuzz.h: what the fuzz targets share.
 *
 * A target is a row of FUZZ_TARGETS and a file of its name with the function fuzz_<name>: it gives
 * the bytes to its parsers and holds what comes out against what their headers promise. The inputs
 * that are kept stand in corpus/<name>, and every `make check` replays them (replay.c); `make fuzz`
 * looks for more (libfuzzer.c).
 */
#ifndef CELERIAC_TEST_FUZZ_H
#define CELERIAC_TEST_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "err.h"
#include "json.h"
#include "mem.h"

#define FUZZ_TARGETS(X)                                                                            \
	X(amqp)                                                                                    \
	X(canvas)                                                                                  \
	X(compression)                                                                             \
	X(control)                                                                                 \
	X(crontab)                                                                                 \
	X(docker_stream)                                                                           \
	X(egress_head)                                                                             \
	X(egress_hello)                                                                            \
	X(engine)                                                                                  \
	X(entries)                                                                                 \
	X(frame)                                                                                   \
	X(harvest)                                                                                 \
	X(http_head)                                                                               \
	X(http_tool)                                                                               \
	X(iso8601)                                                                                 \
	X(json)                                                                                    \
	X(mcp)                                                                                     \
	X(message)                                                                                 \
	X(msgpack)                                                                                 \
	X(openapi)                                                                                 \
	X(outbound)                                                                                \
	X(pickle)                                                                                  \
	X(policy)                                                                                  \
	X(settings)                                                                                \
	X(source)                                                                                  \
	X(sse)                                                                                     \
	X(text)                                                                                    \
	X(url)                                                                                     \
	X(yaml)

/* Any bytes; a promise that is not kept ends the process. Always 0, as libFuzzer wants it. */
typedef int fuzz_fn(const uint8_t *data, size_t size);
#define FUZZ_DECLARE(name) fuzz_fn fuzz_##name;
FUZZ_TARGETS(FUZZ_DECLARE)
#undef FUZZ_DECLARE

struct fuzz_target {
	const char *name;
	fuzz_fn *run;
};
#define FUZZ_ROW(name) {#name, fuzz_##name},
static const struct fuzz_target fuzz_targets[] unused_arg = {FUZZ_TARGETS(FUZZ_ROW)};
#undef FUZZ_ROW

/* A promise that was not kept. One that needs memory holds where none was refused (fuzz.c). */
#define FUZZ_CHECK(what)                                                                           \
	do {                                                                                       \
		if (!(what) && !fuzz_refused())                                                    \
			BUG("not so: %s", #what);                                                  \
	} while (0)

/* Set by a program that refuses memory (scarce.c): whether it did since the target began; and who
 * hears of each failure and each product, by its digest. */
extern bool (*fuzz_has_refused)(void);
extern void (*fuzz_hears)(bool failed, uint64_t what);
static inline bool fuzz_refused(void)
{
	return fuzz_has_refused && fuzz_has_refused();
}

/* The error of a failure has a code and words, and these are one line. */
void fuzz_failed(int rc, const struct err *err);

/* What has to work where there is memory; ends the target where there is none. */
#define FUZZ_WORKS(call, err)                                                                      \
	do {                                                                                       \
		if ((call) < 0) {                                                                  \
			FUZZ_CHECK(!#call);                                                        \
			fuzz_failed(-(err)->code, err);                                            \
			return 0;                                                                  \
		}                                                                                  \
	} while (0)

/* What came out: of the same input it is the same. NULL is a product as well. */
void fuzz_made(const struct buf *text);
void fuzz_made_text(const char *text);
void fuzz_made_json(const json_t *value);

/* The next piece up to `end`, which is not part of it: given, in memory of just its size, with a
 * NUL behind it. Of nothing it is empty. */
static inline char *fuzz_piece(struct slice *in, char end, size_t *ret_len)
{
	const char *stop = in->len ? memchr(in->data, end, in->len) : NULL;
	size_t len = stop ? (size_t)(stop - in->data) : in->len;
	char *piece = xmemdup(in->data, len);

	in->data += len + (stop != NULL);
	in->len -= len + (stop != NULL);
	if (ret_len)
		*ret_len = len;
	return piece;
}
static inline char *fuzz_line(struct slice *in)
{
	return fuzz_piece(in, '\n', NULL);
}

/* A line as JSON; NULL when it is none. */
static inline json_t *fuzz_json_line(struct slice *in)
{
	size_t len;
	_cleanup_free_ char *line = fuzz_piece(in, '\n', &len);
	json_t *value = NULL;
	struct err err;

	if (json_load_python(line, len, &value, &err) == 0)
		return value;
	fuzz_failed(-err.code, &err);
	return NULL;
}

#endif
