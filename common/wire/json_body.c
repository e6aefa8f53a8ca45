/*
 * json_body.c: bodies in JSON: Python's, with kombu's typed values, which must be ones that kombu
 * knows.
 */
#include <string.h>

#include "content.h"
#include "json.h"
#include "typed.h"

/* Whether there can be a typed value at all: its key, plain or with its first letters escaped. */
static bool may_be_typed(const char *text, size_t len)
{
	return memmem(text, len, "__type__", 8) != NULL || memmem(text, len, "\\u00", 4) != NULL;
}

int json_body_read(const char *data, size_t len, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *value = NULL;
	int rc = json_load_python(data, len, &value, err);

	if (rc < 0)
		return rc;
	if (may_be_typed(data, len)) {
		rc = typed_check(value, err);
		if (rc < 0)
			return rc;
	}
	*ret = TAKE(value);
	return 0;
}

int json_body_write(const json_t *value, struct buf *out, struct err *err)
{
	json_dump_python(value, out);
	return buf_status(out, err);
}
