/*
 * engine_role.h: the process that alone has the connection to Docker.
 *
 * It knows nothing of brokers, databases or messages: it takes typed requests of workers over a
 * unix socket, judges each by its own settings, asks Docker, and writes an audit line. What is said
 * there is common/sandbox/waist.h.
 *
 * A worker forks one for itself, or connects to a role that others started
 * (CELERIAC_ENGINE=unix:/path). The former is kept by a process that does nothing else and starts
 * it again when it ends:
 *
 *     worker ── keeper    lets it begin with the log that it is to write to; its end is the end
 *        └───── role      one message for each connection, which it carries as a descriptor
 *
 * Both descriptors stay open in the worker at a restart in place, and end with it.
 */
#ifndef CELERIAC_ENGINE_ROLE_H
#define CELERIAC_ENGINE_ROLE_H

#include "err.h"
#include "log.h"
#include "settings.h"

/* ---- which way ---- */
enum engine_way {
	ENGINE_WAY_FORK,   /* by a role of one's own: where nothing else is said */
	ENGINE_WAY_DIRECT, /* in this process */
	ENGINE_WAY_ROLE	   /* by those whose sockets CELERIAC_ENGINE lists */
};
enum engine_way engine_way(const struct settings *s);
/* The engines, or roles, separated by commas; and the n-th of such a list, trimmed (given), NULL
 * behind the last. Pure. */
const char *engine_hosts(const struct settings *s);
char *engine_host_at(const char *list, size_t n);
size_t engine_host_count(const char *list);

/* ---- the role ---- */
struct engine_role;

/* Opens the engine of DOCKER_HOST and listens at CELERIAC_ENGINE; with `control` of a keeper
 * nowhere, but takes the connections that come by it. ERR_INVALID names a setting; ERR_CONFLICT:
 * another role answers there. [init] */
int engine_role_open(const struct settings *settings, int control, struct engine_role **ret,
		     struct err *err) must_check;
/* The directory that holds the socket; NULL if there is none. */
const char *engine_role_directory(const struct engine_role *r);
/* Serves until a signal comes from `signals` (daemon.h), or its worker has ended; then removes the
 * socket. What is relayed ends with the process. */
void engine_role_run(struct engine_role *r, int signals);

/* ---- a role of one's own: the worker's end ---- */
struct engine_held;

/* Starts a role for each engine of DOCKER_HOST where the settings want that, before rights are
 * given up and before the first thread; they wait for engine_held_begin. After a restart in place
 * they are those of the earlier life. *ret NULL: none is wanted. [init] */
int engine_held_start(const struct settings *s, enum log_level level, struct engine_held **ret,
		      struct err *err) must_check;
/* Lets them begin, anew after a restart; they write to a copy of `log`. [init] */
int engine_held_begin(struct engine_held *h, int log, struct err *err) must_check;
/* For engine_config.control: that of the i-th engine; -1 if `h` is NULL. */
int engine_held_control(const struct engine_held *h, size_t i);
/* One of them, with who keeps it, is gone: nobody starts it again. [any] */
bool engine_held_is_lost(const struct engine_held *h);
/* They end. NULL is fine. */
void engine_held_end(struct engine_held *h);

/* ---- the keeper's end ---- */
/* Has a worker started this process to keep its role? */
bool engine_keeper_is_wanted(void);
/* Keeps it: returns in every role that it starts, with that role's control, and never otherwise. */
int engine_keeper_fork(void);

#endif
