/*
 * How signals lead from one stage of the end to the next. See shutdown.h.
 */
#include "shutdown.h"

#include <signal.h>
#include <stdlib.h>

enum press { PRESS_NONE, PRESS_TERM, PRESS_QUIT, PRESS_RESTART };

static const enum shutdown_stage next_stage[][SHUTDOWN_FORCED + 1] = {
	[PRESS_TERM] = {[SHUTDOWN_NONE] = SHUTDOWN_WARM,
			[SHUTDOWN_WARM] = SHUTDOWN_WARM,
			[SHUTDOWN_SOFT] = SHUTDOWN_SOFT,
			[SHUTDOWN_COLD] = SHUTDOWN_COLD,
			[SHUTDOWN_LAST] = SHUTDOWN_LAST,
			[SHUTDOWN_FORCED] = SHUTDOWN_FORCED},
	[PRESS_QUIT] = {[SHUTDOWN_NONE] = SHUTDOWN_SOFT,
			[SHUTDOWN_WARM] = SHUTDOWN_SOFT,
			[SHUTDOWN_SOFT] = SHUTDOWN_LAST,
			[SHUTDOWN_COLD] = SHUTDOWN_LAST,
			[SHUTDOWN_LAST] = SHUTDOWN_FORCED,
			[SHUTDOWN_FORCED] = SHUTDOWN_FORCED},
};

static enum press press_of(struct shutdown *s, int signum)
{
	bool first;

	switch (signum) {
	case SIGTERM:
		return s->term_is_quit ? PRESS_QUIT : PRESS_TERM;
	case SIGQUIT:
		return PRESS_QUIT;
	case SIGHUP:
		return PRESS_RESTART;
	case SIGINT:
		first = !s->interrupted && s->stage <= SHUTDOWN_WARM;
		s->interrupted = true;
		return first ? PRESS_TERM : PRESS_QUIT;
	default:
		return PRESS_NONE;
	}
}

bool shutdown_signal(struct shutdown *s, int signum)
{
	enum shutdown_stage before = s->stage;
	enum press press = press_of(s, signum);

	if (press == PRESS_RESTART) {
		if (before == SHUTDOWN_NONE) {
			s->restart = true;
			s->stage = SHUTDOWN_WARM;
		}
	} else if (press != PRESS_NONE) {
		s->stage = next_stage[press][before];
		s->restart = false; /* whoever is this clear wants an end */
	}
	s->by_force |= s->stage == SHUTDOWN_FORCED;
	if (s->by_force || (before == SHUTDOWN_NONE && signum == SIGINT))
		s->status = EXIT_FAILURE;
	return s->stage != before;
}

void shutdown_late(struct shutdown *s)
{
	s->stage = s->stage < SHUTDOWN_COLD ? SHUTDOWN_COLD : SHUTDOWN_FORCED;
}
