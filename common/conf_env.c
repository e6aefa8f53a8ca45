/*
 * conf_env.c: the value of a setting in an environment, or in a file that the environment names.
 */
#include <string.h>

#include "bounds.h"
#include "conf.h"
#include "file.h"
#include "mem.h"

static const char *get(char *const *env, const char *name)
{
	size_t len = strlen(name);
	for (; *env; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	}
	return NULL;
}

static int from_file(const char *name, const char *path, char **ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int rc = file_read(path, BOUND_SETTING_FILE, &text, &len, err);

	if (rc < 0)
		return err_wrap(err, "%s", name);
	if (memchr(text, '\0', len)) {
		wipe(text, len);
		return err_set(err, ERR_INVALID, "%s: %s: not a text", name, path);
	}
	if (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	if (len > 0 && text[len - 1] == '\r')
		text[--len] = '\0';
	*ret = TAKE(text);
	return 0;
}

int conf_env_find(const struct conf_row *row, char *const *env, char **ret_name, char **ret_value,
		  struct err *err)
{
	bool text = row->type == CONF_STRING || row->type == CONF_URL || row->type == CONF_MAP;
	bool fileable = row->type == CONF_URL || (row->flags & CONF_SECRET);
	const char *names[1 + ARRAY_LEN(row->alias)] = {row->name};

	memcpy(names + 1, row->alias, sizeof(row->alias));
	for (size_t i = 0; i < ARRAY_LEN(names) && names[i]; i++) {
		_cleanup_free_ char *file_name = xasprintf("%s_FILE", names[i]);
		const char *value = get(env, names[i]);
		const char *path = fileable ? get(env, file_name) : NULL;

		if (path && *path != '\0') {
			if (value && *value != '\0')
				return err_set(err, ERR_INVALID, "%s and %s are both set", names[i],
					       file_name);
			int rc = from_file(file_name, path, ret_value, err);
			if (rc == 0)
				*ret_name = TAKE(file_name);
			return rc;
		}
		if (!value || (*value == '\0' && !text))
			continue;
		*ret_value = xstrdup(value);
		*ret_name = xstrdup(names[i]);
		return 0;
	}
	return 0;
}
