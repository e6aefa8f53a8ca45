/*
 * settings_load.c: where the values of settings come from: defaults, environment, command line; and
 * who is shown them.
 */
#include "settings.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bounds.h"
#include "conf.h"
#include "json.h"
#include "mem.h"
#include "nodename.h"

struct settings_state {
	char **source; /* of each row */
};

static void set_source(struct settings *s, size_t row, const char *source)
{
	free(s->state->source[row]);
	s->state->source[row] = xstrdup(source);
}

static const char *source_of(const struct settings *s, size_t offset)
{
	size_t i = 0;
	while (settings_rows[i].offset != offset)
		i++;
	return s->state->source[i];
}

/* CPUs this process may run on. */
static int64_t cpu_count(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return CPU_COUNT(&set);
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? online : 1;
}

static int set_row(struct settings *s, size_t i, const char *value, const char *label,
		   const char *source, struct err *err)
{
	int r = conf_set(&settings_rows[i], s, value, label, err);
	if (r < 0)
		return r;
	if (s->worker_concurrency == 0 &&
	    settings_rows[i].offset == offsetof(struct settings, worker_concurrency))
		s->worker_concurrency = cpu_count();
	set_source(s, i, source);
	return 0;
}

static bool is_default(const struct settings *s, size_t offset)
{
	return strcmp(source_of(s, offset), "default") == 0;
}

/* A ceiling lowered by itself takes the default below it along; a contradiction that was written is
 * an error. */
static int check_together(struct settings *s, struct err *err)
{
	if (is_default(s, offsetof(struct settings, task_acks_on_failure)))
		s->task_acks_on_failure = s->task_acks_on_failure_or_timeout;
	if (is_default(s, offsetof(struct settings, task_acks_on_timeout)))
		s->task_acks_on_timeout = s->task_acks_on_failure_or_timeout;
	if (s->sandbox_timeout <= s->sandbox_max_timeout)
		return 0;
	if (!is_default(s, offsetof(struct settings, sandbox_timeout)))
		return err_set(err, ERR_INVALID, "SANDBOX_TIMEOUT is above SANDBOX_MAX_TIMEOUT");
	s->sandbox_timeout = s->sandbox_max_timeout;
	return 0;
}

int settings_load(char *const *env, struct settings *ret, struct err *err)
{
	struct settings s = {.state = xcalloc(1, sizeof(*s.state))};
	int r = 0;

	s.state->source = xcalloc(settings_row_count, sizeof(*s.state->source));
	if (!env)
		env = environ;
	for (size_t i = 0; i < settings_row_count && r == 0; i++) {
		r = set_row(&s, i, settings_rows[i].fallback, settings_rows[i].name, "default",
			    err);
		if (r < 0 && err->code != ERR_NOMEM)
			BUG("default of %s: %s", settings_rows[i].name, err->msg);
		if (r < 0)
			break;
		_cleanup_free_ char *name = NULL, *value = NULL;
		r = conf_env_find(&settings_rows[i], env, &name, &value, err);
		if (r == 0 && value)
			r = set_row(&s, i, value, name, name, err);
		if (value)
			wipe(value, strlen(value));
	}
	if (r == 0)
		r = check_together(&s, err);
	if (r < 0) {
		settings_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

bool settings_read_size(const char *text, int64_t *ret)
{
	return conf_parse_size(text, ret);
}

bool settings_read_duration(const char *text, usec_t *ret)
{
	return conf_parse_duration(text, ret);
}

static bool has_name(const struct conf_row *row, const char *name)
{
	if (strcasecmp(name, row->name) == 0 || strcasecmp(name, row->key) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(row->alias) && row->alias[i]; i++) {
		if (strcasecmp(name, row->alias[i]) == 0)
			return true;
	}
	return false;
}

int settings_set(struct settings *s, const char *name, const char *value, const char *source,
		 struct err *err)
{
	for (size_t i = 0; i < settings_row_count; i++) {
		if (!has_name(&settings_rows[i], name))
			continue;
		_cleanup_free_ char *label = xasprintf("%s (%s)", settings_rows[i].name, source);
		return set_row(s, i, value, label, source, err);
	}
	return err_set(err, ERR_NOTFOUND, "there is no setting \"%.64s\"", name);
}

int settings_expand_node(const struct settings *s, const char *text, char **ret, struct err *err)
{
	return nodename_expand_path(text, s->worker_hostname, ret, err);
}

void settings_print(const struct settings *s, FILE *out)
{
	for (size_t i = 0; i < settings_row_count; i++) {
		_cleanup_buf_ struct buf value = BUF_INIT((size_t)64 << 10);
		conf_show(&settings_rows[i], s, &value);
		for (size_t at = 0; at < value.len; at++) {
			if ((unsigned char)value.data[at] < ' ' || value.data[at] == 0x7f)
				value.data[at] = '?';
		}
		fprintf(out, "%-40s = %-32s  # %s; %s\n", settings_rows[i].name, value.data,
			s->state->source[i], settings_rows[i].help);
	}
}

/* "true", "3" and "a,b" as what they are in Python. Given. */
static json_t *typed_value(const struct conf_row *row, const struct settings *s)
{
	const void *at = (const char *)s + row->offset;
	const struct str_list *list = at;
	_cleanup_buf_ struct buf text = BUF_INIT((size_t)64 << 10);
	json_t *array;

	switch (row->type) {
	case CONF_BOOL:
		return json_boolean(*(const bool *)at);
	case CONF_INT:
	case CONF_SIZE:
		return json_integer(*(const int64_t *)at);
	case CONF_DOUBLE:
		return json_real(*(const double *)at);
	case CONF_DURATION:
		return json_real((double)*(const usec_t *)at / (double)USEC_PER_SEC);
	case CONF_LIST:
		array = json_array();
		for (size_t i = 0; i < list->count; i++)
			json_array_append_new(
				array, json_text(list->items[i], strlen(list->items[i]), false));
		return array;
	case CONF_STRING:
	case CONF_URL:
	case CONF_MAP:
		break;
	}
	conf_show(row, s, &text);
	return json_text(text.data, text.len, false);
}

json_t *settings_conf(const struct settings *s, bool defaults)
{
	json_t *conf = json_object();
	for (size_t i = 0; i < settings_row_count; i++) {
		bool ours = strncmp(settings_rows[i].name, "CELERY_", 7) != 0;
		if (ours || (!defaults && strcmp(s->state->source[i], "default") == 0))
			continue;
		json_object_set_new(conf, settings_rows[i].key, typed_value(&settings_rows[i], s));
	}
	return conf;
}

void settings_each_text(const struct settings *s,
			void (*fn)(void *arg, const char *name, const char *value), void *arg)
{
	for (size_t i = 0; i < settings_row_count; i++) {
		const void *at = (const char *)s + settings_rows[i].offset;
		enum conf_type type = settings_rows[i].type;

		if (type == CONF_STRING || type == CONF_URL || type == CONF_MAP)
			fn(arg, settings_rows[i].name, *(const char *const *)at);
		const struct str_list *list = at;
		for (size_t k = 0; type == CONF_LIST && k < list->count; k++)
			fn(arg, settings_rows[i].name, list->items[k]);
	}
}

void settings_done(struct settings *s)
{
	if (!s || !s->state)
		return;
	for (size_t i = 0; i < settings_row_count; i++) {
		conf_free(&settings_rows[i], s);
		free(s->state->source[i]);
	}
	free(s->state->source);
	free(s->state);
	s->state = NULL;
}

/* NAME= or NAME_FILE= */
static bool is_named(const char *variable, const char *name)
{
	size_t len = strlen(name);

	return strncmp(variable, name, len) == 0 &&
	       (variable[len] == '=' || strncmp(variable + len, "_FILE=", 6) == 0);
}

bool settings_holds_secret(const char *variable)
{
	for (size_t i = 0; i < settings_row_count; i++) {
		const struct conf_row *row = &settings_rows[i];

		if (row->type != CONF_URL && !(row->flags & CONF_SECRET))
			continue;
		if (is_named(variable, row->name))
			return true;
		for (size_t a = 0; a < ARRAY_LEN(row->alias) && row->alias[a]; a++)
			if (is_named(variable, row->alias[a]))
				return true;
	}
	return false;
}
