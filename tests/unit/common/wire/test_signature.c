/*
 * What follows a task, compared text for text with what a Python worker published in the same place
 * (tests/data/canvas, made by tests/data/record_canvas.py): headers, body, queue and order, chord
 * sizes, children. Ids that either side invented are numbered in the order in which they appear.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "signature.h"
#include "tests/unit/suite.h"

#define DIRECTORY "tests/data/canvas/celery-5.7.0"
#define REPLY_TO  "0a8f3f7e-2f4c-3a5e-8c7b-1d2e3f405162"
#define TEXT_MAX  (64u << 20)

static struct err g_err;

static json_t *load(const char *text, size_t len)
{
	json_t *value = NULL;

	ck_assert_msg(json_load_python(text, len, &value, &g_err) == 0, "%s", g_err.msg);
	return value;
}

unused_arg static json_t *parse(const char *text)
{
	return load(text, strlen(text));
}

static json_t *load_recording(const char *name)
{
	_cleanup_buf_ struct buf text = BUF_INIT(TEXT_MAX);
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), DIRECTORY "/%s", name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "no recording %s", path);
	for (size_t n; (n = fread(buf_reserve(&text, 65536), 1, 65536, f)) > 0;)
		buf_added(&text, n);
	fclose(f);
	return load(text.data, text.len);
}

/* An envelope as text: all but what belongs to one delivery. */
static void describe_message(const char *envelope, size_t len, struct buf *out)
{
	_cleanup_json_ json_t *root = load(envelope, len);
	json_t *properties = json_object_get(root, "properties");
	const char *body = json_member_str(root, "body");

	json_object_del(properties, "delivery_tag");
	buf_append_str(out, "message ");
	ck_assert_int_eq(base64_decode(body, strlen(body), out, &g_err), 0);
	json_object_del(root, "body");
	buf_append_str(out, "\n        ");
	json_dump_python(root, out);
	buf_append_char(out, '\n');
}

static void describe_size(const char *group_id, int64_t size, const json_t *results,
			  struct buf *out)
{
	buf_appendf(out, "chord %s %lld ", group_id, (long long)size);
	if (results != NULL)
		json_dump_python(results, out);
	buf_append_char(out, '\n');
}

static void describe_children(const json_t *children, struct buf *out)
{
	buf_append_str(out, "children ");
	json_dump_python(children, out);
	buf_append_char(out, '\n');
}

static void describe_events(const json_t *events, struct buf *out)
{
	for (size_t i = 0; i < json_array_size(events); i++) {
		const json_t *e = json_array_get(events, i);
		const char *message = json_member_str(e, "message");

		if (message != NULL)
			describe_message(message, strlen(message), out);
		else
			describe_size(json_member_str(e, "group_id"),
				      json_integer_value(json_object_get(e, "size")),
				      json_member(e, "results"), out);
	}
}

static void describe_plan(const struct signature_plan *p, struct buf *out)
{
	size_t chord = 0;

	for (size_t i = 0; i <= p->message_count; i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(TEXT_MAX);

		for (; chord < p->chord_count && p->chords[chord].before == i; chord++)
			describe_size(p->chords[chord].group_id, p->chords[chord].size,
				      p->chords[chord].results, out);
		if (i == p->message_count)
			break;
		ck_assert_msg(message_encode(&p->messages[i], &b, &g_err) == 0, "%s", g_err.msg);
		describe_message(b.data, b.len, out);
	}
	ck_assert_uint_eq(chord, p->chord_count);
}

static bool is_uuid(const char *p)
{
	for (int i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? p[i] != '-' : !strchr("0123456789abcdef", p[i]) || p[i] == '\0')
			return false;
	}
	return true;
}

/* Ids become "#<n>", dates of expiry "when". Celery tells its own tasks not to ignore their
 * results, which is what not saying anything means. */
static void normalise(const struct buf *in, struct buf *out)
{
	static char seen[4096][37];
	size_t count = 0;

	for (const char *p = in->data; *p != '\0';) {
		size_t n = 0;

		if (strncmp(p, "\"expiration\": \"", 15) == 0) {
			buf_append_str(out, "\"expiration\": \"when");
			p = strchr(p + 15, '"');
			continue;
		}
		if (strncmp(p, "\"ignore_result\": false", 22) == 0) {
			buf_append_str(out, "\"ignore_result\": null");
			p += 22;
			continue;
		}
		if (!is_uuid(p)) {
			buf_append_char(out, *p++);
			continue;
		}
		while (n < count && strncmp(seen[n], p, 36) != 0)
			n++;
		if (n == count) {
			ck_assert_uint_lt(count, ARRAY_LEN(seen));
			memcpy(seen[count++], p, 36);
		}
		buf_appendf(out, "#%zu", n);
		p += 36;
	}
}

static void compare(const char *name, size_t step, const struct buf *ours, const struct buf *theirs)
{
	_cleanup_buf_ struct buf a = BUF_INIT(TEXT_MAX), b = BUF_INIT(TEXT_MAX);
	size_t at = 0, from;

	normalise(ours, &a);
	normalise(theirs, &b);
	if (strcmp(a.data, b.data) == 0)
		return;
	while (a.data[at] == b.data[at])
		at++;
	from = at > 300 ? at - 300 : 0;
	ck_abort_msg("%s, step %zu\nours:   …%.700s\ntheirs: …%.700s", name, step, a.data + from,
		     b.data + from);
}

static void check_step(const char *name, size_t number, const json_t *step, bool priority)
{
	_cleanup_buf_ struct buf ours = BUF_INIT(TEXT_MAX), theirs = BUF_INIT(TEXT_MAX);
	const char *text = json_member_str(step, "message");
	char json[] = "json", *accepted[] = {json};
	struct str_list accept = {accepted, 1};
	char id[BOUND_TASK_NAME_BYTES + 1], task[BOUND_TASK_NAME_BYTES + 1];
	struct signature_plan plan = {0}, body = {0};
	struct message *m = NULL;
	bool failed = json_is_true(json_object_get(step, "failed"));
	int rc;

	ck_assert_int_eq(message_decode(text, strlen(text), &accept, &m, id, task, &g_err),
			 MESSAGE_OK);
	struct signature_context c = {.task_id = m->id,
				      .root_id = m->root_id,
				      .default_queue = "celery",
				      .reply_to = REPLY_TO,
				      .origin = "gen4711@client",
				      .priority = priority ? m->priority : -1};
	if (failed)
		rc = signature_on_failure(&c, m->id, json_object_get(m->embed, "errbacks"), &plan,
					  &g_err);
	else
		rc = signature_on_success(&c, m->embed, json_object_get(step, "value"), &plan,
					  &g_err);
	ck_assert_msg(rc == 0, "%s: %s", name, g_err.msg);
	/* First, so that the ids of the message have the same numbers on both sides. */
	buf_append_str(&ours, text);
	buf_append_str(&theirs, text);
	describe_plan(&plan, &ours);
	describe_events(json_object_get(step, "events"), &theirs);
	describe_children(plan.children, &ours);
	describe_children(json_object_get(step, "children"), &theirs);
	if (json_member(step, "body") != NULL) {
		rc = signature_on_chord(&c, json_object_get(step, "body"),
					json_object_get(step, "results"), &body, &g_err);
		ck_assert_msg(rc == 0, "%s: %s", name, g_err.msg);
		describe_plan(&body, &ours);
		describe_events(json_object_get(step, "body_events"), &theirs);
	}
	compare(name, number, &ours, &theirs);
	signature_plan_done(&plan);
	signature_plan_done(&body);
	message_free(m);
}

static struct dirent **g_files;
static int g_file_count;

static int is_recording(const struct dirent *d)
{
	return strstr(d->d_name, ".json") != NULL;
}

START_TEST(test_recorded)
{
	const char *name = g_files[_i]->d_name;
	_cleanup_json_ json_t *recording = load_recording(name);
	const json_t *steps = json_object_get(recording, "steps");

	ck_assert_uint_gt(json_array_size(steps), 0);
	for (size_t i = 0; i < json_array_size(steps); i++)
		check_step(name, i, json_array_get(steps, i), strcmp(name, "priority.json") == 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("signature");

	tcase_set_timeout(t, 60);
	g_file_count = scandir(DIRECTORY, &g_files, is_recording, alphasort);
	if (g_file_count < 35) {
		fprintf(stderr, "no recordings; run from the top of the tree\n");
		return EXIT_FAILURE;
	}
	tcase_add_loop_test(t, test_recorded, 0, g_file_count);
	return suite_run("signature", t);
}
