/*
 * engine.h: typed calls to one container engine (Docker's API), and nothing else of it.
 *
 * Callers can create, start, attach, kill, remove, inspect and list what is ours. What cannot be
 * said here cannot be done: there is no exec, no privilege, no host namespace, no mount but those
 * of the specification. The implementation may live in another process; so every argument is plain
 * data. Thread class of all calls: [any]; each blocks at most for its own timeout. Errors:
 * ERR_UNAVAILABLE (nobody answers, transient), ERR_NOTFOUND (the engine says 404: the only thing
 * that means gone), ERR_CONFLICT, ERR_TIMEOUT, ERR_PROTOCOL, ERR_FAILED (the engine's own message).
 */
#ifndef CELERIAC_ENGINE_H
#define CELERIAC_ENGINE_H

#include "base.h"
#include "err.h"
#include "settings.h"

#define ENGINE_KEY_SIZE 40 /* of engine_info.name */
#define ENGINE_ID_SIZE	72 /* "sha256:" and 64 hex digits, or 64 hex digits */

struct engine;

/* A directory of the engine's host, seen at the same path inside. */
struct engine_mount {
	char *path;
	bool writable;
};
#define ENGINE_MOUNTS 16 /* of one container */

struct engine_config {
	/* The socket of an engine role, unix:/path (engine_role.h): all calls go there, and what
	 * follows of where Docker is does not matter. NULL: to Docker itself. */
	const char *role;
	/* Above 0: that of a role of one's own (engine_role.h), which has the Docker of `host`. */
	int control;
	const char
		*host; /* unix:///path, tcp://host:port, NULL or "" = unix:///var/run/docker.sock */
	bool tls_verify; /* tcp with TLS: ca.pem, cert.pem, key.pem of cert_path */
	bool plain_tcp;	 /* tcp without TLS to other machines, too */
	const char *cert_path;
	const char *api_version;       /* pins, or NULL */
	const char *instance;	       /* value of the label celeriac.instance: what is ours */
	const struct str_list *mounts; /* path:mode, all that may be mounted; NULL = nothing */
};

/* What an engine does otherwise than Docker, of which this is 0. */
enum engine_trait {
	ENGINE_TMPFS_BY_USER = 1 << 0, /* no tmpfs for a uid, only for the container's user */
	ENGINE_NO_INODES = 1 << 1,     /* a tmpfs has no bound on its number of files */
	ENGINE_ADDS_TMPFS = 1 << 2,    /* writable /run, /tmp, /var/tmp where root is read-only */
	ENGINE_RAISES_NPROC = 1 << 3,  /* raises the limit of processes unless one is named */
};

/* What the engine is and which limits it can enforce. */
#define ENGINE_ROOT_SIZE 256
struct engine_info {
	char version[32];
	char api_version[16]; /* negotiated: min(ours, the engine's) */
	char os[64], kernel[64], driver[32];
	int cgroup_version; /* 1, 2 or 0 = unknown */
	bool memory_limit, swap_limit, pids_limit, cpu_limit;
	bool seccomp, apparmor, userns;
	int64_t memory_total; /* bytes */
	int64_t cpus;
	char root[ENGINE_ROOT_SIZE]; /* where it keeps its own, on its host; "" = it does not say */
	/* The same for whoever reaches this engine and its containers, by whatever address. */
	char name[ENGINE_KEY_SIZE];
	char default_runtime[32];
	char runtimes[256]; /* names, space-separated */
	unsigned traits;    /* of enum engine_trait */
};

/* Does not connect. ERR_INVALID also names an entry of `mounts` that is not path:ro or path:rw, or
 * lies below one that is writable. [init] */
int engine_open(const struct engine_config *config, struct engine **ret,
		struct err *err) must_check;
void engine_close(struct engine *e);
/* What it was opened for, for people: without secrets. Borrowed. [any] */
const char *engine_address(const struct engine *e);

/* A container was made or removed, an image pulled, or could not be: for a record of what was asked
 * of the engine. Strings borrowed; what is not known is NULL. */
struct engine_event {
	const char *action; /* create, remove, pull */
	const char *id, *image;
	const char *why;				  /* it was removed by a sweep */
	const char *role, *conversation, *project, *task; /* labels */
	const char *error;				  /* NULL = done */
	usec_t duration;
};
typedef void engine_event_fn(void *arg, const struct engine_event *event);
/* `fn` is called by whichever thread asks the engine, before it is told; it must not block. [init]
 */
void engine_on_event(struct engine *e, engine_event_fn *fn, void *arg);

/* Reaches the engine, negotiates 1.41 … current, reads /info. */
int engine_probe(struct engine *e, struct engine_info *ret, struct err *err) must_check;
/* Does anybody answer? Takes 5 s at most. */
int engine_ping(struct engine *e, struct err *err) must_check;
bool engine_info_has_runtime(const struct engine_info *info, const char *runtime);
/* Clears the limits of `info` that `warnings`, as engine_create gave them, say are not enforced.
 * Pure. */
void engine_info_apply_warnings(struct engine_info *info, const char *warnings);

/*
 * Has the engine fetch an image from its registry, as it is configured to, without credentials.
 * `progress` (or NULL) is told a line from time to time; `give_up` (or NULL) is asked all the
 * while. Half an hour at most. ERR_NOTFOUND: the registry has none, or not for everybody;
 * ERR_FAILED: what the engine says; ERR_CANCELLED.
 */
struct engine_pull {
	void (*progress)(void *arg, const char *line);
	bool (*give_up)(void *arg);
	void *arg;
};
int engine_image_pull(struct engine *e, const char *image, const struct engine_pull *how,
		      struct err *err) must_check;
/* The image's id; ERR_NOTFOUND. Never pulls. */
int engine_image_id(struct engine *e, const char *image, char ret_id[ENGINE_ID_SIZE],
		    struct err *err) must_check;
/* Sees to a bridge of that name without traffic between its containers and without IPv6, making it
 * if there is none; ERR_UNSUPPORTED: there is one, and it is another kind. It is left when we go.
 */
int engine_network_need(struct engine *e, const char *name, struct err *err) must_check;
/* The value (given) of the image's label celeriac.`name`, NULL if it has none; ERR_NOTFOUND. */
int engine_image_label(struct engine *e, const char *image, const char *name, char **ret,
		       struct err *err) must_check;

/* The paths that the image declares as VOLUME; NULL-terminated, one block, given: free.
 * ERR_UNSUPPORTED: more than ENGINE_IMAGE_VOLUMES. */
#define ENGINE_IMAGE_VOLUMES 16
int engine_image_volumes(struct engine *e, const char *image, char ***ret,
			 struct err *err) must_check;

/* The environment that the image declares, "K=V", in the same form. ERR_UNSUPPORTED: more than
 * BOUND_ENV_VARS. */
int engine_image_env(struct engine *e, const char *image, char ***ret, struct err *err) must_check;

/*
 * What a container may be. The zero value is the strictest: no network, no capabilities, no new
 * privileges, read-only root, no log, no mounts, and finite limits (defaults below). Strings are
 * borrowed for the call.
 */
struct engine_label {
	const char *name; /* without the prefix "celeriac." */
	const char *value;
};
struct engine_tmpfs {
	const char *path;
	int64_t size;	/* bytes */
	int64_t inodes; /* 0 = 65536 */
	unsigned mode;	/* 0 = 0700 */
	bool exec;
};
struct engine_spec {
	const char *image;	 /* required */
	const char *name;	 /* one of ours; or NULL: it gets one */
	const char *const *argv; /* NULL-terminated entrypoint and arguments, required */
	const char *const *env;	 /* NULL-terminated "K=V", or NULL */
	const char *working_dir; /* NULL = "/" */
	bool stdin_once;	 /* its input ends when whoever is attached leaves */
	unsigned uid, gid;	 /* 0 = 10001 */
	const char *runtime;	 /* NULL = the engine's default */
	const char *network;	 /* NULL = none */
	int64_t memory;		 /* bytes, 0 = 256 MiB; swap is never more */
	double cpus;		 /* 0 = 1 */
	int64_t pids;		 /* 0 = 64 */
	int64_t nofile;		 /* 0 = 1024 */
	int64_t file_size;	 /* bytes one file may have, 0 = 1 GiB */
	int64_t shm_size;	 /* bytes, 0 = 1 MiB */
	const struct engine_tmpfs *tmpfs;
	size_t tmpfs_count;
	const char *agent_volume; /* named volume with the agent, mounted read-only at /celeriac; or
				     NULL */
	const char *package_volume; /* named volume of a package, mounted at ENGINE_PACKAGE_DIR,
				       read-only but for who fills it; or NULL */
	bool package_fill;
	/* What the image declares as VOLUME, NULL-terminated, or NULL: there is an empty read-only
	 * directory instead of a writable place on the host's disk. ERR_INVALID for one below a
	 * tmpfs. */
	const char *const *image_volumes;
	/* Each one that engine_check_mount allows; none below, above or at a tmpfs or another
	 * mount. What the host has mounted below it is not seen. */
	const struct engine_mount *mounts;
	size_t mount_count;
	const struct engine_label *labels;
	size_t label_count;
};

/* The JSON body of POST /containers/create for `spec`, on an engine with these traits: a pure
 * function. `instance` becomes a label. Given. ERR_INVALID names the field. */
int engine_spec_body(const struct engine_spec *spec, const char *instance, unsigned traits,
		     char **ret, struct err *err) must_check;

/* "path:ro" or "path:rw" taken apart; the path is given. ERR_INVALID. Pure. */
int engine_mount_parse(const char *text, struct engine_mount *ret, struct err *err) must_check;
/* Why this path is never mounted, even if it is listed: the engine's socket, the host's own
 * directories …; NULL = it may be. Pure. */
const char *engine_mount_refusal(const char *path);
/* Is one of the two paths the other, or in it? Pure. */
bool engine_paths_overlap(const char *a, const char *b);
void engine_mounts_free(struct engine_mount *mounts, size_t count);
/* May a container have it? ERR_DENIED says why not: it is never mounted, or the engine's
 * configuration does not list it with this mode. Asks nobody. */
int engine_check_mount(struct engine *e, const struct engine_mount *m, struct err *err) must_check;

/* Creates, does not start. ERR_DENIED: a mount, as engine_check_mount. `ret_warnings` (may be NULL;
 * given, "" if none) holds what the engine will not enforce. ERR_NOTFOUND: no such image;
 * ERR_CONFLICT: the name is taken. */
int engine_create(struct engine *e, const struct engine_spec *spec, char ret_id[ENGINE_ID_SIZE],
		  char **ret_warnings, struct err *err) must_check;
int engine_start(struct engine *e, const char *id, struct err *err) must_check;
/* Another name for it, running or not. ERR_CONFLICT: the name is taken. */
int engine_rename(struct engine *e, const char *id, const char *name, struct err *err) must_check;
/* Has a container this name, whoever's it is? False also when the engine does not answer. */
bool engine_name_is_taken(struct engine *e, const char *name);
/* SIGKILL. Not running is success. */
int engine_kill(struct engine *e, const char *id, struct err *err) must_check;
/* Removes by force with its anonymous volumes, after a look that label and name say it is ours
 * (ERR_DENIED if not), and waits until it is gone. Gone already is success. */
int engine_remove(struct engine *e, const char *id, struct err *err) must_check;
/* The same, and says for the record why. Of all who remove it at the same time *ret_done is true
 * for one. */
int engine_reap(struct engine *e, const char *id, const char *why, bool *ret_done,
		struct err *err) must_check;

struct engine_container {
	char id[ENGINE_ID_SIZE];
	char name[80];
	char image_id[ENGINE_ID_SIZE];
	char status[16]; /* created running paused restarting removing exited dead */
	bool running, oom_killed;
	int exit_code;
	usec_t created;	 /* wall */
	usec_t deadline; /* wall: when whatever it was made for has ended, 0 = not known */
	/* labels, "" when absent */
	char role[16], owner[160], conversation[256], project[256], task[256], policy[72];
};
int engine_inspect(struct engine *e, const char *id, struct engine_container *ret,
		   struct err *err) must_check;
/* What the engine sees of a running container's control group. */
struct engine_group {
	bool own;	       /* it has one: else its limits are the machine's, that is none */
	uint64_t memory, pids; /* limits in bytes and processes, 0 = the engine does not say */
};
int engine_group(struct engine *e, const char *id, struct engine_group *ret,
		 struct err *err) must_check;
/* Every container of our instance (by its label, and a name that no image can give), running or
 * not; without oom_killed and exit_code, which only
 * engine_inspect knows. `ret` given: free. */
int engine_list(struct engine *e, struct engine_container **ret, size_t *ret_count,
		struct err *err) must_check;

/* ---- what the engine tells by itself ---- */
/* A container of our instance has ended or was removed, by whomever. A hint: what is told while
 * nobody listens is lost. */
struct engine_notice {
	char id[ENGINE_ID_SIZE];
	char role[16], conversation[256]; /* labels */
};
struct engine_events;
int engine_events_open(struct engine *e, struct engine_events **ret, struct err *err) must_check;
/* 1 and a notice, 0 at the end of the connection, ERR_TIMEOUT at the monotonic deadline. [owner] */
int engine_events_next(struct engine_events *ev, usec_t deadline, struct engine_notice *ret,
		       struct err *err) must_check;
/* Pollable, once engine_events_next has said ERR_TIMEOUT with a deadline in the past. */
int engine_events_fd(const struct engine_events *ev);
void engine_events_close(struct engine_events *ev);

/*
 * Fills the named, read-only volume that carries the agent into containers, once per engine and
 * agent: a container that is never started takes the file in by the archive call, so neither a host
 * path nor anything inside the image is needed and remote engines work. The volume's name holds the
 * digest of the bytes. `image` is any image present. Safe to call at the same time from several
 * workers. ret_volume: at least 80 bytes.
 */
int engine_deliver_agent(struct engine *e, const char *image, const void *agent, size_t len,
			 char ret_volume[80], struct err *err) must_check;

/* ---- packages of servers ---- */
#define ENGINE_PACKAGE_DIR    "/package"
#define ENGINE_PACKAGE_PLACE  "/package/p" /* what who fills it may write */
#define ENGINE_PACKAGE_PREFIX "celeriac-package-"
/* Sees to the volume; *ret_made: it was not there. ERR_DENIED: there are BOUND_PACKAGE_VOLUMES. */
int engine_package_volume(struct engine *e, const char *volume, bool *ret_made,
			  struct err *err) must_check;
bool engine_package_exists(struct engine *e, const char *volume);
/* Away with it, unless a container has it. */
int engine_package_remove(struct engine *e, const char *volume, struct err *err) must_check;
/* `container` has it, to fill it, and does not run. Gives it the place that may be written, owned
 * by the container's user. */
int engine_package_open(struct engine *e, const char *container, struct err *err) must_check;
/* Says in it, where nothing in a container can write, that it is whole; and whether that was said.
 */
int engine_package_seal(struct engine *e, const char *container, struct err *err) must_check;
int engine_package_is_whole(struct engine *e, const char *container, bool *ret,
			    struct err *err) must_check;

/*
 * Removes volumes of agents and packages, and networks, that our instance has made before `before`
 * (wall) and that no container uses, but those named in `keep` (NULL-terminated). What is wanted
 * again after all is made again. *ret_removed also after an error.
 */
int engine_sweep_volumes(struct engine *e, const char *const *keep, usec_t before,
			 int64_t *ret_removed, struct err *err) must_check;
int engine_sweep_networks(struct engine *e, const char *const *keep, usec_t before,
			  int64_t *ret_removed, struct err *err) must_check;

/* The same of images that deploy/images has made, without a name any more and with no container;
 * never one that others have made of them, nor one that a reference in `keep` names by its id. */
int engine_sweep_images(struct engine *e, const char *const *keep, usec_t before,
			int64_t *ret_removed, struct err *err) must_check;

/* The file system where the engine keeps its own, in bytes. ERR_UNSUPPORTED: it is not seen from
 * where the engine is spoken to, as on another machine or from within a container. */
struct engine_disk {
	int64_t size, free;
};
int engine_disk(struct engine *e, struct engine_disk *ret, struct err *err) must_check;
/* Bytes of all images, of those with the label of deploy/images (shared layers in each), and of
 * volumes of our instance. The engine counts files for it: seldom, and a minute at most. */
struct engine_usage {
	int64_t images, own_images, own_volumes;
};
int engine_usage(struct engine *e, struct engine_usage *ret, struct err *err) must_check;

/* ---- attached streams ---- */
struct engine_stream;
enum engine_channel { ENGINE_STDIN, ENGINE_STDOUT, ENGINE_STDERR, ENGINE_SYSTEM };
/* stdin, stdout and stderr of PID 1, from now on. Closing does not stop the container. */
int engine_attach(struct engine *e, const char *id, struct engine_stream **ret,
		  struct err *err) must_check;
int engine_stream_write(struct engine_stream *s, const void *data, size_t len, usec_t deadline,
			struct err *err) must_check;
/* 1 and a piece (borrowed until the next read), 0 at the end of the stream, ERR_TIMEOUT at the
 * monotonic deadline. */
int engine_stream_read(struct engine_stream *s, usec_t deadline, enum engine_channel *ret_channel,
		       const void **ret_data, size_t *ret_len, struct err *err) must_check;
int engine_stream_fd(const struct engine_stream *s);
void engine_stream_close(struct engine_stream *s);

#endif
