/*
 * Tasks by name. See registry.h.
 */
#include "registry.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "annotations.h"
#include "bounds.h"
#include "json.h"
#include "limits.h"
#include "mem.h"
#include "task_house.h"

struct registered {
	const struct task *task;
	const char *from;
	struct annotated annotated;
	UT_hash_handle hh;
};

int registry_init(struct registry *r, const struct settings *s, struct err *err)
{
	double rate;

	*r = (struct registry){0};
	if (limits_parse_rate(s->task_default_rate_limit, &rate, err) < 0)
		return err_wrap(err, "CELERY_TASK_DEFAULT_RATE_LIMIT");
	return annotations_parse(s->task_annotations, &r->annotations, err);
}

void registry_done(struct registry *r)
{
	struct registered *entry, *following;

	HASH_ITER(hh, r->map, entry, following)
	{
		HASH_DEL(r->map, entry);
		annotated_done(&entry->annotated);
		free(entry);
	}
	json_decref(r->annotations);
	*r = (struct registry){0};
}

static struct registered *find(const struct registry *r, const char *name)
{
	struct registered *entry = NULL;

	HASH_FIND_STR(r->map, name, entry);
	return entry;
}

/* ---- rows that cannot be run ---- */

static bool is_text(const char *text, size_t most)
{
	size_t len = text ? strnlen(text, most + 1) : 0;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return false;
	}
	return len > 0 && len <= most;
}

static int check_params(const struct task *t, struct err *err)
{
	bool lane = t->lane == NULL;

	if (t->param_count > BOUND_TASK_PARAMS || (t->param_count > 0 && t->params == NULL))
		return err_set(err, ERR_INVALID, "its parameters are no table of at most %d",
			       BOUND_TASK_PARAMS);
	for (size_t i = 0; i < t->param_count; i++) {
		const struct task_param *p = &t->params[i];

		if (!is_text(p->name, BOUND_TASK_NAME_BYTES) || p->type > PARAM_DICT)
			return err_set(err, ERR_INVALID, "parameter %zu has no name or type", i);
		for (size_t k = 0; k < i; k++) {
			if (strcmp(t->params[k].name, p->name) == 0)
				return err_set(err, ERR_INVALID, "parameter %s is there twice",
					       p->name);
		}
		lane = lane || strcmp(p->name, t->lane) == 0;
	}
	return lane ? 0 : err_set(err, ERR_INVALID, "lane %s is no parameter", t->lane);
}

static int check_options(const struct task *t, struct err *err)
{
	const struct task_options *o = &t->options;
	double rate;

	if (o->rate_limit != NULL && limits_parse_rate(o->rate_limit, &rate, err) < 0)
		return err_wrap(err, "rate_limit");
	if (o->max_retries < TASK_RETRIES_NONE)
		return err_set(err, ERR_INVALID, "max_retries is %lld", (long long)o->max_retries);
	if (o->time_limit > 0 && o->soft_time_limit > o->time_limit)
		return err_set(err, ERR_INVALID, "soft_time_limit is above time_limit");
	return 0;
}

static int check(const struct registry *r, const struct task *t, const char *from, struct err *err)
{
	const struct registered *other;
	int rc;

	if (!is_text(t->name, BOUND_TASK_NAME_BYTES))
		return err_set(err, ERR_INVALID, "%s: a task without a name of visible characters",
			       from);
	other = find(r, t->name);
	if (other != NULL)
		return err_set(err, ERR_CONFLICT, "%s: task %s is there already, from %s", from,
			       t->name, other->from);
	if (t->run == NULL && t->resolve == NULL)
		return err_set(err, ERR_INVALID, "%s: task %s: it has no function", from, t->name);
	rc = check_params(t, err);
	if (rc == 0)
		rc = check_options(t, err);
	return rc < 0 ? err_wrap(err, "%s: task %s", from, t->name) : 0;
}

static int by_name(const struct registered *a, const struct registered *b)
{
	return strcmp(a->task->name, b->task->name);
}

int registry_add(struct registry *r, const struct settings *s, const struct task *t,
		 const char *from, struct err *err)
{
	struct registered *entry;
	int rc = check(r, t, from, err);

	if (rc < 0)
		return rc;
	entry = xcalloc(1, sizeof(*entry));
	entry->task = t;
	entry->from = from;
	annotations_resolve(s, r->annotations, t, &entry->annotated);
	HASH_ADD_KEYPTR(hh, r->map, t->name, strlen(t->name), entry);
	HASH_SORT(r->map, by_name);
	return 0;
}

int registry_load(struct registry *r, const struct settings *s, struct err *err)
{
	size_t count;
	const struct task *const *table = task_table(&count);
	int rc = registry_init(r, s, err);

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = registry_add(r, s, table[i], "celeriac-worker", err);
	return rc;
}

/* ---- afterwards ---- */

const struct task *registry_find(const struct registry *r, const char *name)
{
	const struct registered *entry = find(r, name);

	return entry ? entry->task : NULL;
}

const struct task_options *registry_options(const struct registry *r, const struct task *t)
{
	/* an unknown task does not run: it is acknowledged once that is stored */
	static const struct task_options unknown = {.acks_late = TASK_YES,
						    .acks_on_failure = TASK_YES,
						    .acks_on_timeout = TASK_YES,
						    .ignore_result = TASK_NO,
						    .store_errors_even_if_ignored = TASK_YES,
						    .track_started = TASK_NO,
						    .rate_limit = ""};
	const struct registered *entry = find(r, t->name);

	return entry ? &entry->annotated.options : &unknown;
}

size_t registry_count(const struct registry *r)
{
	return HASH_COUNT(r->map);
}

const struct task *registry_next(const struct registry *r, const struct task *at)
{
	const struct registered *entry = at ? find(r, at->name)->hh.next : r->map;

	return entry ? entry->task : NULL;
}
