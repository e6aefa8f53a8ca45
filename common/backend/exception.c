/*
 * Stored exceptions, {exc_type, exc_message, exc_module}, as Python would show them.
 */
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "backend.h"

static char *raw_repr(const json_t *exception)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_ERROR_TEXT * 4);
	const char *type = json_member_str(exception, "exc_type");
	json_t *args = json_object_get(exception, "exc_message");
	_cleanup_json_ json_t *list = json_is_array(args)
					      ? json_incref(args)
					      : (args ? json_pack("[O]", args) : json_array());

	buf_append_str(&text, type ? type : "Exception");
	buf_append_char(&text, '(');
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (i > 0)
			buf_append_str(&text, ", ");
		json_repr(json_array_get(list, i), BOUND_REPR_BYTES, &text);
	}
	buf_append_char(&text, ')');
	return xstrdup(text.data);
}

char *backend_exception_repr(const json_t *exception)
{
	_cleanup_buf_ struct buf name = BUF_INIT(BOUND_REPR_BYTES * 2);
	const char *type = json_member_str(exception, "exc_type");
	const char *module = json_member_str(exception, "exc_module");

	/* The one class of Celery's with a repr of its own. */
	if (type == NULL || module == NULL || strcmp(type, "NotRegistered") != 0 ||
	    strcmp(module, "celery.exceptions") != 0)
		return raw_repr(exception);
	json_repr(json_array_get(json_object_get(exception, "exc_message"), 0), BOUND_REPR_BYTES,
		  &name);
	return xasprintf("Task of kind %s never registered, please make sure it's imported.",
			 name.data);
}
