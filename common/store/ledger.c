/*
 * ledger.c: which beat leads and when entries ran last, for a beat whose schedule is kept here. The
 * clock of the lease is the database's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "session.h"

/* A connection whose answers are waited for until `deadline`. */
static int begin(struct store *s, usec_t deadline, struct pg **ret, struct err *err)
{
	int rc = pg_get(s->pool, deadline, ret, err);

	if (rc < 0)
		return session_end(s, NULL, rc, err);
	pg_hurry(*ret, deadline);
	return 0;
}

/* ---- the lease ---- */

#define UNTIL "clock_timestamp() + make_interval(secs => $3::double precision / 1000)"

static int read_holder(const struct pg_result *r, char *holder, size_t size)
{
	snprintf(holder, size, "%s", pg_rows(r) > 0 ? pg_text(r, 0, 0) : "");
	return 0;
}

/* Nobody's is a lease that another beat takes at this very moment, too. */
int store_take_lease(struct store *s, const struct store_lease *l, usec_t deadline, char *holder,
		     size_t size, struct err *err)
{
	static const char sql[] =
		"WITH taken AS (INSERT INTO celeriac.beat_lease AS l (instance, holder, until) "
		"VALUES ($1, $2, " UNTIL ") ON CONFLICT (instance) DO UPDATE "
		"SET holder = excluded.holder, until = excluded.until "
		"WHERE l.holder = excluded.holder OR l.until <= clock_timestamp() "
		"RETURNING l.holder) SELECT holder FROM taken UNION ALL SELECT holder "
		"FROM celeriac.beat_lease WHERE instance = $1 AND NOT EXISTS (SELECT FROM taken)";
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct decimal ms = decimal(l->ttl / USEC_PER_MSEC);
	const struct pg_param params[] = {PG_TEXT(l->instance), PG_TEXT(l->holder),
					  PG_TEXT(ms.text)};
	struct pg *c;
	int rc = begin(s, deadline, &c, err);

	if (rc < 0)
		return rc;
	rc = pg_exec(c, sql, params, ARRAY_LEN(params), &r, err);
	if (rc == 0)
		rc = read_holder(r, holder, size);
	return session_end(s, c, rc, err);
}

int store_leave_lease(struct store *s, const struct store_lease *l, usec_t deadline,
		      struct err *err)
{
	const struct pg_param params[] = {PG_TEXT(l->instance), PG_TEXT(l->holder)};
	struct pg *c;
	int rc = begin(s, deadline, &c, err);

	if (rc < 0)
		return rc;
	rc = pg_exec(c, "DELETE FROM celeriac.beat_lease WHERE instance = $1 AND holder = $2",
		     params, ARRAY_LEN(params), NULL, err);
	return session_end(s, c, rc, err);
}

int store_read_lease(struct store *s, const char *instance, usec_t deadline, char *holder,
		     size_t size, usec_t *ret_left, struct err *err)
{
	static const char sql[] =
		"SELECT holder, ceil(extract(epoch FROM until - clock_timestamp()) * "
		"1000000)::bigint "
		"FROM celeriac.beat_lease WHERE instance = $1 AND until > clock_timestamp()";
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct pg_param params[] = {PG_TEXT(instance)};
	struct pg *c;
	int rc = begin(s, deadline, &c, err);

	if (rc < 0)
		return rc;
	rc = pg_exec(c, sql, params, ARRAY_LEN(params), &r, err);
	if (rc == 0) {
		(void)read_holder(r, holder, size);
		*ret_left = pg_rows(r) > 0 ? strtoll(pg_text(r, 0, 1), NULL, 10) : 0;
	}
	return session_end(s, c, rc, err);
}

/* ---- states ---- */

/* An entry of a list from beat: its name, the state it is known in, the one it will be in. */
#define GIVEN                                                                                      \
	"given AS (SELECT value ->> 0 AS name, value ->> 1 AS state, value ->> 2 AS next, n "      \
	"FROM jsonb_array_elements($4::jsonb) WITH ORDINALITY AS g (value, n))"
/* The lease, if it is ours, is for a while longer. */
#define RENEWED                                                                                    \
	"renewed AS (UPDATE celeriac.beat_lease SET until = " UNTIL " "                            \
	"WHERE instance = $1 AND holder = $2 AND until > clock_timestamp() RETURNING true)"
#define THERE                                                                                      \
	"given LEFT JOIN celeriac.beat_entries AS b ON b.instance = $1 AND b.name = given.name"

static const char *const statements[] = {
	[STORE_LEDGER_LOAD] =
		"WITH " GIVEN ", " RENEWED ", added AS (INSERT INTO celeriac.beat_entries "
		"(instance, name, state) SELECT $1, name, state FROM given ORDER BY name "
		"ON CONFLICT (instance, name) DO NOTHING RETURNING name, state) "
		"SELECT true, coalesce(jsonb_agg(coalesce(b.state, added.state) ORDER BY n), '[]') "
		"FROM " THERE " LEFT JOIN added ON added.name = given.name",
	[STORE_LEDGER_LOOK] =
		"WITH " GIVEN ", " RENEWED " SELECT EXISTS (SELECT FROM renewed), "
		"coalesce(jsonb_agg(nullif(b.state, given.state) ORDER BY n), '[]') FROM " THERE,
	[STORE_LEDGER_MARK] =
		"WITH " GIVEN ", " RENEWED ", moved AS (UPDATE celeriac.beat_entries AS b "
		"SET state = given.next FROM given WHERE b.instance = $1 AND b.name = given.name "
		"AND b.state = given.state RETURNING b.name), added AS "
		"(INSERT INTO celeriac.beat_entries (instance, name, state) "
		"SELECT $1, name, next FROM given ON CONFLICT (instance, name) DO NOTHING "
		"RETURNING name), done AS (SELECT name FROM moved UNION SELECT name FROM added) "
		"SELECT true, coalesce(jsonb_agg(CASE WHEN done.name IS NULL THEN b.state END "
		"ORDER BY n), '[]') FROM " THERE " LEFT JOIN done ON done.name = given.name",
};

static int read_states(const struct pg_result *r, bool *ret_leads, json_t **ret, struct err *err)
{
	*ret_leads = pg_text(r, 0, 0)[0] == 't';
	return json_load_python(pg_text(r, 0, 1), pg_length(r, 0, 1), ret, err);
}

int store_ledger(struct store *s, enum store_ledger_step step, const struct store_lease *l,
		 const json_t *entries, usec_t deadline, bool *ret_leads, json_t **ret,
		 struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_pg_result_ struct pg_result *r = NULL;
	const struct decimal ms = decimal(l->ttl / USEC_PER_MSEC);
	struct pg *c;
	int rc;

	json_dump_strict(entries, &text);
	rc = buf_status(&text, err);
	if (rc == 0)
		rc = begin(s, deadline, &c, err);
	if (rc < 0)
		return rc;
	const struct pg_param params[] = {PG_TEXT(l->instance),
					  PG_TEXT(l->holder),
					  PG_TEXT(ms.text),
					  {.data = text.data, .len = text.len}};

	rc = pg_exec(c, statements[step], params, ARRAY_LEN(params), &r, err);
	if (rc == 0)
		rc = read_states(r, ret_leads, ret, err);
	return session_end(s, c, rc, err);
}
