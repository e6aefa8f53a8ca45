/*
 * execute_code_files.c: the input files of a run: [{name, content}], names that can only mean a
 * file beside the code, contents in base64.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "execute_code.h"
#include "json.h"
#include "mem.h"
#include "tasks.h"

/* Names below /sandbox that are ours. */
static const char *const g_reserved[] = {"output", ".celeriac"};

/* Why `name` may not be one; NULL when it may. */
static const char *bad_name(const char *name, size_t len)
{
	if (len == 0)
		return "is empty";
	if (len > BOUND_FILE_NAME_BYTES)
		return "is longer than 255 bytes";
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "is a directory";
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '/')
			return "holds a slash";
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return "holds a control character";
	}
	for (size_t i = 0; i < ARRAY_LEN(g_reserved); i++) {
		if (strcmp(name, g_reserved[i]) == 0)
			return "is reserved";
	}
	return NULL;
}

static int check_members(struct task_ctx *ctx, size_t i, const json_t *file, struct err *err)
{
	const char *const wanted[] = {"name", "content"};
	const char *key;
	json_t *value;

	if (!json_is_object(file))
		return raise_type_error(ctx, err, "files[%zu] must be dict, not %s", i,
					json_type_name(file));
	json_object_foreach((json_t *)(uintptr_t)file, key, value)
	{
		if (strcmp(key, "name") != 0 && strcmp(key, "content") != 0)
			return raise_value_error(ctx, err, "files[%zu] has an unknown key '%.100s'",
						 i, key);
	}
	for (size_t k = 0; k < ARRAY_LEN(wanted); k++) {
		value = json_object_get(file, wanted[k]);
		if (value == NULL)
			return raise_value_error(ctx, err, "files[%zu] has no '%s'", i, wanted[k]);
		if (!json_is_string(value) || json_is_python_number(value))
			return raise_type_error(ctx, err, "files[%zu].%s must be str, not %s", i,
						wanted[k], json_type_name(value));
	}
	return 0;
}

static int check_name(struct task_ctx *ctx, size_t i, const struct execute_args *a,
		      const json_t *name, struct err *err)
{
	const char *text = json_string_value(name);
	const char *reason = bad_name(text, json_string_length(name));

	if (reason != NULL)
		return raise_attempt(ctx, err, "files[%zu].name %s", i, reason);
	for (size_t k = 0; k < i; k++) {
		if (strcmp(a->files[k].name, text) == 0)
			return raise_value_error(
				ctx, err, "files[%zu].name is the same as that of files[%zu]", i,
				k);
	}
	return 0;
}

static int read_content(struct task_ctx *ctx, size_t i, const json_t *content,
			struct sandbox_file *file, struct err *err)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(BOUND_INPUT_FILE_BYTES);
	struct err why = {0};
	char *data = NULL;
	int rc = base64_decode(json_string_value(content), json_string_length(content), &bytes,
			       &why);

	if (rc == 0)
		rc = buf_take(&bytes, &data, &file->len, &why);
	if (rc == -ERR_TOOBIG)
		return raise_value_error(ctx, err, "files[%zu].content has more than %u bytes", i,
					 BOUND_INPUT_FILE_BYTES);
	if (rc < 0)
		return raise_value_error(ctx, err, "files[%zu].content is not base64: %s", i,
					 why.msg);
	file->data = data;
	return 0;
}

int execute_files_read(struct task_ctx *ctx, const json_t *list, struct execute_args *a,
		       struct err *err)
{
	size_t count = json_array_size(list), total = 0;

	if (count > BOUND_INPUT_FILES)
		return raise_value_error(ctx, err, "files has %zu entries, at most %d are allowed",
					 count, BOUND_INPUT_FILES);
	a->files = xcalloc(count + 1, sizeof(*a->files));
	a->run.files = a->files;
	for (size_t i = 0; i < count; i++) {
		const json_t *file = json_array_get(list, i);
		const json_t *name = json_object_get(file, "name");
		int rc = check_members(ctx, i, file, err);

		if (rc == 0)
			rc = check_name(ctx, i, a, name, err);
		if (rc == 0)
			rc = read_content(ctx, i, json_object_get(file, "content"), &a->files[i],
					  err);
		if (rc < 0)
			return rc;
		a->files[i].name = json_string_value(name);
		a->run.file_count = i + 1;
		total += a->files[i].len;
		if (total > BOUND_INPUT_BYTES)
			return raise_value_error(ctx, err, "files have more than %u bytes together",
						 BOUND_INPUT_BYTES);
	}
	return 0;
}
