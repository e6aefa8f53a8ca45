/*
 * Putting back what dead workers of ours held. Whose a delivery was is told by its tag,
 * "celeriac:<node>@<epoch>:<step>:<number>", and who is dead by the leases of our deployment; other
 * tags are left to the visibility timeout (stale.c). Nothing is looked through while nobody is
 * dead.
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
#define CHUNK	     256 /* put back in one round trip */

bool broker_split_tag(const char *tag, char owner[PRESENCE_OWNER_SIZE], int *ret_step,
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
	uint64_t number;
	uint32_t owner; /* of struct restoring */
	int step;
};

/* One look at everything that is recorded as unacked. */
struct restoring {
	struct broker *b;
	char *const *owners; /* whose deliveries are looked for */
	size_t owner_count;
	const uint64_t *held; /* the numbers that are no orphans, sorted; or NULL */
	size_t held_count;
	size_t last; /* the owner found last: tags of one come in runs */
	struct orphan *orphans;
	size_t count, size;
	int64_t restored;
	struct err refused; /* by Redis, the last of them: a queue that is no list keeps no other
			       back */
};

static int compare_numbers(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static int newest_first(const void *a, const void *b)
{
	const struct orphan *left = a, *right = b;

	return (left->number < right->number) - (left->number > right->number);
}

static bool find_owner(struct restoring *r, const char *owner)
{
	if (strcmp(r->owners[r->last], owner) == 0)
		return true;
	for (size_t i = 0; i < r->owner_count; i++) {
		if (strcmp(r->owners[i], owner) == 0) {
			r->last = i;
			return true;
		}
	}
	return false;
}

static void consider(struct restoring *r, const char *tag)
{
	char owner[PRESENCE_OWNER_SIZE];
	struct orphan found;

	if (!broker_split_tag(tag, owner, &found.step, &found.number) || !find_owner(r, owner))
		return;
	if (r->held != NULL && bsearch(&found.number, r->held, r->held_count, sizeof(*r->held),
				       compare_numbers) != NULL)
		return;
	found.owner = (uint32_t)r->last;
	if (r->count == r->size) {
		r->size = r->size ? 2 * r->size : 64;
		r->orphans = xrealloc(r->orphans, r->size * sizeof(*r->orphans));
	}
	r->orphans[r->count++] = found;
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

			consider(r, text);
		}
		next = redis_reply_str(redis_reply_at(reply, 0));
		free(cursor);
		cursor = xstrndup(next.data, next.len);
	} while (strcmp(cursor, "0") != 0 && cursor[0] != '\0');
	return 0;
}

static void tag_of(const struct restoring *r, const struct orphan *o, char tag[BROKER_TAG_SIZE])
{
	snprintf(tag, BROKER_TAG_SIZE, TAG_START "%s:%d:%llu", r->owners[o->owner], o->step,
		 (unsigned long long)o->number);
}

static void add_command(const struct restoring *r, const struct orphan *o, struct buf *out)
{
	const struct broker *b = r->b;
	char tag[BROKER_TAG_SIZE], suffix[80] = "";

	tag_of(r, o, tag);
	if (o->step != b->options.priority_steps[0])
		snprintf(suffix, sizeof(suffix), "%s%d", b->options.sep, o->step);
	redis_command(out, "EVALSHA %s 2 %s %s %s %s %s", b->restore.sha, b->unacked,
		      b->unacked_index, tag, b->options.global_keyprefix, suffix);
}

static void judge(struct restoring *r, const struct orphan *o, const struct redis_reply *reply)
{
	char tag[BROKER_TAG_SIZE];

	if (redis_reply_type(reply) == REDIS_ERROR)
		(void)err_set(&r->refused, ERR_FAILED, "Redis: %.*s",
			      (int)redis_reply_str(reply).len, redis_reply_str(reply).data);
	if (redis_reply_int(reply) == 1)
		r->restored++;
	if (redis_reply_int(reply) == -1) {
		tag_of(r, o, tag);
		log_error("delivery %s has a record that cannot be restored; it stays in %s", tag,
			  r->b->unacked);
	}
}

static int restore_chunk(struct restoring *r, const struct orphan *o, size_t count, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	struct redis_reply *replies[CHUNK];
	int rc;

	for (size_t i = 0; i < count; i++) {
		add_command(r, &o[i], &commands);
	}
	rc = redis_link_exchange(r->b->link, &commands, count, 0, clock_deadline(CALL_TIMEOUT),
				 replies, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		judge(r, &o[i], replies[i]);
		redis_reply_free(replies[i]);
	}
	return rc;
}

static int run(struct restoring *r, struct err *err)
{
	int rc = collect(r, err);

	if (rc == 0 && r->count > 0)
		qsort(r->orphans, r->count, sizeof(*r->orphans), newest_first);
	for (size_t done = 0; rc == 0 && done < r->count; done += CHUNK) {
		size_t left = r->count - done;

		rc = restore_chunk(r, r->orphans + done, left < CHUNK ? left : CHUNK, err);
	}
	free(r->orphans);
	if (rc == 0 && r->refused.code != 0) {
		*err = r->refused;
		rc = -err->code;
	}
	return rc;
}

static int restore_dead(struct broker *b, const struct presence *p, bool own_only,
			int64_t *ret_restored, struct err *err)
{
	_cleanup_(presence_owners_done) struct presence_owners dead = {0};
	struct restoring r = {.b = b};
	int rc = presence_find_dead(p, b->link, own_only, &dead, err);
	bool buried = true;

	/* what they had not routed comes behind all else of theirs, and goes back before */
	if (rc == 0 && dead.count > 0)
		rc = broker_route_bury(b, p, !own_only, &buried, err);
	size_t count = buried ? dead.count : 0; /* else the next time */
	if (rc == 0 && count > 0) {
		r.owners = dead.items;
		r.owner_count = count;
		rc = run(&r, err);
	}
	*ret_restored = r.restored;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		broker_forget_heard(b, p, dead.items[i]);
		rc = broker_route_release(b, p, dead.items[i], err);
		if (rc == 0)
			rc = presence_forget(p, b->link, dead.items[i], err);
	}
	return rc < 0 ? rc : dead.count > 0;
}

int redis_broker_restore_dead(struct broker *b, const struct presence *p, bool own_only,
			      int64_t *ret_restored, struct err *err)
{
	int rc = restore_dead(b, p, own_only, ret_restored, err);

	return rc < 0 ? err_wrap(err, "restoring messages of dead workers") : rc;
}

int redis_broker_restore_lost(struct broker *b, const struct presence *p, uint64_t *held,
			      size_t count, int64_t *ret_restored, struct err *err)
{
	char *const owners[] = {(char *)(uintptr_t)presence_owner(p)};
	struct restoring r = {
		.b = b, .owners = owners, .owner_count = 1, .held = held, .held_count = count};

	if (count > 1)
		qsort(held, count, sizeof(*held), compare_numbers);
	if (broker_route_forgo(b, err) < 0 || run(&r, err) < 0)
		return err_wrap(err, "restoring messages of a claim without an answer");
	*ret_restored = r.restored;
	return 0;
}
