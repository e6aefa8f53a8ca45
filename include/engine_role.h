/*
 * engine_role.h: the process that alone has the connection to Docker.
 *
 * It knows nothing of brokers, databases or messages: it takes typed requests of workers over a
 * unix socket, judges each by its own settings, asks Docker, and writes an audit line. What is said
 * there is common/sandbox/waist.h.
 */
#ifndef CELERIAC_ENGINE_ROLE_H
#define CELERIAC_ENGINE_ROLE_H

#include "err.h"
#include "settings.h"

struct engine_role;

/* Opens the engine of DOCKER_HOST and listens at CELERIAC_ENGINE. ERR_INVALID names a setting;
 * ERR_CONFLICT: another role answers there. [init] */
int engine_role_open(const struct settings *settings, struct engine_role **ret,
		     struct err *err) must_check;
/* The directory that holds the socket. */
const char *engine_role_directory(const struct engine_role *r);
/* Serves until a signal comes from `signals` (daemon.h), then removes the socket. What is attached
 * ends with the process. */
void engine_role_run(struct engine_role *r, int signals);

#endif
