/*
 * Chords on Redis: the sets that Celery's own workers share with us.
 */
#include "chord.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "mem.h"
#include "redis_backend.h"

#define CLAIM_SECONDS 60  /* of a body that is being published to another server */
#define PART_COMPLETE 6	  /* fields of chord_part.lua's answer when all parts are in */
#define DONE_SECONDS  300 /* as long as Celery 5.7 remembers the end of a chord */

static const struct {
	const char *prefix, *suffix;
	bool whole; /* without the group's id */
} g_keys[CHORD_KEYS] = {
	[CHORD_PARTS] = {BACKEND_GROUP_PREFIX, ".j", false},
	[CHORD_EXTRA] = {BACKEND_GROUP_PREFIX, ".t", false},
	[CHORD_SIZE] = {BACKEND_GROUP_PREFIX, ".s", false},
	[CHORD_IN] = {BACKEND_GROUP_PREFIX, ".d", false},
	[CHORD_CLAIM] = {BACKEND_GROUP_PREFIX, ".c", false},
	[CHORD_GROUP] = {BACKEND_GROUP_PREFIX, "", false},
	[CHORD_OURS] = {"celeriac:chord:", "", false},
	[CHORD_OPEN] = {"celeriac:chords", "", true},
};

void backend_chord_keys(const struct backend *b, const char *group_id, char *ret[CHORD_KEYS])
{
	for (int i = 0; i < CHORD_KEYS; i++) {
		ret[i] = xasprintf("%s%s%s%s", redis_of(b)->key_prefix, g_keys[i].prefix,
				   g_keys[i].whole ? "" : group_id, g_keys[i].suffix);
	}
}

void backend_chord_keys_done(char *keys[CHORD_KEYS])
{
	for (int i = 0; i < CHORD_KEYS; i++) {
		free(TAKE(keys[i]));
	}
}

void backend_chord_size(const struct backend *b, const char *group_id, int64_t size,
			struct backend_write *ret)
{
	*ret = (struct backend_write){.key = xasprintf("%s" BACKEND_GROUP_PREFIX "%s.s",
						       redis_of(b)->key_prefix, group_id),
				      .value = xasprintf("%lld", (long long)size),
				      .ttl = b->ttl};
	ret->len = strlen(ret->value);
}

int backend_group_encode(const struct backend *b, const char *group_id, const json_t *results,
			 struct backend_write *ret, struct err *err)
{
	_cleanup_json_ json_t *meta = json_object();
	int rc;

	json_object_set(meta, "result", (json_t *)(uintptr_t)results);
	*ret = (struct backend_write){.ttl = b->ttl};
	rc = backend_pack(b, meta, &ret->value, &ret->len, err);
	if (rc < 0)
		return err_wrap(err, "group %s", group_id);
	ret->key = xasprintf("%s" BACKEND_GROUP_PREFIX "%s", redis_of(b)->key_prefix, group_id);
	return 0;
}

int backend_reply_error(const struct redis_reply *reply, const char *group_id, struct err *err)
{
	struct slice text = redis_reply_str(reply);

	if (redis_reply_type(reply) != REDIS_ERROR)
		return err_set(err, ERR_PROTOCOL, "chord %.80s: an unexpected answer of Redis",
			       group_id);
	return err_set(err, ERR_FAILED, "chord %.80s: %.*s", group_id, (int)text.len, text.data);
}

void backend_chord_command(const struct backend *b, const struct redis_script *script,
			   const char *group_id, const struct slice *argv, size_t argc,
			   struct buf *out)
{
	_cleanup_free_ struct slice *all = xcalloc(3 + CHORD_KEYS + argc, sizeof(*all));
	char *keys[CHORD_KEYS];
	size_t n = 0;

	backend_chord_keys(b, group_id, keys);
	all[n++] = (struct slice){"EVALSHA", 7};
	all[n++] = slice_of(script->sha);
	all[n++] = (struct slice){"8", 1};
	for (int i = 0; i < CHORD_KEYS; i++) {
		all[n++] = slice_of(keys[i]);
	}
	memcpy(all + n, argv, argc * sizeof(*argv));
	redis_command_argv(out, all, n + argc);
	backend_chord_keys_done(keys);
}

static int encode_part(const struct backend *b, const struct chord_part *part, char **ret,
		       size_t *ret_len, struct err *err)
{
	_cleanup_json_ json_t *array = json_array();

	json_array_append_new(array, json_integer(1));
	json_array_append_new(array, json_text(part->task_id, strlen(part->task_id), false));
	json_array_append_new(array, json_string(task_state_name(part->state)));
	if (part->result != NULL)
		json_array_append(array, (json_t *)(uintptr_t)part->result);
	else
		json_array_append_new(array, json_null());
	return backend_pack(b, array, ret, ret_len, err);
}

/* The score of a part as Redis reads it: an index of any size, or the end. */
static void score_of(const json_t *index, char *out, size_t size)
{
	const char *token = json_python_number(index);

	if (json_is_integer(index))
		snprintf(out, size, "%lld", (long long)json_integer_value(index));
	else if (token != NULL && strlen(token) < size && strcmp(token, "NaN") != 0 &&
		 strstr(token, "Infinity") == NULL)
		snprintf(out, size, "%s", token);
	else
		snprintf(out, size, "+inf");
}

/* What only the messages of its parts tell, kept with the first that is returned to us. */
static void save_body(struct backend *b, const char *group_id, const json_t *body)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_RESULT_BYTES),
				 commands = BUF_INIT(BOUND_REDIS_COMMAND);
	char *keys[CHORD_KEYS];

	json_dump_python(body, &text);
	if (text.failed)
		return;
	backend_chord_keys(b, group_id, keys);
	redis_command(&commands, "HSETNX %s body %b", keys[CHORD_OURS], text.data, text.len);
	redis_link_submit(redis_of(b)->link, &commands, 1, REDIS_LINK_KEEP, NULL, NULL);
	backend_chord_keys_done(keys);
}

int backend_chord_part(struct backend *b, const struct chord_part *part, const json_t *body,
		       usec_t deadline, struct chord_set *ret, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ char *text = NULL;
	/* the same in every attempt of this task */
	_cleanup_free_ char *token = NULL;
	char score[400], ttl[24], seconds[24];
	size_t len;
	int rc;

	if (backend_polls_chords(b))
		return 0;
	if (!backend_counts_chords(b))
		return err_set(err, ERR_UNSUPPORTED, "chords need a result backend");
	token = redis_of(b)->shares_broker ? xstrdup("") : xasprintf("celeriac:%s", part->task_id);
	rc = encode_part(b, part, &text, &len, err);
	if (rc < 0)
		return err_wrap(err, "chord %.80s", part->group_id);
	score_of(part->group_index, score, sizeof(score));
	snprintf(ttl, sizeof(ttl), "%lld", (long long)b->ttl);
	snprintf(seconds, sizeof(seconds), "%d", CLAIM_SECONDS);
	const struct slice argv[] = {{part->task_id, strlen(part->task_id)},
				     {text, len},
				     {score, strlen(score)},
				     {ttl, strlen(ttl)},
				     {redis_of(b)->chord_ordered ? "1" : "0", 1},
				     {part->group_id, strlen(part->group_id)},
				     {token, strlen(token)},
				     {seconds, strlen(seconds)}};
	backend_chord_command(b, &redis_of(b)->chord_part, part->group_id, argv, ARRAY_LEN(argv),
			      &commands);
	rc = redis_link_exchange(redis_of(b)->link, &commands, 1, REDIS_LINK_KEEP, deadline, &reply,
				 err);
	if (rc == 0 && redis_reply_count(reply) == 0)
		return backend_reply_error(reply, part->group_id, err);
	if (rc < 0)
		return err_wrap(err, "chord %.80s", part->group_id);
	if (redis_reply_count(reply) >= 2 && redis_reply_int(redis_reply_at(reply, 1)) == 1 &&
	    body != NULL)
		save_body(b, part->group_id, body);
	if (redis_reply_count(reply) < PART_COMPLETE)
		return 0;
	rc = backend_chord_read(b, reply, 2, deadline, ret, err);
	return rc < 0 ? err_wrap(err, "chord %.80s", part->group_id) : rc;
}

void backend_chord_published(struct backend *b, const char *group_id)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	char seconds[24];

	if (!backend_counts_chords(b))
		return;
	snprintf(seconds, sizeof(seconds), "%d", DONE_SECONDS);
	const struct slice argv[] = {{group_id, strlen(group_id)}, {seconds, strlen(seconds)}};
	backend_chord_command(b, &redis_of(b)->chord_done, group_id, argv, ARRAY_LEN(argv),
			      &commands);
	redis_link_submit(redis_of(b)->link, &commands, 1, REDIS_LINK_KEEP, NULL, NULL);
}
