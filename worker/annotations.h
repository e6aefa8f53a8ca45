/*
 * annotations.h: how each task is run (struct task_options), from what the task says, what
 * CELERY_TASK_ANNOTATIONS says of it, and the settings. Pure.
 */
#ifndef CELERIAC_WORKER_ANNOTATIONS_H
#define CELERIAC_WORKER_ANNOTATIONS_H

#include <jansson.h>

#include "err.h"
#include "settings.h"
#include "task.h"

/* Reads {"name" or "*": {option: value}}, "" = {}. ERR_INVALID names the task and the option that
 * is unknown or has a wrong value. Given. */
int annotations_parse(const char *text, json_t **ret, struct err *err) must_check;

/* What had to be made for the options of one task. */
struct annotated {
	struct task_options options;
	char *rate_limit;
	const char **names[4];
	size_t names_count;
};
void annotated_done(struct annotated *a);

/*
 * The options of `t`, with nothing left to a setting: choices are TASK_YES or TASK_NO, max_retries
 * a number or TASK_RETRIES_WITHOUT_END, spans what they are (0 = none), rate_limit never NULL. What
 * "*" says goes over what the name says, as in Celery. Borrows from all three.
 */
void annotations_resolve(const struct settings *s, const json_t *annotations, const struct task *t,
			 struct annotated *ret);

#endif
