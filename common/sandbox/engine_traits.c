/*
 * engine_traits.c: what an engine that speaks Docker's API does otherwise than Docker, so that a
 * container's body makes the same container there.
 */
#include "engine_internal.h"

#define PODMAN (ENGINE_TMPFS_BY_USER | ENGINE_NO_INODES | ENGINE_ADDS_TMPFS | ENGINE_RAISES_NPROC)

unsigned engine_traits_of(const struct http_response *ping)
{
	return ping->libpod_version[0] ? PODMAN : 0;
}

unsigned engine_traits(struct engine *e)
{
	mutex_lock(&e->lock);
	unsigned traits = e->traits;
	mutex_unlock(&e->lock);
	return traits;
}
