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

/* "celeriac:<owner>:<step>:<number>" → owner and step; false when it is not of that form. */
static bool split_tag(const char *tag, char owner[PRESENCE_OWNER_SIZE], int *ret_step)
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
	return true;
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

static int consider(struct broker *b, const struct presence *p, bool own_only, const char *tag,
		    struct verdict *last, int64_t *restored, struct err *err)
{
	char owner[PRESENCE_OWNER_SIZE];
	int step, rc;

	if (!split_tag(tag, owner, &step) || (own_only && !is_own_node(p, owner)))
		return 0;
	if (strcmp(owner, last->owner) != 0) {
		rc = presence_alive(p, b->link, owner, &last->alive, err);
		if (rc < 0)
			return rc;
		memcpy(last->owner, owner, sizeof(owner));
	}
	return last->alive ? 0 : restore_one(b, tag, step, restored, err);
}

int broker_restore_dead(struct broker *b, const struct presence *p, bool own_only,
			int64_t *ret_restored, struct err *err)
{
	struct verdict last = {"", true};
	int64_t restored = 0;
	_cleanup_free_ char *cursor = xstrdup("0");

	do {
		_cleanup_reply_ struct redis_reply *reply = NULL;
		const struct redis_reply *pairs;
		struct slice next;
		int rc = redis_link_do(b->link, clock_deadline(CALL_TIMEOUT), &reply, err,
				       "ZSCAN %s %s MATCH " TAG_START "* COUNT %d",
				       b->unacked_index, cursor, SCAN_COUNT);

		if (rc < 0)
			return err_wrap(err, "restoring messages of dead workers");
		pairs = redis_reply_at(reply, 1);
		for (size_t i = 0; pairs != NULL && i < redis_reply_count(pairs); i += 2) {
			struct slice tag = redis_reply_str(redis_reply_at(pairs, i));
			_cleanup_free_ char *text = xstrndup(tag.data, tag.len);

			rc = consider(b, p, own_only, text, &last, &restored, err);
			if (rc < 0)
				return err_wrap(err, "restoring messages of dead workers");
		}
		next = redis_reply_str(redis_reply_at(reply, 0));
		free(cursor);
		cursor = xstrndup(next.data, next.len);
	} while (strcmp(cursor, "0") != 0 && cursor[0] != '\0');
	*ret_restored = restored;
	return 0;
}
