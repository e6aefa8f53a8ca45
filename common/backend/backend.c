/*
 * The front of the result backends: which one it is, and what is the same for all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "chord.h"
#include "driver.h"
#include "json.h"
#include "mem.h"
#include "serial.h"

static const char *const g_nowhere[] = {"disabled", NULL};
static const struct backend_driver g_disabled = {.kind = BACKEND_NOWHERE, .schemes = g_nowhere};

static const struct backend_driver *const g_drivers[] = {&g_disabled, &backend_redis,
							 &backend_database, &backend_rpc};

/* Names that Celery has, and why they are nothing here. */
static const struct {
	const char *scheme, *why;
} g_refused[] = {
	{"cache+memory:", "results in the memory of this process can be read by nobody else"},
};

void backend_write_done(struct backend_write *w)
{
	free(w->key);
	free(w->value);
	database_row_free(w->row);
	*w = (struct backend_write){0};
}

static bool begins(const char *url, const char *scheme)
{
	return strncmp(url, scheme, strlen(scheme)) == 0;
}

static int refuse(const char *url, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(g_refused); i++) {
		if (begins(url, g_refused[i].scheme))
			return err_set(err, ERR_UNSUPPORTED, "result_backend: %.*s: %s",
				       (int)strcspn(url, ":"), url, g_refused[i].why);
	}
	return err_set(
		err, ERR_UNSUPPORTED,
		"result_backend: %.*s is not built in; redis://, db+postgresql:// and rpc:// are",
		(int)strcspn(url, ":"), url);
}

static int find_driver(const char *url, const struct backend_driver **ret, struct err *err)
{
	if (url == NULL || url[0] == '\0') {
		*ret = &g_disabled;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(g_drivers); i++) {
		for (const char *const *scheme = g_drivers[i]->schemes; *scheme != NULL; scheme++) {
			if (begins(url, *scheme)) {
				*ret = g_drivers[i];
				return 0;
			}
		}
	}
	return refuse(url, err);
}

/* How values are written, and for how long. */
static int take_settings(struct backend *b, const struct settings *s, struct err *err)
{
	const char *compression = s->result_compression ? s->result_compression : "";

	b->ttl = s->result_expires / USEC_PER_SEC;
	b->extended = s->result_extended;
	b->serializer = s->result_serializer ? s->result_serializer : "json";
	b->accept = &s->result_accept_content;
	if (!serial_known(b->serializer))
		return err_set(err, ERR_INVALID,
			       "result_serializer: %.40s is not one of json, yaml, msgpack, auth",
			       b->serializer);
	if (compression[0] == '\0')
		return 0;
	b->compression = serial_compression(compression);
	if (b->compression == NULL)
		return err_set(err, ERR_INVALID,
			       "result_compression: %.40s is not one of gzip, bzip2, lzma, zstd, "
			       "brotli",
			       compression);
	return 0;
}

/* Everything that needs no server and is not the driver's own. */
static int prepare(struct backend *b, const struct settings *s, struct err *err)
{
	int rc = find_driver(s->result_backend, &b->driver, err);

	if (rc == 0)
		rc = take_settings(b, s, err);
	if (rc == 0 && b->driver->check != NULL)
		rc = b->driver->check(b, s, err);
	return rc;
}

int backend_check(const struct settings *s, struct err *err)
{
	struct backend b = {0};

	return prepare(&b, s, err);
}

int backend_open(const struct settings *s, const struct backend_links *links, struct backend **ret,
		 struct err *err)
{
	struct backend *b = xcalloc(1, sizeof(*b));
	int rc = prepare(b, s, err);

	if (rc == 0)
		rc = timezone_open(s->timezone, s->enable_utc, &b->zone, err);
	if (rc == 0 && b->driver->open != NULL)
		rc = b->driver->open(b, s, links, err);
	if (rc < 0) {
		backend_close(b, 0);
		return rc;
	}
	*ret = b;
	return 0;
}

void backend_close(struct backend *b, usec_t deadline)
{
	if (b == NULL)
		return;
	if (b->driver != NULL && b->driver->close != NULL)
		b->driver->close(b, deadline);
	timezone_close(b->zone);
	free(b);
}

enum backend_kind backend_kind(const struct settings *s)
{
	const struct backend_driver *driver = NULL;
	struct err err;

	return find_driver(s->result_backend, &driver, &err) == 0 ? driver->kind : BACKEND_NOWHERE;
}

bool backend_ready(const struct backend *b)
{
	return b->driver->ready == NULL || b->driver->ready(b);
}

bool backend_is_disabled(const struct backend *b)
{
	return b->driver == &g_disabled;
}

bool backend_counts_chords(const struct backend *b)
{
	return (b->driver->caps & BACKEND_COUNTS_CHORDS) != 0;
}

bool backend_polls_chords(const struct backend *b)
{
	return (b->driver->caps & BACKEND_POLLED) != 0;
}

int backend_encode(const struct backend *b, const struct task_meta *m, struct backend_write *ret,
		   struct err *err)
{
	if (backend_is_disabled(b))
		return err_set(err, ERR_UNSUPPORTED, "there is no result backend to write to");
	if (b->driver->encode(b, m, ret, err) < 0)
		return err_wrap(err, "result of %s", m->task_id);
	return 0;
}

static void store(struct backend *b, enum backend_store_when when, struct backend_write *w,
		  void (*done)(void *arg, const struct err *err), void *arg)
{
	if (!backend_is_disabled(b)) {
		b->driver->store(b, when, w, done, arg);
		return;
	}
	backend_write_done(w);
	if (done != NULL)
		done(arg, NULL);
}

void backend_store(struct backend *b, struct backend_write *w,
		   void (*done)(void *arg, const struct err *err), void *arg)
{
	store(b, STORE_UNLESS_SUCCESS, w, done, arg);
}

void backend_store_unbegun(struct backend *b, struct backend_write *w)
{
	store(b, STORE_UNLESS_BEGUN, w, NULL, NULL);
}

int backend_get_many(struct backend *b, const char *const *task_ids, size_t count, usec_t deadline,
		     json_t **ret, struct err *err)
{
	if (backend_is_disabled(b))
		return err_set(err, ERR_UNSUPPORTED, "there is no result backend to read from");
	if (count > 0)
		return b->driver->get_many(b, task_ids, count, deadline, ret, err);
	*ret = json_array();
	return 0;
}

int backend_load(struct backend *b, const char *task_id, usec_t deadline, json_t **ret,
		 struct err *err)
{
	_cleanup_json_ json_t *metas = NULL;
	struct err why = {0};

	*ret = NULL;
	if (backend_is_disabled(b))
		return 0;
	if (backend_get_many(b, &task_id, 1, deadline, &metas, &why) < 0) {
		if (!err_is_transient(&why))
			return 0;
		*err = why;
		return err_wrap(err, "result of %.80s", task_id);
	}
	if (json_is_object(json_array_get(metas, 0)))
		*ret = json_incref(json_array_get(metas, 0));
	return 0;
}

int backend_cleanup(struct backend *b, struct err *err)
{
	return b->driver->cleanup != NULL ? b->driver->cleanup(b, err) : 0;
}
