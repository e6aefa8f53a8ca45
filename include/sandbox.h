/*
 * sandbox.h: runs of hostile code in containers, one container per conversation.
 *
 * Above the engine, below the tasks. A container's PID 1 is our agent (common/sandbox/agent),
 * reached over one attached stream; it is treated as hostile. Labels on the container are the
 * truth, Redis is the index.
 */
#ifndef CELERIAC_SANDBOX_H
#define CELERIAC_SANDBOX_H

#include <jansson.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "buf.h"
#include "engine.h"
#include "err.h"
#include "outbound.h"
#include "presence.h"
#include "redis.h"
#include "settings.h"

struct sandbox;

/* Opens the engine named by the settings; neither engine nor Redis needs to answer yet. `link`
 * carries the index and is borrowed, as is `presence`; both may be NULL for sandbox_prepare alone.
 * A thread that watches the links to idle sandboxes begins with the first of them. [init] */
int sandbox_open(const struct settings *settings, struct redis_link *link, const char *key_prefix,
		 const struct presence *presence, struct sandbox **ret, struct err *err) must_check;
/* The same for an engine that the settings do not name so: `host` and `cert_path` as one of their
 * lists; `control` as in engine_config. */
int sandbox_open_at(const struct settings *settings, const char *host, const char *cert_path,
		    int control, struct redis_link *link, const char *key_prefix,
		    const struct presence *presence, struct sandbox **ret,
		    struct err *err) must_check;
/* Births and deaths of containers, as engine_on_event tells them. Before anything else is done with
 * it. [init] */
void sandbox_on_event(struct sandbox *s, engine_event_fn *fn, void *arg);
/* Closes streams; containers live on, so that a restart costs no conversation its files. */
void sandbox_close_all(struct sandbox *s);

/*
 * Reaches the engine, checks that runtime, image and limits are what the settings ask for
 * (ERR_UNSUPPORTED names the limit or runtime that is not there and not in
 * SANDBOX_ALLOW_UNENFORCED), delivers the agent. Called at start and again after an outage. `notes`
 * gets one plain line per fact found ("pids limit: enforced"). [any]
 */
int sandbox_prepare(struct sandbox *s, struct buf *notes, struct err *err) must_check;
bool sandbox_ready(const struct sandbox *s);
/* Asks the engine for a sign of life; without one it is not ready until prepared again. [any] */
void sandbox_look(struct sandbox *s);

/* What the index calls its engine, "" before it was reached. [any] */
void sandbox_engine_name(struct sandbox *s, char out[ENGINE_KEY_SIZE]);
/* Since when it is not ready, monotonic; 0 = it is. [any] */
usec_t sandbox_away_since(struct sandbox *s);
/* How many more containers it may have, by the last count; one is taken off it for the caller if
 * `take`. [any] */
int64_t sandbox_free_places(struct sandbox *s, bool take);
/* Counts anew; blocks as one call to the engine. [any] */
void sandbox_count(struct sandbox *s);
/* Sets the gauges of how many it has in which state. [any] */
void sandbox_tell_states(struct sandbox *s);
/* Is this container, the conversation's, or that of the run of its own of this task, on its engine?
 * *ret is untouched on failure. [any] */
int sandbox_has(struct sandbox *s, const char *container, bool *ret, struct err *err) must_check;
int sandbox_has_conversation(struct sandbox *s, const char *conversation, bool *ret,
			     struct err *err) must_check;
int sandbox_has_run(struct sandbox *s, const char *task_id, bool *ret, struct err *err) must_check;

/* Keeps SANDBOX_POOL containers ready from now on, in a thread of its own; sandbox_close_all ends
 * it. Again is nothing. [one thread] */
void sandbox_keep_ready(struct sandbox *s);

/* Listens to the engine from now on, in a thread of its own: a container that ends or is removed
 * behind our back is known to the index at once, not at the next sweep. Ends with
 * sandbox_close_all. Again is nothing. [one thread] */
void sandbox_watch(struct sandbox *s);

/* The i-th language of the table, NULL behind the last; whether an image has it is another
 * question. [any] */
const char *sandbox_language_name(size_t i);
/* Does it have an installer of packages? */
bool sandbox_language_installs(const char *name);
/* Its argument vector, NULL-terminated; the packages come behind it. */
const char *const *sandbox_language_installer(const char *name);

/* May a conversation be called that: 1 to BOUND_CONVERSATION_ID_BYTES of plain text? Pure. */
bool sandbox_is_conversation(const char *id, size_t len);

struct sandbox_file {
	const char *name;
	const char *data;
	size_t len;
};

/*
 * What is to be written down about a run where it takes time. `again`: the run that was begun
 * before is nowhere any more, everything of it is gone, and the code is about to run once more; an
 * error then keeps it from that. Without `again` it is about a run that has gone on for a while
 * (SANDBOX_NOTE_AFTER), and an error is ignored: a shorter one is never noted. May block.
 */
typedef int sandbox_note_fn(void *arg, const char *container, bool again, struct err *err);
#define SANDBOX_NOTE_AFTER (20 * USEC_PER_MSEC)
/* The run is in the container's agent, or is about to be (`again`). Must not block. */
typedef void sandbox_began_fn(void *arg, const char *container, bool again);

/* Strings borrowed for the call. */
/* One connection out of a sandbox, when it has ended or was refused. Borrowed; strings that came
 * from the sandbox are a method and a checked host. */
struct callback;
struct sandbox_egress_event {
	const char *decision;	   /* allow, deny, error */
	const char *method, *host; /* "" when it never said */
	const char *address;	   /* that was connected to, "" = none */
	const char *reason;	   /* or NULL */
	uint16_t port;
	uint64_t up_bytes, down_bytes; /* towards the host, from it */
	usec_t duration;
};
/* The way out, for a run in a container without a network: its programs find a proxy at
 * 127.0.0.1. Borrowed for the run. */
struct sandbox_egress {
	struct outbound *outbound;
	enum outbound_scope scope; /* whose holes of EGRESS_ALLOW are open */
	/* Asked before a name is looked up; NULL = every name. `path` NULL = inside TLS.
	 * *ret_reason: why not, borrowed until the run has ended. */
	bool (*allows)(void *arg, const char *scheme, const struct outbound_host *host,
		       uint16_t port, const char *path, const char **ret_reason);
	void *allows_arg;
	bool names_count; /* rules about names stand: tunnels are TLS with the name that was asked
			   * for
			   */
	int64_t max_bytes, max_connections, rate;  /* of one run; rate: connections a second */
	const struct callback *callback;	   /* the hole towards the application, or NULL */
	const char *task, *conversation, *project; /* whose the run is, for the callback; project
						      may be NULL */
	void (*record)(void *arg, const struct sandbox_egress_event *event); /* or NULL */
	void *record_arg;
};

/* What one call may have. */
struct sandbox_terms {
	bool network; /* as SANDBOX_NETWORK says what that is */
	int64_t memory, pids, work_size, output_limit, files_max, file_size, files_size;
	double cpus;
	usec_t timeout, max_timeout; /* of a call that says none; of any */
	struct engine_mount *mounts; /* by path; owned */
	size_t mount_count;
};
/* As the settings say. [any] */
void sandbox_terms_init(const struct settings *settings, bool network, struct sandbox_terms *ret);
/*
 * Narrows them to what the object `limits` of a row of sandbox_settings says: memory, work_size,
 * output_limit, file_size, files_size in bytes or "64m"; cpus, pids, files_max; timeout in seconds
 * or "90s", for calls that say none and as the most that others may say. None may be above the
 * setting of its name, nor below what a sandbox needs. ERR_INVALID names the member; `t` may then
 * hold half of it. Pure.
 */
int sandbox_terms_limit(struct sandbox_terms *t, const struct settings *settings,
			const json_t *limits, struct err *err) must_check;
/*
 * Adds a mount, "path:ro" or "path:rw". ERR_DENIED: it is never mounted, or SANDBOX_MOUNT_ALLOW
 * does not list it so; ERR_INVALID: it is no mount, comes twice, holds another or lies in one;
 * ERR_TOOBIG: ENGINE_MOUNTS. Asks nobody. [any]
 */
int sandbox_terms_mount(struct sandbox_terms *t, struct sandbox *s, const char *text,
			struct err *err) must_check;
void sandbox_terms_done(struct sandbox_terms *t);

struct sandbox_run {
	const struct sandbox_terms *terms; /* NULL = as the settings say, with a network. The
					    * conversation's container is replaced by another where
					    * it was made on other terms */
	const char *task_id;	  /* names the run; "" or NULL = nobody will ever ask for it */
	const char *conversation; /* required */
	const char *project;	  /* or NULL */
	const char *language;	  /* one of sandbox_language_name */
	struct slice code;
	struct slice stdin_data;
	const struct sandbox_file *files;
	size_t file_count;
	const struct sandbox_egress *egress; /* NULL = no way out */
	const char *const *packages;	     /* NULL-terminated, installed first; or NULL */
	const char *const *env;		     /* NULL-terminated "K=V", or NULL */
	usec_t timeout;			     /* of the code's own time, > 0 */
	bool one_shot;			     /* a container of its own, removed afterwards */
	bool plugin;		   /* of a one_shot run: with an empty /plugin of its own */
	bool stateful;		   /* Python: variables last until the next such run */
	const atomic_bool *cancel; /* true = end the run now; or NULL */
	const atomic_bool *leave;  /* true = leave it to itself, ERR_CANCELLED; or NULL */
	/* The run may have begun already, by somebody who is dead: where it is still going, or its
	 * verdict is kept, that is followed, and only otherwise the code runs again. */
	bool begun;
	sandbox_began_fn *began; /* or NULL */
	sandbox_note_fn *note;	 /* or NULL */
	void *note_arg;		 /* of both */
};

/* One table (common/sandbox/verdict.c) maps these to names. */
enum sandbox_status {
	SANDBOX_OK,
	SANDBOX_ERROR,	 /* exit code not 0 */
	SANDBOX_TIMEOUT, /* 124, and nothing of the run is left */
	SANDBOX_OOM,
	SANDBOX_KILLED, /* by a signal that was neither ours nor the kernel's memory killer */
	SANDBOX_DISK_FULL,
	SANDBOX_START_FAILED, /* 126, 127 */
	SANDBOX_LOST,	      /* the container vanished in the middle: 137 */
	SANDBOX_CANCELLED     /* 137, and nothing of the run is left */
};
const char *sandbox_status_text(enum sandbox_status status);

/* What it took to have nothing of a run left. */
enum sandbox_ended {
	SANDBOX_ENDED_ALONE,	/* everything had ended when the run had */
	SANDBOX_ENDED_KILLED,	/* what it had left behind was killed inside, in rounds */
	SANDBOX_ENDED_SWEPT,	/* the same was of no use: all of its user's was killed inside */
	SANDBOX_ENDED_CONTAINER /* only the end of the container has ended it */
};

struct sandbox_output_file {
	char *name; /* relative to /sandbox/output, UTF-8, checked */
	char *data;
	size_t len;
};
struct sandbox_skipped_file {
	char *name; /* cleaned for display */
	char *reason;
};
struct sandbox_outcome {
	enum sandbox_status status;
	int exit_code;
	/* UTF-8 without NUL; head and tail, between them a line "[... 123 bytes dropped ...]" */
	char *stdout_text, *stderr_text;
	size_t stdout_len, stderr_len;
	uint64_t stdout_dropped, stderr_dropped; /* bytes in the middle */
	usec_t duration, cpu_time;
	int64_t peak_memory; /* bytes, of all processes or, where that is not known, the largest */
	enum sandbox_ended ended;
	uint32_t killed; /* processes */
	struct sandbox_output_file *files;
	size_t file_count;
	struct sandbox_skipped_file *skipped;
	size_t skipped_count;
	char container[ENGINE_ID_SIZE];
	bool reused;		/* the conversation's container was there already */
	bool restarted;		/* it had one, which was gone: files and packages are lost */
	const char *misconduct; /* what its programs tried on the sandbox itself, a constant; or
				 * NULL */
};
void sandbox_outcome_done(struct sandbox_outcome *o);

/*
 * Runs code in the conversation's container, made on the first call. Code that fails is success
 * here. ERR_DENIED: the conversation is bound to another project; ERR_INVALID names the argument;
 * ERR_UNAVAILABLE, ERR_TIMEOUT: engine or index away, transient, tried again inside for a while.
 * Blocks for the run. Calls of one conversation must not overlap within this process (the caller's
 * lanes see to it); across processes a lease in Redis does. [any]
 */
int sandbox_execute(struct sandbox *s, const struct sandbox_run *run, struct sandbox_outcome *ret,
		    struct err *err) must_check;

/*
 * What the run returned is safe elsewhere: its agent need not keep it any longer, and the container
 * of a run of its own goes. To be called after each sandbox_execute that succeeded; where it is
 * not, somebody else can ask for the run. Never fails: what is left is found by a sweep. [any]
 */
void sandbox_acknowledge(struct sandbox *s, const struct sandbox_run *run,
			 const struct sandbox_outcome *o);

/* Empties /sandbox/output; no container = 0 removed. */
int sandbox_reset_output(struct sandbox *s, const char *conversation, int64_t *ret_removed,
			 struct err *err) must_check;
/* Removes the conversation's container. */
int sandbox_close(struct sandbox *s, const char *conversation, bool *ret_removed,
		  struct err *err) must_check;

struct sandbox_report {
	int64_t idle, orphans, kept, failed;
};
/* One sweep: removes containers idle past SANDBOX_IDLE_TIMEOUT and those of our instance whose
 * owner is dead and which nobody adopted within SANDBOX_ADOPT_GRACE; then volumes and networks of a
 * day ago that nobody uses. Strangers are never touched.
 * Several workers may sweep at once. */
int sandbox_cleanup(struct sandbox *s, struct sandbox_report *ret, struct err *err) must_check;

/* Takes over the conversations of dead owners; returns how many. */
int sandbox_adopt(struct sandbox *s, int64_t *ret_adopted, struct err *err) must_check;

/* ---- servers in containers: MCP ---- */
struct sandbox_server_wish {
	const char *image;		       /* fetched where it is not on the engine */
	const char *const *argv;	       /* NULL-terminated */
	const struct sandbox_package *package; /* or NULL */
	const struct sandbox_egress *egress;   /* of its installation */
	uint16_t port;		/* of a service: where it listens, on its loopback address or all */
	const char *const *env; /* NULL-terminated "K=V", or NULL; nothing else is there */
	const char *network;	/* NULL = none; made where it is absent */
	const char *name;	/* of the server, for its label */
	const char *conversation, *project; /* or NULL */
	usec_t deadline;		    /* monotonic, of its start */
	const atomic_bool *cancelled;	    /* true = give the start up; or NULL */
};
/*
 * A package that a server needs, installed before into a volume of its own, which is then at
 * ENGINE_PACKAGE_DIR, read-only: a volume for each package, image and environment of its
 * installation, filled once however many ask, on any worker. It is installed as strictly as a
 * server runs, without its environment, in a container without a network whose only way out is
 * `egress`. Volumes of a day ago that nobody uses go with a sweep.
 */
#define SANDBOX_INSTALL_STEPS 3
struct sandbox_package {
	const char *id;					 /* "npm:@scope/name@1.2": what it is */
	const char *const *steps[SANDBOX_INSTALL_STEPS]; /* argument vectors, NULL = no more; they
							    write below ENGINE_PACKAGE_PLACE */
	const char *const *env;				 /* "K=V", NULL-terminated, or NULL */
};
struct sandbox_server;
/* Creates, attaches, then starts, so that nothing it says is lost. As strict as a sandbox: no
 * capabilities, another user, read-only root with /tmp (which is HOME) to write in, bounded memory,
 * CPU, processes and files. ERR_NOTFOUND: no such image; ERR_UNAVAILABLE: it is being fetched, for
 * longer than until the deadline; ERR_CANCELLED. [any] */
int sandbox_server_start(struct sandbox *s, const struct sandbox_server_wish *wish,
			 struct sandbox_server **ret, struct err *err) must_check;
/* 1..size bytes of its stdout, 0 at its end, ERR_TIMEOUT. [owner] */
ssize_t sandbox_server_read(struct sandbox_server *v, void *data, size_t size, usec_t deadline,
			    struct err *err) must_check;
int sandbox_server_write(struct sandbox_server *v, const void *data, size_t len, usec_t deadline,
			 struct err *err) must_check;
/* The end of what it wrote to stderr, cleaned; borrowed. */
const char *sandbox_server_stderr(const struct sandbox_server *v);
const char *sandbox_server_container(const struct sandbox_server *v);
/* Its input ends; it may go by itself for two seconds, or until `deadline`; then it is killed and
 * removed. What cannot be removed is left to a sweep. */
void sandbox_server_end(struct sandbox_server *v, usec_t deadline);

/* ---- servers that are reached by connections ---- */
/* They are as strict; what carries their connections is their container's own stream, so that they
 * need no network and may be on any engine. */
struct sandbox_service;
/* Returns once it takes connections. ERR_NOTFOUND: no such image; ERR_CLOSED: it ended instead,
 * with its last words; ERR_TIMEOUT; ERR_CANCELLED by `cancelled` (or NULL). [any] */
int sandbox_service_start(struct sandbox *s, const struct sandbox_server_wish *wish,
			  struct sandbox_service **ret, struct err *err) must_check;
/* For http_local: a connection to a `service`. [any] */
int sandbox_service_connect(void *service, int *ret, struct err *err) must_check;
/* False once it is gone. [any] */
bool sandbox_service_lives(struct sandbox_service *v);
const char *sandbox_service_container(const struct sandbox_service *v);
/* The end of what it wrote to stdout and stderr, cleaned, as far as there is room. [any] */
void sandbox_service_said(struct sandbox_service *v, char *out, size_t size);
/* Kills and removes it; what cannot be removed is left to a sweep. NULL is fine. */
void sandbox_service_end(struct sandbox_service *v);

#endif
