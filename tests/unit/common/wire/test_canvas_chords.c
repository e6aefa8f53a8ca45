/* Chords and chains: what is left of a chain, who calls back and who is told of failures. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "message.h"
#include "signature.h"
#include "tests/unit/suite.h"

#define PLAIN(name) "{\"task\": \"" name "\", \"args\": [], \"kwargs\": {}, \"options\": {}}"
#define MEMBERS(tasks)                                                                             \
	"{\"task\": \"celery.group\", \"subtask_type\": \"group\", \"args\": [], \"kwargs\": "     \
	"{\"tasks\": [" tasks "]}, \"options\": {}}"
#define CHORD(header, body)                                                                        \
	"{\"task\": \"celery.chord\", \"subtask_type\": \"chord\", \"args\": [], \"kwargs\": "     \
	"{\"header\": [" header "], \"body\": " body "}, \"options\": {}}"
#define STEPS(tasks, options)                                                                      \
	"{\"task\": \"celery.chain\", \"subtask_type\": \"chain\", \"args\": [], \"kwargs\": "     \
	"{\"tasks\": [" tasks "]}, \"options\": {" options "}}"

static struct err g_err;
static const struct signature_context g_context = {
	.task_id = "parent", .default_queue = "celery", .priority = -1};

static json_t *parse(const char *text)
{
	json_t *value = NULL;

	ck_assert_msg(json_load_python(text, strlen(text), &value, &g_err) == 0, "%s: %s", text,
		      g_err.msg);
	return value;
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

/* Empty groups between the steps of a chain are none of them; a group itself calls nobody. */
START_TEST(test_holes_in_chains)
{
	_cleanup_json_ json_t *chain = parse(
		"{\"task\": \"celery.chain\", \"subtask_type\": \"chain\", \"kwargs\": {\"tasks\": "
		"[" PLAIN("a") ", {\"task\": \"celery.group\", \"subtask_type\": \"group\", "
			       "\"kwargs\": "
			       "{\"tasks\": []}}, " PLAIN("b") "]}, \"options\": {}}");
	_cleanup_json_ json_t *group = parse(
		"{\"task\": \"celery.group\", \"subtask_type\": \"group\", \"kwargs\": {\"tasks\": "
		"[" PLAIN("a") "]}}");
	_cleanup_json_ json_t *link = parse("{\"link\": [" PLAIN("b") "]}");
	struct signature_plan plan = {0};
	const json_t *rest;

	ck_assert_int_eq(signature_apply(&g_context, chain, NULL, NULL, NULL, &plan, &g_err), 0);
	ck_assert_uint_eq(plan.message_count, 1);
	rest = json_object_get(plan.messages[0].embed, "chain");
	ck_assert_uint_eq(json_array_size(rest), 1);
	ck_assert_str_eq(json_member_str(json_array_get(rest, 0), "task"), "b");
	signature_plan_done(&plan);
	ck_assert_int_eq(signature_apply(&g_context, group, NULL, NULL, link, &plan, &g_err),
			 -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(g_err.msg, "Cannot add link to group"));
}
END_TEST

/* A chord in a chain whose body is a chain of its own: the rest of that is the chain's, with its
 * errbacks, and a chain within it as well. */
START_TEST(test_unrolled)
{
	_cleanup_json_ json_t *chain = parse(
		"{\"task\": \"celery.chain\", \"subtask_type\": \"chain\", \"kwargs\": {\"tasks\": "
		"[" CHORD(PLAIN("a"),
			  STEPS(PLAIN("b") "," STEPS(
					PLAIN("c") "," CHORD(PLAIN("d"),
							     STEPS(PLAIN("e") "," PLAIN("f"), "")),
					""),
				"\"link_error\": [" PLAIN(
					"failed") "]")) ", " PLAIN("z") "]}, \"options\": {}}");
	struct signature_plan plan = {0};
	static const char *const last_first[] = {"z", "f", "celery.chord", "c"};
	const json_t *body, *rest;

	ck_assert_msg(signature_apply(&g_context, chain, NULL, NULL, NULL, &plan, &g_err) == 0,
		      "%s", g_err.msg);
	ck_assert_uint_eq(plan.message_count, 1);
	body = json_object_get(plan.messages[0].embed, "chord");
	ck_assert_str_eq(json_member_str(body, "task"), "b");
	ck_assert_uint_eq(
		json_array_size(json_object_get(json_object_get(body, "options"), "link_error")),
		1);
	rest = json_object_get(json_object_get(body, "options"), "chain");
	ck_assert_uint_eq(json_array_size(rest), ARRAY_LEN(last_first));
	for (size_t i = 0; i < ARRAY_LEN(last_first); i++)
		ck_assert_str_eq(json_member_str(json_array_get(rest, i), "task"), last_first[i]);
	signature_plan_done(&plan);
}
END_TEST

/* A chord in such a body hears of the errbacks in its header as well where that is allowed: there
 * without the id of what failed. */
START_TEST(test_errbacks_of_headers)
{
	_cleanup_json_ json_t *chain = parse(STEPS(
		CHORD(PLAIN("a"), STEPS(PLAIN("b") "," CHORD(PLAIN("c") "," PLAIN("d"), PLAIN("e")),
					"\"link_error\": [" PLAIN("failed") "]")) "," PLAIN("z"),
		""));
	struct signature_context context = g_context;

	for (int allowed = 0; allowed < 2; allowed++) {
		struct signature_plan plan = {0};
		_cleanup_free_ char *rest = NULL;

		context.errbacks_on_header = allowed == 1;
		ck_assert_msg(signature_apply(&context, chain, NULL, NULL, NULL, &plan, &g_err) ==
				      0,
			      "%s", g_err.msg);
		ck_assert_uint_eq(plan.message_count, 1);
		rest = json_dumps(json_object_get(plan.messages[0].embed, "chord"), 0);
		ck_assert_uint_eq(count_of(rest, "\"failed\""), allowed ? 4 : 2);
		ck_assert_uint_eq(count_of(rest, "\"immutable\": true"), allowed ? 2 : 0);
		signature_plan_done(&plan);
	}
}
END_TEST

/* The chords of a chain that is a step of a body's chain are taken apart like its own. */
START_TEST(test_chains_in_bodies)
{
	_cleanup_json_ json_t *chord = parse(CHORD(
		PLAIN("a"), STEPS(PLAIN("b") "," STEPS(
					  PLAIN("c") "," CHORD(
						  PLAIN("d"), STEPS(PLAIN("e") "," PLAIN("f"), "")),
					  ""),
				  "")));
	struct signature_plan plan = {0};
	static const char *const unrolled[] = {"c", "celery.chord", "f"};
	const json_t *body, *inner, *tasks;

	ck_assert_msg(signature_apply(&g_context, chord, NULL, NULL, NULL, &plan, &g_err) == 0,
		      "%s", g_err.msg);
	ck_assert_uint_eq(plan.message_count, 1);
	body = json_object_get(plan.messages[0].embed, "chord");
	tasks = json_object_get(json_object_get(body, "kwargs"), "tasks");
	ck_assert_uint_eq(json_array_size(tasks), 2);
	inner = json_object_get(json_object_get(json_array_get(tasks, 1), "kwargs"), "tasks");
	ck_assert_uint_eq(json_array_size(inner), ARRAY_LEN(unrolled));
	for (size_t i = 0; i < ARRAY_LEN(unrolled); i++)
		ck_assert_str_eq(json_member_str(json_array_get(inner, i), "task"), unrolled[i]);
	signature_plan_done(&plan);
}
END_TEST

/* Where parts of a chord are looked for (results in a database), a task that does so is sent with
 * the header, where the body goes. */
START_TEST(test_polled_chord)
{
	static const char chord[] =
		"{\"task\": \"celery.chord\", \"subtask_type\": \"chord\", \"kwargs\": "
		"{\"header\": "
		"[" PLAIN("a") ", " PLAIN("b") "], \"body\": {\"task\": \"body\", \"args\": [], "
					       "\"kwargs\": {}, \"options\": {\"queue\": \"q\", "
					       "\"priority\": 3}}}, \"options\": {}}";
	_cleanup_json_ json_t *sig = parse(chord), *options = parse("{\"interval\": 2}");
	struct signature_context context = g_context;
	struct signature_plan plan = {0};
	const struct message_out *m;

	context.polls_chords = true;
	ck_assert_msg(signature_apply(&context, sig, NULL, NULL, options, &plan, &g_err) == 0, "%s",
		      g_err.msg);
	ck_assert_uint_eq(plan.message_count, 3);
	m = &plan.messages[0];
	ck_assert_str_eq(m->task, "celery.chord_unlock");
	ck_assert_str_eq(m->queue, "q");
	ck_assert_int_eq(m->priority, 3);
	ck_assert_uint_ne(m->eta, 0);
	ck_assert_int_eq(json_integer_value(json_object_get(m->kwargs, "interval")), 2);
	ck_assert(json_is_null(json_object_get(m->kwargs, "max_retries")));
	ck_assert_uint_eq(json_array_size(json_object_get(m->kwargs, "result")), 2);
	ck_assert_str_eq(json_member_str(json_array_get(m->args, 1), "task"), "body");
	ck_assert_str_eq(json_string_value(json_array_get(m->args, 0)), plan.messages[1].group);
	ck_assert_str_eq(plan.messages[1].task, "a");
	ck_assert_str_eq(plan.messages[2].task, "b");
	signature_plan_done(&plan);
}
END_TEST

/* What a chord calls back is called by its body: of a group the first task calls it, and not with
 * its own result; of a chord, again, the body; of an empty group itself. Errbacks are those of
 * every task of the body. */
static const struct {
	const char *chord;
	size_t immutable, errbacks;
} links[] = {
	{CHORD(PLAIN("a"), PLAIN("z")), 0, 1},
	{CHORD(PLAIN("a"), MEMBERS(PLAIN("y") "," PLAIN("z"))), 1, 2},
	{CHORD(PLAIN("a"), MEMBERS("")), 0, 0},
	{CHORD(PLAIN("a"), CHORD(PLAIN("y"), PLAIN("z"))), 0, 1},
	{CHORD(PLAIN("a"), CHORD(PLAIN("x"), CHORD(PLAIN("y"), PLAIN("z")))), 0, 1},
};

START_TEST(test_links)
{
	_cleanup_json_ json_t *sig = parse(links[_i].chord);
	_cleanup_json_ json_t *options =
		parse("{\"link\": [" PLAIN("called") "], \"link_error\": [" PLAIN("failed") "]}");
	struct signature_plan plan = {0};
	_cleanup_free_ char *body = NULL;

	ck_assert_msg(signature_apply(&g_context, sig, NULL, NULL, options, &plan, &g_err) == 0,
		      "%s", g_err.msg);
	ck_assert_uint_eq(plan.message_count, 1);
	body = json_dumps(json_object_get(plan.messages[0].embed, "chord"), 0);
	ck_assert_uint_eq(count_of(body, "\"called\""), 1);
	ck_assert_uint_eq(count_of(body, "\"immutable\": true"), links[_i].immutable);
	ck_assert_uint_eq(count_of(body, "\"failed\""), links[_i].errbacks);
	signature_plan_done(&plan);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("chords");

	tcase_add_test(t, test_holes_in_chains);
	tcase_add_test(t, test_unrolled);
	tcase_add_test(t, test_errbacks_of_headers);
	tcase_add_test(t, test_chains_in_bodies);
	tcase_add_test(t, test_polled_chord);
	tcase_add_loop_test(t, test_links, 0, ARRAY_LEN(links));
	return suite_run("canvas_chords", t);
}
