/*
 * reply.c: a result as a message. See reply.h.
 */
#include "reply.h"

#include "bounds.h"
#include "content.h"
#include "json.h"
#include "wire.h"

int reply_encode(const char *serializer, const json_t *meta, bool persistent, const char *reply_to,
		 const char *correlation_id, struct buf *out, struct err *err)
{
	const struct content_type *type = content_find(serializer);
	_cleanup_json_ json_t *headers = json_object();
	_cleanup_json_ json_t *properties =
		json_pack("{s:s, s:i, s:{s:s, s:s}, s:i}", "correlation_id", correlation_id,
			  "delivery_mode", persistent ? 2 : 1, "delivery_info", "exchange", "",
			  "routing_key", reply_to, "priority", 0);
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_RESULT_BYTES);
	int rc;

	if (type == NULL || type->write == NULL)
		return err_set(err, ERR_UNSUPPORTED, "no message is written as %.40s", serializer);
	if (properties == NULL)
		return err_set(err, ERR_INVALID, "reply_to or correlation_id is not UTF-8");
	rc = type->write(meta, &body, err);
	if (rc == 0)
		rc = buf_status(&body, err);
	return rc < 0 ? rc
		      : envelope_write(type->mime, headers, properties,
				       (struct slice){body.data, body.len}, out, err);
}
