/*
 * run.h: one run in an attached sandbox, from its files to its harvest.
 */
#ifndef CELERIAC_SANDBOX_RUN_H
#define CELERIAC_SANDBOX_RUN_H

#include "agent_link.h"
#include "language.h"
#include "sandbox.h"
#include "stream.h"

#define RUN_GRACE                                                                                  \
	(8 * USEC_PER_SEC) /* beyond a run's limit, for killing, the rest of the output and its    \
			       report */
#define RUN_SEND_TIME  (60 * USEC_PER_SEC)   /* for code, files and the like */
#define RUN_TICK       (3 * USEC_PER_SEC)    /* while waiting, `tick` is called so often */
#define RUN_LOOK_AGAIN (200 * USEC_PER_MSEC) /* and `cancel` looked at so often */
#define HARVEST_TIME   (10 * USEC_PER_SEC)   /* for the agent; RUN_GRACE comes on top */

#define RUN_NOTE_REUSED	   (1u << 0) /* what the outcome says of the container, for who takes over */
#define RUN_NOTE_RESTARTED (1u << 1)

/* What the engine says of the container. */
enum run_place { RUN_PLACE_FINE, RUN_PLACE_STOPPED, RUN_PLACE_GONE };

struct run_plan {
	const struct sandbox_run *run;
	const struct language *language;
	const struct settings *settings;
	const struct sandbox_terms *terms;
	const char *container;
	uint32_t note;			/* RUN_NOTE_* */
	bool begun;			/* by us: it may be there already */
	bool follow_only;		/* it is not begun once more */
	void (*tick)(void *arg);	/* or NULL */
	struct stream_store *streams;	/* of live output, or NULL */
	struct sandbox_stream **stream; /* the run's own, left open */
	enum run_place (*look)(
		void *arg); /* asked so often while the agent says nothing; or NULL */
	void *arg;
};

enum run_fate {
	RUN_FINE,    /* the sandbox can be used on */
	RUN_SPENT,   /* the outcome stands, but the container must go */
	RUN_LOST,    /* the agent's stream made no sense: status is still open */
	RUN_CUT,     /* it ended: status is still open, and the run may still be going */
	RUN_UNHEARD, /* likewise, before the agent said anything of the run */
	RUN_SILENT,  /* it said nothing any more after the time limit: status is still open */
	RUN_TAKEN,   /* another worker has attached: the run may still be going */
	RUN_LEFT,    /* we were told to leave it */
	RUN_MISSING, /* follow_only, and it is not there */
	RUN_UNBEGUN, /* its container stands still, and it has not begun */
};

/*
 * Sends everything, waits, harvests. Fails only when the run has certainly not begun, transient or
 * ERR_INVALID; the link is then good for nothing. From there on it is success with a fate.
 */
int sandbox_run_execute(struct agent_link *l, const struct run_plan *plan,
			struct sandbox_outcome *ret, enum run_fate *ret_fate,
			struct err *err) must_check;

/* run_ask.c */
struct run_wait {
	usec_t limit; /* no run lasts longer */
	const atomic_bool *cancel;
	void (*tick)(void *arg);
	void *arg;
};
/*
 * Asks for the run that was begun with `key`; while another one is going, that one's end is waited
 * for. *ret_run is what it is called from now on; ERR_CANCELLED.
 */
int sandbox_run_ask(struct agent_link *l, const char *key, const struct run_wait *wait,
		    uint32_t *ret_run, struct frame_state *ret, struct err *err) must_check;
void sandbox_run_acknowledge(struct agent_link *l, const char *key);

/* run_strings.c: also for the runs of servers and installations. */
/* An argument vector or an environment (NULL-terminated; NULL is none), one string a frame; `last`
 * are the flags of the last of them. ERR_INVALID: one is too long for a frame. Not flushed. */
int sandbox_run_send_strings(struct agent_link *l, enum frame_type type, uint32_t run,
			     const char *const *strings, unsigned last, usec_t deadline,
			     struct err *err) must_check;
/* RUN, and all that was sent before it is on its way. */
int sandbox_run_send_spec(struct agent_link *l, uint32_t run, const struct frame_run *spec,
			  usec_t deadline, struct err *err) must_check;

/* run_input.c: all up to and including RUN. `ret_run`: its id. */
int sandbox_run_send(struct agent_link *l, const struct run_plan *plan, uint32_t *ret_run,
		     struct err *err) must_check;
/* What makes programs find the proxy; NULL-terminated. */
extern const char *const sandbox_run_proxy_env[];
/* Standard input within the window. */
struct run_input {
	struct slice data;
	size_t sent, taken;
};
int sandbox_run_send_input(struct agent_link *l, uint32_t run, struct run_input *in,
			   struct err *err) must_check;

/* run_harvest.c: the new files of /sandbox/output. Asking is not flushed. */
int sandbox_run_harvest_ask(struct agent_link *l, const struct run_plan *plan, uint32_t run,
			    struct err *err) must_check;
/* One of its frames, into `o` within `terms`; 1: that was the last. ERR_PROTOCOL, ERR_NOMEM: while
 * `open` the outcome's last file is not whole. Pure. */
struct run_harvest {
	struct sandbox_outcome *o;
	const struct sandbox_terms *terms;
	bool open; /* a file is being filled */
	size_t got;
	uint64_t total;
};
int sandbox_run_harvest_take(struct run_harvest *h, const struct frame *f,
			     struct err *err) must_check;
/* What has been asked for. */
int sandbox_run_harvest(struct agent_link *l, const struct run_plan *plan, uint32_t run,
			struct sandbox_outcome *o, struct err *err) must_check;

/* run_egress.c: the run's connections out, beside its frames. */
struct egress;
struct run_egress {
	struct agent_link *link;
	uint32_t run;
	struct egress *egress; /* NULL = no way out */
};
void sandbox_run_egress_begin(struct run_egress *x, struct agent_link *l, uint32_t run,
			      const struct sandbox_egress *wish);
void sandbox_run_egress_end(struct run_egress *x);
/* A frame of a channel. */
int sandbox_run_egress_frame(struct run_egress *x, const struct frame *f,
			     struct err *err) must_check;
/* As agent_link_receive, serving the connections meanwhile. */
int sandbox_run_receive(struct run_egress *x, usec_t deadline, struct frame *ret,
			struct err *err) must_check;

#endif
