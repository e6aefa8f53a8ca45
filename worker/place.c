/*
 * Station 6: the engine. See place.h; include/fleet.h chooses.
 */
#include "place.h"

#include <poll.h>
#include <utlist.h>

#include "log.h"
#include "route.h"

#define LOOK_MS 250

static bool needs_engine(const struct task_ctx *ctx)
{
	return ctx->worker->fleet != NULL && (ctx->task->flags & TASK_SANDBOX) != 0;
}

static enum fleet_choice choose(struct task_ctx *ctx)
{
	struct request *r = ctx->request;

	return fleet_choose(ctx->worker->fleet, route_wants(r) ? r->lane : NULL,
			    ctx->begun ? r->id : NULL, &ctx->sandbox);
}

static int newest_first(const struct request *a, const struct request *b)
{
	return a->number < b->number ? 1 : -1;
}

/* With all that waits behind it: it goes first, and so comes first again. */
static void release_lane(struct request *r)
{
	struct request *list = lanes_take_waiting(&r->worker->lanes, r), *next;

	LL_SORT(list, newest_first);
	for (; list != NULL; list = next) {
		next = list->next;
		settle_release(list);
	}
	settle_release(r);
}

bool place_call(struct task_ctx *ctx)
{
	struct request *r = ctx->request;
	bool said = false;

	while (needs_engine(ctx)) {
		enum fleet_choice choice = choose(ctx);

		ctx->placed = choice == FLEET_HERE;
		if (ctx->placed)
			break;
		if (choice == FLEET_ELSEWHERE || atomic_load(&r->cancel) ||
		    atomic_load(&r->worker->releasing)) {
			release_lane(r);
			return false;
		}
		if (!said)
			log_warning("Task %s[%s]: no worker reaches the engine of its "
				    "conversation, waiting",
				    r->shown, r->id);
		said = true;
		poll(NULL, 0, LOOK_MS);
	}
	return true;
}

void place_choose(struct task_ctx *ctx)
{
	struct fleet *f = ctx->worker->fleet;
	bool chosen = ctx->placed && !ctx->begun;

	ctx->placed = false;
	if (chosen)
		return;
	if (f == NULL || (needs_engine(ctx) && choose(ctx) == FLEET_HERE))
		return;
	ctx->sandbox = fleet_any(f);
}
