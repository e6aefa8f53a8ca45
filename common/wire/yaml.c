/*
 * yaml.c: bodies in YAML, as PyYAML's safe_load reads them: scalars, lists and mappings, nothing
 * that makes an object. Built from libyaml's events on a stack of our own.
 *
 * An alias is a copy of what its anchor names, and what all copies weigh (bytes of text, and for
 * each value as much as it has of memory at least) stays below the largest body, so that a few
 * lines cannot become gigabytes. A value that contains itself has no anchor yet when it is named,
 * and is refused.
 */
#include <string.h>
#include <yaml.h>

#include "bounds.h"
#include "content.h"
#include "json.h"
#include "mem.h"
#include "yaml_scalar.h"

#define VALUE_WEIGHT (BOUND_BODY_BYTES / BOUND_JSON_VALUES)

struct level {
	json_t *value; /* array or object */
	json_t *key;   /* of an object: read, its value not yet; a string */
	char *anchor;
	size_t height; /* deepest level below, for aliases of it */
	size_t weight; /* what the whole weighs */
};

struct reader {
	yaml_parser_t parser;
	struct level *levels;
	size_t depth;
	json_t *anchors; /* name: [value, height, weight] */
	json_t *result;
	size_t weight;
	unsigned documents;
};

static int parse_error(const yaml_parser_t *p, struct err *err)
{
	if (p->error == YAML_MEMORY_ERROR)
		return err_set(err, ERR_NOMEM, "no memory to read YAML");
	return err_set(err, ERR_INVALID, "YAML: %s at line %zu",
		       p->problem ? p->problem : "not readable", p->problem_mark.line + 1);
}

/* What Python's json.dumps makes of a key: objects here have none but strings. */
static int key_text(json_t *value, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *owned = value;
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_BODY_BYTES);

	if (json_is_string(value) && !json_is_python_number(value)) {
		if (memchr(json_string_value(value), '\0', json_string_length(value)) != NULL)
			return err_set(err, ERR_UNSUPPORTED, "YAML: a key with a NUL");
		*ret = TAKE(owned);
		return 0;
	}
	if (json_is_object(value) || json_is_array(value))
		return err_set(err, ERR_INVALID, "YAML: found an unhashable key");
	json_dump_python(value, &text);
	if (buf_status(&text, err) < 0)
		return err_wrap(err, "YAML: a key");
	*ret = json_text(text.data, text.len, false);
	return 0;
}

static int set_anchor(struct reader *r, const char *name, json_t *value, size_t height,
		      size_t weight, struct err *err)
{
	json_t *entry = json_pack("[O, I, I]", value, (json_int_t)height, (json_int_t)weight);

	if (json_object_set_new(r->anchors, name, entry) < 0)
		return err_set(err, ERR_NOMEM, "no memory for a YAML anchor");
	return 0;
}

static int weigh(struct reader *r, size_t weight, struct err *err)
{
	r->weight += weight;
	if (weight > BOUND_BODY_BYTES || r->weight > BOUND_BODY_BYTES)
		return err_set(err, ERR_TOOBIG, "YAML: more than %u bytes with all aliases",
			       BOUND_BODY_BYTES);
	return 0;
}

/* Takes a finished value to where it belongs; `value` is taken. */
static int place(struct reader *r, json_t *value, size_t height, size_t weight, struct err *err)
{
	struct level *top = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
	int failed;

	if (top == NULL) {
		json_decref(r->result);
		r->result = value;
		return 0;
	}
	top->weight += weight;
	if (top->height < height + 1)
		top->height = height + 1;
	if (json_is_array(top->value)) {
		failed = json_array_append_new(top->value, value);
	} else if (top->key == NULL) {
		return key_text(value, &top->key, err);
	} else {
		failed = json_object_setn_new_nocheck(top->value, json_string_value(top->key),
						      json_string_length(top->key), value);
		json_decref(TAKE(top->key));
	}
	return failed ? err_set(err, ERR_NOMEM, "no memory for YAML") : 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *e, struct err *err)
{
	const char *text = (const char *)e->data.scalar.value;
	const char *tag = (const char *)e->data.scalar.tag;
	const char *anchor = (const char *)e->data.scalar.anchor;
	size_t len = e->data.scalar.length;
	json_t *value = NULL;
	bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	size_t weight = len + VALUE_WEIGHT;
	int rc = weigh(r, weight, err);

	if (rc < 0)
		return rc;
	if (tag != NULL && tag[0] != '\0' && !(plain && strcmp(tag, "!") == 0))
		rc = yaml_tagged_value(tag, text, len, &value, err);
	else if (plain)
		rc = yaml_plain_value(text, len, &value, err);
	else
		value = json_text(text, len, false);
	if (rc == 0 && anchor != NULL) {
		rc = set_anchor(r, anchor, value, 0, weight, err);
		if (rc < 0)
			json_decref(TAKE(value));
	}
	return rc == 0 ? place(r, value, 0, weight, err) : rc;
}

static int on_alias(struct reader *r, const yaml_event_t *e, struct err *err)
{
	const json_t *entry = json_object_get(r->anchors, (const char *)e->data.alias.anchor);
	size_t height, weight;
	json_t *copy;
	int rc;

	if (entry == NULL)
		return err_set(err, ERR_INVALID,
			       "YAML: an alias of nothing, or of what it is part of");
	height = (size_t)json_integer_value(json_array_get(entry, 1));
	weight = (size_t)json_integer_value(json_array_get(entry, 2));
	if (r->depth + height > BOUND_JSON_DEPTH)
		return err_set(err, ERR_TOOBIG, "YAML: nested more than %d deep", BOUND_JSON_DEPTH);
	rc = weigh(r, weight, err);
	if (rc < 0)
		return rc;
	copy = json_deep_copy(json_array_get(entry, 0));
	if (copy == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a YAML alias");
	return place(r, copy, height, weight, err);
}

static int on_start(struct reader *r, bool mapping, const yaml_char_t *tag,
		    const yaml_char_t *anchor, struct err *err)
{
	const char *wanted = mapping ? YAML_MAP_TAG : YAML_SEQ_TAG;
	const char *name = (const char *)tag;

	if (name != NULL && name[0] != '\0' && strcmp(name, "!") != 0 && strcmp(name, wanted) != 0)
		return err_set(err, ERR_INVALID, "a YAML value of tag %.60s is not read", name);
	if (r->depth >= BOUND_JSON_DEPTH)
		return err_set(err, ERR_TOOBIG, "YAML: nested more than %d deep", BOUND_JSON_DEPTH);
	r->levels[r->depth++] =
		(struct level){.value = mapping ? json_object() : json_array(),
			       .anchor = anchor != NULL ? xstrdup((const char *)anchor) : NULL,
			       .weight = VALUE_WEIGHT};
	return weigh(r, VALUE_WEIGHT, err);
}

static int on_end(struct reader *r, struct err *err)
{
	struct level done = r->levels[--r->depth];
	_cleanup_free_ char *anchor = done.anchor;
	int rc = 0;

	if (anchor != NULL)
		rc = set_anchor(r, anchor, done.value, done.height, done.weight, err);
	if (rc < 0) {
		json_decref(done.value);
		return rc;
	}
	return place(r, done.value, done.height, done.weight, err);
}

static int on_event(struct reader *r, const yaml_event_t *e, struct err *err)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (r->documents++ > 0)
			return err_set(err, ERR_INVALID, "YAML: more than one document");
		return 0;
	case YAML_SCALAR_EVENT:
		return on_scalar(r, e, err);
	case YAML_ALIAS_EVENT:
		return on_alias(r, e, err);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(r, false, e->data.sequence_start.tag, e->data.sequence_start.anchor,
				err);
	case YAML_MAPPING_START_EVENT:
		return on_start(r, true, e->data.mapping_start.tag, e->data.mapping_start.anchor,
				err);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(r, err);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	default:
		return 0;
	}
}

static int read_all(struct reader *r, struct err *err)
{
	yaml_event_type_t type;
	yaml_event_t e;
	int rc;

	do {
		if (!yaml_parser_parse(&r->parser, &e))
			return parse_error(&r->parser, err);
		type = e.type;
		rc = on_event(r, &e, err);
		yaml_event_delete(&e);
	} while (rc == 0 && type != YAML_STREAM_END_EVENT);
	return rc;
}

static void reader_done(struct reader *r)
{
	while (r->depth > 0) {
		struct level *l = &r->levels[--r->depth];

		json_decref(l->value);
		json_decref(l->key);
		cleanup_free_p(&l->anchor);
	}
	cleanup_free_p(&r->levels);
	json_decref(r->anchors);
	json_decref(r->result);
	yaml_parser_delete(&r->parser);
}

int yaml_read(const char *data, size_t len, json_t **ret, struct err *err)
{
	struct reader r = {0};
	int rc;

	if (!yaml_parser_initialize(&r.parser))
		return err_set(err, ERR_NOMEM, "no memory to read YAML");
	r.levels = xcalloc(BOUND_JSON_DEPTH, sizeof(*r.levels));
	r.anchors = json_object();
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)data, len);
	rc = read_all(&r, err);
	if (rc == 0)
		*ret = r.result != NULL ? TAKE(r.result) : json_null();
	reader_done(&r);
	return rc;
}
