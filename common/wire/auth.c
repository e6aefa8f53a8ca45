/*
 * auth.c: signed bodies (celery/security/serialization.py): the base64 of five fields with the
 * bytes 0 and 1 between them: who signed, the signature, the content type and encoding of what is
 * signed, and that.
 *
 * Since Celery 5.5 the first two are base64 themselves; until 5.4 they are plain, and the signature
 * is as long as the signer's key says. Both are read. Only the last field is under the signature,
 * so the type in the third picks no more than which of the safe readers reads it.
 */
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "content.h"
#include "security.h"

#define SEPARATOR      "\0\1"
#define SEPARATOR_SIZE ((size_t)2)
#define SIGNER_MAX     1024
#define SIGNATURE_MAX  4096
#define NOT_SIGNED     "not a signed message"

/* Cuts the next field off; false when no separator follows. */
static bool next_field(struct slice *rest, struct slice *ret)
{
	const char *end = memmem(rest->data, rest->len, SEPARATOR, SEPARATOR_SIZE);

	if (end == NULL)
		return false;
	*ret = (struct slice){rest->data, (size_t)(end - rest->data)};
	rest->len -= ret->len + SEPARATOR_SIZE;
	rest->data = end + SEPARATOR_SIZE;
	return true;
}

static bool decode(struct slice field, struct buf *out)
{
	struct err err;

	return base64_decode(field.data, field.len, out, &err) == 0 && buf_status(out, &err) == 0;
}

/* The signature of the old form: so long, whatever bytes are in it. */
static bool cut_signature(const struct certificate *c, struct slice *rest, struct slice *ret)
{
	size_t len = security_signature_size(c);

	if (rest->len < len + SEPARATOR_SIZE ||
	    memcmp(rest->data + len, SEPARATOR, SEPARATOR_SIZE) != 0)
		return false;
	*ret = (struct slice){rest->data, len};
	rest->data += len + SEPARATOR_SIZE;
	rest->len -= len + SEPARATOR_SIZE;
	return true;
}

/* Who signed, and the signature, in either form; `space` holds what had to be decoded. */
static int read_signer(struct slice *rest, struct buf *space, const struct certificate **ret,
		       struct slice *signature, struct err *err)
{
	_cleanup_buf_ struct buf id = BUF_INIT(SIGNER_MAX);
	struct slice field;

	if (!next_field(rest, &field))
		return err_set(err, ERR_DENIED, NOT_SIGNED);
	*ret = security_find(field);
	if (*ret != NULL)
		return cut_signature(*ret, rest, signature)
			       ? 0
			       : err_set(err, ERR_DENIED, "%s: no signature", NOT_SIGNED);
	if (!decode(field, &id))
		return err_set(err, ERR_DENIED, "Unknown certificate: '%.*s'",
			       (int)(field.len < 120 ? field.len : 120), field.data);
	*ret = security_find((struct slice){id.data, id.len});
	if (*ret == NULL)
		return err_set(err, ERR_DENIED, "Unknown certificate: '%.120s'", id.data);
	if (!next_field(rest, &field) || !decode(field, space))
		return err_set(err, ERR_DENIED, "%s: no signature", NOT_SIGNED);
	*signature = (struct slice){space->data, space->len};
	return 0;
}

/* What is signed is read by one of the safe readers, never as something signed again. */
static const struct content_type *inner_type(struct slice mime)
{
	char name[64];
	const struct content_type *t;

	if (mime.len >= sizeof(name))
		return NULL;
	memcpy(name, mime.data, mime.len);
	name[mime.len] = '\0';
	t = content_find(name);
	return t != NULL && strcmp(t->mime, name) == 0 && t->read != raw_read &&
			       t->read != auth_read
		       ? t
		       : NULL;
}

int auth_open(const char *data, size_t len, json_t **ret, const char **ret_signer, struct err *err)
{
	_cleanup_buf_ struct buf raw = BUF_INIT(BOUND_BODY_BYTES), space = BUF_INIT(SIGNATURE_MAX);
	const struct certificate *signer = NULL;
	const struct content_type *type;
	struct slice rest, signature, mime, encoding;
	int rc;

	if (!decode((struct slice){data, len}, &raw))
		return err_set(err, ERR_DENIED, NOT_SIGNED);
	rest = (struct slice){raw.data, raw.len};
	rc = read_signer(&rest, &space, &signer, &signature, err);
	if (rc < 0)
		return rc;
	if (!next_field(&rest, &mime) || !next_field(&rest, &encoding))
		return err_set(err, ERR_DENIED, "%s: no content type", NOT_SIGNED);
	rc = security_verify(signer, rest, signature, err);
	if (rc < 0)
		return rc;
	*ret_signer = security_id(signer);
	type = inner_type(mime);
	if (type == NULL)
		return err_set(err, ERR_UNSUPPORTED,
			       "Refusing to deserialize signed content of type %.*s",
			       (int)(mime.len < 80 ? mime.len : 80), mime.data);
	return type->read(rest.data, rest.len, ret, err);
}

int auth_read(const char *data, size_t len, json_t **ret, struct err *err)
{
	const char *signer;

	return auth_open(data, len, ret, &signer, err);
}

int auth_wrap(struct slice body, struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf signature = BUF_INIT(SIGNATURE_MAX),
				 fields = BUF_INIT(BOUND_BODY_BYTES);
	const char *id = security_id(security_own());
	int rc = security_sign(body, &signature, err);

	if (rc < 0)
		return rc;
	if (security_old_form()) {
		buf_append_str(&fields, id);
		buf_append(&fields, SEPARATOR, SEPARATOR_SIZE);
		buf_append(&fields, signature.data, signature.len);
	} else {
		base64_encode(id, strlen(id), &fields);
		buf_append(&fields, SEPARATOR, SEPARATOR_SIZE);
		base64_encode(signature.data, signature.len, &fields);
	}
	buf_append(&fields, SEPARATOR "application/json" SEPARATOR "utf-8" SEPARATOR,
		   3 * SEPARATOR_SIZE + strlen("application/json") + strlen("utf-8"));
	buf_append(&fields, body.data, body.len);
	rc = buf_status(&fields, err);
	if (rc < 0)
		return rc;
	base64_encode(fields.data, fields.len, out);
	return buf_status(out, err);
}

int auth_write(const json_t *value, struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf body = BUF_INIT(BOUND_BODY_BYTES);
	int rc = json_body_write(value, &body, err);

	return rc < 0 ? rc : auth_wrap((struct slice){body.data, body.len}, out, err);
}
