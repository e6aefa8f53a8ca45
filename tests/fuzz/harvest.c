/*
 * The files an agent sends after a run: frames as they come over the stream, into an outcome,
 * within what the run may have.
 */
#include "bounds.h"
#include "common/sandbox/frame.h"
#include "common/sandbox/outcome.h"
#include "common/sandbox/run.h"
#include "fuzz.h"

static const struct sandbox_terms terms = {
	.files_max = 4, .file_size = 1 << 16, .files_size = 1 << 17};

static void judge(const struct sandbox_outcome *o)
{
	int64_t total = 0;

	FUZZ_CHECK(o->file_count <= (size_t)terms.files_max);
	for (size_t i = 0; i < o->file_count; i++) {
		const struct sandbox_output_file *f = &o->files[i];

		FUZZ_CHECK(frame_name_is_good(f->name, strlen(f->name), BOUND_OUTPUT_DEPTH + 1));
		FUZZ_CHECK(f->len <= (size_t)terms.file_size);
		total += (int64_t)f->len;
		for (size_t j = 0; j < i; j++)
			FUZZ_CHECK(strcmp(f->name, o->files[j].name) != 0);
	}
	FUZZ_CHECK(total <= terms.files_size);
}

int fuzz_harvest(const uint8_t *data, size_t size)
{
	static struct frame_reader r;
	struct sandbox_outcome o = {0};
	struct run_harvest h = {.o = &o, .terms = &terms};
	struct err err;
	int rc = 0;

	frame_reader_init(&r);
	for (size_t at = 0; at < size && rc == 0;) {
		struct frame f;
		bool whole;

		at += frame_read(&r, data + at, size - at, &f, &whole);
		if (whole)
			rc = sandbox_run_harvest_take(&h, &f, &err);
	}
	if (rc < 0)
		fuzz_failed(rc, &err);
	for (size_t i = 0; rc == 0 && i < o.file_count; i++)
		fuzz_made_text(o.files[i].name);
	if (h.open)
		sandbox_outcome_drop_file(&o);
	judge(&o);
	sandbox_outcome_done(&o);
	return 0;
}
