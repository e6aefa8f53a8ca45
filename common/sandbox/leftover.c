/*
 * leftover.c: what is left on an engine's disk: how much there is, and what goes because nobody has
 * it any more. None of it is a trouble of the sweep's.
 */
#include "sandbox_internal.h"

#include <string.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"

/* To find what no container uses, and what volumes take, an engine goes through all of them, so it
 * is asked seldom. */
#define INTERVAL (3600 * USEC_PER_SEC)
#define LOOK	 (30 * USEC_PER_SEC) /* at how much is free */

static bool is_time(struct sandbox *s, usec_t *at, usec_t interval)
{
	usec_t now = clock_mono();
	bool due;

	mutex_lock(&s->lock);
	due = now >= *at;
	if (due)
		*at = now + interval;
	mutex_unlock(&s->lock);
	return due;
}

static void set(struct sandbox *s, const char *what, int64_t bytes)
{
	metric_set(metric_series(METRIC_ENGINE_DISK, engine_address(s->engine), what),
		   bytes > 0 ? (uint64_t)bytes : 0);
}

void sandbox_look_at_disk(struct sandbox *s)
{
	struct engine_disk disk;
	struct err err;

	if (!is_time(s, &s->disk_at, LOOK))
		return;
	if (engine_disk(s->engine, &disk, &err) < 0) {
		log_debug("the engine's disk: %s", err.msg);
		return;
	}
	set(s, "size", disk.size);
	set(s, "free", disk.free);
}

static void measure(struct sandbox *s)
{
	struct engine_usage usage;
	struct err err;

	if (engine_usage(s->engine, &usage, &err) < 0) {
		log_debug("what is on the engine's disk: %s", err.msg);
		return;
	}
	set(s, "images", usage.images);
	set(s, "own_images", usage.own_images);
	set(s, "own_volumes", usage.own_volumes);
}

/* What was made for an agent, a setting or an image of another day. */
static void clear(struct sandbox *s)
{
	const struct settings *st = s->settings;
	char volume[sizeof(s->agent_volume)];
	const char *const agents[] = {volume, NULL};
	const char *const named[] = {st->sandbox_network, st->mcp_network, NULL};
	const char *const wanted[] = {st->sandbox_image, NULL};
	/* the engine's dates are its own */
	const usec_t before = clock_machine() - st->sandbox_leftover_age;
	int64_t volumes = 0, networks = 0, images = 0;
	struct err err;

	mutex_lock(&s->lock);
	memcpy(volume, s->agent_volume, sizeof(volume));
	mutex_unlock(&s->lock);
	/* each by itself: a proxy may let through some of them */
	if (engine_sweep_volumes(s->engine, agents, before, &volumes, &err) < 0)
		log_debug("old volumes: %s", err.msg);
	if (engine_sweep_networks(s->engine, named, before, &networks, &err) < 0)
		log_debug("old networks: %s", err.msg);
	if (engine_sweep_images(s->engine, wanted, before, &images, &err) < 0)
		log_debug("old images: %s", err.msg);
	metric_add(metric_series(METRIC_REAPED, "volume", NULL), (uint64_t)volumes);
	metric_add(metric_series(METRIC_REAPED, "network", NULL), (uint64_t)networks);
	metric_add(metric_series(METRIC_REAPED, "image", NULL), (uint64_t)images);
	if (volumes + networks + images > 0)
		log_info("left over and removed: %lld volume(s), %lld network(s), %lld image(s) "
			 "without a name",
			 (long long)volumes, (long long)networks, (long long)images);
}

void sandbox_clear_leftovers(struct sandbox *s)
{
	if (!is_time(s, &s->engine_sweep_at, INTERVAL))
		return;
	clear(s);
	measure(s);
}
