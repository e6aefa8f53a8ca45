/* The real agent's harvest and reset of /sandbox/output, after runs that left the worst of trees
 * there. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "tests/unit/agent_fixture.h"

static struct agent_box *box;
static struct agent_result r;
static struct buf got;
static const struct frame_harvest plenty = {.files = 64,
					    .depth = 16,
					    .entries = 4096,
					    .time_ms = 10000,
					    .file_size = 1 << 20,
					    .total_size = 4 << 20};

static void setup(void)
{
	box = agent_box_new();
	ck_assert_ptr_nonnull(box);
	got = BUF_INIT(16 << 20);
}

static void teardown(void)
{
	buf_done(&got);
	agent_result_done(&r);
	agent_box_free(box);
}

static void run(const char *script)
{
	static uint32_t id = 100;

	agent_result_done(&r);
	agent_box_run(box, ++id, script, 50000, &r);
	ck_assert_uint_eq(r.exit.end, FRAME_END_EXITED);
	ck_assert_msg(r.exit.exit_code == 0, "%s", r.err.data);
}

static const char *harvest(void)
{
	agent_box_harvest(box, &plenty, &got);
	return got.data;
}

static const char *skipped(const char *name, enum frame_skip why)
{
	static char text[256];

	snprintf(text, sizeof(text), "-%s:%d ", name, why);
	return text;
}

static uint64_t reset(uint64_t *ret_left)
{
	struct frame_cursor c;
	struct frame f;
	uint64_t removed;

	agent_box_send(box, FRAME_RESET, 0, 3, "", 0);
	ck_assert(agent_box_read(box, 60000, &f));
	ck_assert_uint_eq(f.type, FRAME_RESET_DONE);
	c = (struct frame_cursor){.data = f.data, .left = f.len};
	removed = frame_get_u64(&c);
	*ret_left = frame_get_u64(&c);
	return removed;
}

START_TEST(test_new_and_changed)
{
	ck_assert_str_eq(harvest(), "");
	run("cd output; mkdir sub; echo 123 >a; echo 1 >sub/b; : >empty; head -c 200000 /dev/zero "
	    ">c");
	ck_assert_str_eq(harvest(), "+a:4 +c:200000 +empty:0 +sub/b:2 ");
	ck_assert_str_eq(harvest(), "");
	run("echo nothing new; cat output/a >/dev/null");
	ck_assert_str_eq(harvest(), "");
	/* changed, of the same size, with the old time forged */
	run("cd output; touch -r a /tmp/ref; echo 456 >a; touch -r /tmp/ref a; mv c d");
	ck_assert_str_eq(harvest(), "+a:4 +d:200000 ");
	run("cd output; rm a; echo 456 >a");
	ck_assert_str_eq(harvest(), "+a:4 ");
}
END_TEST

START_TEST(test_not_files)
{
	run("cd output; ln -s /etc/passwd link; ln -s / dirlink; mkfifo fifo; perl "
	    "-MIO::Socket::UNIX -e "
	    "'IO::Socket::UNIX->new(Local => \"sock\", Listen => 1)'; ln -s loop loop; echo ok >z;"
	    "! mknod dev c 1 3 2>/dev/null");
	harvest();
	ck_assert(strstr(got.data, skipped("link", FRAME_SKIP_SYMLINK)));
	ck_assert(strstr(got.data, skipped("dirlink", FRAME_SKIP_SYMLINK)));
	ck_assert(strstr(got.data, skipped("loop", FRAME_SKIP_SYMLINK)));
	ck_assert(strstr(got.data, skipped("fifo", FRAME_SKIP_NOT_REGULAR)));
	ck_assert(strstr(got.data, skipped("sock", FRAME_SKIP_NOT_REGULAR)));
	ck_assert(strstr(got.data, "+z:3 "));
	ck_assert(!strstr(got.data, "passwd"));
}
END_TEST

/* The directory itself replaced: by a link, a file, a pipe; or locked. */
START_TEST(test_output_replaced)
{
	run("rmdir output; ln -s /usr/share output");
	ck_assert_str_eq(harvest(), skipped("", FRAME_SKIP_SYMLINK));
	run("rm -rf output; : >output");
	ck_assert_str_eq(harvest(), skipped("", FRAME_SKIP_UNREADABLE));
	run("rm -rf output; mkfifo output");
	ck_assert_str_eq(harvest(), skipped("", FRAME_SKIP_UNREADABLE));
	run("rm -rf output; mkdir output; echo x >output/f; chmod 000 output /sandbox");
	ck_assert_str_eq(harvest(), "+f:2 ");
	run("rm -rf output");
	ck_assert_str_eq(harvest(), "");
}
END_TEST

START_TEST(test_names_and_modes)
{
	run("cd output; : >'new\nline'; : >\"$(printf 'bad\\377utf')\"; : >\"$(printf "
	    "'esc\\033[2J')\"; : >'...'; : >'.hidden';"
	    ": >$(printf '%0255d' 0); echo secret >locked; chmod 000 locked; mkdir closed; : "
	    ">closed/x; chmod 000 closed;"
	    ": >suid; chmod 6777 suid; : >'C'; : >'c'");
	harvest();
	ck_assert(strstr(got.data, skipped("new\nline", FRAME_SKIP_NAME)));
	ck_assert(strstr(got.data, skipped("bad\377utf", FRAME_SKIP_NAME)));
	ck_assert(strstr(got.data, skipped("esc\033[2J", FRAME_SKIP_NAME)));
	ck_assert(strstr(got.data, skipped("locked", FRAME_SKIP_UNREADABLE)));
	ck_assert(strstr(got.data, skipped("closed", FRAME_SKIP_UNREADABLE)));
	ck_assert(strstr(got.data, "+...:0 ") && strstr(got.data, "+.hidden:0 ") &&
		  strstr(got.data, "+suid:0 "));
	ck_assert(strstr(got.data, "+C:0 ") && strstr(got.data, "+c:0 "));
}
END_TEST

START_TEST(test_sizes)
{
	struct frame_harvest small = plenty;

	run("cd output; truncate -s 1T sparse 2>/dev/null || truncate -s 1G sparse; head -c "
	    "1048577 /dev/zero >large;"
	    "head -c 600000 /dev/zero >half1; ln half1 half2; ln ../output/half1 half3; echo 1 "
	    ">tiny");
	small.total_size = 1 << 20;
	agent_box_harvest(box, &small, &got);
	ck_assert(strstr(got.data, skipped("sparse", FRAME_SKIP_FILE_SIZE)));
	ck_assert(strstr(got.data, skipped("large", FRAME_SKIP_FILE_SIZE)));
	ck_assert(strstr(got.data, "+half1:600000 "));
	ck_assert(strstr(got.data, skipped("half2", FRAME_SKIP_TOTAL_SIZE)));
	ck_assert(strstr(got.data, "+tiny:2 "));
}
END_TEST

START_TEST(test_numbers)
{
	struct frame_harvest few = plenty;

	run("cd output; for i in 1 2 3 4 5; do echo $i >f$i; done; mkdir -p a/b/c/d; echo x "
	    ">a/b/c/d/deep; echo x >a/b/ok");
	few.files = 3;
	few.depth = 2;
	agent_box_harvest(box, &few, &got);
	ck_assert_str_eq(got.data, "-a/b/c:6 +a/b/ok:2 +f1:2 +f2:2 -f3:5 -f4:5 -f5:5 ");
	run("cd output; rm -rf *; for i in $(seq 3000); do : >f$i; done");
	few = plenty;
	few.entries = 100;
	agent_box_harvest(box, &few, &got);
	ck_assert(strstr(got.data, skipped("", FRAME_SKIP_ENTRIES)) ||
		  strstr(got.data, skipped("f1", FRAME_SKIP_FILES)) || strlen(got.data) > 500);
	few = plenty;
	few.time_ms = 0;
	agent_box_harvest(box, &few, &got);
	ck_assert_str_eq(got.data, skipped("", FRAME_SKIP_TIME));
}
END_TEST

START_TEST(test_deep)
{
	uint64_t left;

	run("cd output; perl -e 'for (1 .. 3000) { mkdir \"d\" or die; chdir \"d\" or die; } open "
	    "F, \">x\"'; : >beside");
	harvest();
	ck_assert(strstr(got.data, "+beside:0 "));
	ck_assert(strstr(got.data, "d/d/d/d:6 "));
	ck_assert_uint_eq(reset(&left), 3002);
	ck_assert_uint_eq(left, 0);
	run("test -d output; test -z \"$(ls -A output)\"");
}
END_TEST

/* More than a path may have, so it cannot be opened from the top at all. */
START_TEST(test_deeper_than_a_path)
{
	uint64_t left;

	run("cd output; perl -e '$n = \"n\" x 200; for (1 .. 100) { mkdir $n or die; chdir $n or "
	    "die; }'; mkdir -p w/x/y; "
	    "chmod 000 w/x/y w/x w");
	harvest();
	ck_assert_uint_eq(reset(&left), 103);
	ck_assert_uint_eq(left, 0);
}
END_TEST

START_TEST(test_reset_follows_nothing)
{
	uint64_t left;

	run("mkdir keep; echo x >keep/me; cd output; ln -s ../keep link; ln -s /sandbox/keep/me "
	    "file; mkdir sub;"
	    "ln -s ../../keep sub/link; mkfifo fifo; echo 1 >f; ln ../keep/me hard");
	ck_assert_uint_eq(reset(&left), 7);
	ck_assert_uint_eq(left, 0);
	run("cat keep/me; ls -A output");
	ck_assert_str_eq(r.out.data, "x\n");
	run("rmdir output; ln -s keep output");
	ck_assert_uint_eq(reset(&left), 0);
	run("cat keep/me");
	ck_assert_str_eq(r.out.data, "x\n");
}
END_TEST

static void setup_old_kernel(void)
{
	agent_box_old_kernel(true);
	setup();
}

static void add_all(Suite *s, TCase *t, SFun begin)
{
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, begin, teardown);
	tcase_add_test(t, test_new_and_changed);
	tcase_add_test(t, test_not_files);
	tcase_add_test(t, test_output_replaced);
	tcase_add_test(t, test_names_and_modes);
	tcase_add_test(t, test_sizes);
	tcase_add_test(t, test_numbers);
	tcase_add_test(t, test_deep);
	tcase_add_test(t, test_deeper_than_a_path);
	tcase_add_test(t, test_reset_follows_nothing);
	suite_add_tcase(s, t);
}

int main(void)
{
	if (!agent_box_possible()) {
		puts("namespaces cannot be made here: nothing tested");
		return 0;
	}
	Suite *s = suite_create("agent_files");
	add_all(s, tcase_create("output"), setup);
	add_all(s, tcase_create("output, without openat2"), setup_old_kernel);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
