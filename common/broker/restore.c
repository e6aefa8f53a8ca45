/*
 * Putting back what dead workers held. Whose a delivery was is told by its tag,
 * "celeriac:<node>@<epoch>:<step>:<number>"; tags of Python workers are left to the visibility
 * timeout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "redis_broker.h"

#define CALL_TIMEOUT (5 * USEC_PER_SEC)
#define TAG_START    "celeriac:"
#define SCAN_COUNT   512

/* The verdict on the owner asked for last: tags of one owner come in runs. */
struct verdict {
	char owner[PRESENCE_OWNER_SIZE];
	bool alive;
};

/* "celeriac:<owner>:<step>:<number>" → its parts; false when it is not of that form. */
static bool split_tag(const char *tag, char owner[PRESENCE_OWNER_SIZE], int *ret_step,
		      uint64_t *ret_number)
{
	const char *number = strrchr(tag, ':');
	const char *step = number;
	size_t len;

	if (strncmp(tag, TAG_START, strlen(TAG_START)) != 0 || number == NULL)
		return false;
	do {
		if (step == tag)
			return false;
		step--;
	} while (*step != ':');
	tag += strlen(TAG_START);
	if (step <= tag)
		return false;
	len = (size_t)(step - tag);
	if (len >= PRESENCE_OWNER_SIZE)
		return false;
	memcpy(owner, tag, len);
	owner[len] = '\0';
	*ret_step = (int)strtol(step + 1, NULL, 10);
	*ret_number = strtoull(number + 1, NULL, 10);
	return true;
}

/* What is to be put back, collected first: it goes to the front of its list, so the newest has to
 * go before the others. */
struct orphan {
	char *tag;
	int step;
	uint64_t number;
};
struct orphans {
	struct orphan *items;
	size_t count, size;
};

static void orphans_done(struct orphans *o)
{
	for (size_t i = 0; i < o->count; i++) {
		free(o->items[i].tag);
	}
	free(o->items);
}

static void orphans_add(struct orphans *o, const struct orphan *item)
{
	if (o->count == o->size) {
		o->size = o->size ? 2 * o->size : 64;
		o->items = xrealloc(o->items, o->size * sizeof(*o->items));
	}
	o->items[o->count] = *item;
	o->items[o->count++].tag = xstrdup(item->tag);
}

static int newest_first(const void *a, const void *b)
{
	const struct orphan *left = a, *right = b;

	return (left->number < right->number) - (left->number > right->number);
}

static int restore_one(struct broker *b, const char *tag, int step, int64_t *restored,
		       struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	char suffix[80] = "";
	int rc;

	if (step != b->options.priority_steps[0])
		snprintf(suffix, sizeof(suffix), "%s%d", b->options.sep, step);
	rc = redis_link_do(b->link, clock_deadline(CALL_TIMEOUT), &reply, err,
			   "EVALSHA %s 2 %s %s %s %s %s", b->restore.sha, b->unacked,
			   b->unacked_index, tag, b->options.global_keyprefix, suffix);
	if (rc < 0)
		return rc;
	if (redis_reply_int(reply) == 1)
		(*restored)++;
	if (redis_reply_int(reply) == -1)
		log_error("delivery %s has a record that cannot be restored; it stays in %s", tag,
			  b->unacked);
	return 0;
}

static bool is_own_node(const struct presence *p, const char *owner)
{
	char node[128];
	int64_t epoch;

	return presence_owner_parse(owner, node, &epoch) && strcmp(node, presence_node(p)) == 0;
}

/* One look at everything that is recorded as unacked. */
struct restoring {
	struct broker *b;
	const struct presence *p;
	bool own_only;
	/* not NULL: what this life of ours took and does not hold, instead of what dead ones did */
	const uint64_t *held; /* numbers, sorted */
	size_t held_count;
	struct verdict last;
	struct orphans orphans;
	int64_t restored;
};

static int compare_numbers(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static bool is_lost(const struct restoring *r, uint64_t number, const char *owner)
{
	return strcmp(owner, presence_owner(r->p)) == 0 &&
	       bsearch(&number, r->held, r->held_count, sizeof(*r->held), compare_numbers) == NULL;
}

static int consider(struct restoring *r, const char *tag, struct err *err)
{
	struct orphan found = {.tag = (char *)(uintptr_t)tag};
	char owner[PRESENCE_OWNER_SIZE];
	struct verdict *last = &r->last;

	if (!split_tag(tag, owner, &found.step, &found.number))
		return 0;
	if (r->held != NULL) {
		if (is_lost(r, found.number, owner))
			orphans_add(&r->orphans, &found);
		return 0;
	}
	if (r->own_only && !is_own_node(r->p, owner))
		return 0;
	if (strcmp(owner, last->owner) != 0) {
		int rc = presence_alive(r->p, r->b->link, owner, &last->alive, err);

		if (rc < 0)
			return rc;
		memcpy(last->owner, owner, sizeof(owner));
	}
	if (!last->alive)
		orphans_add(&r->orphans, &found);
	return 0;
}

static int collect(struct restoring *r, struct err *err)
{
	_cleanup_free_ char *cursor = xstrdup("0");

	do {
		_cleanup_reply_ struct redis_reply *reply = NULL;
		const struct redis_reply *pairs;
		struct slice next;
		int rc = redis_link_do(r->b->link, clock_deadline(CALL_TIMEOUT), &reply, err,
				       "ZSCAN %s %s MATCH " TAG_START "* COUNT %d",
				       r->b->unacked_index, cursor, SCAN_COUNT);

		if (rc < 0)
			return rc;
		pairs = redis_reply_at(reply, 1);
		for (size_t i = 0; pairs != NULL && i < redis_reply_count(pairs); i += 2) {
			struct slice tag = redis_reply_str(redis_reply_at(pairs, i));
			_cleanup_free_ char *text = xstrndup(tag.data, tag.len);

			rc = consider(r, text, err);
			if (rc < 0)
				return rc;
		}
		next = redis_reply_str(redis_reply_at(reply, 0));
		free(cursor);
		cursor = xstrndup(next.data, next.len);
	} while (strcmp(cursor, "0") != 0 && cursor[0] != '\0');
	return 0;
}

static int run(struct restoring *r, struct err *err)
{
	struct orphans *o = &r->orphans;
	int rc = collect(r, err);

	if (rc == 0 && o->count > 0)
		qsort(o->items, o->count, sizeof(*o->items), newest_first);
	for (size_t i = 0; rc == 0 && i < o->count; i++) {
		rc = restore_one(r->b, o->items[i].tag, o->items[i].step, &r->restored, err);
	}
	orphans_done(o);
	return rc;
}

int broker_restore_dead(struct broker *b, const struct presence *p, bool own_only,
			int64_t *ret_restored, struct err *err)
{
	struct restoring r = {.b = b, .p = p, .own_only = own_only, .last = {"", true}};

	if (run(&r, err) < 0)
		return err_wrap(err, "restoring messages of dead workers");
	*ret_restored = r.restored;
	return 0;
}

int broker_restore_lost(struct broker *b, const struct presence *p, uint64_t *held, size_t count,
			int64_t *ret_restored, struct err *err)
{
	struct restoring r = {.b = b, .p = p, .held = held, .held_count = count};

	qsort(held, count, sizeof(*held), compare_numbers);
	if (run(&r, err) < 0)
		return err_wrap(err, "restoring messages of a claim without an answer");
	*ret_restored = r.restored;
	return 0;
}
