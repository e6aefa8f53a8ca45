/*
 * Frames between worker and agent, of both readers, and all payloads. The first byte is the size of
 * the pieces the rest comes in.
 */
#include "common/sandbox/frame.h"
#include "fuzz.h"

static void payloads(const struct frame *f)
{
	unsigned char out[FRAME_STRUCT_MAX];
	struct frame_bounds bounds;
	struct frame_harvest harvest;
	struct frame_state state;
	struct frame_exit end;
	struct frame_run run;
	struct slice text;

	if (frame_run_decode(f, &run)) {
		FUZZ_CHECK(run.key.len == 0 || frame_key_is_good(run.key));
		FUZZ_CHECK(frame_run_encode(&run, out) <= f->len);
	}
	if (frame_exit_decode(f, &end, &text)) {
		FUZZ_CHECK(frame_exit_encode(&end, out) + text.len == f->len);
		(void)frame_exit_leaves_files(&end);
	}
	if (frame_state_decode(f, &state))
		FUZZ_CHECK(frame_state_encode(&state, out) <= f->len);
	if (frame_bounds_decode(f, &bounds, &text))
		FUZZ_CHECK(frame_bounds_encode(&bounds, out) + text.len == f->len);
	if (frame_harvest_decode(f, &harvest))
		FUZZ_CHECK(frame_harvest_encode(&harvest, out) <= f->len);
	if (frame_name_is_good((const char *)f->data, f->len, 4)) {
		_cleanup_free_ char *name = xmemdup(f->data, f->len);

		FUZZ_CHECK(name[0] && name[0] != '/' && strlen(name) == f->len);
		FUZZ_CHECK(!strstr(name, "//") && strncmp(name, "../", 3) && !strstr(name, "/../"));
	}
}

static void read_all(struct frame_reader *r, const uint8_t *data, size_t size, size_t step)
{
	for (size_t at = 0; at < size;) {
		size_t n = size - at < step ? size - at : step, took;
		struct frame f;
		bool whole;

		took = frame_read(r, data + at, n, &f, &whole);
		FUZZ_CHECK(took > 0 && took <= n && (whole || took == n));
		at += took;
		if (!whole)
			continue;
		FUZZ_CHECK(f.type != 0 && f.type < FRAME_TYPE_END && f.len <= FRAME_PAYLOAD);
		payloads(&f);
	}
}

int fuzz_frame(const uint8_t *data, size_t size)
{
	static const unsigned char nonce[FRAME_NONCE] = "0123456789abcdef";
	static struct frame_reader r;

	if (size == 0)
		return 0;
	frame_reader_init(&r);
	read_all(&r, data + 1, size - 1, 1 + data[0]);
	frame_reader_init_joining(&r, 1, nonce);
	read_all(&r, data + 1, size - 1, 1 + data[0]);
	return 0;
}
