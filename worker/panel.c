/*
 * The table of control commands, one row each, and Python's way of calling them.
 */
#include "panel.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"

#define IDS                                                                                        \
	{                                                                                          \
		"task_id", PANEL_STR_OR_LIST, true                                                 \
	}
#define TERMINATE                                                                                  \
	{"terminate", PANEL_BOOL, false},                                                          \
	{                                                                                          \
		"signal", PANEL_ANY, false                                                         \
	}

/* clang-format off */
static const struct panel_command g_commands[] = {
	/* name, alias, function, parameters, strict */
	{"active", "dump_active", control_active, {{"safe", PANEL_BOOL, false}}, false},
	{"active_queues", NULL, control_active_queues, {{0}}, true},
	{"add_consumer", NULL, control_add_consumer, {{"queue", PANEL_STR, true}, {"exchange", PANEL_STR, false},
	 {"exchange_type", PANEL_STR, false}, {"routing_key", PANEL_STR, false}}, false},
	{"autoscale", NULL, control_autoscale, {{"max", PANEL_INT, false}, {"min", PANEL_INT, false}}, true},
	{"cancel_consumer", NULL, control_cancel_consumer, {{"queue", PANEL_STR, true}}, false},
	{"clock", NULL, control_clock, {{0}}, false},
	{"conf", "dump_conf", control_conf, {{"with_defaults", PANEL_BOOL, false}}, false},
	{"disable_events", NULL, control_disable_events, {{0}}, true},
	{"drain", NULL, control_drain, {{0}}, true},
	{"election", NULL, control_election, {{"id", PANEL_ANY, true}, {"topic", PANEL_ANY, true}}, false},
	{"enable_events", NULL, control_enable_events, {{0}}, true},
	{"heartbeat", NULL, control_heartbeat, {{0}}, true},
	{"hello", NULL, control_hello, {{"from_node", PANEL_STR, true}, {"revoked", PANEL_ANY, false}}, false},
	{"memdump", NULL, control_unsupported, {{0}}, false},
	{"memsample", NULL, control_memsample, {{0}}, false},
	{"objgraph", NULL, control_unsupported, {{0}}, false},
	{"ping", NULL, control_ping, {{0}}, false},
	{"pool_grow", NULL, control_pool_grow, {{"n", PANEL_INT, false}}, false},
	{"pool_restart", NULL, control_pool_restart, {{"modules", PANEL_ANY, false}, {"reload", PANEL_ANY, false}}, false},
	{"pool_shrink", NULL, control_pool_shrink, {{"n", PANEL_INT, false}}, false},
	{"query_task", NULL, control_query_task, {{"ids", PANEL_STR_OR_LIST, true}}, false},
	{"rate_limit", NULL, control_rate_limit, {{"task_name", PANEL_STR, true}, {"rate_limit", PANEL_ANY, true}}, false},
	{"registered", "dump_tasks", control_registered, {{"taskinfoitems", PANEL_ANY, false}, {"builtins", PANEL_BOOL, false}},
	 false},
	{"report", NULL, control_report, {{0}}, true},
	{"reserved", "dump_reserved", control_reserved, {{0}}, false},
	{"revoke", NULL, control_revoke, {IDS, TERMINATE}, false},
	{"revoke_by_stamped_headers", NULL, control_revoke_by_stamped_headers, {{"headers", PANEL_ANY, true}, TERMINATE}, false},
	{"revoked", "dump_revoked", control_revoked, {{0}}, false},
	{"scheduled", "dump_schedule", control_scheduled, {{0}}, false},
	{"shutdown", NULL, control_shutdown, {{"msg", PANEL_STR, false}}, false},
	{"stats", NULL, control_stats, {{0}}, false},
	{"terminate", NULL, control_terminate, {{"signal", PANEL_ANY, true}, IDS}, false},
	{"time_limit", NULL, control_time_limit, {{"task_name", PANEL_STR, false}, {"hard", PANEL_NUMBER, false},
	 {"soft", PANEL_NUMBER, false}}, false},
	{"undrain", NULL, control_undrain, {{0}}, true},
};
/* clang-format on */

const struct panel_command *panel_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(g_commands); i++) {
		const struct panel_command *c = &g_commands[i];

		if (strcmp(c->name, name) == 0 || (c->alias && strcmp(c->alias, name) == 0))
			return c;
	}
	return NULL;
}

/* ---- arguments ---- */

static bool is_text(const json_t *value)
{
	return json_is_string(value) && !json_is_python_number(value) &&
	       json_string_length(value) == strlen(json_string_value(value));
}

static bool is_list_of_text(const json_t *value)
{
	size_t i;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)value, i, item)
	{
		if (!is_text(item))
			return false;
	}
	return json_is_array(value);
}

static bool fits(enum panel_type type, const json_t *value)
{
	switch (type) {
	case PANEL_ANY:
		return true;
	case PANEL_STR:
		return is_text(value);
	case PANEL_STR_OR_LIST:
		return is_text(value) || is_list_of_text(value);
	case PANEL_BOOL:
		return json_is_boolean(value) || json_is_integer(value) || is_text(value);
	case PANEL_INT:
		return json_is_integer(value);
	case PANEL_NUMBER:
		return json_is_number(value);
	}
	return false;
}

static const char *type_words(enum panel_type type)
{
	static const char *const words[] = {
		[PANEL_ANY] = "anything",
		[PANEL_STR] = "a str",
		[PANEL_STR_OR_LIST] = "a str or a list of str",
		[PANEL_BOOL] = "a bool",
		[PANEL_INT] = "an int",
		[PANEL_NUMBER] = "a number",
	};

	return words[type];
}

static size_t param_index(const struct panel_command *c, const char *name)
{
	size_t i = 0;

	while (i < PANEL_PARAMS && c->params[i].name != NULL &&
	       strcmp(c->params[i].name, name) != 0) {
		i++;
	}
	return i < PANEL_PARAMS && c->params[i].name != NULL ? i : PANEL_PARAMS;
}

int panel_bind(const struct panel_command *c, const json_t *arguments, json_t **values,
	       struct err *err)
{
	const char *key;
	json_t *value;

	if (arguments != NULL && !json_is_object(arguments))
		return panel_raise(err, "TypeError",
				   "%s() argument after ** must be a mapping, not %s", c->name,
				   json_type_name(arguments));
	json_object_foreach((json_t *)(uintptr_t)arguments, key, value)
	{
		size_t i = param_index(c, key);

		if (i == PANEL_PARAMS && c->strict)
			return panel_raise(err, "TypeError",
					   "%s() got an unexpected keyword argument '%.60s'",
					   c->name, key);
		if (i == PANEL_PARAMS || json_is_null(value))
			continue;
		if (!fits(c->params[i].type, value))
			return panel_raise(err, "TypeError",
					   "%s() argument '%s' must be %s, not %s", c->name, key,
					   type_words(c->params[i].type), json_type_name(value));
		values[i] = value;
	}
	for (size_t i = 0; i < PANEL_PARAMS && c->params[i].name != NULL; i++) {
		if (c->params[i].required && values[i] == NULL &&
		    json_object_get(arguments, c->params[i].name) == NULL)
			return panel_raise(err, "TypeError",
					   "%s() missing 1 required positional argument: '%s'",
					   c->name, c->params[i].name);
	}
	return 0;
}

int64_t panel_int(const json_t *value, int64_t fallback)
{
	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool panel_bool(const json_t *value)
{
	static const char *const no[] = {"", "0", "false", "no", "off", "f", "n"};
	const char *text = json_string_value(value);

	for (size_t i = 0; text != NULL && i < ARRAY_LEN(no); i++) {
		if (strcasecmp(text, no[i]) == 0)
			return false;
	}
	return text != NULL || json_is_true(value) || json_integer_value(value) != 0;
}

/* ---- replies ---- */

int panel_raise(struct err *err, const char *type, const char *fmt, ...)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT);
	_cleanup_buf_ struct buf quoted = BUF_INIT(BOUND_ERROR_TEXT * 4);
	_cleanup_json_ json_t *string = NULL;
	va_list ap;

	va_start(ap, fmt);
	buf_vappendf(&text, fmt, ap);
	va_end(ap);
	string = json_text(text.data, text.len, false);
	json_repr(string, BOUND_REPR_BYTES, &quoted);
	return err_set(err, ERR_INVALID, "%s(%s)", type, quoted.data);
}

static json_t *wrap(const char *key, const char *fmt, va_list ap)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_CONTROL_BYTES * 4);

	buf_vappendf(&text, fmt, ap);
	return json_pack("{s:o}", key, json_text(text.data, text.len, false));
}

json_t *panel_ok(const char *fmt, ...)
{
	va_list ap;
	json_t *value;

	va_start(ap, fmt);
	value = wrap("ok", fmt, ap);
	va_end(ap);
	return value;
}

json_t *panel_nok(const char *fmt, ...)
{
	va_list ap;
	json_t *value;

	va_start(ap, fmt);
	value = wrap("error", fmt, ap);
	va_end(ap);
	return value;
}
