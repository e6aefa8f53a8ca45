/*
 * output.c: files of a run as rows of conversation_outputs, their bytes beside them or in
 * MEDIA_DIR.
 */
#include "session.h"

#include "json.h"
#include "mem.h"

/* A retry may have left files that this run did not make again; an attempt that was taken over left
 * none. */
static int remove_others(struct pg *c, const struct store_task *t, const struct store_file *files,
			 size_t count, struct err *err)
{
	if (t->retries == 0)
		return 0;
	_cleanup_buf_ struct buf ids = BUF_INIT(64 + count * sizeof(files->id));
	buf_append_char(&ids, '{');
	for (size_t i = 0; i < count; i++)
		buf_appendf(&ids, "%s%s", i ? "," : "", files[i].id);
	buf_append_char(&ids, '}');
	int rc = buf_status(&ids, err);
	if (rc < 0)
		return rc;
	const struct pg_param params[] = {PG_TEXT(t->task_id), PG_TEXT(ids.data)};
	return pg_exec(c,
		       "DELETE FROM celeriac.conversation_outputs"
		       " WHERE task_id = $1 AND id <> ALL ($2::uuid[])",
		       params, ARRAY_LEN(params), NULL, err);
}

static int write_row(struct store *s, struct pg *c, const struct store_task *t,
		     const struct store_file *f, struct err *err)
{
	_cleanup_free_ char *path = NULL;
	if (s->media_dir) {
		int rc = media_keep(s->media_dir, f->sha256, f->data, f->len, &path, err);
		if (rc < 0)
			return rc;
	}
	const struct decimal size = decimal((int64_t)f->len);
	const struct pg_param params[] = {
		PG_TEXT(f->id),
		PG_TEXT(t->task_id),
		PG_TEXT(t->conversation),
		PG_TEXT(f->name),
		PG_TEXT(f->mime),
		PG_TEXT(size.text),
		PG_TEXT(f->sha256),
		/* An empty file is not NULL. */
		path ? PG_NULL : PG_BYTES(f->len ? f->data : "", f->len),
		PG_TEXT(path),
	};
	return pg_exec(c,
		       "INSERT INTO celeriac.conversation_outputs (id, task_id, conversation_id,"
		       " name, mime, size_bytes, sha256, content, path)"
		       " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
		       " ON CONFLICT (id) DO UPDATE SET conversation_id = excluded.conversation_id,"
		       " mime = excluded.mime, size_bytes = excluded.size_bytes,"
		       " sha256 = excluded.sha256, content = excluded.content,"
		       " path = excluded.path, created_at = now()",
		       params, ARRAY_LEN(params), NULL, err);
}

int output_write(struct store *s, struct pg *c, const struct store_task *t,
		 const struct store_file *files, size_t count, struct err *err)
{
	int rc = remove_others(c, t, files, count, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = write_row(s, c, t, &files[i], err);
	return rc;
}
