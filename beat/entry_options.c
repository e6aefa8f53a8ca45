/*
 * entry_options.c: the options of an entry, by the names that apply_async has for them.
 */
#include <string.h>

#include "beat.h"
#include "json.h"

static int read_seconds(const json_t *value, usec_t *ret, struct err *err)
{
	double seconds = json_number_value(value);

	if (!json_is_number(value) || !(seconds >= 0 && seconds <= 1e10))
		return err_set(err, ERR_INVALID, "must be a number of seconds");
	*ret = (usec_t)(seconds * (double)USEC_PER_SEC);
	return 0;
}

/* Without NULs; neither empty. */
static int read_text(const json_t *value, const char **ret, struct err *err)
{
	const char *text = json_string_value(value);

	if (!text || !*text || strlen(text) != json_string_length(value))
		return err_set(err, ERR_INVALID, "must be a text that is not empty");
	*ret = text;
	return 0;
}

static int take_queue(const json_t *value, struct entry *e, struct err *err)
{
	return read_text(value, &e->queue, err);
}

static int take_shadow(const json_t *value, struct entry *e, struct err *err)
{
	return read_text(value, &e->shadow, err);
}

static int take_priority(const json_t *value, struct entry *e, struct err *err)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > 255)
		return err_set(err, ERR_INVALID, "must be a number from 0 to 255");
	e->priority = (int)json_integer_value(value);
	return 0;
}

static int take_expires(const json_t *value, struct entry *e, struct err *err)
{
	return read_seconds(value, &e->expires, err);
}

static int take_countdown(const json_t *value, struct entry *e, struct err *err)
{
	return read_seconds(value, &e->countdown, err);
}

static int take_limit(const json_t *value, const json_t **ret, struct err *err)
{
	usec_t seconds;
	int rc = read_seconds(value, &seconds, err);

	if (rc == 0)
		*ret = value;
	return rc;
}

static int take_time_limit(const json_t *value, struct entry *e, struct err *err)
{
	return take_limit(value, &e->time_limit, err);
}

static int take_soft_time_limit(const json_t *value, struct entry *e, struct err *err)
{
	return take_limit(value, &e->soft_time_limit, err);
}

static int take_ignore_result(const json_t *value, struct entry *e, struct err *err)
{
	if (!json_is_boolean(value))
		return err_set(err, ERR_INVALID, "must be true or false");
	e->ignore_result = json_is_true(value) ? 1 : -1;
	return 0;
}

static int take_headers(const json_t *value, struct entry *e, struct err *err)
{
	if (!json_is_object(value))
		return err_set(err, ERR_INVALID, "must be an object");
	e->headers = value;
	return 0;
}

/* Beat tries until a message is there, whatever these say. */
static int take_nothing(const json_t *value unused_arg, struct entry *e unused_arg,
			struct err *err unused_arg)
{
	return 0;
}

static const struct {
	const char *name;
	int (*take)(const json_t *value, struct entry *e, struct err *err);
	const char *instead; /* of one that cannot be taken */
} g_known[] = {
	{"queue", take_queue, NULL},
	{"priority", take_priority, NULL},
	{"expires", take_expires, NULL},
	{"countdown", take_countdown, NULL},
	{"headers", take_headers, NULL},
	{"shadow", take_shadow, NULL},
	{"time_limit", take_time_limit, NULL},
	{"soft_time_limit", take_soft_time_limit, NULL},
	{"ignore_result", take_ignore_result, NULL},
	{"retry", take_nothing, NULL},
	{"retry_policy", take_nothing, NULL},
	{"exchange", NULL,
	 "an exchange of its own is not for entries; a queue is what they can have"},
	{"routing_key", NULL,
	 "an exchange of its own is not for entries; a queue is what they can have"},
	{"eta", NULL, "one time for every run; say countdown"},
	{"task_id", NULL, "one id for every run; each has its own"},
};

static int take_option(const char *name, const json_t *value, struct entry *e, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(g_known); i++) {
		if (strcmp(g_known[i].name, name) != 0)
			continue;
		if (json_is_null(value))
			return 0;
		if (!g_known[i].take)
			return err_set(err, ERR_UNSUPPORTED, "%s", g_known[i].instead);
		return g_known[i].take(value, e, err);
	}
	return err_set(err, ERR_INVALID, "there is no option of this name");
}

int entry_take_options(struct entry *e, const json_t *options, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)options, name, value)
	{
		int rc = take_option(name, value, e, err);

		if (rc < 0)
			return err_wrap(err, "options: %.60s", name);
	}
	return 0;
}

bool entry_is_option(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(g_known); i++)
		if (strcmp(g_known[i].name, name) == 0)
			return true;
	return false;
}
