/*
 * raw.c: application/data and text: the body is one string, or bytes. Nothing that a task could be
 * called with, but not for the reader to say.
 */
#include <string.h>

#include "codec.h"
#include "content.h"
#include "json.h"
#include "typed.h"

int raw_read(const char *data, size_t len, json_t **ret, struct err *err)
{
	json_t *value = NULL;
	size_t i = 0;

	for (size_t n; i < len; i += n) {
		n = utf8_valid(data + i, len - i);
		if (n == 0)
			break;
	}
	value = i == len ? json_text(data, len, false) : typed_bytes(data, len);
	if (value == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %zu bytes of data", len);
	*ret = value;
	return 0;
}

int raw_write(const json_t *value, struct buf *out, struct err *err)
{
	return typed_read_bytes(value, out, err);
}
