/*
 * Chords on Redis: the sets that Celery's own workers share with us.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "redis_backend.h"

#define GROUP_PREFIX "celery-taskset-meta-"

void backend_chord_keys(const struct backend *b, const char *group_id, char *ret[CHORD_KEYS])
{
	static const char *const suffixes[CHORD_KEYS] = {".j", ".t", ".s", ".celeriac"};

	for (int i = 0; i < CHORD_KEYS; i++) {
		ret[i] = xasprintf("%s" GROUP_PREFIX "%s%s", b->key_prefix, group_id, suffixes[i]);
	}
}

void backend_chord_size(const struct backend *b, const char *group_id, int64_t size,
			struct backend_write *ret)
{
	*ret = (struct backend_write){
		.key = xasprintf("%s" GROUP_PREFIX "%s.s", b->key_prefix, group_id),
		.value = xasprintf("%lld", (long long)size),
		.ttl = b->ttl};
	ret->len = strlen(ret->value);
}

int backend_group_encode(const struct backend *b, const char *group_id, const json_t *results,
			 struct backend_write *ret, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_RESULT_BYTES);
	_cleanup_json_ json_t *meta = json_object();
	int rc;

	json_object_set(meta, "result", (json_t *)(uintptr_t)results);
	json_dump_python(meta, &out);
	*ret = (struct backend_write){.ttl = b->ttl};
	rc = buf_take(&out, &ret->value, &ret->len, err);
	if (rc < 0)
		return err_wrap(err, "group %s", group_id);
	ret->key = xasprintf("%s" GROUP_PREFIX "%s", b->key_prefix, group_id);
	return 0;
}

static int encode_part(const struct chord_part *part, char **ret, size_t *ret_len, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_RESULT_BYTES);
	_cleanup_json_ json_t *array = json_array();

	json_array_append_new(array, json_integer(1));
	json_array_append_new(array, json_text(part->task_id, strlen(part->task_id), false));
	json_array_append_new(array, json_string(task_state_name(part->state)));
	if (part->result != NULL)
		json_array_append(array, (json_t *)(uintptr_t)part->result);
	else
		json_array_append_new(array, json_null());
	json_dump_python(array, &out);
	return buf_take(&out, ret, ret_len, err);
}

static int decode_parts(const struct redis_reply *reply, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *parts = json_array();

	for (size_t i = 0; i < redis_reply_count(reply); i++) {
		struct slice text = redis_reply_str(redis_reply_at(reply, i));
		json_t *part = NULL;
		int rc = json_load_python(text.data, text.len, &part, err);

		if (rc < 0)
			return err_wrap(err, "part %zu of a chord", i);
		json_array_append_new(parts, part);
		if (!json_is_array(part) || json_array_size(part) != 4)
			return err_set(err, ERR_PROTOCOL, "part %zu of a chord is none", i);
	}
	*ret = TAKE(parts);
	return 0;
}

int backend_chord_part(struct backend *b, const struct chord_part *part, usec_t deadline,
		       json_t **ret_parts, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ char *text = NULL;
	char *keys[CHORD_KEYS];
	char score[24] = "+inf";
	size_t len;
	int rc;

	if (b->link == NULL)
		return err_set(err, ERR_UNSUPPORTED, "chords need a result backend");
	rc = encode_part(part, &text, &len, err);
	if (rc < 0)
		return err_wrap(err, "chord %s", part->group_id);
	if (part->group_index >= 0)
		snprintf(score, sizeof(score), "%lld", (long long)part->group_index);
	backend_chord_keys(b, part->group_id, keys);
	redis_command(&commands, "EVALSHA %s 4 %s %s %s %s %s %b %s %lld %d", b->chord_part.sha,
		      keys[0], keys[1], keys[2], keys[3], part->task_id, text, len, score,
		      (long long)b->ttl, b->chord_ordered ? 1 : 0);
	for (int i = 0; i < CHORD_KEYS; i++) {
		free(keys[i]);
	}
	rc = redis_link_exchange(b->link, &commands, 1, REDIS_LINK_KEEP, deadline, &reply, err);
	if (rc < 0)
		return err_wrap(err, "chord %s", part->group_id);
	*ret_parts = NULL;
	if (redis_reply_type(reply) == REDIS_ERROR)
		return err_set(err, ERR_FAILED, "chord %s: %.*s", part->group_id,
			       (int)redis_reply_str(reply).len, redis_reply_str(reply).data);
	return redis_reply_type(reply) == REDIS_ARRAY ? decode_parts(reply, ret_parts, err) : 0;
}
