/*
 * Containers that are ready before anybody wants one: made in the background, attached, and taken
 * by renaming them, which the engine does once and for one conversation or one run. There are two
 * kinds: those for plugins have a /plugin, and are kept while plugins are being run.
 *
 * Each worker keeps its own, so that they cost no message between workers; what a dead worker has
 * left is removed by a sweep. None is used twice.
 */
#include "sandbox_internal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "mem.h"

#define START_PAUSE (250 * USEC_PER_MSEC) /* between two starts: code that runs comes first */
#define LOOK	    (5 * USEC_PER_SEC)	  /* at the image, and at what is ready */
#define TROUBLE_MAX (30 * USEC_PER_SEC)

static void spare_free(struct spare *p)
{
	if (p == NULL)
		return;
	agent_link_close(p->link);
	free(p);
}

/* For good, with its container. */
static void discard(struct sandbox *s, struct spare *p)
{
	if (p)
		sandbox_container_drop(s, p->id);
	spare_free(p);
}

static struct spare *pop_locked(struct pool *pool)
{
	struct spare *p = pool->first;

	if (p) {
		pool->first = p->next;
		pool->count--;
		p->next = NULL;
	}
	return p;
}

static size_t count_locked(const struct pool *pool, bool plugin)
{
	size_t n = 0;

	for (const struct spare *p = pool->first; p; p = p->next)
		n += p->plugin == plugin;
	return n;
}

/* One of the kind, of the image that is to be used. */
static struct spare *pop_kind(struct sandbox *s, bool plugin)
{
	struct spare *found = NULL;

	mutex_lock(&s->pool.lock);
	if (plugin)
		s->pool.plugin_until = clock_deadline(s->settings->sandbox_idle_timeout);
	for (struct spare **p = &s->pool.first; *p && !found; p = &(*p)->next)
		if ((*p)->plugin == plugin && strcmp((*p)->image, s->pool.image) == 0) {
			found = *p;
			*p = found->next;
			s->pool.count--;
			found->next = NULL;
			break;
		}
	cond_signal(&s->pool.changed);
	mutex_unlock(&s->pool.lock);
	return found;
}

static struct spare *pop(struct sandbox *s)
{
	struct spare *p;

	mutex_lock(&s->pool.lock);
	p = pop_locked(&s->pool);
	cond_signal(&s->pool.changed);
	mutex_unlock(&s->pool.lock);
	return p;
}

static void push_locked(struct pool *pool, struct spare *p)
{
	p->next = pool->first;
	pool->first = p;
	pool->count++;
}

static void push(struct sandbox *s, struct spare *p)
{
	mutex_lock(&s->pool.lock);
	push_locked(&s->pool, p);
	mutex_unlock(&s->pool.lock);
}

/* A proxy before the engine cuts streams that are idle. The container behind is as good as before:
 * nothing ever ran in it. */
static bool join_again(struct sandbox *s, struct spare *p)
{
	uint32_t epoch = agent_link_epoch(p->link) + 1;
	struct err err;

	agent_link_close(TAKE(p->link));
	if (agent_link_open(s->engine, p->id, epoch, true, clock_deadline(SANDBOX_HELLO_TIME),
			    &p->link, &err) == 0)
		return true;
	log_debug("a spare sandbox that was cut off: %s", err.msg);
	return false;
}

/* Made by what is asked for now, and with nothing to say. */
static bool is_good(struct sandbox *s, struct spare *p)
{
	char volume[sizeof(p->volume)];

	mutex_lock(&s->lock);
	memcpy(volume, s->agent_volume, sizeof(volume));
	mutex_unlock(&s->lock);
	return strcmp(p->volume, volume) == 0 && (agent_link_is_quiet(p->link) || join_again(s, p));
}

int sandbox_pool_take(struct sandbox *s, const char *name, bool plugin, char ret_id[ENGINE_ID_SIZE],
		      struct agent_link **ret, struct err *err)
{
	struct spare *p;
	int rc;

	while ((p = pop_kind(s, plugin)) != NULL) {
		if (!is_good(s, p)) {
			discard(s, p);
			continue;
		}
		rc = engine_rename(s->engine, p->id, name, err);
		if (rc == -ERR_CONFLICT) {
			push(s, p);
			return rc;
		}
		if (rc < 0) {
			log_debug("a spare sandbox cannot be taken: %s", err->msg);
			discard(s, p);
			continue;
		}
		FAULT_POINT("pool.taken");
		memcpy(ret_id, p->id, ENGINE_ID_SIZE);
		*ret = TAKE(p->link);
		free(p);
		return 1;
	}
	return 0;
}

bool sandbox_pool_give_up_one(struct sandbox *s)
{
	struct spare *p = pop(s);

	if (p == NULL)
		return false;
	discard(s, p);
	return true;
}

bool sandbox_pool_has(struct sandbox *s, const char *id)
{
	bool found;

	mutex_lock(&s->pool.lock);
	found = strcmp(s->pool.in_hand, id) == 0;
	for (struct spare *p = s->pool.first; p && !found; p = p->next)
		found = strcmp(p->id, id) == 0;
	mutex_unlock(&s->pool.lock);
	return found;
}

/* ---- the thread ---- */

/* The last one, taken into the hand of the pool's thread. */
static struct spare *hold_last(struct sandbox *s)
{
	struct spare **p = &s->pool.first, *found;

	mutex_lock(&s->pool.lock);
	while (*p && (*p)->next)
		p = &(*p)->next;
	found = s->pool.stopping ? NULL : TAKE(*p);
	if (found) {
		s->pool.count--;
		s->pool.looking = true;
		memcpy(s->pool.in_hand, found->id, sizeof(found->id));
	}
	mutex_unlock(&s->pool.lock);
	return found;
}

/* Back among the others, unless `p` is NULL. */
static void let_go(struct sandbox *s, struct spare *p)
{
	mutex_lock(&s->pool.lock);
	if (p)
		push_locked(&s->pool, p);
	s->pool.in_hand[0] = '\0';
	s->pool.looking = false;
	mutex_unlock(&s->pool.lock);
}

static int make_one(struct sandbox *s, struct spare *p, struct err *err)
{
	char name[CONTAINER_NAME_SIZE];
	const struct container_wish wish = {.role = SANDBOX_ROLE_POOL,
					    .conversation = "",
					    .project = "",
					    .task = "",
					    .name = name,
					    .plugin = p->plugin};
	int rc;

	sandbox_container_spare_name(name);
	mutex_lock(&s->lock);
	memcpy(p->volume, s->agent_volume, sizeof(p->volume));
	mutex_unlock(&s->lock);
	rc = sandbox_container_make(s, &wish, p->id, err);
	if (rc < 0)
		return rc;
	mutex_lock(&s->pool.lock);
	memcpy(s->pool.in_hand, p->id, sizeof(p->id));
	memcpy(p->image, s->pool.image, sizeof(p->image));
	mutex_unlock(&s->pool.lock);
	FAULT_POINT("pool.made");
	rc = agent_link_open(s->engine, p->id, 1, false, clock_deadline(SANDBOX_HELLO_TIME),
			     &p->link, err);
	if (rc < 0)
		sandbox_container_drop(s, p->id);
	return rc;
}

/* 1 made, 0 there is no place for one. */
static int add_one(struct sandbox *s, bool plugin, struct err *err)
{
	struct spare *p = xcalloc(1, sizeof(*p));
	struct place place;
	int rc = sandbox_capacity_try(s, &place, err);

	p->plugin = plugin;
	if (rc > 0) {
		rc = make_one(s, p, err);
		sandbox_capacity_release(s, &place);
		rc = rc < 0 ? rc : 1;
	}
	let_go(s, rc > 0 ? p : NULL);
	if (rc <= 0)
		spare_free(p);
	return rc;
}

/* Of an image that is no longer used, or for plugins, of which nobody has run one for long. */
static bool is_of_no_use(struct sandbox *s, const struct spare *p)
{
	bool no_use;

	mutex_lock(&s->pool.lock);
	no_use = strcmp(p->image, s->pool.image) != 0 ||
		 (p->plugin && s->pool.plugin_until <= clock_mono());
	mutex_unlock(&s->pool.lock);
	return no_use;
}

/* All of them, once around, one after the other so that calls find the rest: those of no use go. */
static void look_at_all(struct sandbox *s)
{
	struct spare *p;
	size_t left;

	mutex_lock(&s->pool.lock);
	left = s->pool.count;
	mutex_unlock(&s->pool.lock);
	for (; left > 0 && (p = hold_last(s)) != NULL; left--) {
		if (is_of_no_use(s, p) || !is_good(s, p))
			discard(s, TAKE(p));
		let_go(s, p);
	}
}

/* The image may be another one by now. */
static int look_at_image(struct sandbox *s, struct err *err)
{
	char id[ENGINE_ID_SIZE];
	int rc = engine_image_id(s->engine, s->settings->sandbox_image, id, err);
	bool changed;

	if (rc < 0)
		return rc;
	mutex_lock(&s->pool.lock);
	changed = s->pool.image[0] && strcmp(s->pool.image, id) != 0;
	memcpy(s->pool.image, id, sizeof(id));
	mutex_unlock(&s->pool.lock);
	if (changed)
		log_info("the image %s has changed: spare sandboxes are made anew",
			 s->settings->sandbox_image);
	look_at_all(s);
	return 0;
}

/* Of which kind one is missing; false when none is. Conversations come first. */
static bool is_missing(struct sandbox *s, bool *ret_plugin)
{
	const size_t most = (size_t)s->settings->sandbox_pool;
	bool missing;

	mutex_lock(&s->pool.lock);
	*ret_plugin = count_locked(&s->pool, false) >= most;
	missing = !*ret_plugin ||
		  (s->pool.plugin_until > clock_mono() && count_locked(&s->pool, true) < most);
	mutex_unlock(&s->pool.lock);
	return missing;
}

/* One step; how long to wait until the next. */
static usec_t step(struct sandbox *s, usec_t *look_at, usec_t *trouble)
{
	struct err err;
	bool plugin;
	int rc = 0;

	if (!sandbox_ready(s))
		return USEC_PER_SEC;
	if (clock_mono() >= *look_at) {
		rc = look_at_image(s, &err);
		*look_at = clock_deadline(LOOK);
	}
	if (rc == 0 && !is_missing(s, &plugin))
		return LOOK;
	if (rc == 0)
		rc = add_one(s, plugin, &err);
	if (rc == 0)
		return LOOK;
	if (rc > 0) {
		*trouble = 0;
		return START_PAUSE;
	}
	log_debug("spare sandboxes: %s", err.msg);
	*trouble = *trouble > 0 && 2 * *trouble < TROUBLE_MAX ? 2 * *trouble : USEC_PER_SEC;
	return *trouble;
}

static void *pool_thread(void *arg)
{
	struct sandbox *s = arg;
	struct pool *pool = &s->pool;
	usec_t look_at = 0, trouble = 0, until, not_before;

	for (;;) {
		until = clock_deadline(step(s, &look_at, &trouble));
		not_before = clock_deadline(START_PAUSE);
		mutex_lock(&pool->lock);
		while (!pool->stopping && clock_mono() < until) {
			/* Somebody has taken one. */
			if (cond_wait_until(&pool->changed, &pool->lock, until) && trouble == 0)
				until = until < not_before ? until : not_before;
		}
		if (pool->stopping) {
			mutex_unlock(&pool->lock);
			return NULL;
		}
		mutex_unlock(&pool->lock);
	}
}

void sandbox_pool_init(struct pool *pool)
{
	mutex_init(&pool->lock);
	cond_init(&pool->changed);
}

void sandbox_keep_ready(struct sandbox *s)
{
	struct err err;

	if (s->settings->sandbox_pool == 0 || s->pool.running)
		return;
	if (thread_start(&s->pool.thread, "sandbox-pool", pool_thread, s, &err) < 0)
		log_warning("no spare sandboxes are kept: %s", err.msg);
	else
		s->pool.running = true;
}

void sandbox_pool_done(struct sandbox *s)
{
	struct pool *pool = &s->pool;

	if (pool->running) {
		mutex_lock(&pool->lock);
		pool->stopping = true;
		cond_signal(&pool->changed);
		mutex_unlock(&pool->lock);
		pthread_join(pool->thread, NULL);
	}
	while (sandbox_ready(s) && sandbox_pool_give_up_one(s))
		continue;
	while (pool->first)
		spare_free(pop_locked(pool));
	cond_done(&pool->changed);
	mutex_done(&pool->lock);
}
