/*
 * sandbox_internal.h: what the files above the engine share. Private to common/sandbox and tests.
 *
 * Lock order: `preparing` before `lock`. Neither is held during an engine call but `preparing`.
 */
#ifndef CELERIAC_SANDBOX_INTERNAL_H
#define CELERIAC_SANDBOX_INTERNAL_H

#include "agent_link.h"
#include "codec.h"
#include "index.h"
#include "reap.h"
#include "run.h"
#include "sandbox.h"
#include "thread.h"

#define SANDBOX_LIVE_MAX   256		       /* agent links kept open between calls */
#define SANDBOX_HELLO_TIME (10 * USEC_PER_SEC) /* for an agent to answer */
#define SANDBOX_RETRY_TIME                                                                         \
	(10 * USEC_PER_SEC) /* trouble of the engine or the index is waited out for so long */
#define SANDBOX_WAIT_TIME (30 * USEC_PER_SEC) /* for another worker's call, or for a free place */
#define SANDBOX_LATE                                                                               \
	(120 * USEC_PER_SEC) /* beyond a run's limit: until its container is surely of no use */

#define SANDBOX_VOLUME_SIZE 80

/* An agent link between two calls of its conversation. */
struct live {
	struct live *next;
	uint64_t serial;
	char conversation[256], project[256], container[ENGINE_ID_SIZE];
	char policy[SHA256_HEX_SIZE]; /* the terms it was made on */
	bool pooled;		      /* its labels do not say whose it is */
	bool project_unknown;	      /* nor does anything else */
	struct agent_link *link;
};
struct live_store {
	struct live *first; /* last used first */
	uint64_t last_serial;
	int epoll, stop;
	pthread_t watcher;
	bool watching;
};

/* A container that waits for a conversation, or for a run of its own. */
struct spare {
	struct spare *next;
	bool plugin; /* with a /plugin */
	char id[ENGINE_ID_SIZE], image[ENGINE_ID_SIZE], volume[80];
	struct agent_link *link;
};
struct pool {
	pthread_t thread;
	bool running; /* the services' thread's */
	struct mutex lock;
	struct cond changed;
	/* guarded by lock */
	struct spare *first;
	size_t count;
	char image[ENGINE_ID_SIZE]; /* what they are to be made of */
	usec_t plugin_until; /* until then some with a /plugin are kept: one was asked for lately */
	/* Made or looked at by the pool thread, and not in the list; "" = none. */
	char in_hand[ENGINE_ID_SIZE];
	bool looking; /* that one is there already */
	bool stopping;
};

/* Images that are being fetched. */
struct image_pull;
struct images {
	struct mutex lock;
	/* guarded by lock */
	struct cond changed;
	struct image_pull *first;
	int count;
	atomic_bool stopping;
};

/* Packages that are known to be there. */
#define PACKAGES_KNOWN 64
struct packages {
	struct mutex lock;
	/* guarded by lock */
	char known[PACKAGES_KNOWN][SANDBOX_VOLUME_SIZE];
	size_t next;
};

#define DROPPED_MAX 64

struct sandbox {
	const struct settings *settings;
	struct engine *engine;
	struct sandbox_terms terms;   /* where a run says none; those of the pool */
	char policy[SHA256_HEX_SIZE]; /* their digest */
	struct index index;
	struct stream_store streams;
	const struct presence *presence;
	struct mutex preparing;
	struct mutex lock;
	/* guarded by lock */
	bool ready;
	char agent_volume[SANDBOX_VOLUME_SIZE];
	int64_t max;	   /* containers */
	int64_t used;	   /* of them and of servers, when they were counted last, and `placed` */
	int64_t placed;	   /* those that are about to be made, or were a moment ago */
	usec_t away_since; /* monotonic; 0 = ready */
	char engine_name[ENGINE_KEY_SIZE]; /* "" = never reached */
	char *languages; /* of the image, with spaces between them; NULL = it does not say */
	struct live_store live;
	struct pool pool;
	struct images images;
	struct packages packages;
	struct {
		pthread_t thread;
		bool running; /* the services' thread's */
		int stop;     /* an eventfd */
	} watch;
	struct {
		usec_t redis, mono; /* read at the same moment, 0 = never; guarded by lock */
	} clocks;
	usec_t engine_sweep_at, disk_at; /* monotonic; guarded by lock */
	struct {
		char ids[DROPPED_MAX][ENGINE_ID_SIZE];
		size_t count;
		usec_t again_at; /* monotonic */
	} dropped;		 /* that could not be removed; guarded by lock */
	atomic_size_t busy;	 /* runs under way */
	bool several; /* it is one of the engines of a fleet; constant once that is open */
};

/* ---- live.c ---- */
void sandbox_live_init(struct live_store *store);
/* Nobody may be using it any more. */
void sandbox_live_done(struct live_store *store);
/* Out of the store, to be used by the caller alone; NULL. */
struct live *sandbox_live_take(struct sandbox *s, const char *conversation);
/* Is there one on which nothing has happened since it was put back? */
bool sandbox_live_has(struct sandbox *s, const char *conversation);
/* Into the store (taken); the one that was not used for longest may have to go. */
void sandbox_live_put(struct sandbox *s, struct live *l);
void sandbox_live_free(struct live *l);

/* ---- terms.c ---- */
/* The network that a container on these terms is in, NULL = none. Pure. */
const char *sandbox_terms_network(const struct settings *s, const struct sandbox_terms *t);
/* Of all that a container is made of; it is the label celeriac.policy. Pure. */
void sandbox_terms_digest(const struct settings *s, const struct sandbox_terms *t,
			  char out[SHA256_HEX_SIZE]);

/* ---- container.c: making containers ---- */
struct container_wish {
	const char *role, *conversation, *project, *task;
	const char *name;		   /* or NULL */
	const struct sandbox_terms *terms; /* NULL = where a run says none */
	bool plugin;			   /* with a /plugin */
};
/* The volume with the agent; and the agent into it once more, where it was removed behind our back.
 */
void sandbox_agent_volume(struct sandbox *s, char out[SANDBOX_VOLUME_SIZE]);
int sandbox_agent_deliver(struct sandbox *s, struct err *err) must_check;
/* Creates and starts. ERR_CONFLICT: the name is taken. */
int sandbox_container_make(struct sandbox *s, const struct container_wish *wish,
			   char ret_id[ENGINE_ID_SIZE], struct err *err) must_check;
/* Nobody wants it any more. What cannot be removed now is remembered, and tried again: only we know
 * that it is not in use, and what Redis says of it, anybody may have written. When we die, it is an
 * orphan. */
void sandbox_container_drop(struct sandbox *s, const char *id);
/* Is it time to try once more? */
bool sandbox_container_drop_due(struct sandbox *s);
/* Tries once more; returns how many are gone by it. */
int64_t sandbox_container_drop_again(struct sandbox *s);
/* Makes one to see what the engine warns of (given) and what its agent sees, and removes it again.
 */
#define SANDBOX_KERNEL_SIZE 72
struct sandbox_trial {
	char *warnings;
	struct frame_bounds bounds;
	char kernel[SANDBOX_KERNEL_SIZE]; /* its release, inside */
	bool reattached; /* it was spoken with over a second stream when the first had ended */
};
int sandbox_container_try(struct sandbox *s, struct sandbox_trial *ret, struct err *err) must_check;

/* ---- bounds.c ---- */
#define SANDBOX_NOFILE 1024
bool sandbox_may_go_unenforced(const struct settings *settings, const char *limit);
/* ERR_UNSUPPORTED names what does not hold and may not be missing. `notes`: a line each. Pure. */
int sandbox_bounds_check(const struct settings *s, const struct frame_bounds *b, bool own_kernel,
			 struct buf *notes, struct err *err) must_check;
/* Fills in what cannot be seen inside but from outside. Pure. */
void sandbox_bounds_add(struct frame_bounds *b, const struct engine_group *group);
bool sandbox_bounds_unseen(const struct frame_bounds *b);
int sandbox_bounds_ask(struct agent_link *l, struct frame_bounds *ret, char *ret_kernel,
		       size_t size, struct err *err) must_check;

/* ---- binding.c: whose a container is ---- */
#define CONTAINER_NAME_SIZE 64
/* The same conversation of the same project and instance has the same name, so that the engine
 * makes it only once. */
void sandbox_container_name(const char *instance, const char *conversation, const char *project,
			    char out[CONTAINER_NAME_SIZE]);
void sandbox_container_spare_name(char out[CONTAINER_NAME_SIZE]);
/* Of a spare that was taken for a run of its own: labels cannot say so any more. `deadline`: wall.
 */
void sandbox_container_run_name(const char *instance, const char *task, usec_t deadline,
				char out[CONTAINER_NAME_SIZE]);
/* Gives one that was taken so the role and the deadline that its name says. */
void sandbox_container_read_name(struct engine_container *c);
/* Of a run of its own: this task's? After sandbox_container_read_name. */
bool sandbox_container_is_run_of(const char *instance, const struct engine_container *c,
				 const char *task);
/* Made for the pool; taken or not. */
bool sandbox_container_is_pooled(const struct engine_container *c);
bool sandbox_container_is_spare(const struct engine_container *c);
bool sandbox_container_is_of(const char *instance, const struct engine_container *c,
			     const char *conversation);
bool sandbox_container_is_project(const char *instance, const struct engine_container *c,
				  const char *conversation, const char *project);
/* Containers that were taken from a pool become what the index knows they are: conversation's, with
 * conversation and project. One that it does not know stays as it is. */
int sandbox_container_resolve(struct sandbox *s, struct engine_container *list, size_t count,
			      struct err *err) must_check;

/* ---- leftover.c: from time to time, whoever calls ---- */
/* How much of the engine's disk is free. */
void sandbox_look_at_disk(struct sandbox *s);
/* What nobody has any more goes; and how much the rest takes. */
void sandbox_clear_leftovers(struct sandbox *s);

/* ---- mend.c ---- */
/* Entries of the index whose container is not in the list of all, and gone indeed. */
int sandbox_mend(struct sandbox *s, const struct engine_container *list, size_t count,
		 struct err *err) must_check;
/* The same by a look at the engine, and conversations' containers that have ended. */
int sandbox_mend_all(struct sandbox *s, struct err *err) must_check;
/* What a notice tells of. */
int sandbox_heed(struct sandbox *s, const struct engine_notice *notice, struct err *err) must_check;

/* ---- sandbox.c: what is transient is waited out, SANDBOX_RETRY_TIME in all, and tried twice at
 * least ---- */
struct sandbox_patience {
	usec_t deadline;
	int pause_ms;
	bool tried;
};
struct sandbox_patience sandbox_patience(void);
/* True after a pause; false when `why` is for good, or there is no time left. */
bool sandbox_try_again(struct sandbox *s, struct sandbox_patience *p, const struct err *why);

/* ---- watch.c: the thread that listens to the engine ---- */
void sandbox_watch_done(struct sandbox *s);

/* ---- pool.c ---- */
void sandbox_pool_init(struct pool *pool);
void sandbox_pool_done(struct sandbox *s);
/* 1 and an attached container, with a /plugin or without, that is called `name` from now on; 0 when
 * there is none. ERR_CONFLICT: there is one of that name already. */
int sandbox_pool_take(struct sandbox *s, const char *name, bool plugin, char ret_id[ENGINE_ID_SIZE],
		      struct agent_link **ret, struct err *err) must_check;
/* Removes one to make room; false when there is none. */
bool sandbox_pool_give_up_one(struct sandbox *s);
bool sandbox_pool_has(struct sandbox *s, const char *id);

/* ---- capacity.c: SANDBOX_MAX holds across workers ---- */
struct place {
	char token[INDEX_TOKEN_SIZE];
};
/* 1 and a place for one more container, to be given back when it is made; 0 when there is none. */
int sandbox_capacity_try(struct sandbox *s, struct place *ret, struct err *err) must_check;
void sandbox_capacity_release(struct sandbox *s, const struct place *place);
/* Waits for a place, at most until `deadline`; removes a spare container or the longest idle one if
 * it must. ERR_UNAVAILABLE. */
int sandbox_capacity_make_room(struct sandbox *s, usec_t deadline, const atomic_bool *cancel,
			       struct place *ret, struct err *err) must_check;
int64_t sandbox_capacity_default(const struct settings *settings, const struct engine_info *info);

/* ---- session.c: from a conversation to an attached container ---- */
struct session {
	struct index_lease lease;
	bool leased;		      /* one-shot runs are not */
	char policy[SHA256_HEX_SIZE]; /* the terms that are wanted, "" = whatever it has */
	bool elsewhere;		      /* not opened: the index names another engine */
	bool stale;		      /* its terms are others: nothing new is run in it */
	struct index_record record;
	struct live *live; /* NULL = no container */
	bool reused, restarted;
};
/* Takes the conversation and finds its container; makes one if `create`. `project` NULL: whatever
 * it is bound to. */
int sandbox_session_open(struct sandbox *s, const struct sandbox_run *run, bool create,
			 struct session *ret, struct err *err) must_check;
/* Gives it back: the container is kept for the next call. */
void sandbox_session_keep(struct sandbox *s, struct session *se);
/* Gives it back without the link; the container is looked at anew by the next call. */
void sandbox_session_doubt(struct sandbox *s, struct session *se);
/* Gives it back and removes the container, unless the conversation is somebody else's by now. An
 * error means that the container may still be there. */
int sandbox_session_end(struct sandbox *s, struct session *se, struct err *err) must_check;
void sandbox_session_renew(struct sandbox *s, struct session *se);

/* ---- image.c ---- */
void sandbox_images_init(struct images *all);
/* Gives up what is going on; nobody waits. */
void sandbox_images_done(struct images *all);
/* Sees to an image on the engine. ERR_NOTFOUND: its registry has none either; ERR_UNAVAILABLE: it
 * takes longer than until `deadline`, and goes on. */
int sandbox_image_need(struct sandbox *s, const char *image, usec_t deadline,
		       const atomic_bool *cancelled, struct err *err) must_check;

/* ---- server_container.c: containers of servers ---- */
struct server_container {
	const struct sandbox_server_wish *wish;
	bool agent;	     /* our agent in place of its arguments */
	const char *name;    /* or NULL */
	const char *package; /* the volume of its package, or NULL: seen to, if it has one */
	bool fill;	     /* that may be written, and there is no network */
};
int sandbox_server_create(struct sandbox *s, const struct server_container *how,
			  char ret_id[ENGINE_ID_SIZE], struct err *err) must_check;
/* Creates and starts one with an agent. */
int sandbox_server_make(struct sandbox *s, const struct server_container *how,
			char ret_id[ENGINE_ID_SIZE], struct err *err) must_check;
/* The whole environment of a program that an agent starts in such a container: the image's, then
 * ours, then these; each name once. NULL-terminated, one block, given. */
int sandbox_server_env(struct sandbox *s, const char *image, const char *const *before,
		       const char *const *after, char ***ret, struct err *err) must_check;
/* Sends argument vectors (NULL-terminated), environment and RUN with `flags` (FRAME_RUN_…).
 * *ret_run: its number. */
int sandbox_server_run(struct agent_link *l, const char *const *const *steps,
		       const char *const *env, unsigned flags, usec_t limit, uint32_t *ret_run,
		       struct err *err) must_check;

/* ---- package.c ---- */
void sandbox_packages_init(struct packages *all);
void sandbox_packages_done(struct packages *all);
/* Sees to the volume of the wish's package. What its installer said is part of an error. */
int sandbox_package_need(struct sandbox *s, const struct sandbox_server_wish *wish,
			 char ret_volume[SANDBOX_VOLUME_SIZE], struct err *err) must_check;

/* ---- prepare.c ---- */
/* Prepares unless that was done. */
int sandbox_need(struct sandbox *s, struct err *err) must_check;
/* ERR_INVALID: the image says what it has, and this is not among it. */
int sandbox_need_language(struct sandbox *s, const char *language, struct err *err) must_check;
/* The engine did not answer: it has to be looked at again. */
void sandbox_unready(struct sandbox *s);

/* ---- request.c ---- */
/* ERR_INVALID names the argument. */
int sandbox_check_run(const struct sandbox_run *run, const struct settings *settings,
		      struct err *err) must_check;
int sandbox_check_conversation(const char *conversation, struct err *err) must_check;

#endif
