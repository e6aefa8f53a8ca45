/*
 * engine_front.c: the calls of engine.h, each by the engine's driver.
 */
#include "engine_internal.h"

int engine_probe(struct engine *e, struct engine_info *ret, struct err *err)
{
	return e->driver->probe(e, ret, err);
}

int engine_ping(struct engine *e, struct err *err)
{
	return e->driver->ping(e, err);
}

int engine_image_pull(struct engine *e, const char *image, const struct engine_pull *how,
		      struct err *err)
{
	return e->driver->image_pull(e, image, how, err);
}

int engine_image_id(struct engine *e, const char *image, char ret_id[ENGINE_ID_SIZE],
		    struct err *err)
{
	return e->driver->image_id(e, image, ret_id, err);
}

int engine_image_label(struct engine *e, const char *image, const char *name, char **ret,
		       struct err *err)
{
	return e->driver->image_label(e, image, name, ret, err);
}

int engine_image_volumes(struct engine *e, const char *image, char ***ret, struct err *err)
{
	return e->driver->image_volumes(e, image, ret, err);
}

int engine_image_env(struct engine *e, const char *image, char ***ret, struct err *err)
{
	return e->driver->image_env(e, image, ret, err);
}

int engine_network_need(struct engine *e, const char *name, struct err *err)
{
	return e->driver->network_need(e, name, err);
}

int engine_create(struct engine *e, const struct engine_spec *spec, char ret_id[ENGINE_ID_SIZE],
		  char **ret_warnings, struct err *err)
{
	return e->driver->create(e, spec, ret_id, ret_warnings, err);
}

int engine_start(struct engine *e, const char *id, struct err *err)
{
	return e->driver->start(e, id, err);
}

int engine_rename(struct engine *e, const char *id, const char *name, struct err *err)
{
	return e->driver->rename(e, id, name, err);
}

bool engine_name_is_taken(struct engine *e, const char *name)
{
	return e->driver->name_is_taken(e, name);
}

int engine_kill(struct engine *e, const char *id, struct err *err)
{
	return e->driver->kill(e, id, err);
}

int engine_reap(struct engine *e, const char *id, const char *why, bool *ret_done, struct err *err)
{
	return e->driver->reap(e, id, why, ret_done, err);
}

int engine_inspect(struct engine *e, const char *id, struct engine_container *ret, struct err *err)
{
	return e->driver->inspect(e, id, ret, err);
}

int engine_group(struct engine *e, const char *id, struct engine_group *ret, struct err *err)
{
	return e->driver->group(e, id, ret, err);
}

int engine_list(struct engine *e, struct engine_container **ret, size_t *ret_count, struct err *err)
{
	return e->driver->list(e, ret, ret_count, err);
}

int engine_deliver_agent(struct engine *e, const char *image, const void *agent, size_t len,
			 char ret_volume[80], struct err *err)
{
	return e->driver->deliver_agent(e, image, agent, len, ret_volume, err);
}

int engine_package_volume(struct engine *e, const char *volume, bool *ret_made, struct err *err)
{
	return e->driver->package_volume(e, volume, ret_made, err);
}

bool engine_package_exists(struct engine *e, const char *volume)
{
	return e->driver->package_exists(e, volume);
}

int engine_package_remove(struct engine *e, const char *volume, struct err *err)
{
	return e->driver->package_remove(e, volume, err);
}

int engine_package_open(struct engine *e, const char *container, struct err *err)
{
	return e->driver->package_open(e, container, err);
}

int engine_package_seal(struct engine *e, const char *container, struct err *err)
{
	return e->driver->package_seal(e, container, err);
}

int engine_package_is_whole(struct engine *e, const char *container, bool *ret, struct err *err)
{
	return e->driver->package_is_whole(e, container, ret, err);
}

int engine_sweep_volumes(struct engine *e, const char *const *keep, usec_t before,
			 int64_t *ret_removed, struct err *err)
{
	return e->driver->sweep_volumes(e, keep, before, ret_removed, err);
}

int engine_sweep_networks(struct engine *e, const char *const *keep, usec_t before,
			  int64_t *ret_removed, struct err *err)
{
	return e->driver->sweep_networks(e, keep, before, ret_removed, err);
}

int engine_sweep_images(struct engine *e, const char *const *keep, usec_t before,
			int64_t *ret_removed, struct err *err)
{
	return e->driver->sweep_images(e, keep, before, ret_removed, err);
}

int engine_disk(struct engine *e, struct engine_disk *ret, struct err *err)
{
	return e->driver->disk(e, ret, err);
}

int engine_usage(struct engine *e, struct engine_usage *ret, struct err *err)
{
	return e->driver->usage(e, ret, err);
}
