/*
 * import.c: RedBeat's entries, read from its Redis; they stay there.
 */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beat.h"
#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "redbeat.h"
#include "store.h"

struct import {
	const struct settings *settings;
	struct redis *redis;
	json_t *keys;		/* an object: SCAN may tell a key twice */
	json_t *rows;		/* those that can be taken */
	struct entries entries; /* the same, as beat reads them */
	size_t refused;
};

/* ---- its keys ---- */

/* What SCAN's pattern would not take literally. */
static void match_pattern(const char *prefix, struct buf *out)
{
	for (const char *c = prefix; *c; c++)
		buf_appendf(out, "%s%c", strchr("*?[]\\^-", *c) ? "\\" : "", *c);
	buf_append_str(out, "*");
}

static void take_keys(struct import *m, const struct redis_reply *list)
{
	const char *prefix = m->settings->redbeat_key_prefix;

	for (size_t i = 0; i < redis_reply_count(list); i++) {
		struct slice key = redis_reply_str(redis_reply_at(list, i));
		_cleanup_json_ json_t *name = json_stringn(key.data, key.len);
		const char *text = json_string_value(name);

		/* its own keys are <prefix>:… */
		if (text && strlen(text) == key.len && text[strlen(prefix)] != ':')
			json_object_set_new(m->keys, text, json_true());
	}
}

static int scan(struct import *m, struct err *err)
{
	_cleanup_buf_ struct buf pattern = BUF_INIT(4096);
	char cursor[32] = "0";
	int rc;

	match_pattern(m->settings->redbeat_key_prefix, &pattern);
	rc = buf_status(&pattern, err);
	do {
		_cleanup_reply_ struct redis_reply *reply = NULL;
		struct slice next;

		if (rc == 0)
			rc = redis_do(m->redis, &reply, err, "SCAN %s MATCH %s COUNT 1000", cursor,
				      pattern.data);
		if (rc < 0)
			return rc;
		next = redis_reply_str(redis_reply_at(reply, 0));
		snprintf(cursor, sizeof(cursor), "%.*s", (int)next.len, next.len ? next.data : "0");
		take_keys(m, redis_reply_at(reply, 1));
		if (json_object_size(m->keys) > ENTRIES_MAX)
			return err_set(err, ERR_TOOBIG, "more than %d keys", ENTRIES_MAX);
	} while (strcmp(cursor, "0") != 0);
	return 0;
}

/* ---- one entry ---- */

/* In quotes, with everything escaped that a terminal would obey. */
static void print_name(const char *word, const char *name)
{
	_cleanup_json_ json_t *value = json_string(name);
	_cleanup_free_ char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);

	printf("%-7s %s", word, text);
}

static void print_row(const json_t *row, const struct entry *e)
{
	bool enabled = json_is_true(json_object_get(row, "enabled"));
	json_int_t runs = json_integer_value(json_object_get(row, "total_run_count"));
	char text[SCHEDULE_TEXT];

	schedule_text(e->schedule_value, &e->schedule, text);
	print_name("take", e->name);
	printf(" (%s) %s to queue %s%s", e->task, text, e->queue, enabled ? "" : ", not enabled");
	if (runs > 0)
		printf(", %lld runs, the last at %s", (long long)runs,
		       json_member_str(row, "last_run_at"));
	printf("\n");
}

/* Whether beat itself would take it is asked of the code that does. */
static int take_row(struct import *m, json_t *row, struct err *err)
{
	_cleanup_json_ json_t *asked = json_copy(row);
	size_t before = m->entries.count;
	int rc;

	json_object_del(asked, "enabled");
	rc = entries_add(&m->entries, json_member_str(asked, "name"), asked,
			 m->settings->task_default_queue, err);
	if (rc < 0)
		return rc;
	if (m->entries.count == before)
		return err_set(err, ERR_CONFLICT, "there are two of this name");
	json_array_append(m->rows, row);
	print_row(row, &m->entries.list[before]);
	return 0;
}

static int read_entry(struct import *m, const char *key, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_json_ json_t *row = NULL;
	const struct redis_reply *definition;
	int rc = redis_do(m->redis, &reply, err, "HMGET %s definition meta", key);

	if (rc < 0)
		return rc;
	definition = redis_reply_at(reply, 0);
	if (redis_reply_type(definition) != REDIS_STRING)
		return err_set(err, ERR_INVALID, "it has no definition");
	rc = redbeat_row(redis_reply_str(definition), redis_reply_str(redis_reply_at(reply, 1)),
			 &row, err);
	return rc < 0 ? rc : take_row(m, row, err);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Only what stops everything is an error here. */
static int read_entries(struct import *m, struct err *err)
{
	_cleanup_free_ const char **keys = NULL;
	size_t count = json_object_size(m->keys), n = 0;
	const char *key;
	json_t *one;

	keys = xcalloc(count + 1, sizeof(*keys));
	json_object_foreach(m->keys, key, one) keys[n++] = key;
	qsort(keys, n, sizeof(*keys), compare_texts);
	for (size_t i = 0; i < n; i++) {
		int rc = read_entry(m, keys[i], err);

		if (rc < 0 && err_is_transient(err))
			return rc;
		if (rc == 0)
			continue;
		print_name("cannot", keys[i]);
		printf(": %s\n", err->msg);
		m->refused++;
	}
	return 0;
}

/* ---- where they go ---- */

static int add_to_table(struct import *m, struct err *err)
{
	int64_t added = 0;
	int rc = store_import_periodic_tasks(m->settings->owner_database_url, m->rows, &added, err);

	if (rc == 0)
		printf("%lld added to periodic_tasks, %lld were there already\n", (long long)added,
		       (long long)json_array_size(m->rows) - (long long)added);
	return rc;
}

static int write_document(const char *path, const json_t *document, int fd, struct err *err)
{
	if (json_dumpfd(document, fd, JSON_INDENT(1)) < 0 || write(fd, "\n", 1) != 1 ||
	    fsync(fd) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "%s cannot be written", path);
	return 0;
}

static int write_file(struct import *m, struct err *err)
{
	_cleanup_json_ json_t *document = json_object();
	const char *path = m->settings->beat_schedule;
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	json_t *row;
	size_t i;
	int rc;

	if (fd < 0)
		return err_set_errno(err, ERR_CONFLICT, errno, "%s cannot be made", path);
	json_array_foreach(m->rows, i, row)
		json_object_set(document, json_member_str(row, "name"), row);
	rc = write_document(path, document, fd, err);
	if (rc < 0)
		unlink(path);
	else
		printf("%zu written to %s\n", json_array_size(m->rows), path);
	return rc;
}

static int apply_all(struct import *m, struct err *err)
{
	const struct settings *s = m->settings;

	if (s->owner_database_url && *s->owner_database_url)
		return add_to_table(m, err);
	if (s->beat_schedule && *s->beat_schedule)
		return write_file(m, err);
	return err_set(err, ERR_INVALID,
		       "nowhere to put them: set CELERIAC_OWNER_DATABASE_URL for periodic_tasks, "
		       "or CELERIAC_BEAT_SCHEDULE for a file that is not there yet");
}

/* ---- all of it ---- */

static int run(struct import *m, bool apply, struct err *err)
{
	const char *url = m->settings->redbeat_redis_url;
	struct redis_address address = {0};
	int rc = connect_once(m->settings, url && *url ? url : connect_url(m->settings), &address,
			      &m->redis, err);

	if (rc < 0)
		return rc;
	redis_address_done(&address);
	rc = scan(m, err);
	if (rc == 0)
		rc = read_entries(m, err);
	if (rc < 0)
		return rc;
	printf("%zu of %zu can be taken\n", json_array_size(m->rows),
	       json_array_size(m->rows) + m->refused);
	if (!apply)
		printf("nothing was changed; --import-redbeat-apply adds them\n");
	return apply ? apply_all(m, err) : 0;
}

int import_redbeat(const struct settings *s, bool apply)
{
	struct import m = {.settings = s, .keys = json_object(), .rows = json_array()};
	const struct timezone_info *zone = NULL;
	struct err err = {0};
	int rc = timezone_open(s->timezone, s->enable_utc, &zone, &err);

	entries_init(&m.entries, zone);
	if (rc == 0)
		rc = run(&m, apply, &err);
	if (rc < 0)
		fprintf(stderr, "celeriac-beat: %s\n", err.msg);
	redis_close(m.redis);
	entries_done(&m.entries);
	timezone_close(zone);
	json_decref(m.rows);
	json_decref(m.keys);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
