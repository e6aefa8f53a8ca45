/*
 * Leases of node names. See presence.h for the keys.
 */
#include "presence.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "process.h"
#include "thread.h"

extern const char script_join[], script_renew[], script_leave[];

#define NODE_SUFFIX_MAX 1000 /* workers of one name on one deployment */
#define OWNERS_MAX	1000 /* looked at in one go */
#define PATIENCE	(5 * USEC_PER_SEC)

struct presence {
	char *key_prefix, *instance, *node;
	int64_t epoch;
	char owner[PRESENCE_OWNER_SIZE];
	char *lease_key, *owners_key;
	char *lease_value;
	struct mutex lock;
	bool retired; /* guarded by lock */
};

static struct presence *new_presence(void)
{
	struct presence *p = xcalloc(1, sizeof(*p));

	mutex_init(&p->lock);
	return p;
}

static char *lease_key(const char *key_prefix, const char *instance, const char *node)
{
	return xasprintf("%sceleriac:%s:node:%s", key_prefix, instance, node);
}

/* 1 = ours now, 0 = somebody has it (their lease in ret_held, given), or an error. */
static int try_join(struct redis *r, struct presence *p, const char *replace, char **ret_held,
		    struct err *err)
{
	struct redis_script join = {0};
	_cleanup_free_ char *lease = lease_key(p->key_prefix, p->instance, p->node);
	_cleanup_free_ char *epoch_key =
		xasprintf("%sceleriac:%s:epoch:%s", p->key_prefix, p->instance, p->node);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	char identity[PROCESS_IDENTITY_SIZE], ttl[24], now[24];
	const struct redis_reply *second;
	struct slice args[8];
	int rc;

	process_identity(identity);
	snprintf(ttl, sizeof(ttl), "%lld", (long long)(PRESENCE_TTL / USEC_PER_MSEC));
	snprintf(now, sizeof(now), "%lld", (long long)(clock_wall() / USEC_PER_SEC));
	args[0] = slice_of(lease);
	args[1] = slice_of(epoch_key);
	args[2] = slice_of(p->owners_key);
	args[3] = slice_of(identity);
	args[4] = slice_of(ttl);
	args[5] = slice_of(replace);
	args[6] = slice_of(now);
	args[7] = slice_of(p->node);
	redis_script_init(&join, script_join);
	rc = redis_run_script(r, &join, 3, args, 8, &reply, err);
	if (rc < 0)
		return rc;
	second = redis_reply_at(reply, 1);
	if (second == NULL)
		return err_set(err, ERR_PROTOCOL, "unexpected answer to the node lease");
	if (redis_reply_int(redis_reply_at(reply, 0)) == 1) {
		p->epoch = redis_reply_int(second);
		p->lease_key = TAKE(lease);
		p->lease_value = xasprintf("%lld %s", (long long)p->epoch, identity);
		snprintf(p->owner, sizeof(p->owner), "%s@%lld", p->node, (long long)p->epoch);
		return 1;
	}
	*ret_held = xstrndup(redis_reply_str(second).data, redis_reply_str(second).len);
	return 0;
}

/* The process part of a lease: what follows its epoch. */
static const char *lease_identity(const char *lease)
{
	const char *space = strchr(lease, ' ');

	return space ? space + 1 : "";
}

/* Waits for a lease whose holder cannot be seen from here: it expires, or proves to be alive by
 * being renewed. */
static int join_after_expiry(struct redis *r, struct presence *p, usec_t deadline, struct err *err)
{
	usec_t give_up = clock_deadline(PRESENCE_TTL + USEC_PER_SEC);
	bool said = false;

	for (;;) {
		_cleanup_free_ char *held = NULL;
		int rc = try_join(r, p, "", &held, err);

		if (rc != 0)
			return rc;
		if (clock_mono() >= give_up)
			return 0;
		if (clock_mono() >= deadline)
			return err_set(err, ERR_TIMEOUT, "the lease of node %s is still held",
				       p->node);
		if (!said)
			log_info("waiting for the lease of node %s to expire (at most %lld s)",
				 p->node, (long long)(PRESENCE_TTL / USEC_PER_SEC));
		said = true;
		poll(NULL, 0, 500);
	}
}

/* 1 joined, 0 the name is taken by a live process, or an error. */
static int join_as(struct redis *r, struct presence *p, usec_t deadline, struct err *err)
{
	_cleanup_free_ char *held = NULL, *again = NULL;
	int rc = try_join(r, p, "", &held, err);

	if (rc != 0)
		return rc;
	switch (process_life(lease_identity(held))) {
	case PROCESS_GONE:
		return try_join(r, p, held, &again, err);
	case PROCESS_ALIVE:
		return 0;
	case PROCESS_UNKNOWN:
		break;
	}
	return join_after_expiry(r, p, deadline, err);
}

int presence_join(struct redis *r, const char *key_prefix, const char *instance, const char *node,
		  usec_t deadline, struct presence **ret, struct err *err)
{
	struct presence *p = new_presence();
	int rc;

	p->key_prefix = xstrdup(key_prefix);
	p->instance = xstrdup(instance);
	p->owners_key = xasprintf("%sceleriac:%s:owners", key_prefix, instance);
	for (int n = 1; n < NODE_SUFFIX_MAX; n++) {
		free(p->node);
		p->node = n == 1 ? xstrdup(node) : xasprintf("%s-%d", node, n);
		rc = join_as(r, p, deadline, err);
		if (rc < 0)
			goto fail;
		if (rc == 1) {
			if (n > 1)
				log_warning(
					"node name %s is taken by a live worker: this one is %s",
					node, p->node);
			*ret = p;
			return 0;
		}
	}
	rc = err_set(err, ERR_CONFLICT, "every node name from %s to %s is taken", node, p->node);
fail:
	presence_free(p);
	return rc;
}

struct presence *presence_alone(const char *instance, const char *node)
{
	struct presence *p = new_presence();

	p->key_prefix = xstrdup("");
	p->instance = xstrdup(instance);
	p->node = xstrdup(node);
	p->epoch = clock_wall() / USEC_PER_MSEC;
	snprintf(p->owner, sizeof(p->owner), "%s@%lld", p->node, (long long)p->epoch);
	return p;
}

void presence_reclaim(struct redis *r, const char *key_prefix, const char *instance,
		      const char *node)
{
	_cleanup_free_ char *key = lease_key(key_prefix, instance, node), *held = NULL;
	_cleanup_reply_ struct redis_reply *reply = NULL, *left = NULL;
	char identity[PROCESS_IDENTITY_SIZE];
	struct err err = {0};

	process_identity(identity);
	if (redis_do(r, &reply, &err, "GET %s", key) < 0)
		return;
	held = xstrndup(redis_reply_str(reply).data, redis_reply_str(reply).len);
	if (strcmp(lease_identity(held), identity) == 0 &&
	    redis_do(r, &left, &err, "EVAL %s 1 %s %s", script_leave, key, held) < 0)
		log_debug("the lease of an earlier life stays until it expires: %s", err.msg);
}

const char *presence_node(const struct presence *p)
{
	return p->node;
}

int64_t presence_epoch(const struct presence *p)
{
	return p->epoch;
}

const char *presence_owner(const struct presence *p)
{
	return p->owner;
}

const char *presence_instance(const struct presence *p)
{
	return p->instance;
}

static void renewed(void *arg unused_arg, struct redis_reply *const *replies, size_t count,
		    const struct err *err unused_arg)
{
	if (count == 1 && redis_reply_type(replies[0]) == REDIS_INTEGER &&
	    redis_reply_int(replies[0]) == 0)
		log_error("another worker took the lease of this node name; give each its own "
			  "CELERIAC_NODE");
}

void presence_renew(struct presence *p, struct redis_link *link)
{
	struct buf commands = BUF_INIT(BOUND_URL_BYTES * 4);

	redis_command(&commands, "EVAL %s 2 %s %s %s %lld %s", script_renew, p->lease_key,
		      p->owners_key, p->lease_value, (long long)(PRESENCE_TTL / USEC_PER_MSEC),
		      p->owner);
	mutex_lock(&p->lock);
	if (!p->retired)
		redis_link_submit(link, &commands, 1, 0, renewed, NULL);
	mutex_unlock(&p->lock);
	buf_done(&commands);
}

void presence_retire(struct presence *p)
{
	mutex_lock(&p->lock);
	p->retired = true;
	mutex_unlock(&p->lock);
}

void presence_leave(const struct presence *p, struct redis *r)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err = {0};

	if (redis_do(r, &reply, &err, "EVAL %s 1 %s %s", script_leave, p->lease_key,
		     p->lease_value) < 0)
		log_debug("the node lease stays until it expires: %s", err.msg);
}

struct presence *presence_elsewhere(const struct presence *p, const char *key_prefix)
{
	struct presence *other = new_presence();

	other->key_prefix = xstrdup(key_prefix);
	other->instance = xstrdup(p->instance);
	other->node = xstrdup(p->node);
	other->epoch = p->epoch;
	memcpy(other->owner, p->owner, sizeof(other->owner));
	other->lease_key = lease_key(key_prefix, p->instance, p->node);
	other->owners_key = xasprintf("%sceleriac:%s:owners", key_prefix, p->instance);
	other->lease_value = xstrdup(p->lease_value);
	return other;
}

int presence_show(const struct presence *p, struct redis *r, struct err *err)
{
	_cleanup_reply_ struct redis_reply *lease = NULL, *owners = NULL;
	int rc = redis_do(r, &owners, err, "SADD %s %s", p->owners_key, p->owner);

	if (rc == 0)
		rc = redis_do(r, &lease, err, "SET %s %s PX %lld", p->lease_key, p->lease_value,
			      (long long)(PRESENCE_TTL / USEC_PER_MSEC));
	return rc < 0 ? err_wrap(err, "the lease where messages are") : 0;
}

void presence_free(struct presence *p)
{
	if (p == NULL)
		return;
	free(p->key_prefix);
	free(p->instance);
	free(p->node);
	free(p->lease_key);
	free(p->owners_key);
	free(p->lease_value);
	mutex_done(&p->lock);
	free(p);
}

bool presence_owner_parse(const char *owner, char node[128], int64_t *ret_epoch)
{
	const char *at = strrchr(owner, '@');
	char *end;
	long long epoch;

	if (at == NULL || at == owner || at - owner >= 128 || at[1] < '0' || at[1] > '9')
		return false;
	epoch = strtoll(at + 1, &end, 10);
	if (*end != '\0')
		return false;
	memcpy(node, owner, (size_t)(at - owner));
	node[at - owner] = '\0';
	*ret_epoch = epoch;
	return true;
}

int presence_alive(const struct presence *p, struct redis_link *link, const char *owner,
		   bool *ret_alive, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ char *key = NULL;
	char node[128];
	int64_t epoch;
	struct slice lease;
	int rc;

	if (strcmp(owner, p->owner) == 0) {
		*ret_alive = true;
		return 0;
	}
	if (!presence_owner_parse(owner, node, &epoch)) {
		*ret_alive = false;
		return 0;
	}
	key = lease_key(p->key_prefix, p->instance, node);
	rc = redis_link_do(link, clock_deadline(5 * USEC_PER_SEC), &reply, err, "GET %s", key);
	if (rc < 0)
		return rc;
	lease = redis_reply_str(reply);
	*ret_alive = redis_reply_type(reply) == REDIS_STRING && lease.len > 0 &&
		     strtoll(lease.data, NULL, 10) == epoch;
	return 0;
}

/* ---- owners whose lives are over ---- */

static int look_at(const struct presence *p, struct redis_link *link, struct slice owner,
		   bool own_only, struct presence_owners *ret, struct err *err)
{
	_cleanup_free_ char *text = xstrndup(owner.data, owner.len);
	bool alive = true;
	char node[128];
	int64_t epoch;
	int rc;

	if (owner.len >= PRESENCE_OWNER_SIZE || !presence_owner_parse(text, node, &epoch) ||
	    (own_only && strcmp(node, p->node) != 0))
		return 0;
	rc = presence_alive(p, link, text, &alive, err);
	if (rc < 0 || alive)
		return rc;
	ret->items = xrealloc(ret->items, (ret->count + 1) * sizeof(*ret->items));
	ret->items[ret->count++] = TAKE(text);
	return 0;
}

int presence_find_dead(const struct presence *p, struct redis_link *link, bool own_only,
		       struct presence_owners *ret, struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = redis_link_do(link, clock_deadline(PATIENCE), &reply, err, "SRANDMEMBER %s %d",
			       p->owners_key, OWNERS_MAX);

	for (size_t i = 0; rc == 0 && i < redis_reply_count(reply); i++) {
		rc = look_at(p, link, redis_reply_str(redis_reply_at(reply, i)), own_only, ret,
			     err);
	}
	if (rc < 0)
		presence_owners_done(ret);
	return rc;
}

int presence_forget(const struct presence *p, struct redis_link *link, const char *owner,
		    struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;

	return redis_link_do(link, clock_deadline(PATIENCE), &reply, err, "SREM %s %s",
			     p->owners_key, owner);
}

void presence_owners_done(struct presence_owners *o)
{
	for (size_t i = 0; i < o->count; i++) {
		free(o->items[i]);
	}
	free(o->items);
	*o = (struct presence_owners){0};
}
