/*
 * tunnel.h: connections to a server in a container, as channels of its agent's stream. Private to
 * common/sandbox.
 *
 * So a server is reached wherever its engine is and whatever stands before it, and needs no
 * network. What comes out of the container is hostile: an agent that breaks the rules of the
 * channels ends the tunnel.
 */
#ifndef CELERIAC_SANDBOX_TUNNEL_H
#define CELERIAC_SANDBOX_TUNNEL_H

#include "agent_link.h"
#include "said.h"

struct tunnel;
/* Takes `link`, on which `run` is a server, also on failure; `said` is what it has said so far. A
 * thread of its own carries what is said from now on. */
int tunnel_new(struct agent_link *link, uint32_t run, uint16_t port, const struct said *said,
	       struct tunnel **ret, struct err *err) must_check;
/* Closes every connection. NULL is fine. */
void tunnel_free(struct tunnel *t);
/* A connection to the server, given: a socket that does not block. It ends at once where the
 * server does not take it, and waits while all lines are in use. ERR_CLOSED: the server is gone;
 * ERR_UNAVAILABLE. [any] */
int tunnel_connect(struct tunnel *t, int *ret, struct err *err) must_check;
/* False once the server, or the way to it, is gone. [any] */
bool tunnel_lives(struct tunnel *t);
void tunnel_said(struct tunnel *t, struct said *ret);

#endif
