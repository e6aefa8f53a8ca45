/*
 * The size of what a run that installs has made: it is on the engine's disk, where nothing else
 * bounds it.
 */
#include "agent.h"

#include <ftw.h>

static uint64_t g_bytes; /* of the walk that is going */

static int add(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)path;
	(void)type;
	(void)where;
	g_bytes += (uint64_t)st->st_blocks * 512 + 512;
	return g_bytes > FRAME_INSTALL_MAX;
}

bool measure_is_over(const char *path)
{
	g_bytes = 0;
	nftw(path, add, 8, FTW_PHYS | FTW_MOUNT);
	return g_bytes > FRAME_INSTALL_MAX;
}
