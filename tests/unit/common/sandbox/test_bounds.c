/* What a sandbox sees of its bounds: as its agent tells it, and what a worker makes of it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/sandbox/sandbox_internal.h"
#include "tests/unit/agent_fixture.h"

#define WORK   (256u << 20)
#define MEMORY (512u << 20)

static struct buf notes;
static struct err err;
static char *allowed[4];
static struct settings settings;

static void setup(void)
{
	notes = BUF_INIT(64 << 10);
	settings = (struct settings){.sandbox_memory = MEMORY,
				     .sandbox_work_size = WORK,
				     .sandbox_pids = 256,
				     .sandbox_cpus = 1.5,
				     .sandbox_network = (char *)(uintptr_t) "egress",
				     .sandbox_allow_unenforced = {.items = allowed}};
}

static void teardown(void)
{
	buf_done(&notes);
}

static struct frame_bounds as_asked(void)
{
	return (struct frame_bounds){.memory = MEMORY + WORK,
				     .swap = MEMORY + WORK,
				     .pids = 256,
				     .cpu = 1500,
				     .nofile = SANDBOX_NOFILE,
				     .file_size = WORK,
				     .home = WORK / 2,
				     .tmp = WORK / 4,
				     .shm = WORK / 16,
				     .seccomp = 2,
				     .uid = 10001};
}

static int check(const struct frame_bounds *b)
{
	return sandbox_bounds_check(&settings, b, false, &notes, &err);
}

START_TEST(test_as_asked)
{
	struct frame_bounds b = as_asked();

	ck_assert_int_eq(check(&b), 0);
	ck_assert(strstr(notes.data, "inside: processes 256\n"));
	b.memory = b.pids = b.cpu = b.seccomp = FRAME_UNSEEN;
	ck_assert_int_eq(check(&b), 0);
	ck_assert(strstr(notes.data, "inside: memory cannot be seen\n"));
	b = as_asked();
	b.swap += 4096;
	ck_assert_int_eq(check(&b), 0);
	ck_assert(strstr(notes.data, "inside: 4096 of swap on top of the memory\n"));
}
END_TEST

/* One at a time: too much, or none at all. With its name among those that may be missing it passes.
 */
START_TEST(test_missing)
{
	struct frame_bounds b = as_asked();
	const struct {
		uint64_t *what;
		uint64_t value;
		const char *name;
	} missing[] = {
		{&b.memory, MEMORY + WORK + 1, "memory"},
		{&b.memory, FRAME_UNBOUND, "memory"},
		{&b.pids, FRAME_UNBOUND, "pids"},
		{&b.cpu, 2000, "cpu"},
		{&b.nofile, 1 << 20, "nofile"},
		{&b.file_size, FRAME_UNBOUND, "fsize"},
		{&b.core, FRAME_UNBOUND, "core"},
		{&b.home, 1ull << 40, "disk"},
		{&b.tmp, 1ull << 40, "disk"},
		{&b.shm, 1ull << 40, "disk"},
		{&b.seccomp, 0, "seccomp"},
		{&b.reachable, 1, "agent"},
		{&b.reachable, FRAME_UNBOUND, "agent"},
		{&b.capabilities, 1, NULL},
		{&b.root_is_writable, 1, NULL},
		{&b.routes, 1, NULL},
		{&b.uid, 0, NULL},
	};
	const char *name = missing[_i].name;

	*missing[_i].what = missing[_i].value;
	ck_assert_int_eq(check(&b), -ERR_UNSUPPORTED);
	for (size_t i = 0; i < ARRAY_LEN(missing); i++)
		if (missing[i].name && (name == NULL || strcmp(missing[i].name, name) != 0)) {
			allowed[0] = (char *)(uintptr_t)missing[i].name;
			settings.sandbox_allow_unenforced.count = 1;
			ck_assert_int_eq(check(&b), -ERR_UNSUPPORTED);
		}
	if (name == NULL)
		return;
	ck_assert_msg(strstr(err.msg, name), "%s", err.msg);
	allowed[0] = (char *)(uintptr_t)name;
	ck_assert_int_eq(check(&b), 0);
}
END_TEST

/* What the agent cannot see, as the engine's own figures have it. */
START_TEST(test_seen_from_outside)
{
	const struct engine_group none = {.memory = 1ull << 40}, silent = {.own = true},
				  good = {.own = true, .memory = MEMORY + WORK, .pids = 256};
	struct frame_bounds b = as_asked(), hidden = as_asked();

	ck_assert(!sandbox_bounds_unseen(&b));
	sandbox_bounds_add(&b, &none);
	ck_assert_int_eq(check(&b), 0);
	hidden.memory = hidden.pids = hidden.cpu = FRAME_UNSEEN;
	ck_assert(sandbox_bounds_unseen(&hidden));
	b = hidden;
	sandbox_bounds_add(&b, &silent);
	ck_assert_uint_eq(b.memory, FRAME_UNSEEN);
	ck_assert_uint_eq(b.pids, FRAME_UNSEEN);
	ck_assert_uint_eq(b.cpu, FRAME_UNSEEN);
	sandbox_bounds_add(&b, &good);
	ck_assert_uint_eq(b.memory, MEMORY + WORK);
	ck_assert_uint_eq(b.pids, 256);
	ck_assert_int_eq(check(&b), 0);
	b = hidden;
	sandbox_bounds_add(&b, &none);
	ck_assert_uint_eq(b.memory, FRAME_UNBOUND);
	ck_assert_uint_eq(b.pids, FRAME_UNBOUND);
	ck_assert_uint_eq(b.cpu, FRAME_UNBOUND);
	ck_assert_int_eq(check(&b), -ERR_UNSUPPORTED);
}
END_TEST

START_TEST(test_own_kernel_and_network)
{
	struct frame_bounds b = as_asked();

	b.seccomp = 0;
	ck_assert_int_eq(sandbox_bounds_check(&settings, &b, true, &notes, &err), 0);
	b.seccomp = 2;
	b.routes = 2;
	settings.sandbox_network = (char *)(uintptr_t) "mine";
	ck_assert_int_eq(check(&b), 0);
}
END_TEST

/* The agent's own words, where it is put into namespaces without an engine. */
START_TEST(test_told)
{
	struct agent_box *box;
	struct frame_bounds b;
	struct slice kernel;
	struct frame f;

	if (!agent_box_possible())
		return;
	box = agent_box_new();
	agent_box_send(box, FRAME_LOOK, 0, 7, "", 0);
	ck_assert(agent_box_read(box, 60000, &f));
	ck_assert_uint_eq(f.type, FRAME_BOUNDS);
	ck_assert_uint_eq(f.run, 7);
	ck_assert(frame_bounds_decode(&f, &b, &kernel));
	ck_assert_uint_eq(b.uid, 10001);
	ck_assert_uint_lt(b.capabilities, FRAME_UNSEEN);
	ck_assert_uint_lt(b.nofile, FRAME_UNSEEN);
	ck_assert_uint_eq(b.routes, 0);
	ck_assert_uint_eq(b.reachable, 0);
	ck_assert_uint_gt(b.home, 0);
	ck_assert_uint_lt(b.home, FRAME_UNSEEN);
	ck_assert_uint_gt(kernel.len, 0);
	agent_box_free(box);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bounds");
	TCase *t = tcase_create("bounds");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_as_asked);
	tcase_add_loop_test(t, test_missing, 0, 17);
	tcase_add_test(t, test_seen_from_outside);
	tcase_add_test(t, test_own_kernel_and_network);
	tcase_add_test(t, test_told);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
