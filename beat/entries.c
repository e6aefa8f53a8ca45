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
#include "ini.h"
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

/* ---- one entry ---- */
/* What ran before the ledger knew of it. */
static int take_known_run(const json_t *row, struct entry *e, struct err *err)
{
	const json_t *at = json_member(row, "last_run_at"),
		     *count = json_member(row, "total_run_count");
	int rc = 0;

	if (at && !json_is_string(at))
		return err_set(err, ERR_INVALID, "last_run_at must be a time in ISO 8601");
	if (count && (!json_is_integer(count) || json_integer_value(count) < 0))
		return err_set(err, ERR_INVALID, "total_run_count must be a number from 0");
	if (at)
		rc = clock_parse_iso(json_string_value(at), &e->known_run_at, err);
	if (rc < 0)
		return err_wrap(err, "last_run_at");
	e->known_run_count = json_integer_value(count);
	return 0;
}

/* What is misspelt must not be passed over. `relative` changes the schedule. */
static int check_keys(const json_t *row, struct entry *e, struct err *err)
{
	static const char *const known[] = {"task",	   "schedule",	     "args", "kwargs",
					    "options",	   "enabled",	     "name", "relative",
					    "last_run_at", "total_run_count"};
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)row, key, value)
	{
		size_t i = 0;

		while (i < ARRAY_LEN(known) && strcmp(known[i], key) != 0)
			i++;
		if (i == ARRAY_LEN(known))
			return err_set(err, ERR_INVALID, "'%.60s' is no member of an entry", key);
	}
	value = json_member(row, "relative");
	if (value && !json_is_boolean(value))
		return err_set(err, ERR_INVALID, "relative must be true or false");
	e->schedule.relative |= json_is_true(value);
	return 0;
}

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
	if (rc == 0)
		rc = check_keys(row, e, err);
	if (rc == 0)
		rc = take_known_run(row, e, err);
	return rc < 0 ? rc : entry_take_options(e, options, err);
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
	e.deadline = l->deadline;
	if (rc < 0)
		return err_wrap(err, "entry '%.100s'", name);
	*place_of(l, name) = e;
	return 0;
}

/* ---- where they come from ---- */

/* Backends whose results expire by themselves: Celery's supports_autoexpire, by the URL's scheme up
 * to a '+'. */
static bool expires_by_itself(const char *backend)
{
	static const char *const schemes[] = {
		"redis",     "rediss",	  "sentinel", "rpc",	   "amqp",   "cache",	"memcache",
		"memcached", "cassandra", "dynamodb", "couchbase", "consul", "disabled"};
	size_t len = strcspn(backend, "+:");

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (strlen(schemes[i]) == len && strncmp(schemes[i], backend, len) == 0)
			return true;
	return false;
}

static bool needs_cleanup(const struct settings *s)
{
	return s->result_backend && *s->result_backend && s->result_expires > 0 &&
	       !expires_by_itself(s->result_backend);
}

/* The task fails in a worker without the database, and beat's settings are those of the workers. */
static bool needs_retention(const struct settings *s)
{
	return s->database_url && *s->database_url &&
	       (s->retention_results > 0 || s->retention_outputs > 0 || s->retention_events > 0);
}

static int add_given(struct entries *l, const char *name, json_t *row, const struct settings *s,
		     struct err *err)
{
	int rc = entries_add(l, name, row, s->task_default_queue, err);

	json_decref(row);
	return rc;
}

int entries_add_own(struct entries *l, const struct settings *s, struct err *err)
{
	int rc = add_given(l, "sandbox.cleanup",
			   json_pack("{s:s, s:f}", "task", "sandbox.cleanup", "schedule",
				     (double)s->sandbox_cleanup_interval / (double)USEC_PER_SEC),
			   s, err);

	if (rc == 0 && needs_retention(s))
		rc = add_given(l, "celeriac.retention",
			       json_pack("{s:s, s:s, s:{s:i}}", "task", "celeriac.retention",
					 "schedule", "30 4 * * *", "options", "expires", 12 * 3600),
			       s, err);
	if (rc < 0 || !needs_cleanup(s))
		return rc;
	return add_given(l, "celery.backend_cleanup",
			 json_pack("{s:s, s:s, s:{s:i}}", "task", "celery.backend_cleanup",
				   "schedule", "0 4 * * *", "options", "expires", 12 * 3600),
			 s, err);
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

/* JSON is what begins as an object, or is called so. */
static int parse_file(const char *path, struct buf *text, json_t **ret, struct err *err)
{
	const char *dot = strrchr(path, '.');
	int rc;

	buf_append(text, "", 1);
	rc = buf_status(text, err);
	if (rc < 0)
		return rc;
	if ((dot && strcmp(dot, ".json") == 0) || text->data[strspn(text->data, " \t\r\n")] == '{')
		return json_load_strict(text->data, text->len - 1, ret, err);
	if (strlen(text->data) != text->len - 1)
		return err_set(err, ERR_INVALID, "a NUL is in it");
	return ini_read(text->data, ret, err);
}

int entries_add_file(struct entries *l, const char *path, const struct settings *s, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(FILE_MAX);
	_cleanup_json_ json_t *document = NULL;
	const char *name;
	json_t *row;
	int rc = read_file(path, &text, err);

	if (rc == 0)
		rc = parse_file(path, &text, &document, err);
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
		if (!name)
			continue;
		if (entries_add(l, name, row, s->task_default_queue, &err) < 0)
			log_error("beat: periodic_tasks: %s; it is left out", err.msg);
		else if (json_object_get(l->names, name))
			place_of(l, name)->is_row = true;
	}
}
