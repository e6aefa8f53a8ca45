/*
 * What anybody held longer than the visibility timeout is put back, as kombu's own sweeper does
 * (QoS.restore_visible in kombu/transport/redis.py): messages of Python workers that died. Both
 * take the same lock, so that of all sweepers one is at work.
 *
 * Deliveries of our deployment are told by their owners' leases (restore.c), not by their age: one
 * that lives renews them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "redis_broker.h"

#define CALL_TIMEOUT (5 * USEC_PER_SEC)
#define PAGE	     256

extern const char script_leave[]; /* deletes a key that has our value */

struct sweep {
	struct broker *b;
	const struct presence *p;
	bool foreign_only;
	char ceiling[32]; /* the highest score that is stale */
	size_t skipped;	  /* stale ones that stay: they come first in the next page */
	int64_t looked, restored;
	char owner[PRESENCE_OWNER_SIZE]; /* asked for last */
	bool alive;
};

#define CALL(s, reply, err, ...)                                                                   \
	redis_link_do((s)->b->link, clock_deadline(CALL_TIMEOUT), reply, err, __VA_ARGS__)

/* By both clocks: one of them may be wrong, and what is put back too early is run twice. */
static int find_ceiling(struct sweep *s, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	usec_t now = clock_wall(), theirs;
	int rc = CALL(s, &reply, err, "TIME");

	if (rc < 0)
		return rc;
	theirs = (usec_t)redis_reply_int(redis_reply_at(reply, 0)) * USEC_PER_SEC;
	if (theirs < now)
		now = theirs;
	snprintf(s->ceiling, sizeof(s->ceiling), "%.6f",
		 ((double)now - (double)s->b->options.visibility_timeout) / (double)USEC_PER_SEC);
	return 0;
}

/* The newest first, since each goes in front of the others: then the oldest is the next. */
static int page(struct sweep *s, struct redis_reply **ret, struct err *err)
{
	return CALL(s, ret, err, "ZREVRANGEBYSCORE %s %s -inf WITHSCORES LIMIT %zu %d",
		    s->b->unacked_index, s->ceiling, s->skipped, PAGE);
}

/* It is not to be touched: of a worker of ours that is alive. */
static int is_ours(struct sweep *s, const char *tag, bool *ret, struct err *err)
{
	char owner[PRESENCE_OWNER_SIZE];
	uint64_t number;
	int step, rc = 0;

	*ret = false;
	if (!broker_split_tag(tag, owner, &step, &number))
		return 0;
	if (s->foreign_only) {
		*ret = true;
		return 0;
	}
	if (strcmp(owner, s->owner) != 0) {
		rc = presence_alive(s->p, s->b->link, owner, &s->alive, err);
		memcpy(s->owner, rc < 0 ? "" : owner, rc < 0 ? 1 : sizeof(owner));
	}
	*ret = s->alive;
	return rc;
}

/* One that is stale. */
struct stale {
	const char *tag;
	struct slice score;
	bool has_record;
	struct slice message;		/* to be put back, or what cannot be read */
	const struct unacked_record *r; /* NULL: it cannot be read */
	const char *unread;		/* why */
};

static char *reason_of(const struct stale *it)
{
	if (it->r == NULL)
		return xasprintf("held by a worker that died, and its record cannot be read: %s",
				 it->unread);
	return xasprintf("held by a worker that died, and no queue is bound to exchange '%s' for "
			 "routing key '%s'",
			 it->r->exchange, it->r->routing_key);
}

static int put_back(struct sweep *s, const struct stale *it, int64_t *ret, struct err *err)
{
	const struct unacked_record *r = it->r;
	const struct transport_options *o = &s->b->options;
	const char *exchange = r ? r->exchange : "", *key = r ? r->routing_key : "";
	_cleanup_free_ char *reason = reason_of(it), *line = broker_dead_line(reason, key),
			    *bindings = NULL, *undeliverable = NULL;
	_cleanup_buf_ struct buf suffix = BUF_INIT(64);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	buf_append_str(&suffix, "");
	broker_append_step(s->b, r ? r->priority : 0, &suffix);
	bindings = exchange[0] == '\0'
			   ? xstrdup("")
			   : xasprintf("%s_kombu.binding.%s", o->global_keyprefix, exchange);
	undeliverable = r == NULL || o->deadletter_queue[0] == '\0'
				? xstrdup("")
				: xasprintf("%s%s%s", o->global_keyprefix, o->deadletter_queue,
					    suffix.data);
	rc = CALL(s, &reply, err, "EVALSHA %s 4 %s %s %s %s %s %b %b %d %s %s %s %s %s %s %s",
		  s->b->stale.sha, s->b->unacked, s->b->unacked_index, s->b->dead, bindings,
		  it->tag, it->score.data, it->score.len, it->message.data, it->message.len,
		  it->has_record, key, broker_exchange_kind(s->b, exchange), o->global_keyprefix,
		  o->sep, suffix.data, undeliverable, line);
	if (rc < 0)
		return rc;
	*ret = redis_reply_int(reply);
	if (*ret == 2)
		log_error("a message moved to %s: %s", s->b->dead, reason);
	return 0;
}

static int restore_one(struct sweep *s, const char *tag, struct slice score, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_(unacked_record_done) struct unacked_record r = {0};
	struct stale it = {.tag = tag, .score = score};
	struct err unread = {0};
	int64_t done = 0;
	int rc = CALL(s, &reply, err, "HGET %s %s", s->b->unacked, tag);

	if (rc < 0)
		return rc;
	it.has_record = redis_reply_type(reply) == REDIS_STRING;
	it.message = redis_reply_str(reply);
	if (it.has_record &&
	    unacked_record_read(it.message.data, it.message.len, &r, &unread) == 0) {
		it.message = (struct slice){r.message, r.len};
		it.r = &r;
	}
	it.unread = unread.msg;
	rc = put_back(s, &it, &done, err);
	s->restored += done == 1;
	s->skipped += done == 0;
	return rc;
}

static int restore_page(struct sweep *s, const struct redis_reply *pairs, struct err *err)
{
	int64_t limit = s->b->options.unacked_restore_limit;

	for (size_t i = 0; i + 1 < redis_reply_count(pairs); i += 2) {
		struct slice tag = redis_reply_str(redis_reply_at(pairs, i));
		_cleanup_free_ char *text = xstrndup(tag.data, tag.len);
		bool ours;
		int rc = is_ours(s, text, &ours, err);

		if (rc == 0 && ours)
			s->skipped++;
		else if (rc == 0)
			rc = restore_one(s, text, redis_reply_str(redis_reply_at(pairs, i + 1)),
					 err);
		if (rc < 0)
			return rc;
		if (!ours && ++s->looked == limit)
			return 1;
	}
	return redis_reply_count(pairs) < 2 * PAGE;
}

/* The lock of kombu's sweepers: 1 = taken, 0 = somebody else is at work. */
static int lock(struct sweep *s, const char *token, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	const struct transport_options *o = &s->b->options;
	int rc = CALL(s, &reply, err, "SET %s%s %s NX PX %lld", o->global_keyprefix,
		      o->unacked_mutex_key, token,
		      (long long)(o->unacked_mutex_expire / USEC_PER_MSEC));

	return rc < 0 ? rc : redis_reply_type(reply) == REDIS_STATUS;
}

static void unlock(struct sweep *s, const char *token)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	const struct transport_options *o = &s->b->options;
	struct err err = {0};

	if (CALL(s, &reply, &err, "EVAL %s 1 %s%s %s", script_leave, o->global_keyprefix,
		 o->unacked_mutex_key, token) < 0)
		log_debug("%s stays until it expires: %s", o->unacked_mutex_key, err.msg);
}

static int sweep_locked(struct sweep *s, struct err *err)
{
	int rc = 0;

	while (rc == 0) {
		_cleanup_reply_ struct redis_reply *pairs = NULL;

		rc = page(s, &pairs, err);
		if (rc == 0)
			rc = restore_page(s, pairs, err);
	}
	return rc < 0 ? rc : 0;
}

/* Whether anything is stale is found out without the lock: mostly nothing is. */
static int sweep(struct sweep *s, struct err *err)
{
	_cleanup_reply_ struct redis_reply *first = NULL;
	_cleanup_free_ char *token = NULL;
	int rc = find_ceiling(s, err);

	if (rc == 0)
		rc = page(s, &first, err);
	if (rc < 0 || redis_reply_count(first) == 0)
		return rc;
	token = xasprintf("%s:%lld", presence_owner(s->p), (long long)clock_wall());
	rc = lock(s, token, err);
	if (rc <= 0)
		return rc;
	rc = sweep_locked(s, err);
	unlock(s, token);
	return rc;
}

int redis_broker_restore_stale(struct broker *b, const struct presence *p, bool foreign_only,
			       int64_t *ret_restored, struct err *err)
{
	struct sweep s = {.b = b, .p = p, .foreign_only = foreign_only};
	int rc = sweep(&s, err);

	*ret_restored = s.restored;
	return rc < 0 ? err_wrap(err, "restoring what was held too long") : 0;
}
