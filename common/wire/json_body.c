/*
 * json_body.c: bodies in JSON: Python's, with kombu's typed values, which must be ones that kombu
 * knows.
 */
#include "content.h"
#include "json.h"
#include "typed.h"

int json_body_read(const char *data, size_t len, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *value = NULL;
	bool typed;
	int rc = json_load_python_noting(data, len, TYPED_KEY, &typed, &value, err);

	if (rc < 0)
		return rc;
	if (typed) {
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
