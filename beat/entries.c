/*
 * entries.c: the entries there are: our own, those of the file, those of the table.
 *
 * Later ones of a name take the place of earlier ones. An entry of the file that cannot be read is
 * an error at the start; a row is told in the log and left out, whatever else is in the table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beat.h"
#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"

#define FILE_MAX (16u << 20)

void entries_init(struct entries *l, const struct timezone_info *zone)
{
	*l = (struct entries){.zone = zone, .documents = json_array(), .names = json_object()};
}

void entries_done(struct entries *l)
{
	for (size_t i = 0; i < l->count; i++)
		entry_done(&l->list[i]);
	free(l->list);
	json_decref(l->documents);
	json_decref(l->names);
	*l = (struct entries){0};
}

/* A free place, or that of the entry of the same name. */
static struct entry *place_of(struct entries *l, const char *name)
{
	const json_t *at = json_object_get(l->names, name);

	if (at)
		return &l->list[json_integer_value(at)];
	if (l->count == l->size) {
		l->size = l->size ? 2 * l->size : 16;
		l->list = xrealloc(l->list, l->size * sizeof(*l->list));
	}
	json_object_set_new(l->names, name, json_integer((json_int_t)l->count));
	l->list[l->count] = (struct entry){0};
	return &l->list[l->count++];
}

/* ---- options ---- */
static int read_seconds(const json_t *value, const char *name, usec_t *ret, struct err *err)
{
	double seconds = json_number_value(value);

	if (!json_is_number(value) || seconds < 0 || seconds > 1e10)
		return err_set(err, ERR_INVALID, "%s must be a number of seconds", name);
	*ret = (usec_t)(seconds * (double)USEC_PER_SEC);
	return 0;
}

static int take_queue(const json_t *value, struct entry *e, struct err *err)
{
	const char *queue = json_string_value(value);

	if (!queue || !*queue || strlen(queue) != json_string_length(value))
		return err_set(err, ERR_INVALID, "queue must be the name of one");
	e->queue = queue;
	return 0;
}

static int take_priority(const json_t *value, struct entry *e, struct err *err)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > 255)
		return err_set(err, ERR_INVALID, "priority must be a number from 0 to 255");
	e->priority = (int)json_integer_value(value);
	return 0;
}

static int take_expires(const json_t *value, struct entry *e, struct err *err)
{
	return read_seconds(value, "expires", &e->expires, err);
}

static int take_countdown(const json_t *value, struct entry *e, struct err *err)
{
	return read_seconds(value, "countdown", &e->countdown, err);
}

static int take_headers(const json_t *value, struct entry *e, struct err *err)
{
	if (!json_is_object(value))
		return err_set(err, ERR_INVALID, "headers must be an object");
	e->headers = value;
	return 0;
}

static int take_relative(const json_t *value unused_arg, struct entry *e unused_arg,
			 struct err *err unused_arg)
{
	return 0; /* slots are what it asks for already */
}

static int refuse(const json_t *value unused_arg, struct entry *e unused_arg, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "an exchange of its own; a queue is what it can have");
}

static int take_options(const json_t *options, struct entry *e, struct err *err)
{
	static const struct {
		const char *name;
		int (*take)(const json_t *value, struct entry *e, struct err *err);
	} known[] = {{"queue", take_queue},	{"priority", take_priority},
		     {"expires", take_expires}, {"countdown", take_countdown},
		     {"headers", take_headers}, {"relative", take_relative},
		     {"exchange", refuse},	{"routing_key", refuse}};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)options, name, value)
	{
		for (size_t i = 0; !json_is_null(value) && i < ARRAY_LEN(known); i++) {
			if (strcmp(known[i].name, name) != 0)
				continue;
			int rc = known[i].take(value, e, err);
			if (rc < 0)
				return err_wrap(err, "options: %s", name);
		}
	}
	return 0;
}

/* ---- one entry ---- */
static int fill(struct entry *e, const char *name, const json_t *row, const char *queue,
		const struct timezone_info *zone, struct err *err)
{
	const char *task = json_member_str(row, "task");
	const json_t *args = json_member(row, "args"), *kwargs = json_member(row, "kwargs"),
		     *options = json_member(row, "options");

	*e = (struct entry){.name = name,
			    .task = task,
			    .queue = queue,
			    .args = args,
			    .kwargs = kwargs,
			    .zone = zone,
			    .schedule_value = json_object_get(row, "schedule")};
	if (!task || !*task || strlen(task) > BOUND_TASK_NAME_BYTES)
		return err_set(err, ERR_INVALID, "task is missing");
	if ((args && !json_is_array(args)) || (kwargs && !json_is_object(kwargs)) ||
	    (options && !json_is_object(options)))
		return err_set(err, ERR_INVALID, "args must be a list, kwargs and options objects");
	int rc = schedule_parse(e->schedule_value, &e->schedule, err);
	return rc < 0 ? rc : take_options(options, e, err);
}

int entries_add(struct entries *l, const char *name, const json_t *row, const char *queue,
		struct err *err)
{
	struct entry e;
	int rc;

	if (json_is_false(json_object_get(row, "enabled")))
		return 0;
	if (l->count >= ENTRIES_MAX)
		return err_set(err, ERR_TOOBIG, "more than %d entries", ENTRIES_MAX);
	json_array_append(l->documents, (json_t *)(uintptr_t)row);
	rc = fill(&e, name, row, queue, l->zone, err);
	if (rc < 0)
		return err_wrap(err, "entry '%.100s'", name);
	*place_of(l, name) = e;
	return 0;
}

/* ---- where they come from ---- */
int entries_add_own(struct entries *l, const struct settings *s, struct err *err)
{
	json_t *row = json_pack("{s:s, s:f}", "task", "sandbox.cleanup", "schedule",
				(double)s->sandbox_cleanup_interval / (double)USEC_PER_SEC);
	int rc = entries_add(l, "sandbox.cleanup", row, s->task_default_queue, err);

	json_decref(row);
	return rc;
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
	FILE *f = fopen(path, "re");
	char piece[65536];
	size_t n;

	if (!f)
		return err_set(err, ERR_NOTFOUND, "%s: cannot be opened", path);
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_append(out, piece, n);
	bool failed = ferror(f) != 0;
	fclose(f);
	return failed ? err_set(err, ERR_FAILED, "%s: cannot be read", path) : buf_status(out, err);
}

int entries_add_file(struct entries *l, const char *path, const struct settings *s, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(FILE_MAX);
	_cleanup_json_ json_t *document = NULL;
	const char *name;
	json_t *row;
	int rc = read_file(path, &text, err);

	if (rc == 0)
		rc = json_load_strict(text.data, text.len, &document, err);
	if (rc == 0 && !json_is_object(document))
		rc = err_set(err, ERR_INVALID, "not an object of entries by their names");
	if (rc < 0)
		return err_wrap(err, "%s", path);
	json_array_append(l->documents, document); /* its keys are the names */
	json_object_foreach(document, name, row)
	{
		rc = entries_add(l, name, row, s->task_default_queue, err);
		if (rc < 0)
			return err_wrap(err, "%s", path);
	}
	return 0;
}

void entries_add_rows(struct entries *l, const json_t *rows, const struct settings *s)
{
	const json_t *row;
	size_t i;
	struct err err;

	json_array_append(l->documents, (json_t *)(uintptr_t)rows);
	json_array_foreach((json_t *)(uintptr_t)rows, i, row)
	{
		const char *name = json_member_str(row, "name");
		if (name && entries_add(l, name, row, s->task_default_queue, &err) < 0)
			log_error("beat: periodic_tasks: %s; it is left out", err.msg);
	}
}
