/*
 * The index and its leases. See index.h for the keys.
 */
#include "index.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "mem.h"

extern const char script_sandbox_acquire[], script_sandbox_peek[], script_sandbox_renew[],
	script_sandbox_release[], script_sandbox_adopt[], script_sandbox_reserve[],
	script_sandbox_save[], script_sandbox_engine[], script_sandbox_touch[];

#define COMMANDS_BYTES (16u << 20)
#define POLL_FIRST_MS  5
#define POLL_LAST_MS   200
#define MISSING_TTL    (3600 * USEC_PER_SEC) /* after which it is news again */

static void load(struct index *ix, struct redis_script *s, const char *text)
{
	redis_script_init(s, text);
	redis_link_add_script(ix->link, s);
}

void sandbox_index_init(struct index *ix, struct redis_link *link, const char *key_prefix,
			const char *instance, const struct presence *presence)
{
	*ix = (struct index){.link = link, .presence = presence, .places = "places"};
	ix->base = xasprintf("%sceleriac:%s:", key_prefix, instance);
	if (link == NULL)
		return;
	load(ix, &ix->acquire, script_sandbox_acquire);
	load(ix, &ix->peek, script_sandbox_peek);
	load(ix, &ix->renew, script_sandbox_renew);
	load(ix, &ix->release, script_sandbox_release);
	load(ix, &ix->adopt, script_sandbox_adopt);
	load(ix, &ix->reserve, script_sandbox_reserve);
	load(ix, &ix->save, script_sandbox_save);
	load(ix, &ix->engine, script_sandbox_engine);
	load(ix, &ix->touch, script_sandbox_touch);
}

void sandbox_index_of_routes(struct index *ix, struct redis_link *link, const char *key_prefix,
			     const char *instance)
{
	*ix = (struct index){.link = link};
	ix->base = xasprintf("%sceleriac:%s:", key_prefix, instance);
	load(ix, &ix->engine, script_sandbox_engine);
}

void sandbox_index_done(struct index *ix)
{
	free(ix->base);
}

static long long ms(usec_t t)
{
	return (long long)(t / USEC_PER_MSEC);
}

static void copy(char *out, size_t size, struct slice s)
{
	size_t len = s.len < size ? s.len : size - 1;

	memcpy(out, s.data, len);
	out[len] = '\0';
}

static bool is(struct slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* From the flat pairs of HGETALL. */
static void parse_record(const struct redis_reply *pairs, struct index_record *ret)
{
	*ret = (struct index_record){.known = redis_reply_count(pairs) >= 2};
	for (size_t i = 0; i + 1 < redis_reply_count(pairs); i += 2) {
		struct slice name = redis_reply_str(redis_reply_at(pairs, i));
		const struct redis_reply *value = redis_reply_at(pairs, i + 1);

		if (is(name, "container"))
			copy(ret->container, sizeof(ret->container), redis_reply_str(value));
		else if (is(name, "owner"))
			copy(ret->owner, sizeof(ret->owner), redis_reply_str(value));
		else if (is(name, "project"))
			copy(ret->project, sizeof(ret->project), redis_reply_str(value));
		else if (is(name, "engine"))
			copy(ret->engine, sizeof(ret->engine), redis_reply_str(value));
		else if (is(name, "epoch"))
			ret->epoch = (uint32_t)redis_reply_int(value);
		else if (is(name, "used"))
			ret->used = redis_reply_int(value) * USEC_PER_MSEC;
	}
}

static void new_lease(const struct index *ix, const char *conversation, struct index_lease *lease)
{
	char id[UUID_SIZE];

	uuid4(id);
	snprintf(lease->conversation, sizeof(lease->conversation), "%s", conversation);
	snprintf(lease->token, sizeof(lease->token), "%s %s", presence_owner(ix->presence), id);
}

/* 1 taken, 0 held: `ret_holder` (given) is its token. */
static int try_acquire(struct index *ix, const struct index_lease *lease, const char *replace,
		       struct index_record *ret_record, char **ret_holder, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	const char *id = lease->conversation;
	struct slice holder;
	int rc = redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, err,
			       "EVALSHA %s 3 %slease:%s %sconversation:%s %sidle %s %lld %s %s",
			       ix->acquire.sha, ix->base, id, ix->base, id, ix->base, lease->token,
			       ms(INDEX_LEASE_TTL), replace, id);

	if (rc < 0)
		return err_wrap(err, "lease");
	if (redis_reply_int(redis_reply_at(reply, 0)) == 1) {
		parse_record(redis_reply_at(reply, 1), ret_record);
		return 1;
	}
	holder = redis_reply_str(redis_reply_at(reply, 1));
	*ret_holder = xstrndup(holder.data, holder.len);
	return 0;
}

bool sandbox_index_is_dead(struct index *ix, const char *token)
{
	char owner[PRESENCE_OWNER_SIZE];
	struct err ignored;
	bool alive;

	snprintf(owner, sizeof(owner), "%.*s", (int)strcspn(token, " "), token);
	return presence_alive(ix->presence, ix->link, owner, &alive, &ignored) == 0 && !alive;
}

int sandbox_index_acquire(struct index *ix, const char *conversation, usec_t deadline,
			  const atomic_bool *cancel, struct index_lease *ret,
			  struct index_record *ret_record, struct err *err)
{
	_cleanup_free_ char *replace = xstrdup("");
	int pause = POLL_FIRST_MS, left, rc;

	new_lease(ix, conversation, ret);
	for (;;) {
		_cleanup_free_ char *holder = NULL;

		rc = try_acquire(ix, ret, replace, ret_record, &holder, err);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		if (sandbox_index_is_dead(ix, holder)) {
			free(replace);
			replace = TAKE(holder);
			continue;
		}
		if (cancel && atomic_load_explicit(cancel, memory_order_acquire))
			return err_set(err, ERR_CANCELLED,
				       "cancelled while waiting for the conversation");
		left = clock_left_ms(deadline);
		if (left == 0)
			return err_set(err, ERR_UNAVAILABLE,
				       "the conversation is in use by another worker");
		poll(NULL, 0, pause < left ? pause : left);
		pause = pause < POLL_LAST_MS ? 2 * pause : pause;
	}
}

int sandbox_index_peek(struct index *ix, const char *conversation, struct index_lease *ret,
		       struct index_record *ret_record, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	new_lease(ix, conversation, ret);
	rc = redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, err,
			   "EVALSHA %s 2 %slease:%s %sconversation:%s %s %lld", ix->peek.sha,
			   ix->base, conversation, ix->base, conversation, ret->token,
			   ms(INDEX_LEASE_TTL));
	if (rc < 0)
		return err_wrap(err, "lease");
	if (redis_reply_int(redis_reply_at(reply, 0)) != 1)
		return err_set(err, ERR_CONFLICT, "the conversation is in use");
	parse_record(redis_reply_at(reply, 1), ret_record);
	return 0;
}

bool sandbox_index_is_lost(struct index *ix, const struct index_lease *lease)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err ignored;
	int rc = redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, &ignored,
			       "GET %slease:%s", ix->base, lease->conversation);

	return rc == 0 && redis_reply_type(reply) == REDIS_STRING &&
	       !is(redis_reply_str(reply), lease->token);
}

void sandbox_index_renew(struct index *ix, const struct index_lease *lease)
{
	struct buf b = BUF_INIT(COMMANDS_BYTES);

	redis_command(&b, "EVALSHA %s 1 %slease:%s %s %lld", ix->renew.sha, ix->base,
		      lease->conversation, lease->token, ms(INDEX_LEASE_TTL));
	redis_link_submit(ix->link, &b, 1, 0, NULL, NULL);
	buf_done(&b);
}

void sandbox_index_release(struct index *ix, const struct index_lease *lease)
{
	struct buf b = BUF_INIT(COMMANDS_BYTES);

	redis_command(&b, "EVALSHA %s 1 %slease:%s %s", ix->release.sha, ix->base,
		      lease->conversation, lease->token);
	redis_link_submit(ix->link, &b, 1, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&b);
}

void sandbox_index_save(struct index *ix, const char *conversation, const struct index_record *r)
{
	struct buf b = BUF_INIT(COMMANDS_BYTES);

	redis_command(&b, "EVALSHA %s 2 %sconversation:%s %sidle %s %s %s %u %lld %s %s",
		      ix->save.sha, ix->base, conversation, ix->base, r->container, r->owner,
		      r->project, r->epoch, ms(INDEX_ENTRY_TTL), conversation, r->engine);
	redis_link_submit(ix->link, &b, 1, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&b);
}

void sandbox_index_forget(struct index *ix, const char *conversation)
{
	struct buf b = BUF_INIT(COMMANDS_BYTES);

	redis_command(&b, "DEL %sconversation:%s", ix->base, conversation);
	redis_command(&b, "ZREM %sidle %s", ix->base, conversation);
	redis_link_submit(ix->link, &b, 2, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&b);
}

void sandbox_index_take(struct index *ix, const char *container, const char *conversation,
			const char *project)
{
	struct buf b = BUF_INIT(COMMANDS_BYTES);
	_cleanup_free_ char *both = xasprintf("%s\n%s", conversation, project);

	redis_command(&b, "SET %staken:%s %s PX %lld", ix->base, container, both,
		      ms(INDEX_ENTRY_TTL));
	redis_link_submit(ix->link, &b, 1, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&b);
}

/* "<conversation>\n<project>" */
static void parse_taken(struct slice text, struct engine_container *c)
{
	const char *cut = text.len > 0 ? memchr(text.data, '\n', text.len) : NULL;
	size_t len = cut ? (size_t)(cut - text.data) : 0;

	if (cut == NULL)
		return;
	memcpy(c->role, SANDBOX_ROLE_CONVERSATION, sizeof(SANDBOX_ROLE_CONVERSATION));
	copy(c->conversation, sizeof(c->conversation), (struct slice){text.data, len});
	copy(c->project, sizeof(c->project),
	     (struct slice){text.data + len + 1, text.len - len - 1});
}

int sandbox_index_read_taken(struct index *ix, struct engine_container *const *list, size_t count,
			     struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT(COMMANDS_BYTES);
	_cleanup_free_ struct redis_reply **replies =
		xcalloc(count + 1, sizeof(struct redis_reply *));
	int rc;

	if (count == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		redis_command(&b, "GET %staken:%s", ix->base, list[i]->id);
	rc = redis_link_exchange(ix->link, &b, count, 0, clock_deadline(INDEX_WAIT), replies, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		parse_taken(redis_reply_str(replies[i]), list[i]);
		redis_reply_free(replies[i]);
	}
	return rc;
}

int sandbox_index_reserve(struct index *ix, char *ret_token, int64_t *ret_taken, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	char id[UUID_SIZE];
	int rc;

	uuid4(id);
	snprintf(ret_token, INDEX_TOKEN_SIZE, "%s %s", presence_owner(ix->presence), id);
	rc = redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, err,
			   "EVALSHA %s 1 %s%s %s %lld", ix->reserve.sha, ix->base, ix->places,
			   ret_token, ms(INDEX_PLACE_TTL));
	if (rc < 0)
		return err_wrap(err, "a place for a sandbox");
	*ret_taken = redis_reply_int(reply);
	return 0;
}

void sandbox_index_unreserve(struct index *ix, const char *token)
{
	struct buf b = BUF_INIT(COMMANDS_BYTES);

	redis_command(&b, "ZREM %s%s %s", ix->base, ix->places, token);
	redis_link_submit(ix->link, &b, 1, REDIS_LINK_KEEP, NULL, NULL);
	buf_done(&b);
}

int sandbox_index_read(struct index *ix, const char *const *conversations, size_t count,
		       struct index_record *ret, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT(COMMANDS_BYTES);
	_cleanup_free_ struct redis_reply **replies =
		xcalloc(count + 1, sizeof(struct redis_reply *));
	int rc;

	if (count == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		redis_command(&b, "HGETALL %sconversation:%s", ix->base, conversations[i]);
	rc = redis_link_exchange(ix->link, &b, count, 0, clock_deadline(INDEX_WAIT), replies, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		parse_record(replies[i], &ret[i]);
		redis_reply_free(replies[i]);
	}
	return rc;
}

int sandbox_index_longest_idle(struct index *ix, size_t max, struct index_idle *ret,
			       size_t *ret_count, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	size_t n;
	int rc = redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, err,
			       "ZRANGE %sidle 0 %lld WITHSCORES", ix->base, (long long)max - 1);

	if (rc < 0)
		return rc;
	n = redis_reply_count(reply) / 2;
	if (n > max)
		n = max;
	for (size_t i = 0; i < n; i++) {
		struct slice name = redis_reply_str(redis_reply_at(reply, 2 * i));

		ret[i].conversation = xstrndup(name.data, name.len);
		ret[i].used = redis_reply_int(redis_reply_at(reply, 2 * i + 1)) * USEC_PER_MSEC;
	}
	*ret_count = n;
	return 0;
}

int sandbox_index_adopt(struct index *ix, const struct engine_container *c, const char *engine,
			const char *from, bool *ret_done, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, err,
			       "EVALSHA %s 2 %sconversation:%s %sidle %s %s %s %s %d %lld %s %s",
			       ix->adopt.sha, ix->base, c->conversation, ix->base,
			       presence_owner(ix->presence), from, c->id, c->project, 0,
			       ms(INDEX_ENTRY_TTL), c->conversation, engine);

	if (rc < 0)
		return err_wrap(err, "adopt");
	*ret_done = redis_reply_int(reply) == 1;
	return 0;
}

int sandbox_index_engine(struct index *ix, const char *engine, usec_t grace, bool *ret_reached,
			 usec_t *ret_missing, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = redis_link_do(ix->link, clock_deadline(INDEX_WAIT), &reply, err,
			       "EVALSHA %s 3 %sengine:%s %srouters %smissing:%s %lld",
			       ix->engine.sha, ix->base, engine, ix->base, ix->base, engine,
			       ms(grace + MISSING_TTL));

	if (rc < 0)
		return err_wrap(err, "who reaches an engine");
	*ret_reached = redis_reply_int(redis_reply_at(reply, 0)) == 1;
	*ret_missing = redis_reply_int(redis_reply_at(reply, 1)) * USEC_PER_MSEC;
	return 0;
}
