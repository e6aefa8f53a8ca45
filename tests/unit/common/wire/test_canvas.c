/* Signatures that no client of ours made: refused, bounded, or taken as they are; and the details
 * that recordings do not show. */
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "signature.h"
#include "tests/unit/suite.h"
#include "typed.h"

#define PLAIN(name) "{\"task\": \"" name "\", \"args\": [], \"kwargs\": {}, \"options\": {}}"
#define NOW	    ((usec_t)1000000000 * USEC_PER_SEC)

static struct err g_err;
static const struct signature_context g_context = {
	.task_id = "parent", .default_queue = "celery", .priority = -1};

static usec_t fixed_wall(void)
{
	return NOW;
}

static json_t *parse(const char *text)
{
	json_t *value = NULL;

	ck_assert_msg(json_load_python(text, strlen(text), &value, &g_err) == 0, "%s: %s", text,
		      g_err.msg);
	return value;
}

static int apply_text(const char *text, struct signature_plan *ret)
{
	_cleanup_json_ json_t *sig = parse(text);

	*ret = (struct signature_plan){0};
	return signature_apply(&g_context, sig, NULL, NULL, NULL, ret, &g_err);
}

static const struct {
	const char *signature;
	int code;
} g_bad[] = {
	{"null", -ERR_INVALID},
	{"\"t.a\"", -ERR_INVALID},
	{"[]", -ERR_INVALID},
	{"{}", -ERR_INVALID},
	{"{\"task\": null}", -ERR_INVALID},
	{"{\"task\": \"\"}", -ERR_INVALID},
	{"{\"task\": 7}", -ERR_INVALID},
	{"{\"task\": NaN}", -ERR_INVALID},
	{"{\"task\": \"t\", \"args\": 3}", -ERR_INVALID},
	{"{\"task\": \"t\", \"args\": {}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"kwargs\": []}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": []}", -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"braid\"}", -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": 5}", -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"chain\"}", -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"chain\", \"kwargs\": {\"tasks\": {}}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"chain\", \"kwargs\": {\"tasks\": [1]}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"group\", \"kwargs\": {\"tasks\": null}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"chord\", \"kwargs\": {\"header\": []}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"chord\", \"kwargs\": {\"header\": [], \"body\": "
	 "null}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"chord\", \"kwargs\": {\"header\": 1, "
	 "\"body\": " PLAIN("b") "}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"chord\", \"kwargs\": {\"header\": [[]], "
	 "\"body\": " PLAIN("b") "}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"xmap\", \"kwargs\": {\"task\": 1, \"it\": []}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"xstarmap\", \"kwargs\": {\"task\": {}, \"it\": 5}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"chunks\", \"kwargs\": {\"task\": {}, \"it\": [], "
	 "\"n\": 0}}",
	 -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"task_id\": 5}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"queue\": {\"name\": \"q\"}}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"queue\": NaN}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"queue\": \"a\\nb\"}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"task_id\": \"\"}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"task_id\": \"a\\u007f\"}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"eta\": \"tomorrow\"}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"eta\": []}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"expires\": NaN}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"countdown\": 1e300}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"options\": {\"headers\": []}}", -ERR_INVALID},
	{"{\"task\": \"t\", \"subtask_type\": \"group\", \"kwargs\": {\"tasks\": [" PLAIN(
		 "a") "]}, "
		      "\"options\": {\"task_id\": {}, \"chord\": " PLAIN("b") "}}",
	 -ERR_INVALID},
};

START_TEST(test_bad)
{
	struct signature_plan plan;
	int rc = apply_text(g_bad[_i].signature, &plan);

	ck_assert_msg(rc == g_bad[_i].code, "%s: %d", g_bad[_i].signature, rc);
	ck_assert_ptr_null(plan.messages);
	ck_assert_ptr_null(plan.owned);
}
END_TEST

/* What nothing comes of, without complaint. */
START_TEST(test_empty)
{
	static const char *const empty[] = {
		"{\"task\": \"t\", \"subtask_type\": \"chain\", \"kwargs\": {\"tasks\": []}}",
		"{\"task\": \"t\", \"subtask_type\": \"group\", \"kwargs\": {\"tasks\": []}}",
		"{\"task\": \"t\", \"subtask_type\": \"chain\", \"kwargs\": {\"tasks\": "
		"[{\"task\": \"t\", "
		"\"subtask_type\": \"group\", \"kwargs\": {\"tasks\": []}}]}}",
		"{\"task\": \"t\", \"subtask_type\": \"chunks\", \"kwargs\": {\"task\": {}, "
		"\"it\": [], \"n\": 1}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
		struct signature_plan plan;

		ck_assert_msg(apply_text(empty[i], &plan) == 0, "%s", g_err.msg);
		ck_assert_uint_eq(plan.message_count, 0);
		signature_plan_done(&plan);
	}
}
END_TEST

/* A chord of nothing is its body, called with nothing. */
START_TEST(test_empty_header)
{
	struct signature_plan plan;

	ck_assert_int_eq(apply_text("{\"task\": \"t\", \"subtask_type\": \"chord\", \"kwargs\": "
				    "{\"header\": [], "
				    "\"body\": " PLAIN("b") "}}",
				    &plan),
			 0);
	ck_assert_uint_eq(plan.message_count, 1);
	ck_assert_uint_eq(plan.chord_count, 0);
	ck_assert_str_eq(plan.messages[0].task, "b");
	ck_assert_uint_eq(json_array_size(plan.messages[0].args), 1);
	ck_assert_uint_eq(json_array_size(json_array_get(plan.messages[0].args, 0)), 0);
	signature_plan_done(&plan);
}
END_TEST

/* `depth` signatures in each other, of all kinds by turns. */
static json_t *nest(int depth)
{
	json_t *sig = parse(PLAIN("t.leaf"));

	for (int i = 1; i < depth; i++) {
		if (i % 3 == 0)
			sig = json_pack("{s:s, s:s, s:{s:[o]}}", "task", "celery.chord",
					"subtask_type", "chord", "kwargs", "header", sig),
			json_object_set_new(json_object_get(sig, "kwargs"), "body",
					    parse(PLAIN("t.b")));
		else
			sig = json_pack("{s:s, s:s, s:{s:[o, o]}}", "task", "c", "subtask_type",
					i % 3 == 1 ? "chain" : "group", "kwargs", "tasks", sig,
					parse(PLAIN("t.x")));
	}
	return sig;
}

START_TEST(test_deep)
{
	static const int depths[] = {BOUND_CANVAS_DEPTH, BOUND_CANVAS_DEPTH + 1, 1000, 20000};

	for (size_t i = 0; i < ARRAY_LEN(depths); i++) {
		_cleanup_json_ json_t *sig = nest(depths[i]);
		struct signature_plan plan = {0};
		int rc = signature_apply(&g_context, sig, NULL, NULL, NULL, &plan, &g_err);

		ck_assert_int_eq(rc, i == 0 ? 0 : -ERR_TOOBIG);
		if (rc == 0)
			ck_assert_uint_gt(plan.message_count, 0);
		ck_assert_int_ge(signature_size(sig), 0);
		signature_plan_done(&plan);
		/* jansson frees by recursion; nothing so deep comes out of a reader. */
		while (depths[i] > 1000 && json_is_object(sig)) {
			json_t *kwargs = json_object_get(sig, "kwargs");
			json_t *tasks = json_object_get(kwargs, "tasks");
			json_t *next = json_incref(json_array_get(
				tasks ? tasks : json_object_get(kwargs, "header"), 0));

			json_decref(sig);
			sig = next;
		}
	}
}
END_TEST

START_TEST(test_many)
{
	_cleanup_json_ json_t *tasks = json_array(), *sig = NULL, *one = parse(PLAIN("t.a"));
	struct signature_plan plan = {0};

	for (int i = 0; i < 10000; i++)
		json_array_append(tasks, one);
	sig = json_pack("{s:s, s:s, s:{s:O, s:O}}", "task", "celery.chord", "subtask_type", "chord",
			"kwargs", "header", tasks, "body", one);
	ck_assert_msg(signature_apply(&g_context, sig, NULL, NULL, NULL, &plan, &g_err) == 0, "%s",
		      g_err.msg);
	ck_assert_uint_eq(plan.message_count, 10000);
	ck_assert_uint_eq(plan.chord_count, 1);
	ck_assert_int_eq(plan.chords[0].size, 10000);
	ck_assert_uint_eq(plan.chords[0].before, 9999);
	signature_plan_done(&plan);
	for (int i = 10000; i < BOUND_CANVAS_SIZE; i++)
		json_array_append(tasks, one);
	ck_assert_int_eq(signature_apply(&g_context, sig, NULL, NULL, NULL, &plan, &g_err),
			 -ERR_TOOBIG);
}
END_TEST

/* A task's name and an id have as many bytes as those of a message. */
START_TEST(test_long_names)
{
	static const struct {
		const char *before, *after;
		size_t most;
		int code;
	} rows[] = {
		{"{\"task\": \"", "\"}", BOUND_TASK_NAME_BYTES, -ERR_TOOBIG},
		{"{\"task\": \"t\", \"options\": {\"task_id\": \"", "\"}}", BOUND_TASK_ID_BYTES,
		 -ERR_INVALID},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t more = 0; more <= 1; more++) {
			_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
			struct signature_plan plan;

			buf_append_str(&text, rows[i].before);
			for (size_t n = 0; n < rows[i].most + more; n++)
				buf_append_char(&text, 'x');
			buf_append_str(&text, rows[i].after);
			ck_assert_int_eq(apply_text(text.data, &plan), more ? rows[i].code : 0);
			signature_plan_done(&plan);
		}
	}
}
END_TEST

/* The same task done again says the same again; another task, or another end of it, does not. */
START_TEST(test_ids)
{
	_cleanup_json_ json_t *embed = parse("{\"callbacks\": [" PLAIN("a") ", " PLAIN("b") "]}");
	_cleanup_json_ json_t *value = json_integer(1);
	struct signature_context other = g_context;
	struct signature_plan plans[4] = {0};
	const json_t *callbacks = json_object_get(embed, "callbacks");

	other.task_id = "another";
	ck_assert_int_eq(signature_on_success(&g_context, embed, value, &plans[0], &g_err), 0);
	ck_assert_int_eq(signature_on_success(&g_context, embed, value, &plans[1], &g_err), 0);
	ck_assert_int_eq(signature_on_success(&other, embed, value, &plans[2], &g_err), 0);
	ck_assert_int_eq(signature_on_failure(&g_context, "parent", callbacks, &plans[3], &g_err),
			 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(plans[i].message_count, 2);
		ck_assert_str_ne(plans[i].messages[0].id, plans[i].messages[1].id);
		ck_assert_str_eq(plans[i].messages[0].group, plans[i].messages[1].group);
		ck_assert_uint_eq(strlen(plans[i].messages[0].id), 36);
		ck_assert_int_eq(plans[i].messages[0].id[14], '8');
		for (int j = 0; j < i; j++)
			ck_assert_int_eq(strcmp(plans[i].messages[0].id, plans[j].messages[0].id) ==
						 0,
					 i == 1);
	}
	for (int i = 0; i < 4; i++)
		signature_plan_done(&plans[i]);
	signature_plan_done(&plans[0]);
	signature_plan_done(NULL);
}
END_TEST

START_TEST(test_options)
{
	struct signature_plan plan;
	const struct message_out *m;

	clock_hook(fixed_wall, fixed_wall);
	ck_assert_msg(
		apply_text("{\"task\": \"t\", \"options\": {\"countdown\": 2.5, \"eta\": "
			   "\"2030-01-01\", "
			   "\"expires\": 60, \"priority\": 4, \"ignore_result\": false, "
			   "\"exchange\": \"e\", "
			   "\"routing_key\": \"k\", \"delivery_mode\": 1, \"retries\": 3, "
			   "\"serializer\": "
			   "\"yaml\", \"compression\": \"gzip\", \"stamped_headers\": [\"s\", "
			   "\"absent\", 5], \"s\": "
			   "[1], \"app_id\": \"x\", \"link\": " PLAIN(
				   "l") ", \"shadow\": null, "
					"\"retry_policy\": {}, \"replaced_task_nesting\": 1}}",
			   &plan) == 0,
		"%s", g_err.msg);
	m = &plan.messages[0];
	ck_assert_int_eq(m->eta, NOW + 2500000);
	ck_assert_int_eq(m->expires, NOW + 60 * USEC_PER_SEC);
	ck_assert_int_eq(m->priority, 4);
	ck_assert_int_eq(m->ignore_result, -1);
	ck_assert_str_eq(m->exchange, "e");
	ck_assert_str_eq(m->routing_key, "k");
	ck_assert_ptr_null(m->queue);
	ck_assert_int_eq(m->delivery_mode, 1);
	ck_assert_int_eq(m->retries, 3);
	ck_assert_int_eq(m->replaced_task_nesting, 1);
	ck_assert_str_eq(m->serializer, "yaml");
	ck_assert_str_eq(m->compression, "gzip");
	ck_assert_ptr_null(m->shadow);
	ck_assert_uint_eq(json_object_size(m->stamps), 1);
	ck_assert_uint_eq(json_object_size(m->properties), 1);
	ck_assert_str_eq(json_member_str(m->properties, "app_id"), "x");
	ck_assert_uint_eq(json_array_size(json_object_get(m->embed, "callbacks")), 1);
	ck_assert_str_eq(m->parent_id, "parent");
	ck_assert_str_eq(m->root_id, "parent");
	signature_plan_done(&plan);

	ck_assert_int_eq(
		apply_text(
			"{\"task\": \"t\", \"options\": {\"countdown\": 0, \"eta\": {\"__type__\": "
			"\"datetime\", \"__value__\": \"1970-01-01T00:00:07\"}, \"exchange\": "
			"\"e\"}}",
			&plan),
		0);
	ck_assert_int_eq(plan.messages[0].eta, 7 * USEC_PER_SEC);
	ck_assert_str_eq(plan.messages[0].queue, "celery");
	signature_plan_done(&plan);
	clock_hook(NULL, NULL);
}
END_TEST

/* Signature._merge: partial arguments go first, options win, but for stamps and the group. */
START_TEST(test_merge)
{
	_cleanup_json_ json_t *sig =
		parse("{\"task\": \"t\", \"args\": [1], \"kwargs\": {\"a\": 1, \"b\": 1}, "
		      "\"options\": {\"group_id\": \"g\", "
		      "\"queue\": \"q\", \"stamped_headers\": [\"s\"], \"s\": 1}}");
	_cleanup_json_ json_t *args = parse("[0]"), *kwargs = parse("{\"b\": 2, \"c\": 2}");
	_cleanup_json_ json_t *options =
		parse("{\"group_id\": \"h\", \"queue\": \"r\", \"s\": 2, "
		      "\"stamped_headers\": [], \"shadow\": \"x\", \"reply_to\": null}");
	_cleanup_json_ json_t *immutable = json_deep_copy(sig), *before = json_deep_copy(sig);
	_cleanup_json_ json_t *wanted = parse("[0, 1]"),
			      *merged = parse("{\"a\": 1, \"b\": 2, \"c\": 2}");
	struct signature_plan plan = {0};

	ck_assert_int_eq(signature_apply(&g_context, sig, args, kwargs, options, &plan, &g_err), 0);
	ck_assert(json_equal(plan.messages[0].args, wanted));
	ck_assert(json_equal(plan.messages[0].kwargs, merged));
	ck_assert_str_eq(plan.messages[0].group, "g");
	ck_assert_str_eq(plan.messages[0].queue, "r");
	ck_assert_str_eq(plan.messages[0].shadow, "x");
	ck_assert_int_eq(json_integer_value(json_object_get(plan.messages[0].stamps, "s")), 1);
	ck_assert(json_equal(sig, before));
	signature_plan_done(&plan);
	json_object_set_new(immutable, "immutable", json_true());
	ck_assert_int_eq(
		signature_apply(&g_context, immutable, args, kwargs, options, &plan, &g_err), 0);
	ck_assert(json_equal(plan.messages[0].args, json_object_get(sig, "args")));
	ck_assert(json_equal(plan.messages[0].kwargs, json_object_get(sig, "kwargs")));
	ck_assert_str_eq(plan.messages[0].queue, "r");
	signature_plan_done(&plan);
}
END_TEST

START_TEST(test_chunks)
{
	struct signature_plan plan;

	ck_assert_int_eq(
		apply_text(
			"{\"task\": \"celery.chunks\", \"subtask_type\": \"chunks\", \"kwargs\": "
			"{\"task\": " PLAIN("a") ", \"it\": [[1], [2], [3]], \"n\": 2}}",
			&plan),
		0);
	ck_assert_uint_eq(plan.message_count, 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_str_eq(plan.messages[i].task, "celery.starmap");
		ck_assert_uint_eq(json_array_size(json_object_get(plan.messages[i].kwargs, "it")),
				  i ? 1 : 2);
		ck_assert_int_eq(json_integer_value(plan.messages[i].group_index), i);
	}
	ck_assert_uint_eq(json_array_size(plan.children), 1);
	signature_plan_done(&plan);
}
END_TEST

START_TEST(test_sizes)
{
#define GROUP(tasks) "{\"subtask_type\": \"group\", \"kwargs\": {\"tasks\": [" tasks "]}}"
#define CHAIN(tasks) "{\"subtask_type\": \"chain\", \"kwargs\": {\"tasks\": [" tasks "]}}"
	static const struct {
		const char *text;
		int64_t size;
	} sizes[] = {
		{PLAIN("a"), 1},
		{GROUP(PLAIN("a") "," PLAIN("b")), 2},
		{GROUP(""), 0},
		{CHAIN(PLAIN("a") "," GROUP(PLAIN("a") "," PLAIN("b") "," PLAIN("c"))), 3},
		{CHAIN(PLAIN("a") "," GROUP("")), 1},
		{CHAIN(""), 0},
		{GROUP(GROUP(PLAIN("a") "," PLAIN("b")) "," CHAIN(PLAIN("a") "," PLAIN("b"))), 3},
		{"{\"subtask_type\": \"chord\", \"kwargs\": {\"header\": [], \"body\": " GROUP(
			 PLAIN("a") "," PLAIN("b")) "}}",
		 2},
		{"{\"subtask_type\": \"braid\"}", 0},
		{"5", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		_cleanup_json_ json_t *sig = parse(sizes[i].text);

		ck_assert_msg(signature_size(sig) == sizes[i].size, "%s", sizes[i].text);
	}
}
END_TEST

START_TEST(test_unreached)
{
	_cleanup_json_ json_t *chain = parse("[" PLAIN(
		"c") ", {\"subtask_type\": \"chord\", \"task\": \"celery.chord\", \"kwargs\": "
		     "{\"header\": [], \"body\": " PLAIN("body") "}}, " PLAIN("a") "]");
	_cleanup_json_ json_t *all = NULL, *none = NULL, *bad = parse("[" PLAIN("a") ", 5]");
	static const char *const names[] = {"c", "celery.chord", "a", "body"};

	ck_assert_int_eq(signature_unreached(chain, &all, &g_err), 0);
	ck_assert_uint_eq(json_array_size(all), ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_str_eq(json_member_str(json_array_get(all, i), "task"), names[i]);
	ck_assert_int_eq(signature_unreached(NULL, &none, &g_err), 0);
	ck_assert_uint_eq(json_array_size(none), 0);
	ck_assert_int_eq(signature_unreached(bad, &none, &g_err), -ERR_INVALID);
}
END_TEST

/* Embeds of any shape. */
START_TEST(test_embeds)
{
	static const struct {
		const char *embed;
		int code;
		size_t messages;
	} embeds[] = {
		{"{}", 0, 0},
		{"{\"callbacks\": null, \"chain\": null}", 0, 0},
		{"{\"callbacks\": [], \"chain\": []}", 0, 0},
		{"{\"callbacks\": " PLAIN("a") "}", 0, 1},
		{"{\"callbacks\": [" PLAIN("a") "], \"chain\": [" PLAIN("c") ", " PLAIN("b") "]}",
		 0, 2},
		{"{\"callbacks\": 5}", -ERR_INVALID, 0},
		{"{\"chain\": \"x\"}", -ERR_INVALID, 0},
		{"{\"chain\": [[]]}", -ERR_INVALID, 0},
		{"{\"callbacks\": [" PLAIN("a") ", null]}", -ERR_INVALID, 0},
		{"{\"callbacks\": [" PLAIN("a") "], \"chain\": [7]}", -ERR_INVALID, 0},
	};
	_cleanup_json_ json_t *value = json_null();

	for (size_t i = 0; i < ARRAY_LEN(embeds); i++) {
		_cleanup_json_ json_t *embed = parse(embeds[i].embed);
		struct signature_plan plan = {0};
		int rc = signature_on_success(&g_context, embed, value, &plan, &g_err);

		ck_assert_msg(rc == embeds[i].code, "%s: %d", embeds[i].embed, rc);
		ck_assert_uint_eq(plan.message_count, embeds[i].messages);
		signature_plan_done(&plan);
	}
}
END_TEST

/* Every value in a good tree replaced by each of some others: a plan that can be written, or an
 * error. */
static void replace_each(json_t *root, json_t *at)
{
	static const char *const values[] = {"null",   "5",   "\"x\"",	   "[]",      "{}",
					     "[[{}]]", "NaN", "\"chord\"", PLAIN("z")};
	size_t count = json_is_array(at) ? json_array_size(at) : json_object_size(at);
	void *iter = json_object_iter(at);

	for (size_t i = 0; i < count; i++) {
		const char *key = iter ? json_object_iter_key(iter) : NULL;
		json_t *was = json_incref(key ? json_object_get(at, key) : json_array_get(at, i));

		for (size_t v = 0; v < ARRAY_LEN(values); v++) {
			struct signature_plan plan = {0};
			json_t *other = parse(values[v]);

			if (key)
				json_object_set_new(at, key, other);
			else
				json_array_set_new(at, i, other);
			if (signature_apply(&g_context, root, NULL, NULL, NULL, &plan, &g_err) ==
			    0) {
				for (size_t m = 0; m < plan.message_count; m++) {
					_cleanup_buf_ struct buf b = BUF_INIT(1 << 20);

					(void)!message_encode(&plan.messages[m], &b, &g_err);
				}
			}
			signature_plan_done(&plan);
		}
		if (key)
			json_object_set(at, key, was);
		else
			json_array_set(at, i, was);
		replace_each(root, was);
		json_decref(was);
		iter = iter ? json_object_iter_next(at, json_object_key_to_iter(key)) : NULL;
	}
}

START_TEST(test_mutations)
{
	static const char text[] =
		"{\"task\": \"celery.chain\", \"subtask_type\": \"chain\", \"args\": [], "
		"\"kwargs\": {\"tasks\": ["
		"{\"task\": \"celery.chord\", \"subtask_type\": \"chord\", \"args\": [1], "
		"\"kwargs\": {\"kwargs\": {}, "
		"\"header\": [{\"task\": \"a\", \"options\": {\"task_id\": \"i\", "
		"\"stamped_headers\": [\"s\"], \"s\": "
		"[1]}}, {\"task\": \"celery.group\", \"subtask_type\": \"group\", \"kwargs\": "
		"{\"tasks\": [" PLAIN(
			"b") ", " PLAIN("c") "]}}], \"body\": {\"task\": \"celery.chain\", "
					     "\"subtask_type\": \"chain\", "
					     "\"kwargs\": {\"tasks\": [" PLAIN("d") ", " PLAIN("e") "]}, \"options\": {\"link\": [" PLAIN(
						     "l") "]}}}, \"options\": {\"link_error\": "
							  "[" PLAIN(
								  "x") "], \"countdown\": 1}}, "
								       "{\"task\": "
								       "\"celery.chunks\", "
								       "\"subtask_type\": "
								       "\"chunks\", \"kwargs\": "
								       "{\"task\": " PLAIN(
									       "m") ", \"it\": "
										    "[[1]], \"n\": "
										    "1}}]}, "
										    "\"options\": "
										    "{\"task_id\": "
										    "\"t\", "
										    "\"link\":"
										    " " PLAIN("y") ", \"link_error\": " PLAIN(
											    "w") "}"
												 "}";
	_cleanup_json_ json_t *root = parse(text);
	struct signature_plan plan = {0};

	ck_assert_msg(signature_apply(&g_context, root, NULL, NULL, NULL, &plan, &g_err) == 0, "%s",
		      g_err.msg);
	signature_plan_done(&plan);
	replace_each(root, root);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("canvas");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_bad, 0, ARRAY_LEN(g_bad));
	tcase_add_test(t, test_empty);
	tcase_add_test(t, test_empty_header);
	tcase_add_test(t, test_deep);
	tcase_add_test(t, test_many);
	tcase_add_test(t, test_long_names);
	tcase_add_test(t, test_ids);
	tcase_add_test(t, test_options);
	tcase_add_test(t, test_merge);
	tcase_add_test(t, test_chunks);
	tcase_add_test(t, test_sizes);
	tcase_add_test(t, test_unreached);
	tcase_add_test(t, test_embeds);
	tcase_add_test(t, test_mutations);
	return suite_run("canvas", t);
}
