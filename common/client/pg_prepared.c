/*
 * pg_prepared.c: statements that a connection has the server prepare, so that it reads and plans
 * each once and not at every call.
 *
 * A statement is prepared when it comes for the second time; what is run once costs no way there
 * and back more than before. What the server has forgotten (a pooler in between, DISCARD), or what
 * no longer fits its tables, ends the connection: the next one begins anew.
 */
#include "pg_conn.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static struct pg_prepared *find(struct pg *c, const char *sql)
{
	for (size_t i = 0; i < c->prepared_count; i++)
		if (strcmp(c->prepared[i].sql, sql) == 0)
			return &c->prepared[i];
	return NULL;
}

void pg_prepared_name(const struct pg *c, const struct pg_prepared *p, char ret[PG_NAME_SIZE])
{
	snprintf(ret, PG_NAME_SIZE, "celeriac_%zu", (size_t)(p - c->prepared));
}

struct pg_prepared *pg_prepared_seen(struct pg *c, const char *sql)
{
	struct pg_prepared *p = find(c, sql);

	if (p)
		return p;
	if (c->prepared_count < PG_PREPARED_MAX)
		c->prepared[c->prepared_count++] = (struct pg_prepared){.sql = xstrdup(sql)};
	return NULL;
}

void pg_prepared_forget(struct pg *c)
{
	for (size_t i = 0; i < c->prepared_count; i++)
		free(c->prepared[i].sql);
	c->prepared_count = 0;
}

bool pg_prepared_is_stale(const struct pg_result *r)
{
	static const char *const states[] = {
		"26000", /* there is no such statement */
		"42P05", /* there is one already, of somebody else behind the same pooler */
	};
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

	for (size_t i = 0; state && i < ARRAY_LEN(states); i++)
		if (strcmp(state, states[i]) == 0)
			return true;
	return state && text && strcmp(state, "0A000") == 0 && strstr(text, "cached plan");
}
