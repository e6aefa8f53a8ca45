/*
 * Options of tasks. See annotations.h.
 */
#include "annotations.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "limits.h"
#include "mem.h"

#define RETRIES_DEFAULT	  3 /* Task.max_retries */
#define RETRY_DELAY	  (180 * USEC_PER_SEC)
#define RETRY_BACKOFF_MAX (600 * USEC_PER_SEC)
#define RETRIES_MOST	  1000000000
#define SPAN_MOST	  1e9 /* seconds */
#define SHOWN		  64  /* bytes of a name in an error */

enum kind { KIND_CHOICE, KIND_COUNT, KIND_SPAN, KIND_RATE, KIND_NAMES };
#define OPTION(field, kind)                                                                        \
	{                                                                                          \
#field, kind, offsetof(struct task_options, field)                                 \
	}
static const struct option {
	const char *name;
	enum kind kind;
	size_t offset;
} options[] = {
	OPTION(acks_late, KIND_CHOICE),
	OPTION(acks_on_failure_or_timeout, KIND_CHOICE),
	OPTION(acks_on_failure, KIND_CHOICE),
	OPTION(acks_on_timeout, KIND_CHOICE),
	OPTION(reject_on_worker_lost, KIND_CHOICE),
	OPTION(ignore_result, KIND_CHOICE),
	OPTION(store_errors_even_if_ignored, KIND_CHOICE),
	OPTION(track_started, KIND_CHOICE),
	OPTION(max_retries, KIND_COUNT),
	OPTION(default_retry_delay, KIND_SPAN),
	OPTION(rate_limit, KIND_RATE),
	OPTION(time_limit, KIND_SPAN),
	OPTION(soft_time_limit, KIND_SPAN),
	OPTION(autoretry_for, KIND_NAMES),
	OPTION(dont_autoretry_for, KIND_NAMES),
	OPTION(retry_backoff, KIND_SPAN),
	OPTION(retry_backoff_max, KIND_SPAN),
	OPTION(retry_jitter, KIND_CHOICE),
};

static const struct option *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	}
	return NULL;
}

/* ---- one value ---- */

static bool read_choice(const json_t *value, enum task_choice *ret)
{
	if (!json_is_boolean(value) && !json_is_null(value))
		return false;
	*ret = json_is_null(value) ? TASK_BY_SETTING : json_is_true(value) ? TASK_YES : TASK_NO;
	return true;
}

static bool read_count(const json_t *value, int64_t *ret)
{
	json_int_t n = json_integer_value(value);

	if (json_is_null(value)) {
		*ret = TASK_RETRIES_WITHOUT_END;
		return true;
	}
	if (!json_is_integer(value) || n < 0 || n > RETRIES_MOST)
		return false;
	*ret = n == 0 ? TASK_RETRIES_NONE : n;
	return true;
}

/* Seconds; as retry_backoff in Celery, true is one. */
static bool read_span(const json_t *value, usec_t *ret)
{
	double seconds = json_is_true(value) ? 1 : json_number_value(value);

	if (!(json_is_number(value) || json_is_boolean(value) || json_is_null(value)) ||
	    !(seconds >= 0 && seconds <= SPAN_MOST))
		return false;
	*ret = seconds > 0 ? (usec_t)(seconds * (double)USEC_PER_SEC) : TASK_NONE;
	return true;
}

static bool read_rate(const json_t *value, const char **ret, struct annotated *a)
{
	struct err err = {0};
	double rate;

	if (json_is_number(value) && json_number_value(value) > 0) {
		free(a->rate_limit);
		a->rate_limit = xasprintf("%.15g", json_number_value(value));
		*ret = a->rate_limit;
	} else if (json_is_string(value)) {
		*ret = json_string_value(value);
	} else if (json_is_null(value) || json_is_number(value)) {
		*ret = "";
	} else {
		return false;
	}
	return limits_parse_rate(*ret, &rate, &err) == 0;
}

static bool read_names(const json_t *value, const char *const **ret, struct annotated *a)
{
	size_t count = json_array_size(value);
	_cleanup_free_ const char **names = xcalloc(count + 1, sizeof(*names));

	if (!json_is_array(value) || a->names_count == ARRAY_LEN(a->names))
		return false;
	for (size_t i = 0; i < count; i++) {
		names[i] = json_string_value(json_array_get(value, i));
		if (names[i] == NULL)
			return false;
	}
	*ret = names;
	a->names[a->names_count++] = TAKE(names);
	return true;
}

static bool read_value(const struct option *o, const json_t *value, struct annotated *a)
{
	void *at = (char *)&a->options + o->offset;

	switch (o->kind) {
	case KIND_CHOICE:
		return read_choice(value, at);
	case KIND_COUNT:
		return read_count(value, at);
	case KIND_SPAN:
		return read_span(value, at);
	case KIND_RATE:
		return read_rate(value, at, a);
	case KIND_NAMES:
		return read_names(value, at, a);
	}
	return false;
}

/* ---- all of one task ---- */

static const char *wanted(enum kind kind)
{
	static const char *const words[] = {
		[KIND_CHOICE] = "true or false",
		[KIND_COUNT] = "a number, or null for no end",
		[KIND_SPAN] = "seconds",
		[KIND_RATE] = "a rate such as \"10/m\"",
		[KIND_NAMES] = "a list of names of exceptions",
	};

	return words[kind];
}

static int annotate(const char *task, const json_t *said, struct annotated *a, struct err *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(said))
		return err_set(err, ERR_INVALID, "%.*s: is not an object of options", SHOWN, task);
	json_object_foreach((json_t *)(uintptr_t)said, key, value)
	{
		const struct option *o = find(key);

		if (o == NULL)
			return err_set(err, ERR_INVALID, "%.*s: there is no option %.*s", SHOWN,
				       task, SHOWN, key);
		if (!read_value(o, value, a))
			return err_set(err, ERR_INVALID, "%.*s: %s must be %s", SHOWN, task,
				       o->name, wanted(o->kind));
	}
	return 0;
}

void annotated_done(struct annotated *a)
{
	free(a->rate_limit);
	for (size_t i = 0; i < a->names_count; i++)
		free(a->names[i]);
	*a = (struct annotated){0};
}

int annotations_parse(const char *text, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *all = NULL;
	const char *task;
	json_t *said;

	if (text == NULL || text[0] == '\0') {
		*ret = json_object();
		return 0;
	}
	if (json_load_strict(text, strlen(text), &all, err) < 0)
		return err_wrap(err, "CELERY_TASK_ANNOTATIONS");
	json_object_foreach(all, task, said)
	{
		struct annotated scratch = {0};
		int rc = annotate(task, said, &scratch, err);

		annotated_done(&scratch);
		if (rc < 0)
			return err_wrap(err, "CELERY_TASK_ANNOTATIONS");
	}
	*ret = TAKE(all);
	return 0;
}

/* ---- what nobody said ---- */

static void fall_back(enum task_choice *choice, bool otherwise)
{
	if (*choice == TASK_BY_SETTING)
		*choice = otherwise ? TASK_YES : TASK_NO;
}

static void default_span(usec_t *span, usec_t otherwise)
{
	if (*span == 0)
		*span = otherwise;
	else if (*span == TASK_NONE)
		*span = 0;
}

static void complete(const struct settings *s, const struct task *t, struct task_options *o)
{
	enum task_choice both = o->acks_on_failure_or_timeout;

	if (t->flags & TASK_ACKS_LATE) {
		o->acks_late = TASK_YES;
		o->reject_on_worker_lost = TASK_YES;
	}
	fall_back(&o->acks_late, s->task_acks_late);
	if (o->acks_on_failure == TASK_BY_SETTING)
		o->acks_on_failure = both;
	if (o->acks_on_timeout == TASK_BY_SETTING)
		o->acks_on_timeout = both;
	fall_back(&o->acks_on_failure, s->task_acks_on_failure);
	fall_back(&o->acks_on_timeout, s->task_acks_on_timeout);
	fall_back(&o->acks_on_failure_or_timeout, s->task_acks_on_failure_or_timeout);
	fall_back(&o->reject_on_worker_lost, s->task_reject_on_worker_lost);
	fall_back(&o->ignore_result, s->task_ignore_result);
	fall_back(&o->store_errors_even_if_ignored, s->task_store_errors_even_if_ignored);
	fall_back(&o->track_started, s->task_track_started);
	fall_back(&o->retry_jitter, true);
	if (o->max_retries == 0)
		o->max_retries = RETRIES_DEFAULT;
	else if (o->max_retries == TASK_RETRIES_NONE)
		o->max_retries = 0;
	default_span(&o->default_retry_delay, RETRY_DELAY);
	default_span(&o->time_limit, 0);
	default_span(&o->soft_time_limit, 0);
	default_span(&o->retry_backoff, 0);
	default_span(&o->retry_backoff_max, RETRY_BACKOFF_MAX);
	if (o->rate_limit == NULL)
		o->rate_limit = s->task_default_rate_limit ? s->task_default_rate_limit : "";
}

void annotations_resolve(const struct settings *s, const json_t *annotations, const struct task *t,
			 struct annotated *ret)
{
	const char *const names[] = {t->name, "*"};
	struct err err = {0};

	*ret = (struct annotated){.options = t->options};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const json_t *said = json_member(annotations, names[i]);

		if (said != NULL && annotate(names[i], said, ret, &err) < 0)
			BUG("annotations that were checked: %s", err.msg);
	}
	complete(s, t, &ret->options);
}
