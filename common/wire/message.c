/*
 * message.c: an envelope becomes a task message, or a verdict says why not.
 *
 * Order as in Celery: what may not be deserialized is refused before its body is looked at.
 */
#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "codec.h"
#include "compression.h"
#include "content.h"
#include "json.h"
#include "mem.h"
#include "wire.h"

/* What can be said about a message that will not run: at most `size - 1` bytes, whole characters.
 */
static void copy_name(const json_t *object, const char *key, char *out, size_t size)
{
	const char *text = json_member_str(object, key);
	size_t len = 0;

	for (size_t n; text != NULL && text[len] != '\0'; len += n) {
		n = utf8_valid(text + len, strlen(text + len));
		if (n == 0 || len + n >= size)
			break;
	}
	if (len > 0)
		memcpy(out, text, len);
	out[len] = '\0';
}

static void copy_names(const json_t *object, char *ret_id, char *ret_task)
{
	copy_name(object, "id", ret_id, BOUND_TASK_NAME_BYTES + 1);
	copy_name(object, "task", ret_task, BOUND_TASK_NAME_BYTES + 1);
}

/* [args, kwargs, embed] */
static int read_body(struct message *m, struct err *err)
{
	json_t *embed;

	if (!json_is_array(m->body) || json_array_size(m->body) != 3)
		return err_set(err, ERR_INVALID, "the body is not [args, kwargs, embed]");
	m->args = json_array_get(m->body, 0);
	if (!json_is_array(m->args))
		return err_set(err, ERR_INVALID, "Task args must be a list, not %s",
			       json_type_name(m->args));
	m->kwargs = json_array_get(m->body, 1);
	if (!json_is_object(m->kwargs))
		return err_set(err, ERR_INVALID, "Task keyword arguments must be a mapping, not %s",
			       json_type_name(m->kwargs));
	embed = json_array_get(m->body, 2);
	if (json_is_null(embed)) {
		embed = json_object();
		if (json_array_set_new(m->body, 2, embed) < 0)
			return err_set(err, ERR_NOMEM, "no memory for a message");
	}
	if (!json_is_object(embed))
		return err_set(err, ERR_INVALID, "the body's third element is a %s, not an object",
			       json_type_name(embed));
	m->embed = embed;
	return 0;
}

static int read_task(struct message *m, char *ret_id, char *ret_task, struct err *err)
{
	int rc;

	if (json_object_size(m->headers) > BOUND_HEADERS)
		return err_set(err, ERR_TOOBIG, "%zu headers, at most %d are read",
			       json_object_size(m->headers), BOUND_HEADERS);
	if (message_is_v1(m)) {
		rc = message_from_v1(m, err);
		if (rc < 0)
			return rc;
		copy_names(m->headers, ret_id, ret_task);
	}
	rc = message_read_fields(m, err);
	if (rc < 0)
		return rc;
	return read_body(m, err);
}

/* Takes the body's bytes out of the envelope, unpacked if the header says so. */
static int body_bytes(struct envelope *e, struct message *m, struct buf *out, struct err *err)
{
	_cleanup_buf_ struct buf packed = BUF_INIT(BOUND_BODY_BYTES);
	const json_t *header = json_member(e->headers, "compression");
	const char *name = json_string_value(header);
	const struct compression *c;
	int rc;

	if (header == NULL || (name != NULL && name[0] == '\0'))
		return envelope_take_body(e, out, err);
	c = name != NULL ? compression_find(name) : NULL;
	if (c == NULL)
		return err_set(err, ERR_INVALID, "compression %.80s is not known",
			       name ? name : json_type_name(header));
	rc = envelope_take_body(e, &packed, err);
	if (rc < 0)
		return rc;
	m->compression = c->mime;
	return c->read((struct slice){packed.data, packed.len}, out, err);
}

static enum message_verdict open_signed(struct message *m, struct slice bytes, struct err *err)
{
	int rc = auth_open(bytes.data, bytes.len, &m->body, &m->signer, err);

	if (rc == 0)
		return MESSAGE_OK;
	if (m->signer == NULL)
		return MESSAGE_UNTRUSTED;
	return rc == -ERR_UNSUPPORTED ? MESSAGE_DISALLOWED : MESSAGE_UNDECODABLE;
}

/* Fills m->body. */
static enum message_verdict open_body(struct envelope *e, const struct str_list *accept,
				      struct message *m, struct err *err)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(BOUND_BODY_BYTES);
	const struct content_type *type = NULL;
	enum message_verdict verdict =
		content_check(e->content_type, e->content_encoding, accept, &type, err);

	if (verdict != MESSAGE_OK)
		return verdict;
	m->serializer = type->name;
	if (body_bytes(e, m, &bytes, err) < 0) {
		(void)err_wrap(err, "body");
		return MESSAGE_UNDECODABLE;
	}
	if (type->read == auth_read)
		return open_signed(m, (struct slice){bytes.data, bytes.len}, err);
	if (type->read(bytes.data, bytes.len, &m->body, err) == 0)
		return MESSAGE_OK;
	(void)err_wrap(err, "body");
	return MESSAGE_UNDECODABLE;
}

static enum message_verdict decode(const char *data, size_t len, const struct str_list *accept,
				   struct message **ret, char *ret_id, char *ret_task,
				   struct err *err)
{
	_cleanup_(envelope_done) struct envelope e = {0};
	enum message_verdict verdict;
	struct message *m;

	ret_id[0] = ret_task[0] = '\0';
	if (envelope_parse(data, len, &e, err) < 0)
		return MESSAGE_UNDECODABLE;
	copy_names(e.headers, ret_id, ret_task);
	m = xcalloc(1, sizeof(*m));
	m->headers = e.headers;
	m->properties = e.properties;
	verdict = open_body(&e, accept, m, err);
	m->root = TAKE(e.root);
	if (verdict == MESSAGE_OK && read_task(m, ret_id, ret_task, err) < 0)
		verdict = MESSAGE_INVALID;
	if (verdict == MESSAGE_OK)
		*ret = m;
	else
		message_free(m);
	return verdict;
}

enum message_verdict message_decode(const char *data, size_t len, const struct str_list *accept,
				    struct message **ret, char *ret_id, char *ret_task,
				    struct err *err)
{
	enum message_verdict verdict;

	json_together_begin();
	verdict = decode(data, len, accept, ret, ret_id, ret_task, err);
	json_together_end();
	return verdict;
}

void message_free(struct message *m)
{
	if (m == NULL)
		return;
	json_decref(m->root);
	json_decref(m->body);
	free(m);
}
