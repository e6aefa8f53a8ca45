/*
 * pg_error.c: what the database's errors mean for us: worth another try or not.
 */
#include "pg_conn.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* First match wins; a shorter entry stands for a whole class. PostgreSQL manual, appendix A. */
static const struct {
	const char *sqlstate;
	enum err_code code;
	bool transient;
} g_states[] = {
	{"08", ERR_UNAVAILABLE, true},	  /* connection exception */
	{"22", ERR_INVALID, false},	  /* data exception */
	{"23", ERR_CONFLICT, false},	  /* a constraint was violated */
	{"25006", ERR_UNAVAILABLE, true}, /* read only: a standby, before or after a failover */
	{"28", ERR_DENIED, false},	  /* authorisation */
	{"3D000", ERR_NOTFOUND, false},	  /* database */
	{"3F000", ERR_NOTFOUND, false},	  /* schema */
	{"40", ERR_CONFLICT, true},	  /* deadlock, serialisation failure */
	{"42501", ERR_DENIED, false},	  /* privilege */
	{"42P01", ERR_NOTFOUND, false},	  /* table */
	{"53", ERR_UNAVAILABLE, true},	  /* disk full, out of memory, too many connections */
	{"54", ERR_TOOBIG, false},	  /* program limit */
	{"55P03", ERR_CONFLICT, true},	  /* lock not available */
	{"57014", ERR_TIMEOUT, true},	  /* cancelled: the statement timeout */
	{"57", ERR_UNAVAILABLE, true},	  /* shut down, starting up, session ended */
	{"58", ERR_UNAVAILABLE, true},	  /* the server's disk or system */
};

enum err_code pg_error_classify(const char *sqlstate, bool *ret_transient)
{
	for (size_t i = 0; i < ARRAY_LEN(g_states); i++) {
		if (strncmp(sqlstate, g_states[i].sqlstate, strlen(g_states[i].sqlstate)) != 0)
			continue;
		*ret_transient = g_states[i].transient;
		return g_states[i].code;
	}
	*ret_transient = false;
	return ERR_FAILED;
}

/* The line of a script in which its character number `position`, from 1, stands. */
static unsigned line_of(const char *sql, const char *position)
{
	long chars = strtol(position, NULL, 10);
	unsigned line = 1;

	for (; *sql != '\0' && chars > 1; sql++) {
		if (*sql == '\n')
			line++;
		if (((unsigned char)sql[1] & 0xc0) != 0x80) /* not inside a UTF-8 sequence */
			chars--;
	}
	return line;
}

int pg_error_from_result(const struct pg_result *r, const char *sql, struct err *err)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *position = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION);
	enum err_code code;
	bool transient;
	int rc;

	if (!state) /* libpq itself has something to say: the connection is gone */
		return pg_error_from_text(PQresultErrorMessage(r), err);
	code = pg_error_classify(state, &transient);
	/* The detail is left out: it repeats values of the row. */
	if (sql && position)
		rc = err_set(err, code, "line %u: %.180s (%s)", line_of(sql, position),
			     text ? text : "", state);
	else
		rc = err_set(err, code, "%.180s (%s)", text ? text : "", state);
	return transient ? err_transient(err) : rc;
}

/* libpq gives no SQLSTATE for a refused connection, so its words must do; other languages stay
 * transient. */
int pg_error_from_text(const char *text, struct err *err)
{
	static const struct {
		const char *words;
		enum err_code code;
	} known[] = {
		{"authentication failed", ERR_DENIED},
		{"no password supplied", ERR_DENIED},
		{"no pg_hba.conf entry", ERR_DENIED},
		{"permission denied for database", ERR_DENIED},
		{"is not permitted to log in", ERR_DENIED},
		{"FATAL:  role \"", ERR_DENIED},
		{"FATAL:  database \"", ERR_NOTFOUND},
		{"invalid sslmode", ERR_INVALID},
	};
	enum err_code code = ERR_UNAVAILABLE;

	for (size_t i = 0; i < ARRAY_LEN(known) && code == ERR_UNAVAILABLE; i++)
		if (strstr(text, known[i].words))
			code = known[i].code;
	return err_set(err, code, "%.*s", (int)strcspn(text, "\n"), text);
}
