/*
 * store.c: the store's life: opened without a connection, checked against the schema, closed.
 */
#include "session.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "mem.h"
#include "metrics.h"

#define STORE_CONNECT	  (10 * USEC_PER_SEC)
#define STORE_CONNECTIONS 2			     /* when the settings do not say */
#define MEDIA_AGE	  (24 * 3600 * USEC_PER_SEC) /* nobody writes one file for so long */

struct decimal decimal(int64_t value)
{
	struct decimal d;
	snprintf(d.text, sizeof(d.text), "%" PRId64, value);
	return d;
}

static int check_text(const char *what, const char *text, bool required, struct err *err)
{
	if (!text || !*text)
		return required ? err_set(err, ERR_INVALID, "%s is missing", what) : 0;
	size_t len = strlen(text);
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_valid(text + i, len - i);
		if (n == 0)
			return err_set(err, ERR_INVALID, "%s is not UTF-8", what);
	}
	return 0;
}

int task_check(const struct store_task *t, struct err *err)
{
	const struct {
		const char *what, *text;
		bool required;
	} fields[] = {
		{"task_id", t->task_id, true},
		{"kind", t->kind, true},
		{"tool", t->tool, true},
		{"conversation_id", t->conversation, false},
		{"project_id", t->project, false},
		{"worker", t->worker, true},
		{"delivery tag", t->delivery, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		int rc = check_text(fields[i].what, fields[i].text, fields[i].required, err);
		if (rc < 0)
			return rc;
	}
	if (strlen(t->task_id) > BOUND_TASK_ID_BYTES)
		return err_set(err, ERR_TOOBIG, "task_id has %zu bytes, %d are allowed",
			       strlen(t->task_id), BOUND_TASK_ID_BYTES);
	return 0;
}

/* The directory by its absolute path, made if absent (not its parents: a volume that is not mounted
 * is a mistake). */
static int open_media(const char *dir, char **ret, struct err *err)
{
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_set_errno(err, ERR_INVALID, errno, "MEDIA_DIR %s", dir);
	char *path = realpath(dir, NULL);
	if (!path)
		return err_set_errno(err, ERR_INVALID, errno, "MEDIA_DIR %s", dir);
	struct stat st;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode) || access(path, W_OK | X_OK) < 0) {
		free(path);
		return err_set(err, ERR_INVALID, "MEDIA_DIR %s is no directory that can be written",
			       dir);
	}
	*ret = path;
	return 0;
}

int store_open(const struct settings *settings, struct store **ret, struct err *err)
{
	_cleanup_free_ char *media_dir = NULL;
	struct pg_pool *pool;
	int rc;

	if (settings->media_dir && *settings->media_dir) {
		rc = open_media(settings->media_dir, &media_dir, err);
		if (rc < 0)
			return rc;
	}
	if (!settings->database_url || !*settings->database_url)
		return err_set(err, ERR_INVALID, "DATABASE_URL is not set");
	size_t connections = settings->database_connections > 0
				     ? (size_t)settings->database_connections
				     : STORE_CONNECTIONS;
	rc = pg_pool_new(settings->database_url, connections, "celeriac-worker", &pool, err);
	if (rc < 0)
		return err_wrap(err, "DATABASE_URL");
	struct store *s = xcalloc(1, sizeof(*s));
	s->pool = pool;
	s->url = xstrdup(settings->database_url);
	s->media_dir = TAKE(media_dir);
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	pg_pool_free(s->pool);
	free(s->media_dir);
	wipe(s->url, strlen(s->url));
	free(s->url);
	free(s);
}

int store_sweep_media(struct store *s, int64_t *ret_removed, struct err *err)
{
	*ret_removed = 0;
	return s->media_dir
		       ? media_sweep(s->media_dir, clock_machine() - MEDIA_AGE, ret_removed, err)
		       : 0;
}

static int backend_pid(struct pg *c, const char *sql, int64_t *ret, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	int rc = pg_exec(c, sql, NULL, 0, &r, err);

	if (rc == 0)
		*ret = strtoll(pg_text(r, 0, 0), NULL, 10);
	return rc;
}

/* The second is in a transaction, so it keeps what it has: the first has another by now, or both
 * had one. */
static int compare_sessions(struct pg *first, struct pg *second, bool *ret, struct err *err)
{
	static const char sql[] = "SELECT pg_backend_pid()";
	int64_t before = 0, other = 0, after = 0;
	int rc = backend_pid(first, sql, &before, err);

	if (rc == 0)
		rc = pg_script(second, "BEGIN", err);
	if (rc == 0)
		rc = backend_pid(second, sql, &other, err);
	if (rc == 0 && before != other)
		rc = backend_pid(first, "SELECT pg_backend_pid() AS after", &after, err);
	if (rc == 0)
		*ret = before == other || before != after;
	return rc;
}

int store_shares_sessions(const char *url, bool *ret, struct err *err)
{
	usec_t deadline = clock_deadline(STORE_CONNECT);
	struct pg *first = NULL, *second = NULL;
	struct pg_pool *pool;
	int rc = pg_pool_new(url, 2, "celeriac-check", &pool, err);

	if (rc < 0)
		return rc;
	rc = pg_get(pool, deadline, &first, err);
	if (rc == 0)
		rc = pg_get(pool, deadline, &second, err);
	if (rc == 0)
		rc = compare_sessions(first, second, ret, err);
	pg_put(second);
	pg_put(first);
	pg_pool_free(pool);
	return rc;
}

bool store_ready(const struct store *s)
{
	return atomic_load_explicit(&s->answered, memory_order_relaxed);
}

int session_begin(struct store *s, struct pg **ret, struct err *err)
{
	int rc = pg_get(s->pool, clock_deadline(STORE_CONNECT), ret, err);
	if (rc < 0)
		session_end(s, NULL, rc, err);
	return rc;
}

int session_end(struct store *s, struct pg *c, int rc, const struct err *err)
{
	bool away = rc < 0 && (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT ||
			       err->code == ERR_CLOSED);
	pg_put(c);
	if (away)
		metric_count(METRIC_STORE_ERRORS, NULL, NULL);
	atomic_store_explicit(&s->answered, !away, memory_order_relaxed);
	return rc;
}

static int check_version(struct pg *c, int *ret, struct err *err)
{
	int version, newest = (int)g_migration_count;
	int rc = migrate_version(c, &version, err);
	if (rc < 0)
		return err_wrap(err, "has this role its rights (deploy/sql/roles.sql)?");
	if (version < newest)
		return err_set(
			err, ERR_UNSUPPORTED,
			"the database's schema is %d, %d is needed: run celeriac-worker --migrate"
			" with CELERIAC_OWNER_DATABASE_URL",
			version, newest);
	*ret = version;
	return 0;
}

int store_check(struct store *s, int *ret_version, struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);
	if (rc < 0)
		return rc;
	return session_end(s, c, check_version(c, ret_version, err), err);
}
