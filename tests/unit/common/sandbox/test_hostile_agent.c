/*
 * What the worker makes of an agent that was taken over: it says whatever it likes, for as long as
 * it likes. The engine's stream is a fake in this program.
 */
#include <string.h>

#include "clock.h"
#include "common/sandbox/sandbox_internal.h"
#include "common/sandbox/run.h"
#include "tests/unit/suite.h"

#define RUN 7u

static struct {
	enum { STDERR_FLOOD, DROPPED_FILES } plan;
	unsigned char bytes[512];
	size_t len;
	uint32_t epoch;
	bool welcomed;
} g_agent;

/* ---- the stream, in place of the engine's ---- */
int engine_attach(unused_arg struct engine *e, unused_arg const char *id,
		  struct engine_stream **ret, unused_arg struct err *err)
{
	*ret = NULL;
	return 0;
}

/* Answers a HELLO: its nonce follows mark and header. */
int engine_stream_write(unused_arg struct engine_stream *s, const void *data, size_t len,
			unused_arg usec_t deadline, unused_arg struct err *err)
{
	const unsigned char *hello = data;
	unsigned char *p = g_agent.bytes;

	if (g_agent.welcomed)
		return 0;
	ck_assert_uint_ge(len, 2 * FRAME_HEADER + FRAME_NONCE);
	memcpy(p, frame_sync_mark, FRAME_HEADER);
	frame_header(p + FRAME_HEADER, FRAME_WELCOME, 0, g_agent.epoch, 0, FRAME_WELCOME_SIZE);
	p += 2 * FRAME_HEADER;
	memcpy(p, hello + 2 * FRAME_HEADER, FRAME_NONCE);
	p = frame_put_u32(p + FRAME_NONCE, FRAME_VERSION);
	p = frame_put_u32(frame_put_u32(p, FRAME_WELCOME_OBEYS), g_agent.epoch);
	g_agent.len = (size_t)(p - g_agent.bytes);
	return 0;
}

static unsigned char *frame(unsigned char *p, enum frame_type type, const void *data, size_t len)
{
	frame_header(p, type, 0, g_agent.epoch, RUN, (uint32_t)len);
	memcpy(p + FRAME_HEADER, data, len);
	return p + FRAME_HEADER + len;
}

/* An empty file, and the word that it was not to be had. */
static void one_dropped_file(void)
{
	unsigned char file[9] = {0}, end[4];
	unsigned char *p;

	file[8] = 'f';
	frame_put_u32(end, FRAME_SKIP_CHANGED);
	p = frame(g_agent.bytes, FRAME_FILE, file, sizeof(file));
	p = frame(p, FRAME_FILE_END, end, sizeof(end));
	g_agent.len = (size_t)(p - g_agent.bytes);
}

int engine_stream_read(unused_arg struct engine_stream *s, unused_arg usec_t deadline,
		       enum engine_channel *ret_channel, const void **ret_data, size_t *ret_len,
		       unused_arg struct err *err)
{
	*ret_channel = ENGINE_STDOUT;
	if (g_agent.welcomed && g_agent.plan == STDERR_FLOOD)
		*ret_channel = ENGINE_STDERR;
	else if (g_agent.welcomed)
		one_dropped_file();
	g_agent.welcomed = true;
	*ret_data = g_agent.bytes;
	*ret_len = g_agent.len;
	return 1;
}

int engine_stream_fd(unused_arg const struct engine_stream *s)
{
	return -1;
}

void engine_stream_close(unused_arg struct engine_stream *s)
{
}

static struct agent_link *taken_over(int plan)
{
	struct agent_link *l = NULL;
	struct err err;

	memset(&g_agent, 0, sizeof(g_agent));
	g_agent.plan = plan;
	g_agent.epoch = 1;
	ck_assert_int_eq(
		agent_link_open(NULL, "c", 1, false, clock_deadline(USEC_PER_SEC), &l, &err), 0);
	return l;
}

START_TEST(test_a_flood_of_the_other_stream_is_silence)
{
	struct agent_link *l = taken_over(STDERR_FLOOD);
	struct frame f;
	struct err err;

	ck_assert_int_eq(agent_link_receive(l, clock_deadline(20 * USEC_PER_MSEC), &f, &err),
			 -ERR_TIMEOUT);
	agent_link_close(l);
}
END_TEST

/* Asked what its limits are it says something else. */
START_TEST(test_no_limits)
{
	struct agent_link *l = taken_over(DROPPED_FILES);
	struct frame_bounds bounds = {.memory = 7};
	char kernel[64] = "before";
	struct err err;

	ck_assert_int_lt(sandbox_bounds_ask(l, &bounds, kernel, sizeof(kernel), &err), 0);
	ck_assert_int_eq(bounds.memory, 7);
	ck_assert_str_eq(kernel, "before");
	agent_link_close(l);
}
END_TEST

START_TEST(test_files_that_are_dropped_for_ever)
{
	struct agent_link *l = taken_over(DROPPED_FILES);
	const struct sandbox_terms terms = {.files_max = 4, .file_size = 100, .files_size = 100};
	const struct run_plan plan = {.terms = &terms};
	struct sandbox_outcome o = {0};
	struct err err;

	ck_assert_int_eq(sandbox_run_harvest(l, &plan, RUN, &o, &err), -ERR_PROTOCOL);
	ck_assert_uint_le(o.skipped_count, FRAME_SKIPPED_MAX + 4);
	ck_assert_uint_eq(o.file_count, 0);
	sandbox_outcome_done(&o);
	agent_link_close(l);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("hostile agent");

	tcase_set_timeout(t, 20);
	tcase_add_test(t, test_a_flood_of_the_other_stream_is_silence);
	tcase_add_test(t, test_no_limits);
	tcase_add_test(t, test_files_that_are_dropped_for_ever);
	return suite_run("hostile agent", t);
}
