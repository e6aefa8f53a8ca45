/*
 * The size of what a run that installs has made: it is on the engine's disk, where nothing else
 * bounds it.
 *
 * The run is of our own user and may take our rights to its directories away, or nest them beyond
 * what a path can say. What cannot be measured counts as too much, but for what has just gone.
 */
#include "agent.h"

#include <errno.h>
#include <fts.h>
#include <sys/stat.h>

static bool add(const FTSENT *entry, uint64_t *bytes)
{
	switch (entry->fts_info) {
	case FTS_DP: /* it came before as FTS_D */
		return true;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		return entry->fts_errno == ENOENT;
	default:
		*bytes += (uint64_t)entry->fts_statp->st_blocks * 512 + 512;
		return *bytes <= FRAME_INSTALL_MAX;
	}
}

bool measure_is_over(const char *path)
{
	char *const roots[] = {(char *)(uintptr_t)path, NULL};
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
	const FTSENT *entry = NULL;
	uint64_t bytes = 0;
	bool within = walk != NULL;

	do {
		errno = 0;
		entry = within ? fts_read(walk) : NULL;
		within = within && (entry ? add(entry, &bytes) : errno == 0);
	} while (entry);
	if (walk)
		fts_close(walk);
	return !within;
}
