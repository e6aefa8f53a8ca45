/*
 * mcp.h: a client of the Model Context Protocol, in both of its generations.
 *
 * Servers of the handshake generation (2024-11-05 … 2025-11-25) are greeted with `initialize` and
 * may keep a session; those of the stateless one (2026-07-28) are told version and capabilities
 * with every request. Which one a server speaks is found out once, as the specification's pages on
 * backward compatibility say, and may be remembered by the caller.
 *
 * Everything a server says is hostile: lines, events and answers are bounded by bounds.h, deadlines
 * hold whatever it sends, and nothing it says is followed but to its own origin.
 *
 * A client and its transport belong to one thread at a time. Deadlines are monotonic.
 */
#ifndef CELERIAC_MCP_H
#define CELERIAC_MCP_H

#include <jansson.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base.h"
#include "err.h"
#include "http_multi.h"

/* ---- protocol versions: pure ---- */
enum mcp_era { MCP_ERA_UNKNOWN, MCP_ERA_HANDSHAKE, MCP_ERA_STATELESS };
#define MCP_VERSION_SIZE 16
/* MCP_ERA_UNKNOWN for a version that this client does not speak. [any] */
enum mcp_era mcp_version_era(const char *version);

/* ---- transports ---- */
struct mcp_transport;

/* The standard streams of a server, whoever runs it. */
struct mcp_pipe {
	/* 1..size bytes of its stdout, 0 at the end, ERR_TIMEOUT at the deadline. */
	ssize_t (*read)(void *arg, void *data, size_t size, usec_t deadline, struct err *err);
	/* All of it to its stdin, or an error. */
	int (*write)(void *arg, const void *data, size_t len, usec_t deadline, struct err *err);
	/* Ends its stdin and lets the server go; called once. */
	void (*close)(void *arg, usec_t deadline);
	void *arg;
};
/* One JSON object per line. Lines that are no JSON are passed over, BOUND_MCP_NOISE at most. Never
 * NULL. */
struct mcp_transport *mcp_stdio_new(const struct mcp_pipe *pipe);

struct outbound;
struct mcp_http_config {
	const char *url;	    /* http or https */
	const char *const *headers; /* "Name: value", NULL-terminated, or NULL */
	bool sse;		    /* the transport of 2024-11-05: a GET opens the stream */
	struct outbound *outbound;  /* judges host and addresses; NULL for our own containers */
	struct http_local local;    /* in place of the URL's host; it outlives the transport */
};
/* Does not connect. ERR_INVALID: the URL or a header; ERR_DENIED: its host or port. */
int mcp_http_new(const struct mcp_http_config *config, struct mcp_transport **ret,
		 struct err *err) must_check;
/* Closes it in its own way; NULL is fine. */
void mcp_transport_free(struct mcp_transport *t);

/* ---- the client ---- */
struct mcp_client;
struct mcp_hooks {
	/* `total` < 0: unknown; `message` may be NULL. Strings are a server's: escape them. */
	void (*progress)(void *arg, double progress, double total, const char *message);
	void (*log)(void *arg, const char *level, const char *text);
	void (*tools_changed)(void *arg);
	/* A request of the server for input, "elicitation/create" … : its answer, given, or NULL to
	 * refuse it. NULL as a hook: none is offered. */
	json_t *(*input)(void *arg, const char *method, const json_t *params);
	void *arg;
};
struct mcp_client_config {
	enum mcp_era era;	      /* what is known of this server, or MCP_ERA_UNKNOWN */
	bool tools_change;	      /* likewise, see mcp_peer */
	const atomic_bool *cancelled; /* looked at while waiting, or NULL */
	usec_t probe;		      /* how long a server may be silent when it is asked which
					 generation it speaks, 0 = 5 s */
	usec_t listen_again;	      /* how long after it was asked for what changes a server that
					 says no more of it is asked again, 0 = 60 s */
	struct mcp_hooks hooks;	      /* each may be NULL */
};

struct mcp_peer {
	enum mcp_era era;
	char version[MCP_VERSION_SIZE];
	char name[128], server_version[64]; /* as it calls itself; for display alone */
	bool tools_change;		    /* it says when its catalogue changes */
};

/* Takes `t`, also on failure. ERR_PROTOCOL, ERR_TIMEOUT, ERR_CLOSED, ERR_UNAVAILABLE,
 * ERR_CANCELLED, ERR_UNSUPPORTED (no version in common), ERR_DENIED (it wants credentials). */
int mcp_client_open(struct mcp_transport *t, const struct mcp_client_config *config,
		    usec_t deadline, struct mcp_client **ret, struct err *err) must_check;
/* Ends the session by its own way; a server that does not let go by the deadline is left. NULL is
 * fine. */
void mcp_client_close(struct mcp_client *c, usec_t deadline);
/* For the next calls: who may stop them, and who hears what the server says. */
void mcp_client_bind(struct mcp_client *c, const atomic_bool *cancelled,
		     const struct mcp_hooks *hooks);
const struct mcp_peer *mcp_client_peer(const struct mcp_client *c);
/* A sign of life over standard streams, in both directions: a request whose answer nobody waits
 * for. Where it cannot be sent the session is not usable any more. */
void mcp_client_sign(struct mcp_client *c);
/* Takes in what the server said since the last call; an end that came meanwhile is seen. */
void mcp_client_look(struct mcp_client *c);
/* False once a call failed in a way that leaves the session in doubt: open another one. */
bool mcp_client_usable(const struct mcp_client *c);

/*
 * The server's whole catalogue as an array of tools {name, title?, description, inputSchema,
 * outputSchema?, annotations?}, given. A tool that is not well formed is left out and logged by
 * the hook; two of one name are one. ERR_TOOBIG: BOUND_MCP_PAGES, BOUND_MCP_TOOLS,
 * BOUND_MCP_CATALOGUE. ERR_UNSUPPORTED: it has no tools.
 */
int mcp_client_list_tools(struct mcp_client *c, usec_t deadline, json_t **ret,
			  struct err *err) must_check;

/*
 * Calls a tool. `schema` is its inputSchema, or NULL: it says which arguments are repeated in
 * headers. `*ret`, given: the server's result, an object with `content` (array) and perhaps
 * `structuredContent` and `isError`; what a tool reports as its own failure is no error here.
 * ERR_FAILED: the server's JSON-RPC error, with its text. After ERR_TIMEOUT and ERR_CANCELLED the
 * server was told.
 */
int mcp_client_call(struct mcp_client *c, const char *tool, const json_t *schema,
		    const json_t *arguments, usec_t deadline, json_t **ret,
		    struct err *err) must_check;

#endif
