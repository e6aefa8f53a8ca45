/*
 * How many containers there may be, and which has to go when one more is wanted.
 */
#include "sandbox_internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "mem.h"

#define CANDIDATES 128
#define LOOK_MS	   250

int64_t sandbox_capacity_default(const struct settings *settings, const struct engine_info *info)
{
	int64_t each = settings->sandbox_memory + settings->sandbox_work_size;
	int64_t n = each > 0 ? info->memory_total / 4 * 3 / each : 0;

	return n < 1 ? 1 : n;
}

static int count(struct sandbox *s, int64_t *ret, struct err *err)
{
	_cleanup_free_ struct engine_container *list = NULL;
	int64_t servers = 0; /* MCP_MAX bounds them; they are a load all the same */
	size_t n = 0;
	int rc = engine_list(s->engine, &list, &n, err);

	if (rc < 0)
		return rc;
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		servers += strcmp(list[i].role, SANDBOX_ROLE_SERVER) == 0;
		*ret += strcmp(list[i].role, SANDBOX_ROLE_CONVERSATION) == 0 ||
			strcmp(list[i].role, SANDBOX_ROLE_RUN) == 0 ||
			sandbox_container_is_pooled(&list[i]);
	}
	mutex_lock(&s->lock);
	s->used = *ret + servers + s->placed;
	mutex_unlock(&s->lock);
	return 0;
}

int64_t sandbox_free_places(struct sandbox *s, bool take)
{
	int64_t n;

	mutex_lock(&s->lock);
	n = s->max - s->used;
	s->used += take;
	s->placed += take;
	mutex_unlock(&s->lock);
	return n;
}

void sandbox_count(struct sandbox *s)
{
	struct err err;
	int64_t n;

	mutex_lock(&s->lock);
	s->placed /= 2;
	mutex_unlock(&s->lock);
	if (count(s, &n, &err) < 0)
		log_debug("sandboxes are not counted: %s", err.msg);
}

/*
 * The place is taken before the containers are counted, and given back after one is made. So
 * whoever makes one at the same time is seen either among the places, or, if it gave its place back
 * before we took ours, among the containers; at worst as both.
 */
int sandbox_capacity_try(struct sandbox *s, struct place *ret, struct err *err)
{
	int64_t max, n, making;
	int rc = sandbox_index_reserve(&s->index, ret->token, &making, err);

	if (rc < 0)
		return rc;
	mutex_lock(&s->lock);
	max = s->max;
	mutex_unlock(&s->lock);
	FAULT_POINT("capacity.reserved");
	rc = count(s, &n, err);
	if (rc == 0 && n + making <= max)
		return 1;
	sandbox_index_unreserve(&s->index, ret->token);
	if (rc == 0 && n < max && sandbox_index_clear_places(&s->index) > 0)
		return sandbox_capacity_try(s, ret, err);
	return rc;
}

void sandbox_capacity_release(struct sandbox *s, const struct place *place)
{
	sandbox_index_unreserve(&s->index, place->token);
}

/* Removes this conversation's container if nobody is using it; false otherwise. */
static bool give_up(struct sandbox *s, const char *conversation)
{
	struct index_record record;
	struct index_lease lease;
	bool gone = false;
	struct err err;

	if (sandbox_index_peek(&s->index, conversation, &lease, &record, &err) < 0)
		return false;
	if (record.container[0] && engine_remove(s->engine, record.container, &err) == 0) {
		log_info("sandbox of an idle conversation removed to make room: %.12s",
			 record.container);
		FAULT_POINT("capacity.removed");
		gone = true;
	}
	if (gone || !record.container[0]) {
		sandbox_live_free(sandbox_live_take(s, conversation));
		record.container[0] = '\0';
		sandbox_index_save(&s->index, conversation, &record);
	}
	sandbox_index_release(&s->index, &lease);
	return gone;
}

static bool remove_longest_idle(struct sandbox *s)
{
	_cleanup_free_ struct index_record *records = xcalloc(CANDIDATES, sizeof(*records));
	struct index_idle idle[CANDIDATES];
	const char *names[CANDIDATES];
	char engine[ENGINE_KEY_SIZE];
	bool gone = false;
	size_t n = 0;
	struct err err;

	if (sandbox_index_longest_idle(&s->index, CANDIDATES, idle, &n, &err) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		names[i] = idle[i].conversation;
	sandbox_engine_name(s, engine);
	if (sandbox_index_read(&s->index, names, n, records, &err) < 0)
		memset(records, 0, CANDIDATES * sizeof(*records));
	for (size_t i = 0; i < n; i++) {
		bool here =
			records[i].engine[0] ? strcmp(records[i].engine, engine) == 0 : !s->several;

		if (!gone && here)
			gone = give_up(s, idle[i].conversation);
		free(idle[i].conversation);
	}
	return gone;
}

int sandbox_capacity_make_room(struct sandbox *s, usec_t deadline, const atomic_bool *cancel,
			       struct place *ret, struct err *err)
{
	int rc;

	for (;;) {
		rc = sandbox_capacity_try(s, ret, err);
		if (rc != 0)
			return rc < 0 ? rc : 0;
		if (sandbox_pool_give_up_one(s) || remove_longest_idle(s))
			continue;
		if (cancel && atomic_load_explicit(cancel, memory_order_acquire))
			return err_set(err, ERR_CANCELLED, "cancelled while waiting for a sandbox");
		if (clock_left_ms(deadline) == 0)
			return err_set(err, ERR_UNAVAILABLE,
				       "all sandboxes are in use (SANDBOX_MAX)");
		poll(NULL, 0, LOOK_MS);
	}
}
