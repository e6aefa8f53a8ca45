/*
 * Limits by task name. See limits.h.
 */
#include "limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "mem.h"
#include "registry.h"

#define RATE_TEXT 64

struct limit {
	char *task;
	double per_second;    /* 0 = none */
	char text[RATE_TEXT]; /* as it was said */
	usec_t next_turn;     /* monotonic */
	bool timed;
	usec_t soft, hard;
	UT_hash_handle hh;
};

void limits_init(struct limits *l)
{
	mutex_init(&l->lock);
	l->map = NULL;
}

void limits_done(struct limits *l)
{
	struct limit *limit, *following;

	HASH_ITER(hh, l->map, limit, following)
	{
		HASH_DEL(l->map, limit);
		free(limit->task);
		free(limit);
	}
	mutex_done(&l->lock);
}

int limits_parse_rate(const char *text, double *ret_per_second, struct err *err)
{
	const char *slash = strchr(text, '/');
	const char *unit = slash ? slash + 1 : "";
	char *end;
	double rate;

	if (text[0] == '\0') {
		*ret_per_second = 0;
		return 0;
	}
	rate = strtod(text, &end);
	if (end == text || (slash ? end != slash : *end != '\0') || !(rate >= 0 && rate <= 1e9))
		return err_set(err, ERR_INVALID, "could not convert string to float: '%.*s'",
			       (int)(slash ? slash - text : 40), text);
	if (strcmp(unit, "m") == 0)
		rate /= 60;
	else if (strcmp(unit, "h") == 0)
		rate /= 3600;
	else if (unit[0] != '\0' && strcmp(unit, "s") != 0)
		return err_set(err, ERR_INVALID, "'%.40s'", unit);
	*ret_per_second = rate;
	return 0;
}

static struct limit *find_locked(struct limits *l, const char *task) REQUIRES(l->lock)
{
	struct limit *limit = NULL;

	HASH_FIND_STR(l->map, task, limit);
	return limit;
}

static struct limit *make_locked(struct limits *l, const char *task) REQUIRES(l->lock)
{
	struct limit *limit = find_locked(l, task);

	if (limit != NULL)
		return limit;
	limit = xcalloc(1, sizeof(*limit));
	limit->task = xstrdup(task);
	HASH_ADD_KEYPTR(hh, l->map, limit->task, strlen(limit->task), limit);
	return limit;
}

void limits_set_rate(struct limits *l, const char *task, double per_second, const char *text)
{
	struct limit *limit;

	mutex_lock(&l->lock);
	limit = make_locked(l, task);
	if (limit->per_second <= 0 && per_second > 0)
		atomic_fetch_add(&l->limited, 1);
	else if (limit->per_second > 0 && per_second <= 0)
		atomic_fetch_sub(&l->limited, 1);
	limit->per_second = per_second;
	limit->next_turn = 0;
	snprintf(limit->text, sizeof(limit->text), "%s", per_second > 0 ? text : "");
	mutex_unlock(&l->lock);
}

usec_t limits_take_turn(struct limits *l, const char *task, usec_t now)
{
	struct limit *limit;
	usec_t turn = 0;

	if (atomic_load_explicit(&l->limited, memory_order_relaxed) == 0)
		return 0;
	mutex_lock(&l->lock);
	limit = find_locked(l, task);
	if (limit != NULL && limit->per_second > 0) {
		double pause = (double)USEC_PER_SEC / limit->per_second;

		turn = limit->next_turn > now ? limit->next_turn : now;
		limit->next_turn =
			pause < (double)(USEC_NEVER - turn) ? turn + (usec_t)pause : USEC_NEVER;
	}
	mutex_unlock(&l->lock);
	return turn;
}

char *limits_rate_text(struct limits *l, const char *task)
{
	const struct limit *limit;
	char *text;

	mutex_lock(&l->lock);
	limit = find_locked(l, task);
	text = xstrdup(limit ? limit->text : "");
	mutex_unlock(&l->lock);
	return text;
}

void limits_set_time(struct limits *l, const char *task, usec_t soft, usec_t hard)
{
	struct limit *limit;

	mutex_lock(&l->lock);
	limit = make_locked(l, task);
	limit->timed = true;
	limit->soft = soft;
	limit->hard = hard;
	mutex_unlock(&l->lock);
}

bool limits_time(struct limits *l, const char *task, usec_t *ret_soft, usec_t *ret_hard)
{
	const struct limit *limit;
	bool set;

	mutex_lock(&l->lock);
	limit = find_locked(l, task);
	set = limit != NULL && limit->timed;
	if (set) {
		*ret_soft = limit->soft;
		*ret_hard = limit->hard;
	}
	mutex_unlock(&l->lock);
	return set;
}

void limits_of_registry(struct limits *l, const struct registry *r)
{
	for (const struct task *t = registry_next(r, NULL); t != NULL; t = registry_next(r, t)) {
		const struct task_options *o = registry_options(r, t);
		struct err err = {0};
		double rate = 0;

		if (limits_parse_rate(o->rate_limit, &rate, &err) == 0 && rate > 0)
			limits_set_rate(l, t->name, rate, o->rate_limit);
		if (o->time_limit > 0 || o->soft_time_limit > 0)
			limits_set_time(l, t->name, o->soft_time_limit, o->time_limit);
	}
}
