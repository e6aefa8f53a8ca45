/*
 * instances.h: servers in containers: who has which, and how many there may be. Private to
 * common/mcp.
 *
 * An instance belongs to one session; but a server that is kept running and reached by HTTP has one
 * for all its sessions, which is started once however many ask for it, and outlives them.
 *
 * Lock order: that of the sessions before ours.
 */
#ifndef CELERIAC_MCP_INSTANCES_H
#define CELERIAC_MCP_INSTANCES_H

#include "mcp_sessions.h"
#include "thread.h"

struct mcp_instance;
struct mcp_instances {
	struct fleet *fleet; /* or NULL */
	int64_t max;
	/* Ends a session that an instance goes with, or an instance, that nobody uses; false: there
	 * is none. */
	bool (*make_room)(void *arg);
	void *arg;
	struct mutex lock;
	/* guarded by lock */
	struct cond changed;	    /* a place is free, an instance has started */
	int64_t places;		    /* taken */
	struct mcp_instance *first; /* those for several sessions */
};

void mcp_instances_init(struct mcp_instances *all, struct fleet *fleet, int64_t max,
			bool (*make_room)(void *arg), void *arg);
/* Ends those that are left; no session has one. */
void mcp_instances_done(struct mcp_instances *all);
/* Somebody may be waiting for what a session has given up. [any] */
void mcp_instances_wake(struct mcp_instances *all);

/* One for a session: started, or shared. Waits for a place, and for who starts the same one. [any]
 */
int mcp_instance_get(struct mcp_instances *all, const struct mcp_session_wish *w,
		     struct mcp_instance **ret, struct err *err) must_check;
/* A transport to it; when that is closed, an instance reached by stdio ends. */
int mcp_instance_transport(struct mcp_instance *i, const struct mcp_server *server,
			   struct mcp_transport **ret, struct err *err) must_check;
/* The session, and its transport, are no more. */
void mcp_instance_put(struct mcp_instance *i);
bool mcp_instance_is_shared(const struct mcp_instance *i);
/* Would it end, or be nobody's, without its session? [any] */
bool mcp_instance_hangs_on_one(struct mcp_instance *i);
/* False where it is known to be gone: that of one reached by stdio its transport knows. */
bool mcp_instance_lives(const struct mcp_instance *i);
/* What it wrote last, in the room that there is; also after its end. */
void mcp_instance_words(struct mcp_instance *i, char *out, size_t size);

/* Ends the shared ones of a server; those in use end when they are put. How many of them nobody
 * used. [any] */
int64_t mcp_instances_end(struct mcp_instances *all, int64_t server);
/* When the shared one that nobody uses for the longest time was used last, USEC_NEVER: there is
 * none. */
usec_t mcp_instances_oldest(struct mcp_instances *all);
/* False likewise. */
bool mcp_instances_end_oldest(struct mcp_instances *all);
/* Ends shared ones that nobody has used for so long, and those that are gone. */
void mcp_instances_sweep(struct mcp_instances *all, usec_t idle);

#endif
