/*
 * ini.c: entries in an INI file become those of a JSON file. GLib reads the lines; what a value
 * means is said by its key.
 */
#include "ini.h"

#include <glib.h>
#include <string.h>

#include "beat.h"
#include "json.h"

static void cleanup_key_file(GKeyFile **f)
{
	g_key_file_free(*f);
}

/* GLib lays sections of one name together, and knows '#' alone for comments. */
static int prepare(char *text, json_t *names, struct err *err)
{
	int number = 1;

	for (char *line = text; line; number++) {
		char *end = strchr(line, '\n'), *at = line + strspn(line, " \t");
		size_t len = end ? (size_t)(end - at) : strlen(at);
		json_t *name;

		if (*at == ';')
			*at = '#';
		if (*at == '[') {
			name = json_stringn(at, len);
			if (!name)
				return err_set(err, ERR_INVALID, "line %d: not UTF-8", number);
			bool twice = json_object_get(names, json_string_value(name)) != NULL;
			json_object_set_new(names, json_string_value(name), name);
			if (twice)
				return err_set(err, ERR_INVALID, "line %d: %.*s is there twice",
					       number, len < 100 ? (int)len : 100, at);
		}
		line = end ? end + 1 : NULL;
	}
	return 0;
}

static int read_text(const char *text, json_t **ret, struct err *err)
{
	*ret = json_string(text);
	return *ret ? 0 : err_set(err, ERR_INVALID, "not UTF-8");
}

static int read_bool(const char *text, json_t **ret, struct err *err)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"true", true},   {"yes", true}, {"on", true},   {"1", true},
		     {"false", false}, {"no", false}, {"off", false}, {"0", false}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (g_ascii_strcasecmp(text, words[i].word) == 0) {
			*ret = json_boolean(words[i].value);
			return 0;
		}
	return err_set(err, ERR_INVALID, "neither true nor false");
}

static int read_json(const char *text, json_t **ret, struct err *err)
{
	return json_load_strict(text, strlen(text), ret, err);
}

/* What is not here is JSON. */
static const struct {
	const char *key;
	int (*read)(const char *text, json_t **ret, struct err *err);
} g_keys[] = {{"task", read_text},	    {"schedule", read_text},   {"queue", read_text},
	      {"shadow", read_text},	    {"enabled", read_bool},    {"relative", read_bool},
	      {"ignore_result", read_bool}, {"last_run_at", read_text}};

static int read_value(const char *key, const char *text, json_t **ret, struct err *err)
{
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(g_keys); i++)
		if (strcmp(g_keys[i].key, key) == 0) {
			rc = g_keys[i].read(text, ret, err);
			return rc < 0 ? err_wrap(err, "%.60s", key) : 0;
		}
	rc = read_json(text, ret, err);
	return rc < 0 ? err_wrap(err, "%.60s", key) : 0;
}

/* Options stand beside the rest; `options` may be there as well. */
static int put(json_t *entry, json_t *options, const char *key, json_t *value, struct err *err)
{
	if (entry_is_option(key))
		json_object_set_new(options, key, value);
	else if (strcmp(key, "options") != 0)
		json_object_set_new(entry, key, value);
	else if (json_is_object(value)) {
		json_object_update_missing(options, value);
		json_decref(value);
	} else {
		json_decref(value);
		return err_set(err, ERR_INVALID, "options must be an object");
	}
	return 0;
}

static int read_section(GKeyFile *f, const char *section, json_t *entry, struct err *err)
{
	g_auto(GStrv) keys = g_key_file_get_keys(f, section, NULL, NULL);
	json_t *options = json_object();

	json_object_set_new(entry, "options", options);
	for (size_t i = 0; keys && keys[i]; i++) {
		g_autofree char *text = g_key_file_get_value(f, section, keys[i], NULL);
		json_t *value = NULL;
		int rc = read_value(keys[i], g_strstrip(text), &value, err);

		if (rc == 0)
			rc = put(entry, options, keys[i], value, err);
		if (rc < 0)
			return err_wrap(err, "entry '%.100s'", section);
	}
	return 0;
}

int ini_read(char *text, json_t **ret, struct err *err)
{
	__attribute__((cleanup(cleanup_key_file))) GKeyFile *f = g_key_file_new();
	_cleanup_json_ json_t *document = json_object(), *names = json_object();
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) sections = NULL;
	int rc = prepare(text, names, err);

	if (rc < 0)
		return rc;
	if (*text && !g_key_file_load_from_data(f, text, strlen(text), G_KEY_FILE_NONE, &error))
		return err_set(err, ERR_INVALID, "%s", error->message);
	sections = g_key_file_get_groups(f, NULL);
	for (size_t i = 0; rc == 0 && sections[i]; i++) {
		json_t *entry = json_object();

		json_object_set_new(document, sections[i], entry);
		rc = read_section(f, sections[i], entry, err);
	}
	if (rc == 0) {
		*ret = document;
		document = NULL;
	}
	return rc;
}
