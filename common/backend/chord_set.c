/*
 * What the sets of chords hold, and the results that it makes: parts as Celery writes them, read as
 * GroupResult.join would.
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "redis_backend.h"

void chord_set_done(struct chord_set *s)
{
	json_decref(s->parts);
	json_decref(s->group);
	json_decref(s->body);
	*s = (struct chord_set){0};
}

static const char *part_id(const json_t *part)
{
	return json_string_value(json_array_get(part, 1));
}

static const char *part_state(const json_t *part)
{
	return json_string_value(json_array_get(part, 2));
}

/* Each as [1, task id, state, result, score]; a list has no scores. */
static int decode_parts(const struct backend *b, const struct redis_reply *members, bool scored,
			json_t *parts, struct err *err)
{
	size_t step = scored ? 2 : 1;

	for (size_t i = 0; i + step <= redis_reply_count(members); i += step) {
		struct slice score = redis_reply_str(redis_reply_at(members, i + step - 1));
		json_t *part = NULL;
		int rc = backend_unpack(b, redis_reply_str(redis_reply_at(members, i)), &part, err);

		if (rc < 0)
			return err_wrap(err, "part %zu of a chord", i / step);
		json_array_append_new(parts, part);
		if (json_array_size(part) != 4 || part_id(part) == NULL || part_state(part) == NULL)
			return err_set(err, ERR_PROTOCOL, "part %zu of a chord is none", i / step);
		json_array_append_new(
			part, json_text(scored ? score.data : "", scored ? score.len : 0, false));
	}
	return 0;
}

static int decode_group(const struct backend *b, const struct redis_reply *reply, json_t **ret,
			struct err *err)
{
	_cleanup_json_ json_t *meta = NULL;
	int rc;

	if (redis_reply_type(reply) != REDIS_STRING)
		return 0;
	rc = backend_unpack(b, redis_reply_str(reply), &meta, err);
	if (rc == 0)
		*ret = json_incref(json_member(meta, "result"));
	return rc;
}

/* ---- parts of tasks that were counted more than once ---- */

/* Of two parts of one task: the one whose result is the task's, else one that succeeded. */
static bool is_better(const json_t *part, const json_t *than, const json_t *meta)
{
	const json_t *official = json_object_get(meta, "result");
	bool success = strcmp(part_state(part), "SUCCESS") == 0;

	if (strcmp(part_state(than), "SUCCESS") != 0)
		return success;
	if (!success || official == NULL)
		return false;
	return !json_equal(json_array_get(than, 3), official) &&
	       json_equal(json_array_get(part, 3), official);
}

/* One GET at most for each task that is there twice. */
static int meta_of(struct backend *b, const char *id, usec_t deadline, json_t **ret,
		   struct err *err)
{
	_cleanup_json_ json_t *metas = NULL;
	int rc = backend_get_many(b, &id, 1, deadline, &metas, err);

	if (rc < 0)
		return rc;
	*ret = json_incref(json_array_get(metas, 0));
	return 0;
}

/* Leaves one part for each task and place in the header: that with the task's result, or one that
 * succeeded, or the first. */
static int leave_distinct(struct backend *b, json_t *parts, usec_t deadline, struct err *err)
{
	_cleanup_json_ json_t *places = json_object(); /* "<id>:<score>": where its part is */

	for (size_t i = 0; i < json_array_size(parts);) {
		_cleanup_json_ json_t *part = json_incref(json_array_get(parts, i)), *meta = NULL;
		_cleanup_free_ char *key = xasprintf("%s:%s", part_id(part),
						     json_string_value(json_array_get(part, 4)));
		json_t *place = json_object_get(places, key);
		size_t at = (size_t)json_integer_value(place);
		int rc;

		if (place == NULL) {
			json_object_set_new_nocheck(places, key, json_integer((json_int_t)i));
			i++;
			continue;
		}
		rc = meta_of(b, part_id(part), deadline, &meta, err);
		if (rc < 0)
			return rc;
		json_array_remove(parts, i);
		if (is_better(part, json_array_get(parts, at), meta))
			json_array_set(parts, at, part);
	}
	return 0;
}

int backend_chord_read(struct backend *b, const struct redis_reply *reply, size_t first,
		       usec_t deadline, struct chord_set *ret, struct err *err)
{
	_cleanup_(chord_set_done) struct chord_set s = {.parts = json_array()};
	int64_t total = redis_reply_int(redis_reply_at(reply, first));
	bool scored = redis_reply_int(redis_reply_at(reply, first + 3)) == 1;
	int rc = decode_parts(b, redis_reply_at(reply, first + 1), scored, s.parts, err);

	if (rc == 0)
		rc = leave_distinct(b, s.parts, deadline, err);
	if (rc == 0)
		rc = decode_group(b, redis_reply_at(reply, first + 2), &s.group, err);
	if (rc == 0 && first + 4 < redis_reply_count(reply)) {
		struct slice body = redis_reply_str(redis_reply_at(reply, first + 4));

		rc = body.len > 0 ? json_load_python(body.data, body.len, &s.body, err) : 0;
	}
	if (rc < 0 || (int64_t)json_array_size(s.parts) < total)
		return rc;
	*ret = s;
	s = (struct chord_set){0};
	return 1;
}

/* ---- results ---- */

static bool is_failure(const char *state)
{
	return strcmp(state, "FAILURE") == 0 || strcmp(state, "REVOKED") == 0;
}

struct join {
	struct backend *backend;
	usec_t deadline;
	json_t *by_id;	      /* id: part */
	const json_t *failed; /* or NULL */
	struct err *err;
};

/* A result that is in no part: what the backend has of it. */
static int join_stored(struct join *j, const char *id, json_t **ret)
{
	_cleanup_json_ json_t *meta = NULL;
	const char *state;
	int rc = meta_of(j->backend, id, j->deadline, &meta, j->err);

	if (rc < 0)
		return rc;
	state = json_member_str(meta, "status");
	if (state == NULL || strcmp(state, "SUCCESS") != 0)
		return err_set(j->err, state && is_failure(state) ? ERR_CONFLICT : ERR_NOTFOUND,
			       "the result of %.80s is %.20s", id, state ? state : "not there");
	if (json_object_get(meta, "result") == NULL)
		return err_set(j->err, ERR_PROTOCOL, "the result of %.80s cannot be read", id);
	*ret = json_incref(json_object_get(meta, "result"));
	return 0;
}

static int join_one(struct join *j, const char *id, json_t **ret)
{
	json_t *part = json_object_get(j->by_id, id);

	if (part == NULL)
		return join_stored(j, id, ret);
	if (is_failure(part_state(part))) {
		j->failed = part;
		return err_set(j->err, ERR_CONFLICT, "%.80s failed", id);
	}
	*ret = json_incref(json_array_get(part, 3));
	return 0;
}

/* [[id, parent], children or null], or [id, …]: the value, or a list of those of the children. */
static int join_tuple(struct join *j, const json_t *tuple, size_t depth, json_t **ret)
{
	const json_t *head = json_array_get(tuple, 0), *children = json_array_get(tuple, 1);
	const char *id = json_string_value(json_is_array(head) ? json_array_get(head, 0) : head);
	_cleanup_json_ json_t *list = NULL;

	if (depth > BOUND_CANVAS_DEPTH)
		return err_set(j->err, ERR_TOOBIG, "results nested more than %d deep",
			       BOUND_CANVAS_DEPTH);
	if (!json_is_array(children))
		return id ? join_one(j, id, ret)
			  : err_set(j->err, ERR_PROTOCOL, "a result without an id");
	list = json_array();
	for (size_t i = 0; i < json_array_size(children); i++) {
		json_t *value = NULL;
		int rc = join_tuple(j, json_array_get(children, i), depth + 1, &value);

		if (rc < 0)
			return rc;
		json_array_append_new(list, value);
	}
	*ret = TAKE(list);
	return 0;
}

static int join_flat(const json_t *parts, json_t **ret, const json_t **ret_failed, struct err *err)
{
	_cleanup_json_ json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *part = json_array_get(parts, i);

		if (is_failure(part_state(part))) {
			*ret_failed = part;
			return err_set(err, ERR_CONFLICT, "%.80s failed", part_id(part));
		}
		json_array_append(list, json_array_get(part, 3));
	}
	*ret = TAKE(list);
	return 0;
}

int backend_chord_results(struct backend *b, const struct chord_set *s, usec_t deadline,
			  json_t **ret, const json_t **ret_failed, struct err *err)
{
	_cleanup_json_ json_t *by_id = NULL;
	struct join j = {.backend = b, .deadline = deadline, .err = err};
	int rc;

	*ret_failed = NULL;
	if (!json_is_array(json_array_get(s->group, 1)))
		return join_flat(s->parts, ret, ret_failed, err);
	by_id = json_object();
	for (size_t i = 0; i < json_array_size(s->parts); i++) {
		json_t *part = json_array_get(s->parts, i);

		json_object_set_nocheck(by_id, part_id(part), part);
	}
	j.by_id = by_id;
	rc = join_tuple(&j, s->group, 1, ret);
	*ret_failed = j.failed;
	return rc;
}
