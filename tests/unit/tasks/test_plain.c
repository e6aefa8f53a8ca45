/* Binding, the table, and the tasks that need no sandbox: what Python would answer, and say. */
#include "fake_ctx.h"
#include "fake_sandbox.h"

static const struct {
	const char *task, *args, *kwargs, *answer;
} g_calls[] = {
	/* echo */
	{"celeriac.echo", "[1]", "{}", "1"},
	{"celeriac.echo", "[]",
	 "{\"value\": {\"a\": [null, true, 1.5, NaN, 99999999999999999999999]}}",
	 "{\"a\": [null, true, 1.5, NaN, 99999999999999999999999]}"},
	{"celeriac.echo", "[null]", "{}", "null"},
	{"celeriac.echo", "[\"\\u0000\\ud800\\u0001n5\"]", "{}", "\"\\u0000\\ud800\\u0001n5\""},
	{"celeriac.echo", "[]", "{}",
	 "TypeError: celeriac.echo() missing 1 required positional argument: 'value'"},
	{"celeriac.echo", "[1, 2]", "{}",
	 "TypeError: celeriac.echo() takes 1 positional argument but 2 were given"},
	/* add */
	{"celeriac.add", "[1, 2]", "{}", "3"},
	{"celeriac.add", "[1]", "{\"y\": 2}", "3"},
	{"celeriac.add", "[]", "{\"y\": -2, \"x\": 1}", "-1"},
	{"celeriac.add", "[9223372036854775807, 1]", "{}", "9223372036854775808"},
	{"celeriac.add", "[-9223372036854775808, -1]", "{}", "-9223372036854775809"},
	{"celeriac.add", "[9223372036854775808, -1]", "{}", "9223372036854775807"},
	{"celeriac.add", "[1000000000000000000000000000000, 1]", "{}",
	 "1000000000000000000000000000001"},
	{"celeriac.add", "[100000000000000000000, -100000000000000000000]", "{}", "0"},
	{"celeriac.add", "[true, 1]", "{}", "2"},
	{"celeriac.add", "[1, 2.0]", "{}", "3.0"},
	{"celeriac.add", "[0.1, 0.2]", "{}", "0.30000000000000004"},
	{"celeriac.add", "[1e308, 1e308]", "{}", "Infinity"},
	{"celeriac.add", "[Infinity, -Infinity]", "{}", "NaN"},
	{"celeriac.add", "[NaN, 1]", "{}", "NaN"},
	{"celeriac.add", "[-Infinity, 5]", "{}", "-Infinity"},
	{"celeriac.add", "[9007199254740993, 0.0]", "{}", "9007199254740992.0"},
	{"celeriac.add", "[100000000000000000000000, 0.0]", "{}", "1e+23"},
	{"celeriac.add", "[1e16, 1]", "{}", "1e+16"},
	{"celeriac.add", "[1]", "{}",
	 "TypeError: celeriac.add() missing 1 required positional argument: 'y'"},
	{"celeriac.add", "[]", "{}",
	 "TypeError: celeriac.add() missing 2 required positional arguments: 'x' and 'y'"},
	{"celeriac.add", "[1, 2, 3]", "{}",
	 "TypeError: celeriac.add() takes 2 positional arguments but 3 were given"},
	{"celeriac.add", "[1, 2]", "{\"z\": 3}",
	 "TypeError: celeriac.add() got an unexpected keyword argument 'z'"},
	{"celeriac.add", "[1, 2]", "{\"x\": 3}",
	 "TypeError: celeriac.add() got multiple values for argument 'x'"},
	{"celeriac.add", "[1, 2, 3]", "{\"z\": 3}",
	 "TypeError: celeriac.add() got an unexpected keyword argument 'z'"},
	{"celeriac.add", "[1, 2]", "{\"a\\nb\": 3}",
	 "TypeError: celeriac.add() got an unexpected keyword argument 'a\\x0ab'"},
	{"celeriac.add", "[\"1\", 2]", "{}", "TypeError: x must be a number, not str"},
	{"celeriac.add", "[1, null]", "{}", "TypeError: y must be a number, not NoneType"},
	{"celeriac.add", "[1, []]", "{}", "TypeError: y must be a number, not list"},
	/* xsum */
	{"celeriac.xsum", "[[]]", "{}", "0"},
	{"celeriac.xsum", "[[1, 2, 3]]", "{}", "6"},
	{"celeriac.xsum", "[[1, 2.5, true]]", "{}", "4.5"},
	{"celeriac.xsum", "[[9223372036854775807, 9223372036854775807, -9223372036854775807]]",
	 "{}", "9223372036854775807"},
	{"celeriac.xsum", "[[1, 2.5, 1000000000000000000000000000000, NaN, -Infinity]]", "{}",
	 "NaN"},
	{"celeriac.xsum", "[[-0.0]]", "{}", "0.0"},
	{"celeriac.xsum", "[[1, \"2\"]]", "{}",
	 "TypeError: unsupported operand type(s) for +: 'int' and 'str'"},
	{"celeriac.xsum", "[[1.5, null]]", "{}",
	 "TypeError: unsupported operand type(s) for +: 'float' and 'NoneType'"},
	{"celeriac.xsum", "[{}]", "{}", "TypeError: numbers must be list, not dict"},
	/* Celery's own */
	{"celery.accumulate", "[1, \"b\", [3]]", "{}", "[1, \"b\", [3]]"},
	{"celery.accumulate", "[]", "{\"anything\": 1, \"index\": null}", "[]"},
	{"celery.accumulate", "[1, 2, 3]", "{\"index\": 1}", "2"},
	{"celery.accumulate", "[1, 2, 3]", "{\"index\": -1}", "3"},
	{"celery.accumulate", "[1, 2]", "{\"index\": true}", "2"},
	{"celery.accumulate", "[1]", "{\"index\": 1}", "IndexError: tuple index out of range"},
	{"celery.accumulate", "[1]", "{\"index\": -2}", "IndexError: tuple index out of range"},
	{"celery.accumulate", "[1]", "{\"index\": 99999999999999999999}",
	 "IndexError: tuple index out of range"},
	{"celery.accumulate", "[1]", "{\"index\": \"0\"}",
	 "TypeError: tuple indices must be integers or slices, not str"},
	{"celery.accumulate", "[1]", "{\"index\": 0.0}",
	 "TypeError: tuple indices must be integers or slices, not float"},
	{"celery.map", "[{\"task\": \"celeriac.xsum\"}, [[1, 2], [3]]]", "{}", "[3, 3]"},
	{"celery.map", "[\"celeriac.echo\", [1, null, {\"a\": []}]]", "{}",
	 "[1, null, {\"a\": []}]"},
	{"celery.map", "[{\"task\": \"celeriac.echo\"}, []]", "{}", "[]"},
	{"celery.map", "[{\"task\": \"no.such\"}, []]", "{}", "NotRegistered: no.such"},
	{"celery.map", "[{\"task\": \"no.such\"}, [1]]", "{}", "NotRegistered: no.such"},
	{"celery.map", "[{\"task\": \"celeriac.add\"}, [1]]", "{}",
	 "TypeError: celeriac.add() missing 1 required positional argument: 'y'"},
	{"celery.map", "[{}, [1]]", "{}", "TypeError: a dict is no task"},
	{"celery.map", "[NaN, [1]]", "{}", "TypeError: a float is no task"},
	{"celery.map", "[{\"task\": \"celery.map\"}, 5]", "{}",
	 "TypeError: it must be list, not int"},
	{"celery.starmap", "[{\"task\": \"celeriac.add\"}, [[1, 2], [3, 4]]]", "{}", "[3, 7]"},
	{"celery.starmap", "[{\"task\": \"celeriac.echo\"}, [{\"key\": 1}]]", "{}", "[\"key\"]"},
	{"celery.starmap", "[{\"task\": \"celeriac.echo\"}, [7]]", "{}",
	 "TypeError: celeriac.echo() argument after * must be an iterable, not int"},
	{"celery.starmap", "[{\"task\": \"celeriac.fail\"}, [[\"boo\"]]]", "{}",
	 "RuntimeError: boo"},
	{"celery.chain", "[1, 2]", "{\"x\": 3}", "NotImplementedError: chain is not a real task"},
	{"celery.backend_cleanup", "[]", "{}", "null"},
	{"celery.chord_unlock", "[\"g\", {}]", "{}",
	 "TypeError: celery.chord_unlock() missing 1 required positional argument: 'result'"},
	{"celery.chord_unlock", "[\"g\", {}, null, null, [7]]", "{}",
	 "ValueError: result: a int is no result"},
	{"celery.chord_unlock", "[\"g\", {}]", "{\"result\": [[[null, null], null]]}",
	 "ValueError: result: a list is no result"},
	/* sleep */
	{"celeriac.sleep", "[0]", "{}", "null"},
	{"celeriac.sleep", "[0.25]", "{}", "null"},
	{"celeriac.sleep", "[-1]", "{}", "ValueError: sleep length must be non-negative"},
	{"celeriac.sleep", "[NaN]", "{}", "ValueError: Invalid value NaN (not a number)"},
	{"celeriac.sleep", "[Infinity]", "{}",
	 "OverflowError: timestamp out of range for platform time_t"},
	{"celeriac.sleep", "[1e300]", "{}",
	 "OverflowError: timestamp out of range for platform time_t"},
	{"celeriac.sleep", "[\"1\"]", "{}", "TypeError: seconds must be a number, not str"},
	/* fail */
	{"celeriac.fail", "[\"no \\u00fc\"]", "{}", "RuntimeError: no \xc3\xbc"},
	{"celeriac.fail", "[1]", "{}", "TypeError: message must be str, not int"},
	{"celeriac.fail", "[NaN]", "{}", "TypeError: message must be str, not float"},
	/* names of what becomes keys and labels, before anything is started */
	{"sandbox.close", "[\"\"]", "{}", "ValueError: conversation_id must not be empty"},
	{"sandbox.close", "[\"a\\u0000b\"]", "{}",
	 "ValueError: conversation_id must not hold control characters"},
	{"sandbox.close", "[\"\\ud800\"]", "{}",
	 "ValueError: conversation_id must not hold control characters"},
	{"sandbox.close", "[7]", "{}", "TypeError: conversation_id must be str, not int"},
	{"sandbox.cleanup", "[7]", "{}",
	 "TypeError: sandbox.cleanup() takes 0 positional arguments but 1 was given"},
	{"sandbox.cleanup", "[]", "{}", "SandboxError: this worker has no container engine"},
	{"sandbox.execute_code", "[]", "{}",
	 "TypeError: sandbox.execute_code() missing 2 required positional arguments: "
	 "'conversation_id' and 'code'"},
	{"sandbox.execute_code", "[1,2,3,4,5,6,7,8,9,10,11,12]", "{}",
	 "TypeError: sandbox.execute_code() takes from 2 to 11 positional arguments but 12 were "
	 "given"},
};

START_TEST(test_call)
{
	_cleanup_buf_ struct buf out = BUF_INIT(65536);

	fake_ctx_reset();
	call(g_calls[_i].task, g_calls[_i].args, g_calls[_i].kwargs, &out);
	ck_assert_str_eq(out.data, g_calls[_i].answer);
}
END_TEST

START_TEST(test_three_missing)
{
	static const struct task_param params[] = {{"a", PARAM_ANY, true},
						   {"b", PARAM_INT, true},
						   {"c", PARAM_ANY, true},
						   {"d", PARAM_BOOL, false}};
	static const struct task t = {.name = "t", .params = params, .param_count = 4};
	_cleanup_json_ json_t *none = load("[]"), *empty = load("{}"),
			      *all = load("[null, 1, null, null]"),
			      *big = load("[1, 99999999999999999999, 3]");
	json_t *values[4];
	struct err err = {0};

	ck_assert_int_eq(task_bind(&t, none, empty, values, &err), -ERR_INVALID);
	ck_assert_str_eq(err.msg, "t() missing 3 required positional arguments: 'a', 'b', and 'c'");
	ck_assert_int_eq(task_bind(&t, all, empty, values, &err), 0);
	ck_assert_ptr_null(values[0]);
	ck_assert_int_eq(json_integer_value(values[1]), 1);
	ck_assert_ptr_null(values[3]);
	ck_assert_int_eq(task_bind(&t, big, empty, values, &err), -ERR_FAILED);
	ck_assert_str_eq(err.msg, "b is beyond 64 bit");
}
END_TEST

/* 4300 digits, as Python: more would take time by the square of their number. */
START_TEST(test_digits)
{
	_cleanup_buf_ struct buf args = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);

	for (int digits = 4300; digits <= 4301; digits++) {
		buf_reset(&args);
		buf_append_str(&args, "[0, -");
		for (int i = 0; i < digits; i++)
			buf_append_char(&args, '9');
		buf_append_char(&args, ']');
		fake_ctx_reset();
		ck_assert_int_eq(call("celeriac.add", args.data, "{}", &out),
				 digits == 4300 ? 0 : -ERR_FAILED);
		if (digits > 4300)
			ck_assert_str_eq(
				out.data,
				"ValueError: Exceeds the limit (4300 digits) for integer string "
				"conversion: value has 4301 digits");
		else
			ck_assert_uint_eq(out.len, 4301);
		args.data[1] = '1', args.data[2] = '.', args.data[3] = '5', args.data[4] = ',';
		call("celeriac.add", args.data, "{}", &out);
		ck_assert_str_eq(
			out.data,
			digits == 4300
				? "OverflowError: int too large to convert to float"
				: "ValueError: Exceeds the limit (4300 digits) for integer string "
				  "conversion: value has 4301 digits");
	}
	/* a sum that grows beyond it */
	buf_reset(&args);
	buf_append_str(&args, "[[1, ");
	for (int i = 0; i < 4300; i++)
		buf_append_char(&args, '9');
	buf_append_str(&args, "]]");
	call("celeriac.xsum", args.data, "{}", &out);
	ck_assert_str_eq(out.data, "ValueError: Exceeds the limit (4300 digits) for integer string "
				   "conversion: value has "
				   "4301 digits");
}
END_TEST

START_TEST(test_sleep_cancelled)
{
	_cleanup_buf_ struct buf out = BUF_INIT(65536);

	fake_ctx_reset();
	atomic_store(&g_ctx.cancel, true);
	ck_assert_int_eq(call("celeriac.sleep", "[1000]", "{}", &out), -ERR_CANCELLED);
	ck_assert_int_gt(g_ctx.slept_until, clock_mono() + 900 * USEC_PER_SEC);
}
END_TEST

/* The exception's argument is the message itself, however long and whatever is in it. */
START_TEST(test_long_failure)
{
	_cleanup_json_ json_t *message = load("\"a\\u0000b\"");
	const struct task *t = task_find("celeriac.fail");
	json_t *result = NULL;
	struct err err = {0};

	fake_ctx_reset();
	ck_assert_int_eq(t->run(&g_ctx, &message, &result, &err), -ERR_FAILED);
	ck_assert_str_eq(g_ctx.type, "RuntimeError");
	ck_assert_ptr_eq(g_ctx.value, message);
}
END_TEST

START_TEST(test_table)
{
	size_t count = 0;
	const struct task *const *table = task_table(&count);

	ck_assert_uint_ge(count, 9);
	for (size_t i = 0; i < count; i++) {
		bool lane_known = table[i]->lane == NULL;

		ck_assert_ptr_eq(task_find(table[i]->name), table[i]);
		if (i > 0)
			ck_assert_int_lt(strcmp(table[i - 1]->name, table[i]->name), 0);
		ck_assert(table[i]->flags & TASK_ACKS_LATE);
		ck_assert_ptr_nonnull(table[i]->help);
		ck_assert(!(table[i]->flags & TASK_STORED) || table[i]->kind);
		for (size_t k = 0; k < table[i]->param_count; k++)
			lane_known |= table[i]->lane &&
				      strcmp(table[i]->params[k].name, table[i]->lane) == 0;
		ck_assert(lane_known);
	}
	ck_assert_ptr_null(task_find("celeriac.nothing"));
	ck_assert_ptr_null(task_find(""));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tasks");
	TCase *t = tcase_create("plain");

	tcase_add_loop_test(t, test_call, 0, ARRAY_LEN(g_calls));
	tcase_add_test(t, test_three_missing);
	tcase_add_test(t, test_digits);
	tcase_add_test(t, test_sleep_cancelled);
	tcase_add_test(t, test_long_failure);
	tcase_add_test(t, test_table);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
