/*
 * canvas.h: what the files of the canvas share. Private to wire/.
 *
 * A signature under work is a JSON object of our own, shaped as canvas_copy makes it; its options
 * may be changed, its args, kwargs of plain ones and everything in its options are shared and are
 * not. References are counted by jansson: functions that return a json_t give one, parameters are
 * borrowed. Running out of memory sticks (canvas.failed) and is reported once, at the end.
 */
#ifndef CELERIAC_WIRE_CANVAS_H
#define CELERIAC_WIRE_CANVAS_H

#include <jansson.h>

#include "err.h"
#include "signature.h"

struct canvas {
	const struct signature_context *context;
	struct signature_plan *plan;
	const char *purpose; /* part of invented ids */
	const json_t *top; /* the signature that was given: in Python's hands its args are a list */
	unsigned invented;
	size_t message_size, chord_size; /* allocated */
	bool failed;
};

/* ---- canvas.c: objects ---- */
enum canvas_type {
	CANVAS_PLAIN,
	CANVAS_CHAIN,
	CANVAS_GROUP,
	CANVAS_CHORD,
	CANVAS_XMAP,
	CANVAS_XSTARMAP,
	CANVAS_CHUNKS,
	CANVAS_UNKNOWN
};
enum canvas_type canvas_type(const json_t *sig);

void canvas_set(struct canvas *v, json_t *object, const char *key, json_t *value);     /* shares */
void canvas_set_new(struct canvas *v, json_t *object, const char *key, json_t *value); /* takes */
void canvas_append(struct canvas *v, json_t *array, json_t *value);		       /* shares */
/* Puts all members of `more` (or NULL) over those of `object`. */
void canvas_update(struct canvas *v, json_t *object, const json_t *more);
/* A value as a list: itself, [itself], or [] for NULL and null. */
json_t *canvas_list(struct canvas *v, const json_t *value);
/* list_a + list_b; either may be NULL. */
json_t *canvas_concat(struct canvas *v, const json_t *a, const json_t *b);

json_t *canvas_options(const json_t *sig);	       /* borrowed; never NULL under work */
json_t *canvas_kwarg(const json_t *sig, const char *); /* borrowed, or NULL; null is NULL */
json_t *canvas_tasks(const json_t *sig);	       /* of a chain or group; of a chord: header */
json_t *canvas_body(const json_t *sig);		       /* of a chord; or NULL */
bool canvas_immutable(const json_t *sig);

json_t *canvas_new(struct canvas *v, const char *task, enum canvas_type type, json_t *kwargs,
		   json_t *options);			   /* takes both */
json_t *canvas_new_group(struct canvas *v, json_t *tasks); /* takes a list of ours */
/* Of ours or of a message: a signature whose tree can be changed (Signature.from_dict, clone). */
json_t *canvas_copy(struct canvas *v, const json_t *sig);
/* The same with partial arguments and options merged in (Signature.clone); each may be NULL. */
json_t *canvas_clone(struct canvas *v, const json_t *sig, const json_t *args, const json_t *kwargs,
		     const json_t *options);
/* Signature._merge. */
void canvas_merge(struct canvas *v, const json_t *sig, const json_t *args, const json_t *kwargs,
		  const json_t *options, json_t **ret_args, json_t **ret_kwargs,
		  json_t **ret_options);
/* A new id. */
json_t *canvas_id(struct canvas *v);
/* A string option, NULL when absent, null or no string. Borrowed. */
json_t *canvas_option(const json_t *sig, const char *key);

/* ---- canvas_link.c ---- */
void canvas_append_option(struct canvas *v, json_t *sig, const char *key, json_t *value);
void canvas_link(struct canvas *v, json_t *sig, const json_t *callback);
void canvas_link_error(struct canvas *v, json_t *sig, const json_t *errback);
/* chord._add_body_callbacks: takes `link` and `link_error` out of `options`. Changes `body`. */
void canvas_body_callbacks(struct canvas *v, json_t *body, json_t *options);
/* _strip_chord_header_links. */
void canvas_strip_chords(struct canvas *v, json_t *sig);
/* Is it a chord whose body is a chain led by a task? */
bool canvas_can_unroll(const json_t *sig);
/* chord._unroll_body: the chord, then the rest of its body. */
json_t *canvas_unroll_body(struct canvas *v, const json_t *chord);
/* chain._unroll_chords, in place. */
void canvas_unroll_chords(struct canvas *v, json_t *chain);

/* ---- canvas_freeze.c: ids ---- */
struct canvas_freeze {
	json_t *id, *group_id, *chord, *root_id, *parent_id, *group_index; /* borrowed, or NULL */
};
/* Gives `sig` and what is in it ids. The result tuple [[id, parent], children or null]. */
json_t *canvas_freeze(struct canvas *v, json_t *sig, const struct canvas_freeze *f);
/* group._freeze_group_tasks. */
json_t *canvas_freeze_group(struct canvas *v, json_t *group, const struct canvas_freeze *f);
json_t *canvas_result(struct canvas *v, json_t *id, json_t *children); /* takes children */
json_t *canvas_result_parent(const json_t *result);		       /* borrowed, or NULL */
void canvas_result_set_parent(struct canvas *v, json_t *result, json_t *parent);

/* ---- canvas_chain.c ---- */
struct canvas_steps {
	const json_t *args, *kwargs; /* for the first; or NULL */
	const json_t *link_error;    /* or NULL */
	bool clone;
	struct canvas_freeze last; /* for the last */
};
/* chain.prepare_steps: `ret_tasks` in reverse order, `ret_results` likewise; both given. */
void canvas_prepare_steps(struct canvas *v, json_t *tasks, const struct canvas_steps *s,
			  json_t **ret_tasks, json_t **ret_results);

/* ---- canvas_apply.c ---- What each kind of signature publishes. `options` may hold nulls. */
int canvas_apply(struct canvas *v, json_t *sig, const json_t *args, const json_t *kwargs,
		 const json_t *options, struct err *err) must_check;
int canvas_apply_group(struct canvas *v, json_t *group, const json_t *args, const json_t *kwargs,
		       const json_t *options, struct err *err) must_check;
/* ---- canvas_chord.c ---- */
int canvas_apply_chord(struct canvas *v, json_t *chord, const json_t *args, const json_t *kwargs,
		       const json_t *options, struct err *err) must_check;

/* ---- canvas_options.c ---- Fills in what the options say; borrows from them and from the plan. */
int canvas_read_options(struct canvas *v, const json_t *options, struct message_out *m,
			struct err *err) must_check;

/* ---- canvas_publish.c: options to a message ---- */
int canvas_publish(struct canvas *v, const json_t *sig, const json_t *args, const json_t *kwargs,
		   const json_t *options, struct err *err) must_check;
/* Keeps `value` as long as the plan. */
void canvas_keep(struct canvas *v, json_t *value);
/* A note to the backend, before the next message. `body`, `results` NULL: none. */
int canvas_tell(struct canvas *v, const json_t *group_id, int64_t size, json_t *body,
		json_t *results, struct err *err) must_check;
/* Whether what is published counts as a child of the finished task: unless the options say no. */
bool canvas_add_to_parent(const json_t *options);

#endif
