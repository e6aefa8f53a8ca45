/*
 * python.h: Python runs without the start of an interpreter.
 *
 * The fork server is an interpreter of ours (python_server.py) that has the usual packages loaded;
 * a second one has none, since a fork of much memory is slow to make and slow to end. They begin
 * after the first Python run, fork a spare ahead of each further one, and end when there was none
 * for PYTHON_IDLE. They are accelerators and nothing else: no run waits for one for
 * long, and where there is none, or no spare, an interpreter is started for the run
 * (python_run.py). The spare is our own child, so that it is watched, limited and reaped as every
 * leader.
 *
 * A stateful run's interpreter stays for the next one, stopped in between, and ends if it was woken
 * meanwhile. It runs hostile code: its report that a call is over is believed as an exit status is.
 *
 * Server, spare and that interpreter live beside runs of the same user. What such a run can do to
 * them is send signals and change limits: at the end of each run they are continued, looked at, and
 * replaced when they are not as they were. The server says when it has become not dumpable; before
 * that, nothing else is started.
 */
#ifndef CELERIAC_SANDBOX_AGENT_PYTHON_H
#define CELERIAC_SANDBOX_AGENT_PYTHON_H

#include <poll.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "../frame.h"

struct agent;

#define PYTHON_IDLE (60 * USEC_PER_SEC)
/* A fork server and its spare. */
struct forker {
	const char *mode;	 /* what it loads */
	pid_t server, spare;	 /* 0 = none */
	int server_fd, spare_fd; /* -1 = none */
	bool sealed, warm;	 /* the server is not dumpable · has made a spare before */
	usec_t spare_due;	 /* monotonic, when the next one is asked for; 0 = it was */
	struct rlimit limits[RLIM_NLIMITS]; /* the server's, when it was sealed */
};

/* Without packages, for programs that use none, and with those that most others begin with. */
enum { FORKER_PLAIN, FORKER_LOADED, FORKERS };
#define PYTHON_WATCHED (2 * FORKERS + 1) /* entries of a poll */

struct python {
	struct forker forkers[FORKERS];
	pid_t keeper;	   /* of the conversation's variables; 0 = none */
	int keeper_fd;	   /* -1 = none */
	bool keeper_runs;  /* the run that is going is its */
	bool lost;	   /* the keeper went during this run, or at its end */
	usec_t idle_since; /* monotonic, of the last run that had to do with Python */
};

void python_init(struct python *p);
/* Before any run: waits until nothing of ours could be looked into. */
void python_seal(struct agent *a);
/* The last step of the run, python3 -u FILE …. 0 or an errno. */
int python_start(struct agent *a, char **argv, char **envp);
/* What the server, a spare or the keeper have to say. */
void python_watch(const struct agent *a, struct pollfd fds[PYTHON_WATCHED]);
void python_heard(struct agent *a, const struct pollfd fds[PYTHON_WATCHED]);
/* Children have ended, or been stopped or woken. */
void python_children(struct agent *a);
/* A process that has ended; true if it was one of these, and not the leader. */
bool python_reaped(struct agent *a, pid_t pid);
/* Is `pid` to survive the end of the run? */
bool python_is_ours(const struct agent *a, pid_t pid);
/* Before everything else of a run is ended: the keeper is stopped, or ended with it. */
void python_run_over(struct agent *a, bool by_itself);
/* Afterwards: everything is as it should be, or goes; and the next spare. */
void python_after(struct agent *a, bool was_python);
/* Between two runs: asks for the spare that is due, ends a server that has nothing to do.
 * Milliseconds until there is more to do, -1 = never. */
int python_idle(struct agent *a);
/* Ends all three: nobody else is alive. */
void python_end(struct agent *a);

#endif
