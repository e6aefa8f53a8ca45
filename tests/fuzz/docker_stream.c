/* Docker's multiplexed stream: whole and in pieces it says the same. */
#include "common/sandbox/docker_stream.h"
#include "fuzz.h"

struct told {
	struct buf text; /* channel and byte, each */
	int rc;
};

static void feed(const uint8_t *data, size_t size, size_t step, struct told *t)
{
	struct docker_stream d;
	struct err err;

	t->text = BUF_INIT(1u << 20);
	t->rc = 0;
	docker_stream_init(&d);
	for (size_t at = 0; at < size && t->rc == 0; at += step) {
		const char *p = (const char *)data + at;
		size_t left = size - at < step ? size - at : step;
		enum engine_channel channel;
		struct slice piece;

		while ((t->rc = docker_stream_next(&d, &p, &left, &channel, &piece, &err)) == 1) {
			FUZZ_CHECK(piece.len > 0);
			for (size_t i = 0; i < piece.len; i++) {
				buf_append_char(&t->text, (char)channel);
				buf_append_char(&t->text, piece.data[i]);
			}
		}
		if (t->rc < 0)
			fuzz_failed(t->rc, &err);
		else
			FUZZ_CHECK(left == 0);
	}
	if (t->rc == 0)
		t->rc = docker_stream_end(&d, &err);
}

int fuzz_docker_stream(const uint8_t *data, size_t size)
{
	struct told whole, parts;

	feed(data, size, size + 1, &whole);
	for (size_t step = 1; step < 16; step = step * 2 + 1) {
		feed(data, size, step, &parts);
		FUZZ_CHECK(parts.rc == whole.rc);
		FUZZ_CHECK(parts.text.len == whole.text.len &&
			   memcmp(parts.text.data, whole.text.data, whole.text.len) == 0);
		buf_done(&parts.text);
	}
	buf_done(&whole.text);
	return 0;
}
