/*
 * role_volumes.c: what an engine role does with volumes of agents and packages, and with what is
 * left on the engine's disk.
 */
#include "role_served.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

static int deliver(struct served *s, struct err *err)
{
	_cleanup_free_ void *agent = NULL;
	int rc = try_alloc((size_t)s->q.size, WAIST_AGENT, "agent", &agent, err);
	char volume[80];

	if (rc == 0)
		rc = waist_receive_bytes(s->peer->fd, agent, (size_t)s->q.size,
					 clock_deadline(BODY_TIME), err);
	if (rc == 0)
		rc = engine_deliver_agent(s->r->engine, s->q.image, agent, (size_t)s->q.size,
					  volume, err);
	if (rc == 0)
		role_set(s, "text", json_string(volume));
	return rc;
}

/* The agent is there twice, once as an archive. */
int role_on_deliver(struct served *s, struct err *err)
{
	if (s->q.size <= 0)
		return err_set(err, ERR_INVALID, "no size");
	if (s->q.size > WAIST_AGENT)
		return err_set(err, ERR_TOOBIG, "an agent of %lld bytes, %u are allowed",
			       (long long)s->q.size, WAIST_AGENT);
	size_t room = 2 * (size_t)s->q.size;
	int rc = role_take(s->r, s->peer->share, room, err);
	if (rc < 0)
		return rc;
	rc = deliver(s, err);
	role_give(s->r, s->peer->share, room);
	return rc;
}

/* A volume's name, checked by what is called. */
static const char *volume(const struct served *s)
{
	return s->q.name ?: "";
}

int role_on_package_volume(struct served *s, struct err *err)
{
	bool made = false;
	int rc = engine_package_volume(s->r->engine, volume(s), &made, err);

	if (rc == 0)
		role_set(s, "flag", json_boolean(made));
	return rc;
}

int role_on_package_exists(struct served *s, struct err *err)
{
	(void)err;
	role_set(s, "flag", json_boolean(engine_package_exists(s->r->engine, volume(s))));
	return 0;
}

int role_on_package_remove(struct served *s, struct err *err)
{
	if (!engine_package_exists(s->r->engine, volume(s)))
		return 0;
	return engine_package_remove(s->r->engine, volume(s), err);
}

int role_on_package_open(struct served *s, struct err *err)
{
	return engine_package_open(s->r->engine, s->q.id, err);
}

int role_on_package_seal(struct served *s, struct err *err)
{
	return engine_package_seal(s->r->engine, s->q.id, err);
}

int role_on_package_is_whole(struct served *s, struct err *err)
{
	bool whole = false;
	int rc = engine_package_is_whole(s->r->engine, s->q.id, &whole, err);

	if (rc == 0)
		role_set(s, "flag", json_boolean(whole));
	return rc;
}

typedef int sweep_fn(struct engine *e, const char *const *keep, usec_t before, int64_t *ret_removed,
		     struct err *err);

/* Names that it was given to keep, and those of its own; NULL-terminated, given. */
static int names_to_keep(struct served *s, const char *const *own, const char ***ret,
			 struct err *err)
{
	size_t n = json_array_size(s->q.keep), more = 0;
	const char **keep;

	if (n > WAIST_KEEP || (s->q.keep && !json_is_array(s->q.keep)))
		return err_set(err, ERR_INVALID, "keep: no list of at most %d", WAIST_KEEP);
	while (own[more])
		more++;
	keep = xcalloc(n + more + 1, sizeof(*keep));
	for (size_t i = 0; i < n; i++)
		keep[i] = json_string_value(json_array_get(s->q.keep, i)) ?: "";
	memcpy(keep + n, own, more * sizeof(*keep));
	*ret = keep;
	return 0;
}

static int sweep(struct served *s, sweep_fn *fn, const char *const *own, usec_t before,
		 struct err *err)
{
	_cleanup_free_ const char **keep = NULL;
	int64_t removed = 0;
	int rc = names_to_keep(s, own, &keep, err);

	if (rc == 0)
		rc = fn(s->r->engine, keep, before, &removed, err);
	if (rc == 0)
		role_set(s, "number", json_integer(removed));
	return rc;
}

int role_on_sweep_volumes(struct served *s, struct err *err)
{
	return sweep(s, engine_sweep_volumes, (const char *const[]){NULL}, s->q.before, err);
}

int role_on_sweep_networks(struct served *s, struct err *err)
{
	return sweep(s, engine_sweep_networks, (const char *const[]){NULL}, s->q.before, err);
}

/* They are those of all instances: how old they have to be, and which are wanted, a role says
 * itself, too. */
int role_on_sweep_images(struct served *s, struct err *err)
{
	const struct settings *st = s->r->settings;
	const usec_t most = clock_machine() - st->sandbox_leftover_age;
	_cleanup_free_ const char **own = xcalloc(st->engine_images.count + 2, sizeof(*own));

	own[0] = st->sandbox_image;
	for (size_t i = 0; i < st->engine_images.count; i++)
		own[i + 1] = st->engine_images.items[i];
	return sweep(s, engine_sweep_images, own, s->q.before < most ? s->q.before : most, err);
}

int role_on_disk(struct served *s, struct err *err)
{
	struct engine_disk disk;
	int rc = engine_disk(s->r->engine, &disk, err);

	if (rc == 0)
		role_set(s, "disk", waist_disk_write(&disk));
	return rc;
}

int role_on_usage(struct served *s, struct err *err)
{
	struct engine_usage usage;
	int rc = engine_usage(s->r->engine, &usage, err);

	if (rc == 0)
		role_set(s, "usage", waist_usage_write(&usage));
	return rc;
}
