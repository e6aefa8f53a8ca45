/* sandbox.execute_code without an engine: its arguments, its result, its row. */
#include "fake_ctx.h"
#include "fake_sandbox.h"

#include "codec.h"

static void setup(void)
{
	fake_ctx_reset();
	g_ctx.sandbox = (struct sandbox *)&g_ctx;
	g_runs = g_outcomes_freed = 0;
	g_error = (struct err){0};
	g_outcome = (struct sandbox_outcome){.container = "abc"};
}

/* ---- arguments ---- */

#define BASE "\"conversation_id\": \"c-1\", \"code\": \"1\""

static const struct {
	const char *more, *answer;
} g_refused[] = {
	{"\"language\": \"cobol\"", "ValueError: language 'cobol' is not known"},
	{"\"language\": \"\"", "ValueError: language '' is not known"},
	{"\"language\": 3", "TypeError: language must be str, not int"},
	{"\"packages\": [5]", "TypeError: packages[0] must be str, not int"},
	{"\"packages\": [\"a\\u0000b\"]", "ValueError: packages[0] must not hold null bytes"},
	{"\"language\": \"r\", \"stateful\": true", "ValueError: stateful: only python "},
	{"\"packages\": \"six\"", "TypeError: packages must be list, not str"},
	{"\"stateful\": true, \"one_shot\": true", "ValueError: stateful and one_shot "},
	{"\"stateful\": 1", "TypeError: stateful must be bool, not int"},
	{"\"one_shot\": \"yes\"", "TypeError: one_shot must be bool, not str"},
	{"\"code\": 5", "TypeError: code must be str, not int"},
	{"\"code\": null", "TypeError: code must be str, not NoneType"},
	{"\"code\": \"a\\u0000b\"", "ValueError: code must not hold null bytes"},
	{"\"code\": \"\\u0001\\u0000b\"", "ValueError: code must not hold null bytes"},
	{"\"code\": \"'\\ud800'\"", "ValueError: code holds a lone surrogate"},
	{"\"code\": \"\\ufffd'\\udfff'\"", "ValueError: code holds a lone surrogate"},
	{"\"project_id\": \"\"", "ValueError: project_id must not be empty"},
	{"\"project_id\": {}", "TypeError: project_id must be str, not dict"},
	{"\"conversation_id\": \"\"", "ValueError: conversation_id must not be empty"},
	{"\"conversation_id\": \"a\\nb\"",
	 "ValueError: conversation_id must not hold control characters"},
	{"\"timeout\": 0", "ValueError: timeout must be more than 0 seconds"},
	{"\"timeout\": -1.5", "ValueError: timeout must be more than 0 seconds"},
	{"\"timeout\": NaN", "ValueError: timeout must be more than 0 seconds"},
	{"\"timeout\": 300.5",
	 "ValueError: timeout must be at most 300 seconds (SANDBOX_MAX_TIMEOUT)"},
	{"\"timeout\": Infinity", "ValueError: timeout must be at most 300 seconds"},
	{"\"timeout\": 99999999999999999999999", "ValueError: timeout must be at most 300 seconds"},
	{"\"timeout\": \"5\"", "TypeError: timeout must be a number, not str"},
	{"\"stdin\": 5", "TypeError: stdin must be str, not int"},
	{"\"stdin\": \"\\udc00\"", "ValueError: stdin holds a lone surrogate"},
	{"\"env\": []", "TypeError: env must be dict, not list"},
	{"\"env\": {\"A\": 5}", "TypeError: env['A'] must be str, not int"},
	{"\"env\": {\"A\": null}", "TypeError: env['A'] must be str, not NoneType"},
	{"\"env\": {\"A\": \"x\\u0000y\"}", "ValueError: env['A'] must not hold null bytes"},
	{"\"env\": {\"\": \"x\"}", "ValueError: env: '' is not the name of a variable"},
	{"\"env\": {\"1A\": \"x\"}", "ValueError: env: '1A' is not the name of a variable"},
	{"\"env\": {\"A=B\": \"x\"}", "ValueError: env: 'A=B' is not the name of a variable"},
	{"\"env\": {\"A\\u0000B\": \"x\"}", "ValueError: env: "},
	{"\"files\": {}", "TypeError: files must be list, not dict"},
	{"\"files\": [\"a\"]", "TypeError: files[0] must be dict, not str"},
	{"\"files\": [{\"name\": \"a\"}]", "ValueError: files[0] has no 'content'"},
	{"\"files\": [{\"content\": \"\"}]", "ValueError: files[0] has no 'name'"},
	{"\"files\": [{\"name\": \"a\", \"content\": \"\", \"mode\": 7}]",
	 "ValueError: files[0] has an unknown key 'mode'"},
	{"\"files\": [{\"name\": 1, \"content\": \"\"}]",
	 "TypeError: files[0].name must be str, not int"},
	{"\"files\": [{\"name\": \"a\", \"content\": null}]",
	 "TypeError: files[0].content must be str, not NoneType"},
	{"\"files\": [{\"name\": \"a\", \"content\": \"%\"}]",
	 "ValueError: files[0].content is not base64"},
	{"\"files\": [{\"name\": \"a\", \"content\": \"QQ\"}]",
	 "ValueError: files[0].content is not base64"},
	{"\"files\": [{\"name\": \"a\", \"content\": \"\\u0000\"}]",
	 "ValueError: files[0].content is not base64"},
	{"\"files\": [{\"name\": \"a\", \"content\": \"\"}, {\"name\": \"a\", \"content\": \"\"}]",
	 "ValueError: files[1].name is the same as that of files[0]"},
	{"\"files\": [{\"name\": \"\", \"content\": \"\"}]", "ValueError: files[0].name is empty"},
	{"\"files\": [{\"name\": \".\", \"content\": \"\"}]",
	 "ValueError: files[0].name is a directory"},
	{"\"files\": [{\"name\": \"..\", \"content\": \"\"}]",
	 "ValueError: files[0].name is a directory"},
	{"\"files\": [{\"name\": \"../x\", \"content\": \"\"}]",
	 "ValueError: files[0].name holds a slash"},
	{"\"files\": [{\"name\": \"/etc/passwd\", \"content\": \"\"}]",
	 "ValueError: files[0].name holds a slash"},
	{"\"files\": [{\"name\": \"a\\nb\", \"content\": \"\"}]",
	 "ValueError: files[0].name holds a control character"},
	{"\"files\": [{\"name\": \"a\\u0000\", \"content\": \"\"}]",
	 "ValueError: files[0].name holds a control character"},
	{"\"files\": [{\"name\": \"\\ud800\", \"content\": \"\"}]",
	 "ValueError: files[0].name holds a control character"},
	{"\"files\": [{\"name\": \"output\", \"content\": \"\"}]",
	 "ValueError: files[0].name is reserved"},
	{"\"files\": [{\"name\": \".celeriac\", \"content\": \"\"}]",
	 "ValueError: files[0].name is reserved"},
	{"\"nonsense\": 1",
	 "TypeError: sandbox.execute_code() got an unexpected keyword argument 'nonsense'"},
};

START_TEST(test_refused)
{
	_cleanup_buf_ struct buf kwargs = BUF_INIT(65536), out = BUF_INIT(65536);

	setup();
	/* The last of two equal members wins. */
	buf_appendf(&kwargs, "{" BASE ", %s}", g_refused[_i].more);
	ck_assert_int_lt(call("sandbox.execute_code", "[]", kwargs.data, &out), 0);
	ck_assert_msg(strncmp(out.data, g_refused[_i].answer, strlen(g_refused[_i].answer)) == 0,
		      "%s: %s", g_refused[_i].more, out.data);
	if (g_ctx.type[0])
		ck_assert_str_eq(g_ctx.module, "builtins");
	ck_assert_int_eq(g_runs, 0);
	ck_assert_ptr_null(g_ctx.record.cleanup);
}
END_TEST

static void repeat(struct buf *out, const char *text, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_append_str(out, text);
}

/* Each bound, and one more. */
START_TEST(test_bounds)
{
	_cleanup_buf_ struct buf kwargs = BUF_INIT((size_t)128 << 20), out = BUF_INIT(65536);

	for (size_t over = 0; over <= 1; over++) {
		setup();
		buf_reset(&kwargs);
		buf_append_str(&kwargs, "{\"conversation_id\": \"c\", \"code\": \"");
		repeat(&kwargs, "x", BOUND_CODE_BYTES + over);
		buf_append_str(&kwargs, "\"}");
		call("sandbox.execute_code", "[]", kwargs.data, &out);
		ck_assert_int_eq(g_runs, !over);
		ck_assert(!over ||
			  strcmp(out.data, "ValueError: code has more than 4194304 bytes") == 0);

		setup();
		buf_reset(&kwargs);
		buf_append_str(&kwargs, "{\"code\": \"\", \"conversation_id\": \"");
		repeat(&kwargs, "x", BOUND_CONVERSATION_ID_BYTES + over);
		buf_append_str(&kwargs, "\"}");
		call("sandbox.execute_code", "[]", kwargs.data, &out);
		ck_assert_int_eq(g_runs, !over);

		setup();
		buf_reset(&kwargs);
		buf_append_str(&kwargs,
			       "{" BASE ", \"files\": [{\"content\": \"QQ==\", \"name\": \"");
		repeat(&kwargs, "x", BOUND_FILE_NAME_BYTES + over);
		buf_append_str(&kwargs, "\"}]}");
		call("sandbox.execute_code", "[]", kwargs.data, &out);
		ck_assert_int_eq(g_runs, !over);

		setup();
		buf_reset(&kwargs);
		buf_append_str(&kwargs, "{" BASE ", \"files\": [");
		for (size_t i = 0; i < BOUND_INPUT_FILES + over; i++)
			buf_appendf(&kwargs, "%s{\"name\": \"f%zu\", \"content\": \"\"}",
				    i ? ", " : "", i);
		buf_append_str(&kwargs, "]}");
		call("sandbox.execute_code", "[]", kwargs.data, &out);
		ck_assert_int_eq(g_runs, !over);

		setup();
		buf_reset(&kwargs);
		buf_append_str(&kwargs, "{" BASE ", \"env\": {\"V\": \"");
		repeat(&kwargs, "x", BOUND_ENV_BYTES - 3 + over);
		buf_append_str(&kwargs, "\"}}");
		call("sandbox.execute_code", "[]", kwargs.data, &out);
		ck_assert_int_eq(g_runs, !over);
		ck_assert(strstr(out.data, "xxx") == NULL);

		setup();
		buf_reset(&kwargs);
		buf_append_str(&kwargs, "{" BASE ", \"env\": {");
		for (size_t i = 0; i < BOUND_ENV_VARS + over; i++)
			buf_appendf(&kwargs, "%s\"V%zu\": \"\"", i ? ", " : "", i);
		buf_append_str(&kwargs, "}}");
		call("sandbox.execute_code", "[]", kwargs.data, &out);
		ck_assert_int_eq(g_runs, !over);
	}
}
END_TEST

START_TEST(test_large_inputs)
{
	_cleanup_buf_ struct buf kwargs = BUF_INIT((size_t)128 << 20), out = BUF_INIT(65536);

	/* 32 MiB and 3 bytes */
	setup();
	buf_append_str(&kwargs, "{" BASE ", \"files\": [{\"name\": \"a\", \"content\": \"");
	repeat(&kwargs, "AAAA", BOUND_INPUT_FILE_BYTES / 3 + 1);
	buf_append_str(&kwargs, "\"}]}");
	call("sandbox.execute_code", "[]", kwargs.data, &out);
	ck_assert_str_eq(out.data, "ValueError: files[0].content has more than 33554432 bytes");

	/* three files of 22 MiB */
	setup();
	buf_reset(&kwargs);
	buf_append_str(&kwargs, "{" BASE ", \"files\": [");
	for (int i = 0; i < 3; i++) {
		buf_appendf(&kwargs, "%s{\"name\": \"f%d\", \"content\": \"", i ? ", " : "", i);
		repeat(&kwargs, "AAAA", ((size_t)22 << 20) / 3);
		buf_append_str(&kwargs, "\"}");
	}
	buf_append_str(&kwargs, "]}");
	call("sandbox.execute_code", "[]", kwargs.data, &out);
	ck_assert_str_eq(out.data, "ValueError: files have more than 67108864 bytes together");

	setup();
	buf_reset(&kwargs);
	buf_append_str(&kwargs, "{" BASE ", \"stdin\": \"");
	repeat(&kwargs, "x", BOUND_STDIN_BYTES + 1);
	buf_append_str(&kwargs, "\"}");
	call("sandbox.execute_code", "[]", kwargs.data, &out);
	ck_assert_str_eq(out.data, "ValueError: stdin has more than 16777216 bytes");
	ck_assert_int_eq(g_runs, 0);
}
END_TEST

/* ---- the run and its result ---- */

START_TEST(test_defaults)
{
	_cleanup_buf_ struct buf out = BUF_INIT(65536);

	setup();
	ck_assert_int_eq(call("sandbox.execute_code", "[\"c-1\", \"print(1)\"]",
			      "{\"project_id\": null, \"packages\": [], "
			      "\"files\": null, \"env\": null}",
			      &out),
			 0);
	ck_assert_str_eq(g_run.task_id, "task-1");
	ck_assert_str_eq(g_code, "print(1)");
	ck_assert_str_eq(g_run.language, "python");
	ck_assert_ptr_null(g_run.project);
	ck_assert_uint_eq(g_run.file_count, 0);
	ck_assert_int_eq(g_run.timeout, 30 * USEC_PER_SEC);
	ck_assert(!g_run.one_shot);
	ck_assert_ptr_eq(g_run.cancel, &g_ctx.cancel);
	ck_assert_int_eq(g_acknowledged, 0);
	g_ctx.record.stored(g_ctx.record.cleanup_arg);
	ck_assert(g_acknowledged == 1 && strcmp(g_acknowledged_task, "c-1 task-1") == 0);
	ck_assert_str_eq(out.data, "{\"status\": \"ok\", \"exit_code\": 0, \"stdout\": \"\", "
				   "\"stderr\": \"\", \"stdout_dropped\": 0, "
				   "\"stderr_dropped\": 0, \"duration_ms\": 0, \"files\": [], "
				   "\"files_skipped\": [], \"sandbox\": \"abc\", "
				   "\"reused\": false, \"restarted\": false}");
}
END_TEST

START_TEST(test_everything)
{
	_cleanup_buf_ struct buf out = BUF_INIT(65536);

	setup();
	ck_assert_int_eq(call("sandbox.execute_code", "[]",
			      "{\"conversation_id\": \"c-1\", \"code\": \"\\u0001\\u00fc\", "
			      "\"project_id\": \"p\", "
			      "\"language\": \"python\", \"stdin\": \"in\\u0001\", \"timeout\": "
			      "2.5, \"one_shot\": true, \"stateful\": false, "
			      "\"env\": {\"A\": \"1\", \"_b2\": \"\\u0001x\"}, "
			      "\"files\": [{\"name\": \"a b.csv\", \"content\": \"eCx5\\n\"}, "
			      "{\"content\": \"\", \"name\": \"e\"}]}",
			      &out),
			 0);
	ck_assert_str_eq(g_code, "\x01\xc3\xbc");
	ck_assert_str_eq(g_input, "in\x01");
	ck_assert_str_eq(g_env, "A=1;_b2=\x01x;");
	ck_assert_str_eq(g_files, "a b.csv=x,y;e=;");
	ck_assert_str_eq(g_project, "p");
	ck_assert_int_eq(g_run.timeout, 2500 * USEC_PER_MSEC);
	ck_assert(g_run.one_shot);
}
END_TEST

START_TEST(test_result)
{
	_cleanup_buf_ struct buf out = BUF_INIT(65536), want = BUF_INIT(65536);
	char out_text[] = "o\xc3\xbct", err_text[] = "bad", name[] = "plot.png",
	     data[] = "\x89PNG\r\n\x1a\n...";
	char skipped_name[] = "link", reason[] = "not a regular file";
	struct sandbox_output_file files[] = {{.name = name, .data = data, .len = 11}};
	struct sandbox_skipped_file skipped[] = {{.name = skipped_name, .reason = reason}};
	const struct store_finish *f = &g_ctx.record.finish;
	char sha[SHA256_HEX_SIZE];

	setup();
	g_outcome = (struct sandbox_outcome){.status = SANDBOX_ERROR,
					     .exit_code = 3,
					     .stdout_text = out_text,
					     .stdout_len = strlen(out_text),
					     .stderr_text = err_text,
					     .stderr_len = strlen(err_text),
					     .stdout_dropped = 17,
					     .stderr_dropped = 1,
					     .duration = 1234567,
					     .files = files,
					     .file_count = 1,
					     .skipped = skipped,
					     .skipped_count = 1,
					     .container = "abc",
					     .reused = true,
					     .restarted = true};
	ck_assert_int_eq(call("sandbox.execute_code", "[\"c-1\", \"1\"]", "{}", &out), 0);
	ck_assert_uint_eq(f->file_count, 1);
	sha256_hex(data, 11, sha);
	buf_appendf(&want,
		    "{\"status\": \"error\", \"exit_code\": 3, \"stdout\": \"o\\u00fct\", "
		    "\"stderr\": \"bad\", \"stdout_dropped\": 17, "
		    "\"stderr_dropped\": 1, \"duration_ms\": 1234, \"files\": [{\"id\": \"%s\", "
		    "\"name\": \"plot.png\", \"mime\": "
		    "\"image/png\", \"size\": 11, \"sha256\": \"%s\"}], \"files_skipped\": "
		    "[{\"name\": \"link\", \"reason\": "
		    "\"not a regular file\"}], \"sandbox\": \"abc\", \"reused\": true, "
		    "\"restarted\": true}",
		    f->files[0].id, sha);
	ck_assert_str_eq(out.data, want.data);
	ck_assert_str_eq(f->status, "error");
	ck_assert_int_eq(f->exit_code, 3);
	ck_assert_str_eq(f->stdout_text, out_text);
	ck_assert_str_eq(f->container, "abc");
	ck_assert_uint_eq(strlen(f->files[0].id), 36);
	ck_assert_ptr_nonnull(g_ctx.record.cleanup);
	fake_ctx_reset();
	ck_assert_int_eq(g_outcomes_freed, 1);
}
END_TEST

START_TEST(test_troubles)
{
	_cleanup_buf_ struct buf out = BUF_INIT(65536);
	struct err why = {0};

	setup();
	(void)err_set(&why, ERR_PROTOCOL, "engine: that is no answer");
	g_error = why;
	ck_assert_int_eq(call("sandbox.execute_code", "[\"c-1\", \"1\"]", "{}", &out), -ERR_FAILED);
	ck_assert_str_eq(out.data, "SandboxError: engine: that is no answer");
	ck_assert_str_eq(g_ctx.module, "celeriac");
	ck_assert_int_lt(call("sandbox.reset_output", "[\"c-1\"]", "{}", &out), 0);
	ck_assert_str_eq(out.data, "SandboxError: engine: that is no answer");

	/* what may pass is the worker's to wait for */
	(void)err_set(&why, ERR_UNAVAILABLE, "engine: nobody answers");
	g_error = why;
	ck_assert_int_eq(call("sandbox.execute_code", "[\"c-1\", \"1\"]", "{}", &out),
			 -ERR_UNAVAILABLE);
	ck_assert_str_eq(g_ctx.type, "");

	(void)err_set(&why, ERR_DENIED, "belongs to another project");
	g_error = why;
	call("sandbox.execute_code", "[\"c-1\", \"1\"]", "{}", &out);
	ck_assert_str_eq(out.data,
			 "PermissionError: conversation_id c-1: belongs to another project");
	ck_assert_str_eq(g_ctx.module, "builtins");

	(void)err_set(&why, ERR_INVALID, "files[0].name is taken by a directory");
	g_error = why;
	call("sandbox.execute_code", "[\"c-1\", \"1\"]", "{}", &out);
	ck_assert_str_eq(out.data, "ValueError: files[0].name is taken by a directory");

	(void)err_set(&why, ERR_CANCELLED, "cancelled");
	g_error = why;
	ck_assert_int_eq(call("sandbox.execute_code", "[\"c-1\", \"1\"]", "{}", &out),
			 -ERR_CANCELLED);
	ck_assert_str_eq(g_ctx.type, "");
	ck_assert_ptr_null(g_ctx.record.cleanup);

	setup();
	g_outcome.status = SANDBOX_CANCELLED;
	ck_assert_int_eq(call("sandbox.execute_code", "[\"c-1\", \"1\"]", "{}", &out),
			 -ERR_CANCELLED);
	fake_ctx_reset();
	ck_assert_int_eq(g_outcomes_freed, 1);
}
END_TEST

START_TEST(test_others)
{
	_cleanup_buf_ struct buf out = BUF_INIT(65536);

	setup();
	call("sandbox.reset_output", "[\"c-1\"]", "{}", &out);
	ck_assert_str_eq(out.data, "{\"removed\": 3}");
	call("sandbox.close", "[]", "{\"conversation_id\": \"c-1\"}", &out);
	ck_assert_str_eq(out.data, "{\"removed\": true}");
	call("sandbox.cleanup", "[]", "{}", &out);
	ck_assert_str_eq(out.data, "{\"idle\": 1, \"orphans\": 2, \"kept\": 3, \"failed\": 4}");
	ck_assert_str_eq(g_ctx.record.finish.status, "ok");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("execute_code");
	TCase *t = tcase_create("execute_code");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_refused, 0, ARRAY_LEN(g_refused));
	tcase_add_test(t, test_bounds);
	tcase_add_test(t, test_large_inputs);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_everything);
	tcase_add_test(t, test_result);
	tcase_add_test(t, test_troubles);
	tcase_add_test(t, test_others);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
