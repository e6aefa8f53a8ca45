/*
 * database_row.c: a meta as the columns of a row. Celery up to 5.6 pickles what is in `result`
 * whatever the serializer; later ones read that, too, and write it serialized.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "database.h"
#include "json.h"
#include "mem.h"
#include "pickle.h"

void database_row_free(struct database_row *row)
{
	for (size_t i = 0; row != NULL && i < DATABASE_COLUMNS; i++)
		free(row->columns[i].data);
	free(row);
}

/* A text as PostgreSQL takes it. */
static void set_text(struct database_row *row, enum database_column column, const char *text)
{
	_cleanup_buf_ struct buf clean = BUF_INIT(BOUND_RESULT_BYTES);
	struct err err;

	if (text == NULL)
		return;
	utf8_clean(text, strlen(text), true, &clean);
	if (buf_take(&clean, &row->columns[column].data, &row->columns[column].len, &err) < 0)
		row->columns[column].data = NULL; /* a traceback of more than a whole result */
}

static int set_packed(const struct backend *b, struct database_row *row,
		      enum database_column column, const json_t *value, struct err *err)
{
	return backend_pack(b, value, &row->columns[column].data, &row->columns[column].len, err);
}

static int set_result(const struct backend *b, struct database_row *row, const json_t *result,
		      struct err *err)
{
	const struct database *d = b->own;
	_cleanup_buf_ struct buf pickled = BUF_INIT(BOUND_RESULT_BYTES);
	int rc;

	if (!d->pickles)
		return set_packed(b, row, COLUMN_RESULT, result, err);
	if (json_is_null(result))
		return 0;
	rc = pickle_write(result, &pickled, err);
	return rc < 0 ? rc
		      : buf_take(&pickled, &row->columns[COLUMN_RESULT].data,
				 &row->columns[COLUMN_RESULT].len, err);
}

/* {"stamped_headers": […], "stamps": {…}}, of those that were named. */
static int set_stamps(const struct backend *b, struct database_row *row, const json_t *meta,
		      struct err *err)
{
	const json_t *names = json_object_get(meta, "stamped_headers");
	_cleanup_json_ json_t *stamps = json_object(), *all = NULL;

	if (json_array_size(names) == 0)
		return 0;
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));

		if (name != NULL && json_object_get(meta, name) != NULL)
			json_object_set_nocheck(stamps, name, json_object_get(meta, name));
	}
	all = json_pack("{s:O, s:O}", "stamped_headers", names, "stamps", stamps);
	return set_packed(b, row, COLUMN_STAMPS, all, err);
}

static int set_extended(const struct backend *b, struct database_row *row, const json_t *meta,
			struct err *err)
{
	char retries[24];
	int rc;

	if (json_object_get(meta, "name") == NULL)
		return 0;
	snprintf(retries, sizeof(retries), "%lld",
		 (long long)json_integer_value(json_object_get(meta, "retries")));
	set_text(row, COLUMN_NAME, json_member_str(meta, "name"));
	set_text(row, COLUMN_WORKER, json_member_str(meta, "worker"));
	set_text(row, COLUMN_QUEUE, json_member_str(meta, "queue"));
	set_text(row, COLUMN_RETRIES, retries);
	rc = set_packed(b, row, COLUMN_ARGS, json_object_get(meta, "args"), err);
	if (rc == 0)
		rc = set_packed(b, row, COLUMN_KWARGS, json_object_get(meta, "kwargs"), err);
	return rc < 0 ? rc : set_stamps(b, row, meta, err);
}

int database_encode(const struct backend *b, const struct task_meta *m, struct backend_write *ret,
		    struct err *err)
{
	_cleanup_json_ json_t *meta = backend_meta(b, m);
	const json_t *children = json_object_get(meta, "children");
	struct database_row *row = xcalloc(1, sizeof(*row));
	int rc = set_result(b, row, json_object_get(meta, "result"), err);

	if (rc == 0 && json_array_size(children) > 0)
		rc = set_packed(b, row, COLUMN_CHILDREN, children, err);
	if (rc == 0)
		rc = set_extended(b, row, meta, err);
	if (rc < 0) {
		database_row_free(row);
		return rc;
	}
	set_text(row, COLUMN_TASK_ID, m->task_id);
	set_text(row, COLUMN_STATUS, json_member_str(meta, "status"));
	set_text(row, COLUMN_DATE_DONE, json_member_str(meta, "date_done"));
	set_text(row, COLUMN_TRACEBACK, m->traceback);
	*ret = (struct backend_write){.row = row};
	for (size_t i = 0; i < DATABASE_COLUMNS; i++)
		ret->len += row->columns[i].len;
	return 0;
}

int database_decode(const struct backend *b, struct slice column, json_t **ret, struct err *err)
{
	int rc = backend_unpack(b, column, ret, err);

	if (rc == 0 || column.len == 0 || (unsigned char)column.data[0] != PICKLE_MARK)
		return rc;
	return pickle_read(column, ret, err);
}
