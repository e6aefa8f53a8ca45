/*
 * What sweeps note in the index, for the next one. See index.h for the keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "index.h"
#include "mem.h"

#define COMMAND_BYTES (64u << 10)
#define SUSPECTS_TTL  (7 * 24 * 3600 * USEC_PER_SEC) /* without a sweep that notes anything */

static long long ms(usec_t t)
{
	return (long long)(t / USEC_PER_MSEC);
}

/* "<what> <ms>"; false when it is none. Anybody who reaches Redis may have written it. */
static bool parse_suspect(struct slice container, struct slice text, struct index_suspect *ret)
{
	const char *space = text.len > 0 ? memchr(text.data, ' ', text.len) : NULL;
	size_t what = space ? (size_t)(space - text.data) : 0;
	long long number;
	char digits[24], *end;

	if (what == 0 || what >= sizeof(ret->what) || container.len >= sizeof(ret->container) ||
	    text.len - what - 1 >= sizeof(digits))
		return false;
	*ret = (struct index_suspect){0};
	memcpy(ret->container, container.data, container.len);
	memcpy(ret->what, text.data, what);
	memcpy(digits, space + 1, text.len - what - 1);
	digits[text.len - what - 1] = '\0';
	number = strtoll(digits, &end, 10);
	if (end == digits || *end != '\0' || number < 0 || number > INT64_MAX / USEC_PER_MSEC)
		return false;
	ret->since = number * USEC_PER_MSEC;
	return true;
}

int sandbox_index_suspects(struct index *ix, struct index_suspect **ret, size_t *ret_count,
			   usec_t *ret_now, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT(COMMAND_BYTES);
	struct redis_reply *replies[2] = {NULL, NULL};
	struct index_suspect *all;
	size_t n, count = 0;
	int rc;

	redis_command(&b, "TIME");
	redis_command(&b, "HGETALL %ssuspects", ix->base);
	rc = redis_link_exchange(ix->link, &b, 2, 0, clock_deadline(INDEX_WAIT), replies, err);
	if (rc < 0)
		return rc;
	n = redis_reply_count(replies[1]) / 2;
	all = xcalloc(n + 1, sizeof(*all));
	for (size_t i = 0; i < n; i++)
		count += parse_suspect(redis_reply_str(redis_reply_at(replies[1], 2 * i)),
				       redis_reply_str(redis_reply_at(replies[1], 2 * i + 1)),
				       &all[count]);
	*ret_now = redis_reply_int(redis_reply_at(replies[0], 0)) * USEC_PER_SEC +
		   redis_reply_int(redis_reply_at(replies[0], 1));
	*ret = all;
	*ret_count = count;
	redis_reply_free(replies[0]);
	redis_reply_free(replies[1]);
	return 0;
}

int sandbox_index_holder(struct index *ix, const char *container, char ret[PRESENCE_OWNER_SIZE],
			 struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct slice text;
	int rc = redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, err, "GET %sholder:%s",
			       ix->base, container);

	if (rc < 0)
		return rc;
	text = redis_reply_str(reply);
	if (text.len >= PRESENCE_OWNER_SIZE)
		text.len = 0;
	memcpy(ret, text.len > 0 ? text.data : "", text.len);
	ret[text.len] = '\0';
	return 0;
}

void sandbox_index_hold(struct index *ix, const char *container, usec_t ttl)
{
	struct buf b = BUF_INIT(COMMAND_BYTES);

	redis_command(&b, "SET %sholder:%s %s PX %lld", ix->base, container,
		      presence_owner(ix->presence), ms(ttl));
	redis_link_submit(ix->link, &b, 1, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&b);
}

void sandbox_index_suspect(struct index *ix, const char *container, const char *what, usec_t since)
{
	struct buf b = BUF_INIT(COMMAND_BYTES);
	char text[64];

	snprintf(text, sizeof(text), "%s %lld", what, ms(since));
	redis_command(&b, "HSET %ssuspects %s %s", ix->base, container, text);
	redis_command(&b, "PEXPIRE %ssuspects %lld", ix->base, ms(SUSPECTS_TTL));
	redis_link_submit(ix->link, &b, 2, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&b);
}

void sandbox_index_unsuspect(struct index *ix, const char *container)
{
	struct buf b = BUF_INIT(COMMAND_BYTES);

	redis_command(&b, "HDEL %ssuspects %s", ix->base, container);
	redis_link_submit(ix->link, &b, 1, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&b);
}

void sandbox_index_touch(struct index *ix, const char *conversation)
{
	struct buf b = BUF_INIT(COMMAND_BYTES);

	redis_command(&b, "EVALSHA %s 2 %sconversation:%s %sidle %s", ix->touch.sha, ix->base,
		      conversation, ix->base, conversation);
	redis_link_submit(ix->link, &b, 1, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&b);
}

int64_t sandbox_index_clear_places(struct index *ix)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err ignored;
	int64_t cleared = 0;

	if (redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, &ignored,
			  "ZRANGE %s%s 0 -1", ix->base, ix->places) < 0)
		return 0;
	for (size_t i = 0; i < redis_reply_count(reply); i++) {
		struct slice token = redis_reply_str(redis_reply_at(reply, i));
		_cleanup_free_ char *text = xstrndup(token.data, token.len);

		if (!sandbox_index_is_dead(ix, text))
			continue;
		sandbox_index_unreserve(ix, text);
		cleared++;
	}
	return cleared;
}

int sandbox_index_with_containers(struct index *ix, char ***ret, size_t *ret_count, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, err,
			       "ZRANGE %sidle 0 -1", ix->base);

	if (rc < 0)
		return rc;
	*ret_count = redis_reply_count(reply);
	*ret = xcalloc(*ret_count + 1, sizeof(**ret));
	for (size_t i = 0; i < *ret_count; i++) {
		struct slice name = redis_reply_str(redis_reply_at(reply, i));

		(*ret)[i] = xstrndup(name.data, name.len);
	}
	return 0;
}
