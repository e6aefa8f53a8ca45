/*
 * execute_code.h: the arguments of sandbox.execute_code, checked, on their way to a run.
 */
#ifndef CELERIAC_EXECUTE_CODE_H
#define CELERIAC_EXECUTE_CODE_H

#include "buf.h"
#include "task_house.h"

enum execute_param {
	EXECUTE_CONVERSATION,
	EXECUTE_CODE,
	EXECUTE_LANGUAGE,
	EXECUTE_PROJECT,
	EXECUTE_FILES,
	EXECUTE_PACKAGES,
	EXECUTE_STDIN,
	EXECUTE_ENV,
	EXECUTE_TIMEOUT,
	EXECUTE_ONE_SHOT,
	EXECUTE_STATEFUL,
	EXECUTE_PARAMS
};

/* A run and the memory it borrows from. */
struct execute_args {
	struct sandbox_run run;
	struct buf code, input;	    /* UTF-8 */
	struct sandbox_file *files; /* data is ours, names are the message's */
	char **env;		    /* NULL-terminated "K=V" */
	const char **packages;	    /* NULL-terminated, the message's */
};
/* Raises TypeError or ValueError naming the argument; nothing was started then. To be released also
 * after a failure. */
int execute_args_read(struct task_ctx *ctx, json_t *const *values, struct execute_args *ret,
		      struct err *err) must_check;
void execute_args_done(struct execute_args *a);

/* ---- execute_code_files.c ---- */
int execute_files_read(struct task_ctx *ctx, const json_t *list, struct execute_args *a,
		       struct err *err) must_check;

#endif
