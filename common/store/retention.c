/*
 * retention.c: what is old goes, batch by batch, until nothing is left or the time is over. What
 * may go is for celeriac.prune in the database to say: the worker cannot delete these rows itself.
 */
#include <stdlib.h>

#include "clock.h"
#include "session.h"

#define ROWS_AT_ONCE  "1000"
#define FILES_AT_ONCE "100" /* rows that hold up to 32 MiB each */

static bool is_over(const struct store_retention *r)
{
	return clock_mono() >= r->deadline || (r->stop != NULL && r->stop(r->arg));
}

static int prune_batch(struct store *s, const char *table, usec_t age, const char *most,
		       int64_t *ret_gone, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *result = NULL;
	const struct decimal seconds = decimal(age / USEC_PER_SEC);
	const struct pg_param params[] = {PG_TEXT(table), PG_TEXT(seconds.text), PG_TEXT(most)};
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	rc = pg_exec(c, "SELECT celeriac.prune($1, $2::bigint * interval '1 second', $3::integer)",
		     params, ARRAY_LEN(params), &result, err);
	if (rc == 0)
		*ret_gone = strtoll(pg_text(result, 0, 0), NULL, 10);
	return session_end(s, c, rc, err);
}

static int prune_table(struct store *s, const struct store_retention *r, const char *table,
		       usec_t age, const char *most, int64_t *gone, struct err *err)
{
	int64_t batch = age > 0 ? 1 : 0;

	while (batch > 0 && !is_over(r)) {
		int rc = prune_batch(s, table, age, most, &batch, err);

		if (rc < 0)
			return rc;
		*gone += batch;
	}
	return 0;
}

/* Of these digests those that no row names: the others become "". */
static int leave_unnamed(void *store, char digests[][SHA256_HEX_SIZE], size_t count,
			 struct err *err)
{
	_cleanup_pg_result_ struct pg_result *result = NULL;
	_cleanup_buf_ struct buf list = BUF_INIT(MEDIA_BATCH * (SHA256_HEX_SIZE + 1) + 2);
	struct pg_param param;
	struct pg *c;
	int rc;

	for (size_t i = 0; i < count; i++)
		buf_appendf(&list, "%c%s", i == 0 ? '{' : ',', digests[i]);
	buf_append_char(&list, '}');
	rc = buf_status(&list, err);
	if (rc == 0)
		rc = session_begin(store, &c, err);
	if (rc < 0)
		return rc;
	param = PG_TEXT(list.data);
	rc = pg_exec(
		c,
		"SELECT number - 1 FROM unnest($1::text[]) WITH ORDINALITY AS d(digest, number)"
		" WHERE EXISTS (SELECT FROM celeriac.conversation_outputs"
		" WHERE sha256 = digest AND path IS NOT NULL)",
		&param, 1, &result, err);
	for (size_t i = 0; rc == 0 && i < pg_rows(result); i++) {
		size_t at = strtoul(pg_text(result, i, 0), NULL, 10);

		if (at < count)
			digests[at][0] = '\0';
	}
	return session_end(store, c, rc, err);
}

int store_retain(struct store *s, const struct store_retention *r, struct store_retained *done,
		 struct err *err)
{
	const struct {
		const char *table, *most;
		usec_t age;
		int64_t *gone;
	} tables[] = {
		{"tool_results", ROWS_AT_ONCE, r->results, &done->results},
		{"conversation_outputs", FILES_AT_ONCE, r->outputs, &done->outputs},
		{"activity_events", ROWS_AT_ONCE, r->events, &done->events},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(tables); i++)
		rc = prune_table(s, r, tables[i].table, tables[i].age, tables[i].most,
				 tables[i].gone, err);
	if (rc == 0 && s->media_dir != NULL && r->media > 0 && !is_over(r)) {
		const struct media_prune prune = {.before = clock_machine() - r->media,
						  .leave_unnamed = leave_unnamed,
						  .arg = s,
						  .stop = r->stop,
						  .stop_arg = r->arg,
						  .deadline = r->deadline};

		rc = media_prune(s->media_dir, &prune, &done->files, &done->bytes, err);
	}
	done->more = is_over(r);
	return rc;
}
