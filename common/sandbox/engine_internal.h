/*
 * engine_internal.h: what the files of the engine client share. Private to common/sandbox/engine*.c
 * and tests.
 */
#ifndef CELERIAC_ENGINE_INTERNAL_H
#define CELERIAC_ENGINE_INTERNAL_H

#include "bounds.h"
#include "engine.h"
#include "engine_driver.h"
#include "http.h"
#include "json.h"
#include "mem.h"
#include "thread.h"

/* The versions of Docker's API we were written for: all calls are the same in between. */
#define ENGINE_API_MIN 41 /* 1.41 = Docker 20.10 */
#define ENGINE_API_MAX 51

#define ENGINE_LABEL_PREFIX  "celeriac."
#define ENGINE_AGENT_DIR     "/celeriac"
#define ENGINE_AGENT_FILE    "agent"
#define ENGINE_VOLUME_PREFIX "celeriac-agent-"

/* How long each kind of call may take, in seconds, in one place. */
enum engine_limit {
	ENGINE_LIMIT_PING = 5,
	ENGINE_LIMIT_LOOK = 15, /* info, inspect, list, volumes */
	ENGINE_LIMIT_CREATE = 30,
	ENGINE_LIMIT_START = 60, /* slow disks, stronger runtimes */
	ENGINE_LIMIT_KILL = 30,
	ENGINE_LIMIT_REMOVE = 60,
	ENGINE_LIMIT_ATTACH = 15,
	ENGINE_LIMIT_ARCHIVE = 60,
	ENGINE_LIMIT_PULL = 1800,   /* an image from its registry */
	ENGINE_LIMIT_DELIVER = 120, /* the agent, with waiting for others who do the same */
	ENGINE_LIMIT_USAGE = 60,    /* it goes through files */
	ENGINE_LIMIT_STALE = 20,    /* whose helper container is in the way for longer is dead */
};

#define ENGINE_IDLE_CLIENTS 8
#define ENGINE_ROLE_CALLS   32 /* of one process to one role at the same time */

struct engine {
	/* const after engine_open */
	const struct engine_driver *driver;
	char *role;  /* path of the socket of an engine role; NULL: we are the one who has Docker */
	int control; /* of a role of our own, or 0 */
	struct http_target target;
	char *base_url, *unix_socket, *ca_file, *cert_file, *key_file;
	char *address; /* for messages: "unix:///path", "tcp://host:port" */
	char *instance;
	struct engine_mount *mounts; /* all that may be mounted */
	size_t mount_count;
	char pinned[8];		   /* "1.43", or "" */
	usec_t stale;		   /* ENGINE_LIMIT_STALE; tests have less time */
	engine_event_fn *on_event; /* or NULL */
	void *on_event_arg;

	struct mutex lock;
	struct cond pause; /* never signalled: waits between tries */
	struct cond role_free;
	/* guarded by lock */
	char api[8];	 /* negotiated, "" = not yet */
	unsigned traits; /* of enum engine_trait */
	char root[ENGINE_ROOT_SIZE];
	struct http_client *idle[ENGINE_IDLE_CLIENTS];
	size_t idle_count;
	int role_idle[ENGINE_IDLE_CLIENTS]; /* connections to the role */
	size_t role_idle_count;
	size_t role_busy;     /* calls to it under way */
	bool role_keeps_them; /* it hands no streams over */
};

struct engine_request {
	const char *method;
	const char *path; /* after "/v1.41" */
	const char *content_type;
	const char *body;
	size_t body_len;
	enum engine_limit limit;
	bool unversioned; /* no "/v1.41" before the path */
	/* as of http_request */
	void (*piece)(void *arg, const char *data, size_t len);
	bool (*give_up)(void *arg);
	void *arg;
};

#define RESPONSE_INIT                                                                              \
	{                                                                                          \
		.body = BUF_INIT(BOUND_ENGINE_BODY)                                                \
	}
static inline void cleanup_response(struct http_response *r)
{
	buf_done(&r->body);
}
#define _cleanup_response_ _cleanup_(cleanup_response)

/* "POST containers start" of "/containers/<id>/start?t=1": few, whatever the names are. Pure. */
void engine_call_name(const char *method, const char *path, char *ret, size_t size);

/* One exchange with any status. `ret->body` initialised; given. */
int engine_exchange(struct engine *e, const struct engine_request *req, struct http_response *ret,
		    struct err *err) must_check;

/* One call that must end with 2xx or 304. `body` (JSON text or NULL) is borrowed; the answer's JSON
 * goes to `ret` (may be NULL; given). */
int engine_call(struct engine *e, const char *method, const char *path, const char *body,
		enum engine_limit limit, json_t **ret, struct err *err) must_check;

/* A refusing answer as an error. Only a 404 in the engine's own words is ERR_NOTFOUND. Pure. */
int engine_reply_error(int status, const char *body, size_t len, struct err *err);

/* Asks the engine for its version and traits unless that is known, or `again`. ret: "1.41". */
int engine_negotiate(struct engine *e, bool again, char ret[8], struct err *err) must_check;
/* The version to speak, from what the engine offers at most. Pure. ERR_UNSUPPORTED, ERR_PROTOCOL.
 */
int engine_choose_api(const char *offered, char ret[8], struct err *err) must_check;
/* Of enum engine_trait: what the answer to a ping tells. Pure. */
unsigned engine_traits_of(const struct http_response *ping);
/* As the engine answered when it was asked for its version. */
unsigned engine_traits(struct engine *e);
/* Fills `ret` from the answer of /info. Pure. */
void engine_info_parse(const json_t *info, struct engine_info *ret);
void engine_group_parse(const json_t *stats, struct engine_group *ret);

/* What goes into "fromImage=…&tag=…" for a reference; without a tag it is "latest". Pure. */
void engine_pull_query(const char *image, struct buf *out);
/* Tells whoever listens, if anybody does. */
void engine_tell(const struct engine *e, struct engine_event *event, usec_t began, int rc,
		 const struct err *err);

/* That a container was removed, or could not be; `c` is what is known of it, zeroes where nothing
 * is. */
void engine_tell_removed(const struct engine *e, const char *id, const char *why,
			 const struct engine_container *c, usec_t began, int rc,
			 const struct err *err);

/* Between two tries of something. */
void engine_pause(struct engine *e, usec_t how_long);

/* An id as the engine gives it: 12 to 64 lower-case hex digits. ERR_INVALID. */
int engine_check_id(const char *id, struct err *err) must_check;
/* A name as the engine takes it for containers, volumes, networks, runtimes. */
bool engine_is_name(const char *s, size_t max);
/* repository[:tag][@digest], or an id. */
bool engine_is_image(const char *s);
/* Appends `s` percent-encoded, all but letters, digits, "-._~" and the characters of `keep`. */
void engine_encode(const char *s, const char *keep, struct buf *out);

/* The label "celeriac.<name>" of a Labels object; "" if absent. Borrowed. */
const char *engine_label(const json_t *labels, const char *name);

/* Creates from a finished body; `name` and `ret_warnings` may be NULL. */
int engine_create_body(struct engine *e, const char *name, const char *body,
		       char ret_id[ENGINE_ID_SIZE], char **ret_warnings,
		       struct err *err) must_check;

/* The engine's two ways to tell of containers. Pure. ERR_PROTOCOL. `ret` of the list given: free.
 */
int engine_parse_inspect(const json_t *reply, struct engine_container *ret,
			 struct err *err) must_check;
int engine_parse_list(const json_t *rows, const char *instance, struct engine_container **ret,
		      size_t *ret_count, struct err *err) must_check;

/* The line, without its end, that engine_events_next has just told of; borrowed until it is called
 * again. */
struct slice engine_events_line(const struct engine_events *ev);

/* One line of the engine's events; false: it tells nothing of a container of ours. Pure. */
bool engine_parse_notice(const char *line, size_t len, const char *instance,
			 struct engine_notice *ret);

/* As engine_inspect; ERR_DENIED: it is not ours. */
int engine_inspect_ours(struct engine *e, const char *id, struct engine_container *ret,
			struct err *err) must_check;

/* Removes whatever has this id, without a look at its labels, and waits until it is gone; it was
 * gone already, or somebody else was faster: *ret_done false. */
int engine_remove_any(struct engine *e, const char *id, bool *ret_done, struct err *err) must_check;

/*
 * Whose a container is. The label of the instance alone does not tell: an image may have it, and
 * gives it to whatever is made of it, by whomever. A name no image can give: each container that we
 * make has one of ours, with a digest or a random part. Pure.
 */
#define ENGINE_NAME_SIZE 80
void engine_new_name(const char *role, char out[ENGINE_NAME_SIZE]); /* role may be NULL */
bool engine_is_own_name(const char *name); /* "celeriac-…" with a part that nobody would choose */
bool engine_is_ours(const char *instance, const char *name, const json_t *labels);

/* Is there a volume with this name that was made for an agent, or for packages of this instance? 1,
 * 0, or the transient error for which the engine could not say. */
int engine_agent_exists(struct engine *e, const char *volume, struct err *err) must_check;
int engine_package_look(struct engine *e, const char *volume, struct err *err) must_check;

#define ENGINE_DEFAULT_UID 10001u
/* What a specification means that says 0. */
#define ENGINE_DEFAULT_MEMORY (256LL << 20)
#define ENGINE_DEFAULT_CPUS   1.0
#define ENGINE_DEFAULT_PIDS   64

/* Absolute, without empty, "." or ".." parts, and nothing that a mount option could hide in. */
bool engine_is_path(const char *path);
/* In the kernel's own trees, where a work directory or mount would mean more than files. */
bool engine_is_kernel_path(const char *path);
/* `path` or something below it. */
bool engine_is_below(const char *path, const char *dir);

/* ---- engine_mount.c ---- */
/* A list of path:mode, given: engine_mounts_free. ERR_INVALID. Pure. */
int engine_mounts_read(const struct str_list *list, struct engine_mount **ret, size_t *ret_count,
		       struct err *err) must_check;
/* Adds the specification's mounts to the array, beside what is there and in `tmpfs`. Pure. */
int engine_spec_mounts(json_t *mounts, const json_t *tmpfs, const struct engine_spec *spec,
		       struct err *err) must_check;

/* Adds HostConfig to `body`; `fill` makes the agent's volume writable. Pure. */
int engine_spec_host(json_t *body, const struct engine_spec *spec, unsigned traits, bool fill,
		     struct err *err) must_check;

/* The body of the container that is created, never started, to fill `volume`: the strictest
 * container there is, but with that volume writable. Pure. Given. */
int engine_spec_helper_body(const char *image, const char *volume, const char *instance,
			    unsigned traits, char **ret, struct err *err) must_check;

#endif
