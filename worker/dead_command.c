/*
 * What an operator does with dead letters: looks, puts back, throws away.
 */
#include "dead_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "dead.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "serial.h"

struct work {
	const struct settings *settings;
	struct dead *dead;
	size_t done;
	/* of "all": those that were there when it began */
	char (*ids)[DEAD_ID_SIZE];
	size_t count;
};

static void print(const json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
}

static void add_text(json_t *object, const char *key, const char *text)
{
	if (text != NULL && *text != '\0')
		json_object_set_new(object, key, json_text(text, strlen(text), false));
}

static json_t *describe(const struct settings *s, const struct dead_letter *letter)
{
	char id[BOUND_TASK_NAME_BYTES + 1], task[BOUND_TASK_NAME_BYTES + 1], date[CLOCK_ISO_SIZE];
	json_t *object =
		json_pack("{s:s, s:I}", "dead", letter->id, "bytes", (json_int_t)letter->bytes);
	double at = json_number_value(json_object_get(letter->said, "at"));
	struct message *m = NULL;
	struct err err;

	if (at > 0 && at < 1e11) {
		clock_iso((usec_t)(at * (double)USEC_PER_SEC), date);
		add_text(object, "at", date);
	}
	add_text(object, "queue", json_member_str(letter->said, "queue"));
	add_text(object, "reason", json_member_str(letter->said, "reason"));
	if (letter->whole) {
		(void)!message_decode(letter->message, letter->len, &s->accept_content, &m, id,
				      task, &err);
		message_free(m);
		add_text(object, "task", task);
		add_text(object, "id", id);
	}
	return object;
}

/* Text where it is some, else base64, under a name that says so. */
static void add_bytes(json_t *object, const char *key, const char *data, size_t len)
{
	_cleanup_free_ char *name = xasprintf("%s_base64", key);
	_cleanup_buf_ struct buf encoded = BUF_INIT((size_t)BOUND_MESSAGE_BYTES * 2);
	size_t i = 0;

	for (size_t n; i < len; i += n) {
		n = utf8_valid(data + i, len - i);
		if (n == 0)
			break;
	}
	if (i == len) {
		json_object_set_new(object, key, json_text(data, len, false));
		return;
	}
	base64_encode(data, len, &encoded);
	json_object_set_new(object, name, json_text(encoded.data, encoded.len, false));
}

/* The envelope's parts where it is one, its body opened; else the bytes. */
static void add_message(json_t *object, const struct dead_letter *letter)
{
	static const char *const parts[] = {"content-type", "headers", "properties"};
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_BODY_BYTES);
	_cleanup_json_ json_t *envelope = NULL;
	const char *text;
	struct err err;

	if (json_load_python(letter->message, letter->len, &envelope, &err) < 0 ||
	    !json_is_object(envelope) || (text = json_member_str(envelope, "body")) == NULL ||
	    base64_decode(text, strlen(text), &body, &err) < 0) {
		add_bytes(object, "message", letter->message, letter->len);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		json_t *part = json_object_get(envelope, parts[i]);

		if (part != NULL)
			json_object_set(object, parts[i], part);
	}
	add_bytes(object, "body", body.data, body.len);
}

static int list_one(void *arg, const struct dead_letter *letter)
{
	struct work *w = arg;
	_cleanup_json_ json_t *object = describe(w->settings, letter);

	print(object);
	return ferror(stdout);
}

static int show_one(struct work *w, const struct dead_letter *letter, struct err *err)
{
	_cleanup_json_ json_t *object = describe(w->settings, letter);

	(void)err;
	add_message(object, letter);
	print(object);
	return 0;
}

static int requeue_one(struct work *w, const struct dead_letter *letter, struct err *err)
{
	_cleanup_json_ json_t *object = describe(w->settings, letter);
	_cleanup_free_ char *queue = NULL;
	int rc = dead_requeue(w->dead, letter, &queue, err);

	if (rc < 0)
		return rc;
	json_object_set_new(object, "requeued", json_text(queue, strlen(queue), false));
	print(object);
	return 0;
}

static int drop_one(struct work *w, const struct dead_letter *letter, struct err *err)
{
	_cleanup_json_ json_t *object = describe(w->settings, letter);
	int rc = dead_drop(w->dead, letter, err);

	if (rc < 0)
		return rc;
	json_object_set_new(object, "dropped", json_true());
	print(object);
	return 0;
}

static const struct verb {
	const char *name;
	int (*one)(struct work *w, const struct dead_letter *letter, struct err *err);
	bool all;
} g_verbs[] = {
	{"list", NULL, false},
	{"show", show_one, false},
	{"requeue", requeue_one, true},
	{"drop", drop_one, true},
};

static int remember(void *arg, const struct dead_letter *letter)
{
	struct work *w = arg;

	w->ids = xrealloc(w->ids, (w->count + 1) * sizeof(*w->ids));
	memcpy(w->ids[w->count++], letter->id, DEAD_ID_SIZE);
	return 0;
}

static int do_one(struct work *w, const struct verb *verb, const char *id, struct err *err)
{
	struct dead_letter letter = {0};
	int rc = dead_find(w->dead, id, &letter, err);

	if (rc == 0)
		rc = verb->one(w, &letter, err);
	w->done += rc == 0;
	dead_letter_done(&letter);
	return rc;
}

/* Those that cannot be are named on standard error, and the others follow. */
static int do_all(struct work *w, const struct verb *verb, struct err *err)
{
	int rc = dead_each(w->dead, 0, remember, w, err);

	for (size_t i = 0; rc == 0 && i < w->count; i++) {
		struct err why = {0};

		if (do_one(w, verb, w->ids[i], &why) == 0)
			continue;
		if (err_is_transient(&why)) {
			*err = why;
			rc = -why.code;
		}
		fprintf(stderr, "celeriac-worker: %s\n", why.msg);
	}
	free(w->ids);
	if (rc == 0 && w->done < w->count)
		rc = err_set(err, ERR_FAILED, "%zu of %zu are still there", w->count - w->done,
			     w->count);
	return rc;
}

static int find_verb(const char *what, const char *id, const struct verb **ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(g_verbs); i++) {
		const struct verb *v = &g_verbs[i];

		if (strcmp(v->name, what) != 0)
			continue;
		if (v->one == NULL && id != NULL)
			return err_set(err, ERR_INVALID, "--dead list takes no id");
		if (v->one != NULL && id == NULL)
			return err_set(err, ERR_INVALID, "--dead %s needs an id%s", what,
				       v->all ? ", or all" : "");
		*ret = v;
		return 0;
	}
	return err_set(err, ERR_INVALID, "--dead %.40s is not one of list, show, requeue, drop",
		       what);
}

int dead_command(const struct settings *s, const char *what, const char *id)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct work work = {.settings = s};
	const struct verb *verb = NULL;
	struct err err = {0};
	int rc = find_verb(what, id, &verb, &err);

	if (rc == 0)
		rc = serial_open(s, &notes, &err);
	if (rc == 0)
		rc = dead_open(s, &work.dead, &err);
	if (rc == 0 && verb->one == NULL)
		rc = dead_each(work.dead, DEAD_SHOWN, list_one, &work, &err);
	else if (rc == 0 && verb->all && strcmp(id, "all") == 0)
		rc = do_all(&work, verb, &err);
	else if (rc == 0)
		rc = do_one(&work, verb, id, &err);
	dead_close(work.dead);
	if (rc < 0)
		fprintf(stderr, "celeriac-worker: %s\n", err.msg);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
