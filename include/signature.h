/*
 * signature.h: canvas: what is to be published when a task is done (celery/canvas.py,
 * celery/app/trace.py, celery/backends/base.py).
 *
 * Signatures are data: JSON objects {task, args, kwargs, options, subtask_type, immutable}, plain
 * or a chain, group, chord, xmap, xstarmap or chunks of others. Applying one never sends: it makes
 * a plan, the messages in the order in which they are to go out, and what the result backend must
 * be told on the way. Trees are at most BOUND_CANVAS_DEPTH deep and BOUND_CANVAS_SIZE large, else
 * ERR_TOOBIG; what is no signature is ERR_INVALID. Nothing is changed that is passed in. All [any].
 */
#ifndef CELERIAC_SIGNATURE_H
#define CELERIAC_SIGNATURE_H

#include <jansson.h>

#include "base.h"
#include "err.h"
#include "message.h"

/* The task that is done, and what is the same for all that follows it. Borrowed as long as the
 * plan.
 */
struct signature_context {
	const char *task_id;	   /* required */
	const char *root_id;	   /* NULL: task_id */
	const char *default_queue; /* required: of signatures that name none */
	const char *reply_to;	   /* of signatures that name nobody; or NULL */
	const char *origin;	   /* or NULL: this process */
	const char *serializer;	   /* or NULL: json */
	const char *compression;   /* or NULL: none */
	const char *traceparent,
		*tracestate;	 /* headers of all that say none of their own; or NULL */
	int priority;		 /* inherited (task_inherit_parent_priority), -1: not */
	const char *seed;	 /* what invented ids are made from; NULL: task_id */
	bool errbacks_on_header; /* task_allow_error_cb_on_chord_header */
	bool polls_chords;	 /* no backend counts the parts of chords: each is sent with a
				    celery.chord_unlock, which looks for them */
};

/* What the backend must be told before message number `before` is published. */
struct signature_chord {
	const char *group_id;
	int64_t size;	       /* parts to wait for (set_chord_size); 0: not this */
	const json_t *results; /* tuple of the header to be saved (apply_chord), as some of its
				  results are groups; NULL: not this */
	const json_t *body;    /* what is published when all are in, with `size`; or NULL */
	size_t before;
};

/* Everything in it lives until signature_plan_done. */
struct signature_plan {
	struct message_out *messages;
	size_t message_count;
	struct signature_chord *chords;
	size_t chord_count;
	json_t *children; /* array of result tuples, for the task's own meta */
	json_t *result; /* of signature_apply: the tuple of its result; NULL: nothing came of it */
	json_t *owned;	/* array: what the above borrows from */
};
/* NULL-safe; the plan is empty afterwards. */
void signature_plan_done(struct signature_plan *p);

/*
 * The plans. `ret` is filled on success only. Ids that have to be invented are made from the task's
 * id and what is done with it, so that a task that is run again after a crash publishes the same
 * messages again, not others.
 */

/* The task returned `value`: its callbacks, then the next of its chain. `embed`: of the message. */
int signature_on_success(const struct signature_context *c, const json_t *embed,
			 const json_t *value, struct signature_plan *ret,
			 struct err *err) must_check;

/* The task `failed_id` failed: its errbacks (array, or one, or NULL), called with that id. For a
 * chord that cannot be completed: the id and the link_error of its body. */
int signature_on_failure(const struct signature_context *c, const char *failed_id,
			 const json_t *errbacks, struct signature_plan *ret,
			 struct err *err) must_check;

/* The last part of a chord is in: its body, with `results` (array) as its one argument. */
int signature_on_chord(const struct signature_context *c, const json_t *body, const json_t *results,
		       struct signature_plan *ret, struct err *err) must_check;

/* Any signature, with partial arguments (array and object, or NULL) and options (object, or NULL)
 * put over its own. */
int signature_apply(const struct signature_context *c, const json_t *signature, const json_t *args,
		    const json_t *kwargs, const json_t *options, struct signature_plan *ret,
		    struct err *err) must_check;

/* ---- without a plan ---- */
/* ERR_INVALID, ERR_TOOBIG: why it cannot be applied. */
int signature_check(const json_t *signature, struct err *err) must_check;

/* How many parts a chord waits for whose header is this: a group counts each of its tasks, a chain
 * its last, a chord its body. 0 for what is none. */
int64_t signature_size(const json_t *signature);

/* Results that are failed with a task whose `chain` (array as in the message, or NULL) can no more
 * be reached: an array of signatures, borrowed parts shared, in which options.task_id is the
 * result, if it has one, and options.chord says that a part is to be returned. Given. */
int signature_unreached(const json_t *chain, json_t **ret, struct err *err) must_check;

/* The body of a chord that can never run: the results that fail with it, an array of {id, errbacks
 * (array), chain (or null), chord, group_id, group_index (or absent)}: of a group those of its
 * tasks and its own, else the body's. Given. ERR_INVALID, ERR_TOOBIG: it is no
 * signature. */
int signature_chord_results(const json_t *body, json_t **ret, struct err *err) must_check;

#endif
