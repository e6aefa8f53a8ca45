/*
 * database_table.c: the table of results as it is there: Celery's versions, and whoever made it by
 * hand, differ in columns and in where its numbers come from.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "database.h"
#include "json.h"
#include "log.h"
#include "mem.h"

static const struct {
	const char *name;
	const char *before, *after; /* around its parameter */
	const char *type;	    /* when we make it */
} g_columns[DATABASE_COLUMNS] = {
	[COLUMN_TASK_ID] = {"task_id", "", "", "VARCHAR(155) UNIQUE"},
	[COLUMN_STATUS] = {"status", "", "", "VARCHAR(50)"},
	[COLUMN_RESULT] = {"result", "", "", "BYTEA"},
	/* Of the session's zone, as with Python. */
	[COLUMN_DATE_DONE] = {"date_done", "", "::timestamptz", "TIMESTAMP WITHOUT TIME ZONE"},
	[COLUMN_TRACEBACK] = {"traceback", "", "", "TEXT"},
	[COLUMN_CHILDREN] = {"children", "", "", "BYTEA"},
	[COLUMN_NAME] = {"name", "left(", ", 155)", "VARCHAR(155)"},
	[COLUMN_ARGS] = {"args", "", "", "BYTEA"},
	[COLUMN_KWARGS] = {"kwargs", "", "", "BYTEA"},
	[COLUMN_WORKER] = {"worker", "left(", ", 155)", "VARCHAR(155)"},
	[COLUMN_RETRIES] = {"retries", "", "", "INTEGER"},
	[COLUMN_QUEUE] = {"queue", "left(", ", 155)", "VARCHAR(155)"},
	[COLUMN_STAMPS] = {"stamps", "", "", "BYTEA"},
};

/* When a row that is there may be written over. */
static const char *const g_unless[] = {
	[STORE_UNLESS_SUCCESS] = "t.status IS DISTINCT FROM 'SUCCESS'",
	[STORE_UNLESS_BEGUN] = "t.status IN ('PENDING', 'RECEIVED', 'RETRY', 'REJECTED')",
};

/* ---- names ---- */

static void append_quoted(struct buf *out, const char *name)
{
	buf_append_char(out, '"');
	for (; *name != '\0'; name++) {
		if (*name == '"')
			buf_append_char(out, '"');
		buf_append_char(out, *name);
	}
	buf_append_char(out, '"');
}

static char *qualified(const char *schema, const char *name)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_URL_BYTES * 4);

	if (schema != NULL) {
		append_quoted(&out, schema);
		buf_append_char(&out, '.');
	}
	append_quoted(&out, name);
	return xstrdup(out.data);
}

/* {"task": name, "group": name}, each of which may be absent. */
static int read_map(const char *setting, const char *text, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *map = NULL;
	const json_t *value;
	const char *key;
	int rc;

	if (text == NULL || text[0] == '\0') {
		*ret = json_object();
		return 0;
	}
	rc = json_load_strict(text, strlen(text), &map, err);
	if (rc < 0)
		return err_wrap(err, "%s", setting);
	if (!json_is_object(map))
		return err_set(err, ERR_INVALID, "%s: a %s is no object", setting,
			       json_type_name(map));
	json_object_foreach(map, key, value)
	{
		if (strcmp(key, "task") != 0 && strcmp(key, "group") != 0)
			return err_set(err, ERR_INVALID,
				       "%s: there is a task and a group, no %.40s", setting, key);
		if (json_string_length(value) == 0)
			return err_set(err, ERR_INVALID, "%s: %s is no name", setting, key);
	}
	*ret = TAKE(map);
	return 0;
}

int database_names_read(const struct settings *s, struct database_names *ret, struct err *err)
{
	_cleanup_json_ json_t *names = NULL, *schemas = NULL;
	const char *task, *group, *task_schema, *group_schema;
	int rc = read_map("database_table_names", s->database_table_names, &names, err);

	if (rc == 0)
		rc = read_map("database_table_schemas", s->database_table_schemas, &schemas, err);
	if (rc < 0)
		return rc;
	task = json_member_str(names, "task");
	group = json_member_str(names, "group");
	task_schema = json_member_str(schemas, "task");
	group_schema = json_member_str(schemas, "group");
	*ret = (struct database_names){
		.task = qualified(task_schema, task ? task : "celery_taskmeta"),
		.task_sequence = qualified(task_schema, "task_id_sequence"),
		.group = qualified(group_schema, group ? group : "celery_tasksetmeta"),
		.group_sequence = qualified(group_schema, "taskset_id_sequence"),
	};
	return 0;
}

void database_names_done(struct database_names *n)
{
	free(n->task);
	free(n->task_sequence);
	free(n->group);
	free(n->group_sequence);
	*n = (struct database_names){0};
}

/* ---- making it ---- */

/* As SQLAlchemy does: numbers from a sequence, of which the column itself knows nothing. */
static int make_tables(const struct database *d, struct pg *c, struct err *err)
{
	const struct database_names *n = &d->names;
	_cleanup_buf_ struct buf sql = BUF_INIT(BOUND_URL_BYTES * 64);

	buf_appendf(&sql,
		    "BEGIN; SELECT pg_advisory_xact_lock(7236838473021512);"
		    "CREATE SEQUENCE IF NOT EXISTS %s; CREATE SEQUENCE IF NOT EXISTS %s;"
		    "CREATE TABLE IF NOT EXISTS %s (id INTEGER NOT NULL PRIMARY KEY",
		    n->task_sequence, n->group_sequence, n->task);
	for (size_t i = 0; i < DATABASE_COLUMNS; i++)
		buf_appendf(&sql, ", %s %s", g_columns[i].name, g_columns[i].type);
	buf_appendf(&sql,
		    "); CREATE TABLE IF NOT EXISTS %s (id INTEGER NOT NULL PRIMARY KEY,"
		    " taskset_id VARCHAR(155) UNIQUE, result BYTEA,"
		    " date_done TIMESTAMP WITHOUT TIME ZONE);"
		    "CREATE INDEX ON %s (date_done); CREATE INDEX ON %s (date_done); COMMIT",
		    n->group, n->task, n->group);
	if (pg_script(c, sql.data, err) < 0)
		return err_wrap(err, "making %s", n->task);
	log_info("made the table %s", n->task);
	return 0;
}

/* ---- looking at it ---- */

struct found {
	bool columns[DATABASE_COLUMNS];
	bool table, numbered, sequence; /* numbered: the id has a default */
};

static void note_column(struct found *f, const char *name, bool has_default)
{
	f->table = true;
	if (strcmp(name, "id") == 0)
		f->numbered = has_default;
	for (size_t i = 0; i < DATABASE_COLUMNS; i++)
		f->columns[i] |= strcmp(g_columns[i].name, name) == 0;
}

static int look(const struct database *d, struct pg *c, struct found *ret, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *columns = NULL, *sequence = NULL;
	struct found f = {0};
	int rc = pg_exec(c,
			 "SELECT attname, atthasdef OR attidentity <> '' FROM pg_attribute"
			 " WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
			 (struct pg_param[]){PG_TEXT(d->names.task)}, 1, &columns, err);

	if (rc == 0)
		rc = pg_exec(c, "SELECT 1 WHERE to_regclass($1) IS NOT NULL",
			     (struct pg_param[]){PG_TEXT(d->names.task_sequence)}, 1, &sequence,
			     err);
	if (rc < 0)
		return err_wrap(err, "looking at %s", d->names.task);
	for (size_t i = 0; i < pg_rows(columns); i++)
		note_column(&f, pg_text(columns, i, 0), strcmp(pg_text(columns, i, 1), "t") == 0);
	f.sequence = pg_rows(sequence) > 0;
	*ret = f;
	return 0;
}

/* ---- the statements ---- */

static char *make_store(const struct database *d, const struct database_table *t,
			const struct found *f, enum backend_store_when when)
{
	_cleanup_buf_ struct buf sql = BUF_INIT(BOUND_URL_BYTES * 64);
	_cleanup_free_ char *sequence = NULL;

	buf_appendf(&sql, "INSERT INTO %s AS t (", d->names.task);
	if (f->sequence)
		buf_append_str(&sql, "id, ");
	for (size_t i = 0; i < t->param_count; i++)
		buf_appendf(&sql, "%s%s", i > 0 ? ", " : "", g_columns[t->params[i]].name);
	buf_append_str(&sql, ") VALUES (");
	if (f->sequence) {
		/* a name in a string: quotes of strings are doubled, too */
		buf_append_str(&sql, "nextval('");
		for (const char *p = d->names.task_sequence; *p != '\0'; p++) {
			if (*p == '\'')
				buf_append_char(&sql, '\'');
			buf_append_char(&sql, *p);
		}
		buf_append_str(&sql, "'), ");
	}
	for (size_t i = 0; i < t->param_count; i++) {
		buf_appendf(&sql, "%s%s$%zu%s", i > 0 ? ", " : "", g_columns[t->params[i]].before,
			    i + 1, g_columns[t->params[i]].after);
	}
	buf_append_str(&sql, ") ON CONFLICT (task_id) DO UPDATE SET ");
	for (size_t i = 1; i < t->param_count; i++) {
		const char *name = g_columns[t->params[i]].name;

		buf_appendf(&sql, "%s%s = EXCLUDED.%s", i > 1 ? ", " : "", name, name);
	}
	buf_appendf(&sql, " WHERE %s", g_unless[when]);
	return xstrdup(sql.data);
}

static int make_statements(const struct database *d, const struct found *f,
			   struct database_table *ret, struct err *err)
{
	struct database_table t = {0};
	size_t most = d->backend->extended ? DATABASE_COLUMNS : COLUMN_EXTENDED;

	for (size_t i = 0; i < most; i++) {
		if (f->columns[i])
			t.params[t.param_count++] = (enum database_column)i;
		else if (i <= COLUMN_TRACEBACK)
			return err_set(err, ERR_CONFLICT, "%s has no column %s", d->names.task,
				       g_columns[i].name);
	}
	if (!f->sequence && !f->numbered)
		return err_set(err, ERR_CONFLICT, "%s: its id has no default, and %s is not there",
			       d->names.task, d->names.task_sequence);
	for (size_t i = 0; i < ARRAY_LEN(t.store); i++)
		t.store[i] = make_store(d, &t, f, (enum backend_store_when)i);
	*ret = t;
	return 0;
}

int database_table_open(const struct database *d, struct pg *c, struct database_table *ret,
			struct err *err)
{
	struct found f;
	int rc = look(d, c, &f, err);

	if (rc == 0 && !f.table) {
		rc = make_tables(d, c, err);
		if (rc == 0)
			rc = look(d, c, &f, err);
	}
	return rc < 0 ? rc : make_statements(d, &f, ret, err);
}

void database_table_done(struct database_table *t)
{
	for (size_t i = 0; i < ARRAY_LEN(t->store); i++)
		free(t->store[i]);
	*t = (struct database_table){0};
}
