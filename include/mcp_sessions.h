/*
 * mcp_sessions.h: the open sessions with MCP servers of one worker.
 *
 * A conversation keeps its session with a server until it is idle for too long or ended; calls
 * without a conversation share what is free. A session is used by one call at a time. A server in a
 * container has one instance for each session with it, and none is left when its session ends; one
 * that is kept running and reached by HTTP has one for all of them, which goes when it was idle for
 * too long. There are never more than MCP_MAX in all. A container is made where most places are
 * free, and a session stays with it.
 */
#ifndef CELERIAC_MCP_SESSIONS_H
#define CELERIAC_MCP_SESSIONS_H

#include "fleet.h"
#include "mcp.h"
#include "outbound.h"
#include "sandbox.h"

enum mcp_transport_kind { MCP_STDIO, MCP_SSE, MCP_STREAMABLE };

/* A row of mcp_servers, its secrets open. Borrowed for a call. */
struct mcp_server {
	int64_t id;
	const char *name;
	bool docker;
	enum mcp_transport_kind transport;
	/* docker */
	const char *image;
	const char *const *argv, *const *env;
	const struct sandbox_package *package; /* or NULL */
	const struct sandbox_egress *egress;   /* of its installation */
	const char *network;		       /* NULL = none */
	uint16_t port;			       /* by HTTP: where it listens */
	const char *project;		       /* whose it is, NULL = everybody's */
	/* external; of one in a container that is reached by HTTP with the loopback address */
	const char *url;
	const char *const *headers;
	bool keep;	  /* its sessions outlive calls without a conversation, and its one
			     instance, if it is reached by HTTP, its sessions */
	const char *hash; /* of its configuration: sessions of another one are not used again */
};

struct mcp_sessions;
/* `fleet` NULL: no servers in containers. Both are borrowed. [init] */
struct mcp_sessions *mcp_sessions_new(struct fleet *fleet, struct outbound *outbound,
				      int64_t max_instances, usec_t idle);
/* Ends all of them; nobody may be using one. NULL is fine. */
void mcp_sessions_free(struct mcp_sessions *s);

struct mcp_session;
/* All borrowed for the call but `cancelled` and what the hooks point to, which last until the
 * session is given back. */
struct mcp_session_wish {
	const struct mcp_server *server;
	const char *conversation, *project; /* or NULL */
	usec_t deadline;
	const atomic_bool *cancelled; /* or NULL */
	struct mcp_hooks hooks;
};
/* One that is free, or a new one; while MCP_MAX instances are in use, one is waited for.
 * ERR_UNAVAILABLE: in vain; ERR_NOTFOUND (no image), ERR_UNSUPPORTED, ERR_CANCELLED, and what
 * mcp_http_new and mcp_client_open say. [any] */
int mcp_session_get(struct mcp_sessions *s, const struct mcp_session_wish *wish,
		    struct mcp_session **ret, struct err *err) must_check;
struct mcp_client *mcp_session_client(const struct mcp_session *session);
/* Gives it back; one that is not usable any more, or that nobody could ask for, ends. */
void mcp_session_put(struct mcp_sessions *s, struct mcp_session *session);

/* The catalogue of a server's configuration as this worker last had it, given, to be read alone;
 * NULL: it has none, or an old one. [any] */
json_t *mcp_sessions_catalogue(struct mcp_sessions *s, const struct mcp_server *server);
/* `tools` is borrowed, and must not be changed any more. [any] */
void mcp_sessions_keep_catalogue(struct mcp_sessions *s, const struct mcp_server *server,
				 json_t *tools);

/* Ends the sessions with a server: of one conversation, of all projects that it may be of (NULL) or
 * one; or all (NULL) and with them what it has running. Those in use end when they are given back.
 * How many sessions, and instances that no session used. [any] */
int64_t mcp_sessions_end(struct mcp_sessions *s, int64_t server, const char *conversation,
			 const char *project);
/* Ends what was not used for too long. [one thread] */
void mcp_sessions_sweep(struct mcp_sessions *s);

#endif
