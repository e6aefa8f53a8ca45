/*
 * walk.h: everything below a directory, as a sorted list of paths within budgets.
 */
#ifndef CELERIAC_SANDBOX_WALK_H
#define CELERIAC_SANDBOX_WALK_H

#include "../frame.h"

#define WALK_PATH_BYTES 4096u /* a path that is looked at; longer ones are skipped as too deep */
#define WALK_TEXT_BYTES (1u << 20) /* all paths of one walk */

struct walk_entry {
	char *path;
	bool is_dir;
	enum frame_skip skip; /* not to be taken, and why */
};
struct walk {
	struct walk_entry *entries;
	size_t count, room;
	size_t text;	     /* bytes of paths so far */
	enum frame_skip cut; /* the budget that ended it early */
};

/* Lists what is below `top`, without following links, level by level. Never fails: what could not
 * be looked at is an entry with a reason. */
void walk(struct walk *w, int top, const struct frame_harvest *limits, usec_t deadline);
void walk_done(struct walk *w);

#endif
