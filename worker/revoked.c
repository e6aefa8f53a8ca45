/*
 * Revoked ids. See revoked.h.
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

struct revoked_id {
	char *id;
	usec_t until; /* monotonic */
	UT_hash_handle hh;
};

struct revoked_stamp {
	char *text; /* header, NUL would do: header "=" value */
	UT_hash_handle hh;
};

void revoked_init(struct revoked *r, size_t most, usec_t expires)
{
	mutex_init(&r->lock);
	r->most = most;
	r->expires = expires;
}

static void remove_id_locked(struct revoked *r, struct revoked_id *item) REQUIRES(r->lock)
{
	HASH_DEL(r->map, item);
	free(item->id);
	free(item);
	atomic_fetch_sub(&r->count, 1);
}

static void remove_stamp_locked(struct revoked *r, struct revoked_stamp *item) REQUIRES(r->lock)
{
	HASH_DEL(r->stamps, item);
	free(item->text);
	free(item);
	atomic_fetch_sub(&r->count, 1);
}

void revoked_done(struct revoked *r)
{
	mutex_lock(&r->lock);
	while (r->map != NULL) {
		remove_id_locked(r, r->map);
	}
	while (r->stamps != NULL) {
		remove_stamp_locked(r, r->stamps);
	}
	mutex_unlock(&r->lock);
	mutex_done(&r->lock);
}

/* uthash keeps the order of insertion, which is the order of expiry: the first are the oldest. */
static void forget_locked(struct revoked *r, usec_t now) REQUIRES(r->lock)
{
	while (r->map != NULL && (HASH_COUNT(r->map) > r->most || r->map->until <= now)) {
		remove_id_locked(r, r->map);
	}
}

static void add_until(struct revoked *r, const char *task_id, usec_t until)
{
	struct revoked_id *item = NULL;

	if (task_id[0] == '\0' || strlen(task_id) > BOUND_TASK_ID_BYTES)
		return;
	mutex_lock(&r->lock);
	HASH_FIND_STR(r->map, task_id, item);
	if (item != NULL)
		remove_id_locked(r, item);
	item = xcalloc(1, sizeof(*item));
	item->id = xstrdup(task_id);
	item->until = until;
	HASH_ADD_KEYPTR(hh, r->map, item->id, strlen(item->id), item);
	atomic_fetch_add(&r->count, 1);
	forget_locked(r, clock_mono());
	mutex_unlock(&r->lock);
}

void revoked_add(struct revoked *r, const char *task_id)
{
	add_until(r, task_id, clock_deadline(r->expires));
}

bool revoked_has(struct revoked *r, const char *task_id)
{
	struct revoked_id *item = NULL;
	bool found;

	if (atomic_load_explicit(&r->count, memory_order_relaxed) == 0)
		return false;
	mutex_lock(&r->lock);
	HASH_FIND_STR(r->map, task_id, item);
	found = item != NULL && item->until > clock_mono();
	mutex_unlock(&r->lock);
	return found;
}

json_t *revoked_list(struct revoked *r)
{
	json_t *list = json_array();
	struct revoked_id *item, *following;

	mutex_lock(&r->lock);
	forget_locked(r, clock_mono());
	HASH_ITER(hh, r->map, item, following)
	{
		json_array_append_new(list, json_text(item->id, strlen(item->id), false));
	}
	mutex_unlock(&r->lock);
	return list;
}

/* ---- stamps ---- */

void revoked_add_stamp(struct revoked *r, const char *header, const char *value)
{
	struct revoked_stamp *item = NULL;
	char *text = xasprintf("%s\x1f%s", header, value);

	mutex_lock(&r->lock);
	HASH_FIND_STR(r->stamps, text, item);
	if (item == NULL) {
		item = xcalloc(1, sizeof(*item));
		item->text = TAKE(text);
		HASH_ADD_KEYPTR(hh, r->stamps, item->text, strlen(item->text), item);
		atomic_fetch_add(&r->count, 1);
		if (HASH_COUNT(r->stamps) > STAMPS_MAX)
			remove_stamp_locked(r, r->stamps);
	}
	mutex_unlock(&r->lock);
	free(text);
}

static bool is_revoked_stamp(struct revoked *r, const char *header, const json_t *value)
{
	struct revoked_stamp *item = NULL;
	_cleanup_free_ char *text = NULL;

	if (!json_is_string(value))
		return false;
	text = xasprintf("%s\x1f%s", header, json_string_value(value));
	mutex_lock(&r->lock);
	HASH_FIND_STR(r->stamps, text, item);
	mutex_unlock(&r->lock);
	return item != NULL;
}

bool revoked_has_stamp(struct revoked *r, const json_t *headers)
{
	const json_t *names, *stamps;
	size_t i, n;
	json_t *name, *value;

	if (atomic_load_explicit(&r->count, memory_order_relaxed) == 0)
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

static char *key_of(const struct worker *w)
{
	return xasprintf("%sceleriac:%s:revoked", broker_address(w->broker)->key_prefix,
			 w->settings.instance);
}

void revoked_share(struct worker *w, const char *const *ids, size_t count)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_free_ char *key = key_of(w);
	usec_t now = clock_wall();
	size_t sent = 0;

	for (size_t i = 0; i < count; i++) {
		redis_command(&commands, "ZADD %s %lld %s", key,
			      (long long)((now + w->revoked.expires) / USEC_PER_SEC), ids[i]);
		sent++;
	}
	redis_command(&commands, "ZREMRANGEBYSCORE %s -inf %lld", key,
		      (long long)(now / USEC_PER_SEC));
	redis_command(&commands, "ZREMRANGEBYRANK %s 0 -%zu", key, w->revoked.most + 1);
	redis_command(&commands, "EXPIRE %s %lld", key,
		      (long long)(w->revoked.expires / USEC_PER_SEC + 1));
	redis_link_submit(broker_link(w->broker), &commands, sent + 3, REDIS_LINK_KEEP, NULL, NULL);
}

static void learn_reply(struct worker *w, const struct redis_reply *reply)
{
	usec_t wall = clock_wall(), mono = clock_mono();

	for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
		struct slice id = redis_reply_str(redis_reply_at(reply, i));
		int64_t until = redis_reply_int(redis_reply_at(reply, i + 1)) * USEC_PER_SEC;
		_cleanup_free_ char *text = xstrndup(id.data, id.len);

		if (until - wall > w->revoked.expires)
			until = wall + w->revoked.expires;
		add_until(&w->revoked, text, mono + (until - wall));
	}
}

void revoked_learn(struct worker *w)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ char *key = key_of(w);
	struct err err = {0};

	if (redis_link_do(broker_link(w->broker), clock_deadline(PATIENCE), &reply, &err,
			  "ZRANGEBYSCORE %s %lld +inf WITHSCORES", key,
			  (long long)(clock_wall() / USEC_PER_SEC)) < 0)
		log_warning("the ids of revoked tasks were not read: %s", err.msg);
	else
		learn_reply(w, reply);
}
