/*
 * login.h: services that did not take our credentials, told to whoever records it. One listener for
 * the process, as for the log.
 *
 * The same service and place is told once a minute at most, with how often it was meanwhile.
 */
#ifndef CELERIAC_LOGIN_H
#define CELERIAC_LOGIN_H

#include "base.h"

#define LOGIN_PLACES 32 /* that are told apart; of more the oldest is told again */

/* `service`: "Redis", "PostgreSQL", "engine", "MCP server"; `where`: host and port, or a URL,
 * without credentials; `reason`: what it said, no secret; `times`: since it was told last, this one
 * included. */
typedef void login_refused_fn(void *arg, const char *service, const char *where, const char *reason,
			      uint64_t times);
/* What was refused before is told with the next time. NULL = nobody any more; then none is in it.
 * [init] */
void login_on_refused(login_refused_fn *fn, void *arg);
/* Credentials were refused. Never blocks for longer than the listener. [any] */
void login_refused(const char *service, const char *where, const char *reason);

#endif
