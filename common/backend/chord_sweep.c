/*
 * Chords that are complete, and whose body nobody published: found by the index of those that
 * workers of ours had to do with, and by walking the keys of the backend for all others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "redis_backend.h"

#define PATIENCE      (5 * USEC_PER_SEC) /* for an answer of Redis */
#define CLAIM_SECONDS 60
#define LOOK_COMPLETE 6	  /* fields of chord_look.lua's answer about a complete chord */
#define SCAN_COUNT    500 /* keys looked at by Redis in one step */

static int exchange(struct backend *b, struct buf *commands, struct redis_reply **ret,
		    struct err *err)
{
	struct redis_reply *reply = NULL;
	int rc = redis_link_exchange(redis_of(b)->link, commands, 1, 0, clock_deadline(PATIENCE),
				     &reply, err);

	if (rc == 0 && redis_reply_type(reply) == REDIS_ERROR) {
		rc = backend_reply_error(reply, "sets", err);
		redis_reply_free(reply);
	} else if (rc == 0) {
		*ret = reply;
	}
	return rc;
}

int backend_chord_sweep(struct backend *b, const char *owner, usec_t lease, usec_t age,
			char *ret_ids[CHORD_SWEEP_MAX], size_t *ret_count, bool *ret_ours,
			struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ char *lock = xasprintf("%sceleriac:chords:sweeper", redis_of(b)->key_prefix);
	_cleanup_free_ char *open = xasprintf("%sceleriac:chords", redis_of(b)->key_prefix);
	int rc;

	redis_command(&commands, "EVALSHA %s 2 %s %s %s %lld %g %d", redis_of(b)->chord_sweep.sha,
		      lock, open, owner, (long long)(lease / USEC_PER_MSEC),
		      (double)age / (double)USEC_PER_SEC, CHORD_SWEEP_MAX);
	rc = exchange(b, &commands, &reply, err);
	if (rc < 0)
		return rc;
	*ret_ours = redis_reply_type(reply) == REDIS_ARRAY;
	*ret_count = 0;
	for (size_t i = 0; i < redis_reply_count(reply) && i < CHORD_SWEEP_MAX; i++) {
		struct slice id = redis_reply_str(redis_reply_at(reply, i));

		ret_ids[(*ret_count)++] = xstrndup(id.data, id.len);
	}
	return 0;
}

/* A glob that matches the sets of parts; a prefix is meant as it stands. */
static char *pattern_of(const struct backend *b)
{
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_URL_BYTES * 2);

	for (const char *p = redis_of(b)->key_prefix; *p != '\0'; p++) {
		if (strchr("*?[]\\^", *p) != NULL)
			buf_append_char(&out, '\\');
		buf_append_char(&out, *p);
	}
	buf_append_str(&out, BACKEND_GROUP_PREFIX "*.j");
	return xstrdup(out.data);
}

/* Adds what was found to the open chords, unless it is there. */
static int add_found(struct backend *b, const struct redis_reply *found, struct err *err)
{
	size_t before = strlen(redis_of(b)->key_prefix) + strlen(BACKEND_GROUP_PREFIX);
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ char *open = xasprintf("%sceleriac:chords", redis_of(b)->key_prefix);
	_cleanup_free_ char *now = xasprintf("%lld", (long long)(clock_wall() / USEC_PER_SEC));
	size_t count = redis_reply_count(found), n = 0;
	_cleanup_free_ struct slice *argv = xcalloc(3 + 2 * count, sizeof(*argv));

	argv[n++] = (struct slice){"ZADD", 4};
	argv[n++] = slice_of(open);
	argv[n++] = (struct slice){"NX", 2};
	for (size_t i = 0; i < count; i++) {
		struct slice key = redis_reply_str(redis_reply_at(found, i));

		if (key.len < before + 3)
			continue;
		argv[n++] = slice_of(now);
		argv[n++] = (struct slice){key.data + before, key.len - before - 2};
	}
	if (n == 3)
		return 0;
	redis_command_argv(&commands, argv, n);
	return exchange(b, &commands, &reply, err);
}

int backend_chord_scan(struct backend *b, char cursor[CHORD_CURSOR_SIZE], struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ char *pattern = pattern_of(b);
	struct slice next;
	int rc;

	redis_command(&commands, "SCAN %s MATCH %s COUNT %d", cursor, pattern, SCAN_COUNT);
	rc = exchange(b, &commands, &reply, err);
	if (rc < 0)
		return rc;
	if (redis_reply_count(reply) != 2)
		return err_set(err, ERR_PROTOCOL, "an unexpected answer to SCAN");
	next = redis_reply_str(redis_reply_at(reply, 0));
	if (next.len == 0 || next.len >= CHORD_CURSOR_SIZE)
		return err_set(err, ERR_PROTOCOL, "SCAN gave no cursor");
	rc = add_found(b, redis_reply_at(reply, 1), err);
	if (rc == 0)
		snprintf(cursor, CHORD_CURSOR_SIZE, "%.*s", (int)next.len, next.data);
	return rc;
}

static int read_look(struct backend *b, const char *group_id, const struct redis_reply *reply,
		     enum chord_look *ret_look, struct chord_set *ret, struct err *err)
{
	static const char *const words[] = {[CHORD_GONE] = "gone",
					    [CHORD_WAITING] = "waiting",
					    [CHORD_STUCK] = "stuck",
					    [CHORD_HOPELESS] = "hopeless"};
	struct slice word = {"", 0};
	size_t look = 0, fields = redis_reply_count(reply);
	int rc;

	if (fields > 0)
		word = redis_reply_str(redis_reply_at(reply, 0));
	while (look < ARRAY_LEN(words) &&
	       (strlen(words[look]) != word.len || memcmp(words[look], word.data, word.len) != 0))
		look++;
	if (look == ARRAY_LEN(words))
		return backend_reply_error(reply, group_id, err);
	*ret_look = (enum chord_look)look;
	if (look != CHORD_STUCK || fields < LOOK_COMPLETE)
		return 0;
	rc = backend_chord_read(b, reply, 1, clock_deadline(PATIENCE), ret, err);
	if (rc == 0)
		*ret_look = CHORD_WAITING;
	return rc < 0 ? err_wrap(err, "chord %.80s", group_id) : 0;
}

int backend_chord_look(struct backend *b, const char *group_id, usec_t patience,
		       enum chord_look *ret_look, struct chord_set *ret, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	char seconds[24], ttl[24], claim[24], token[UUID_SIZE] = "";
	int rc;

	snprintf(seconds, sizeof(seconds), "%g", (double)patience / (double)USEC_PER_SEC);
	snprintf(ttl, sizeof(ttl), "%lld", (long long)b->ttl);
	snprintf(claim, sizeof(claim), "%d", CLAIM_SECONDS);
	if (!redis_of(b)->shares_broker)
		uuid4(token);
	const struct slice argv[] = {{group_id, strlen(group_id)},
				     {seconds, strlen(seconds)},
				     {ttl, strlen(ttl)},
				     {token, strlen(token)},
				     {claim, strlen(claim)}};
	backend_chord_command(b, &redis_of(b)->chord_look, group_id, argv, ARRAY_LEN(argv),
			      &commands);
	rc = exchange(b, &commands, &reply, err);
	return rc < 0 ? rc : read_look(b, group_id, reply, ret_look, ret, err);
}

void backend_chord_give_up(struct backend *b, const char *group_id)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	char *keys[CHORD_KEYS];

	backend_chord_keys(b, group_id, keys);
	redis_command(&commands, "HSET %s hopeless 1", keys[CHORD_OURS]);
	redis_link_submit(redis_of(b)->link, &commands, 1, REDIS_LINK_KEEP, NULL, NULL);
	backend_chord_keys_done(keys);
}
