/*
 * Revoked ids and stamps. See revoked.h.
 */
#include "revoked.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "worker.h"

#define PATIENCE   (5 * USEC_PER_SEC)
#define STAMPS_MAX 1000 /* header and value; the oldest make room */
#define NEVER	   INT64_MAX

struct revoked_item {
	char *text;
	usec_t until; /* monotonic */
	UT_hash_handle hh;
};

void revoked_init(struct revoked *r, size_t most, usec_t expires)
{
	mutex_init(&r->lock);
	r->ids.most = most;
	r->stamps.most = STAMPS_MAX;
	r->expires = expires;
}

static void remove_locked(struct revoked *r, struct revoked_set *set, struct revoked_item *item)
	REQUIRES(r->lock)
{
	HASH_DEL(set->map, item);
	free(item->text);
	free(item);
	atomic_fetch_sub(&r->count, 1);
}

/* uthash keeps the order of insertion, which is the order of expiry: the first are the oldest. */
static void forget_locked(struct revoked *r, struct revoked_set *set, usec_t now) REQUIRES(r->lock)
{
	while (set->map != NULL && (HASH_COUNT(set->map) > set->most || set->map->until <= now)) {
		remove_locked(r, set, set->map);
	}
}

void revoked_done(struct revoked *r)
{
	mutex_lock(&r->lock);
	forget_locked(r, &r->ids, NEVER);
	forget_locked(r, &r->stamps, NEVER);
	mutex_unlock(&r->lock);
	mutex_done(&r->lock);
}

static void add_until(struct revoked *r, struct revoked_set *set, const char *text, usec_t until)
{
	struct revoked_item *item = NULL;

	mutex_lock(&r->lock);
	HASH_FIND_STR(set->map, text, item);
	if (item != NULL)
		remove_locked(r, set, item);
	item = xcalloc(1, sizeof(*item));
	item->text = xstrdup(text);
	item->until = until;
	HASH_ADD_KEYPTR(hh, set->map, item->text, strlen(item->text), item);
	atomic_fetch_add(&r->count, 1);
	forget_locked(r, set, clock_mono());
	mutex_unlock(&r->lock);
}

static bool has(struct revoked *r, struct revoked_set *set, const char *text)
{
	struct revoked_item *item = NULL;
	bool found;

	mutex_lock(&r->lock);
	HASH_FIND_STR(set->map, text, item);
	found = item != NULL && item->until > clock_mono();
	mutex_unlock(&r->lock);
	return found;
}

static bool is_empty(const struct revoked *r)
{
	return atomic_load_explicit(&r->count, memory_order_relaxed) == 0;
}

/* ---- ids ---- */

static bool is_id(const char *text)
{
	return text[0] != '\0' && strlen(text) <= BOUND_TASK_ID_BYTES;
}

void revoked_add(struct revoked *r, const char *task_id)
{
	if (is_id(task_id))
		add_until(r, &r->ids, task_id, clock_deadline(r->expires));
}

bool revoked_has(struct revoked *r, const char *task_id)
{
	return !is_empty(r) && has(r, &r->ids, task_id);
}

json_t *revoked_list(struct revoked *r)
{
	json_t *list = json_array();
	struct revoked_item *item, *following;

	mutex_lock(&r->lock);
	forget_locked(r, &r->ids, clock_mono());
	HASH_ITER(hh, r->ids.map, item, following)
	{
		json_array_append_new(list, json_text(item->text, strlen(item->text), false));
	}
	mutex_unlock(&r->lock);
	return list;
}

/* ---- stamps ---- */

/* Header and value as one text; no header has the separator. Given. */
static char *stamp_text(const char *header, const char *value)
{
	return xasprintf("%s\x1f%s", header, value);
}

void revoked_add_stamp(struct revoked *r, const char *header, const char *value)
{
	_cleanup_free_ char *text = stamp_text(header, value);

	add_until(r, &r->stamps, text, NEVER);
}

static bool is_revoked_stamp(struct revoked *r, const char *header, const json_t *value)
{
	_cleanup_free_ char *text = NULL;

	if (!json_is_string(value))
		return false;
	text = stamp_text(header, json_string_value(value));
	return has(r, &r->stamps, text);
}

bool revoked_has_stamp(struct revoked *r, const json_t *headers)
{
	const json_t *names, *stamps;
	size_t i, n;
	json_t *name, *value;

	if (is_empty(r))
		return false;
	names = json_member(headers, "stamped_headers");
	stamps = json_member(headers, "stamps");
	json_array_foreach((json_t *)(uintptr_t)names, i, name)
	{
		const char *header = json_string_value(name);
		const json_t *carried = header ? json_member(stamps, header) : NULL;

		if (is_revoked_stamp(r, header ? header : "", carried))
			return true;
		json_array_foreach((json_t *)(uintptr_t)carried, n, value)
		{
			if (is_revoked_stamp(r, header, value))
				return true;
		}
	}
	return false;
}

/* ---- with Redis ---- */

static char *key_of(const struct worker *w, const struct revoked_set *set)
{
	return xasprintf("%sceleriac:%s:%s", shared_state_address(w->shared)->key_prefix,
			 w->settings.instance,
			 set == &w->revoked.ids ? "revoked" : "revoked-stamps");
}

static void share(struct worker *w, const struct revoked_set *set, const char *const *texts,
		  size_t count)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ char *key = NULL;
	usec_t now = clock_wall();

	if (shared_state_link(w->shared) == NULL)
		return;
	key = key_of(w, set);
	for (size_t i = 0; i < count; i++) {
		redis_command(&commands, "ZADD %s %lld %s", key,
			      (long long)((now + w->revoked.expires) / USEC_PER_SEC), texts[i]);
	}
	redis_command(&commands, "ZREMRANGEBYSCORE %s -inf %lld", key,
		      (long long)(now / USEC_PER_SEC));
	redis_command(&commands, "ZREMRANGEBYRANK %s 0 -%zu", key, set->most + 1);
	redis_command(&commands, "EXPIRE %s %lld", key,
		      (long long)(w->revoked.expires / USEC_PER_SEC + 1));
	redis_link_submit(shared_state_link(w->shared), &commands, count + 3, REDIS_LINK_KEEP, NULL,
			  NULL);
}

void revoked_share(struct worker *w, const char *const *ids, size_t count)
{
	share(w, &w->revoked.ids, ids, count);
}

void revoked_share_stamp(struct worker *w, const char *header, const char *value)
{
	_cleanup_free_ char *text = stamp_text(header, value);

	share(w, &w->revoked.stamps, (const char *const[]){text}, 1);
}

static void learn_ids(struct worker *w, const struct redis_reply *reply)
{
	usec_t wall = clock_wall(), mono = clock_mono();

	for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
		struct slice id = redis_reply_str(redis_reply_at(reply, i));
		int64_t until = redis_reply_int(redis_reply_at(reply, i + 1)) * USEC_PER_SEC;
		_cleanup_free_ char *text = xstrndup(id.data, id.len);

		if (until - wall > w->revoked.expires)
			until = wall + w->revoked.expires;
		if (is_id(text))
			add_until(&w->revoked, &w->revoked.ids, text, mono + (until - wall));
	}
}

static void learn_stamps(struct worker *w, const struct redis_reply *reply)
{
	for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
		struct slice stamp = redis_reply_str(redis_reply_at(reply, i));
		_cleanup_free_ char *text = xstrndup(stamp.data, stamp.len);

		add_until(&w->revoked, &w->revoked.stamps, text, NEVER);
	}
}

static void learn(struct worker *w, const struct revoked_set *set,
		  void (*take)(struct worker *w, const struct redis_reply *reply))
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ char *key = key_of(w, set);
	struct err err = {0};

	if (redis_link_do(shared_state_link(w->shared), clock_deadline(PATIENCE), &reply, &err,
			  "ZRANGEBYSCORE %s %lld +inf WITHSCORES", key,
			  (long long)(clock_wall() / USEC_PER_SEC)) < 0)
		log_warning("what was revoked before was not read: %s", err.msg);
	else
		take(w, reply);
}

void revoked_learn(struct worker *w)
{
	if (shared_state_link(w->shared) == NULL)
		return; /* as in Celery: they are forgotten with us */
	learn(w, &w->revoked.ids, learn_ids);
	learn(w, &w->revoked.stamps, learn_stamps);
}
