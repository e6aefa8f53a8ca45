/*
 * canvas.h: what follows from a task that is done: callbacks, the next of its chain, errbacks, its
 * part of a chord (celery/app/trace.py, celery/backends/base.py).
 */
#ifndef CELERIAC_WORKER_CANVAS_H
#define CELERIAC_WORKER_CANVAS_H

#include "chord.h"
#include "signature.h"
#include "worker.h"

/* What is settled together with the task's own result. */
struct canvas {
	struct settle_steps steps;
	json_t *children; /* for the task's meta, or NULL */
};
void canvas_done(struct canvas *c);

/*
 * The follow-ups of `r`, which ended in `state` (SUCCESS, FAILURE or REVOKED) with `result` (value
 * or exception, as in a meta) and, if it failed, `traceback` (or NULL). Nothing is sent; a chord's
 * part is recorded. ERR_INVALID, ERR_TOOBIG: its signatures cannot be followed. Transient: the
 * backend is away.
 */
int canvas_continue(struct request *r, enum task_state state, const json_t *result,
		    const char *traceback, struct canvas *ret, struct err *err) must_check;

/* Any signature (signature.h), as steps and children; ids that are invented are made from `seed`.
 * ERR_INVALID, ERR_TOOBIG. */
int canvas_send(const struct request *r, const json_t *signature, const json_t *options,
		const char *seed, struct canvas *ret, struct err *err) must_check;

/* Why results fail that somebody waits for. */
struct canvas_failure {
	enum task_state state;
	const json_t *exception; /* as in a meta */
	const char *traceback;	 /* or NULL */
};
struct follower;
/* The rest of a chain (array, or NULL) that can no more be reached fails with what made it so, and
 * so does its part of a chord. */
int canvas_fail_chain(const struct follower *f, const json_t *chain,
		      const struct canvas_failure *why, struct err *err) must_check;

/* ---- canvas_steps.c: plans become steps of a settlement ---- */
struct follower {
	struct worker *worker;
	struct signature_context context; /* whose follow-ups these are */
	struct settle_steps *steps;	  /* what they become */
};
/* Those of a request. */
struct follower canvas_follower(const struct request *r, struct settle_steps *steps);
/* All of these leave what was added in the steps when they fail. */
int canvas_add_plan(const struct follower *f, const struct signature_plan *plan,
		    struct err *err) must_check;
/* Marks the result of a task that will never run; not where it has one of SUCCESS. `signature`: of
 * the task, `children`: of its meta; either may be NULL. */
int canvas_add_failure(const struct follower *f, const char *task_id,
		       const struct canvas_failure *why, const json_t *signature,
		       const json_t *children, struct err *err) must_check;
/* Calls the errbacks (array, one, or NULL) of a task that failed. `ret_children` (or NULL): their
 * results, given. */
int canvas_add_errbacks(const struct follower *f, const char *failed_id, const json_t *errbacks,
			json_t **ret_children, struct err *err) must_check;
/* Drops all but the first `count`. */
void canvas_truncate(struct settle_steps *steps, size_t count);

/* ---- chord.c ---- */
/* The part `task_id` of group `group_id` ended so; if it is the last, what follows from that. What
 * cannot be counted fails the body. Transient errors only. */
int chord_return_part(const struct follower *f, const struct chord_part *part, const json_t *body,
		      struct err *err) must_check;
/* All parts are in: the body goes out, or its failure; the set goes. */
int chord_trigger(const struct follower *f, const char *group_id, const json_t *body,
		  const struct chord_set *set, struct err *err) must_check;
/* The body cannot run: its results fail as ChordError(text), those of a group with `cause` (or
 * NULL), errbacks are called, and chords it is a part of get theirs. */
int chord_fail(const struct follower *f, const json_t *body, const char *text, const json_t *cause,
	       struct err *err) must_check;

/* ---- chord_sweep.c: the thread that looks after chords nobody triggers ---- */
int chord_sweep_start(struct worker *w, struct err *err) must_check;
void chord_sweep_stop(struct worker *w);
/* It begins to walk over all keys now. [any] */
void chord_sweep_hurry(struct worker *w);

#endif
