/*
 * The steps of a run: argument vectors that are started one after the other, each when the one
 * before has ended with 0 (packages, compiler, program). They share environment and time; standard
 * input and output are the last one's, what the others say goes to standard error. One that fails
 * is the end of the run.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void step_end(struct run *r)
{
	if (r->step_count < AGENT_STEPS)
		r->step_ends[r->step_count++] = r->args.count;
	else
		r->args.bad = true;
}

bool step_is_last(const struct run *r)
{
	return r->step + 1 >= r->step_count;
}

static size_t begin_of(const struct run *r)
{
	return r->step > 0 ? r->step_ends[r->step - 1] : 0;
}

/* The step's strings, NULL-terminated, pointing into the run's; or NULL. */
static char **vector_of(struct run *r)
{
	char **all = strings_vector(&r->args);
	size_t begin = begin_of(r), n = r->step_ends[r->step] - begin;

	if (all == NULL)
		return NULL;
	r->step_args = all[begin];
	r->step_len = (size_t)(all[begin + n - 1] + strlen(all[begin + n - 1]) + 1 - all[begin]);
	memmove(all, all + begin, n * sizeof(*all));
	all[n] = NULL;
	return all;
}

static int start(struct agent *a, char **argv, char **envp)
{
	struct run *r = &a->run;
	struct spawn s = {.io = &r->io,
			  .spec = &r->spec,
			  .argv = (const char *const *)argv,
			  .envp = (const char *const *)envp,
			  .extra = {-1, -1}};
	struct stdio apart = r->io;
	int error;

	if (step_is_last(r) && (r->spec.flags & (FRAME_RUN_PYTHON | FRAME_RUN_STATEFUL)))
		return python_start(a, argv, envp);
	if (step_is_last(r))
		return spawn(&s, &r->leader);
	apart.child[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (apart.child[0] < 0)
		return errno;
	/* The standard output is the program's alone. */
	apart.child[1] = r->io.child[2];
	s.io = &apart;
	error = spawn(&s, &r->leader);
	close(apart.child[0]);
	return error;
}

int step_start(struct agent *a)
{
	struct run *r = &a->run;
	char **argv = r->step_ends[r->step] > begin_of(r) ? vector_of(r) : NULL;
	char **envp = strings_vector(&r->env);
	int error = argv && envp ? start(a, argv, envp) : EINVAL;

	r->leader_gone = false;
	if (error) {
		r->leader = 0;
		run_spoil(r, error, argv && argv[0] ? argv[0] : "run", "");
	}
	if (error || step_is_last(r))
		stdio_close_child(&r->io);
	free(argv);
	free(envp);
	return error;
}
