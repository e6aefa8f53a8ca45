/*
 * reap.h: which containers go, and why. Pure.
 *
 * Ages are taken by one clock, that of Redis, and only between what it said itself: when a
 * conversation was used last, and since when a sweep has seen that something is wrong with a
 * container. So no clock of an engine or a worker makes one go too early, and whatever is half done
 * at this moment has its time.
 */
#ifndef CELERIAC_SANDBOX_REAP_H
#define CELERIAC_SANDBOX_REAP_H

#include "index.h"

enum reap {
	REAP_NOT,
	REAP_IDLE,	/* not used for SANDBOX_IDLE_TIMEOUT */
	REAP_FORGOTTEN, /* a conversation's, and Redis knows of none: idle since that was seen */
	REAP_ORPHAN,	/* its owner is dead and nobody has adopted it */
	REAP_UNSTARTED, /* made and never started, or to look at the engine with */
	REAP_LATE,	/* a run's that lasts longer than any may */
	REAP_STOPPED,
	REAP_UNWANTED, /* whoever had it is done with it */
	REAP_KINDS
};
/* The word for it, in the index, logs and metrics; and the kind of a word, REAP_NOT if there is
 * none. */
const char *reap_text(enum reap kind);
enum reap reap_kind(struct slice text);

struct reap_case {
	const struct engine_container *c; /* resolved: see sandbox_container_resolve */
	const struct index_record *record;
	bool spare;	  /* of a pool, and nobody's */
	bool ours;	  /* we are its owner */
	bool kept;	  /* ours, and in our pool */
	bool owner_alive; /* whoever answers for it now */
	bool owner_gone;  /* and is not only silent */
	usec_t now;	  /* by Redis */
};
struct reap_limits {
	usec_t idle, grace, run; /* run: no container of one run is in use for longer */
};

/* What is wrong with it, and for how long that must have been seen before it goes (0 = it goes at
 * once). */
enum reap reap_judge(const struct reap_case *r, const struct reap_limits *limits,
		     usec_t *ret_limit);

#endif
