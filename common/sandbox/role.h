/*
 * role.h: what the parts of an engine role share. See engine_role.h.
 */
#ifndef CELERIAC_ROLE_H
#define CELERIAC_ROLE_H

#include "engine_internal.h"
#include "role_policy.h"
#include "waist.h"

#define ROLE_CONNECTIONS 128  /* with a thread each; streams have none */
#define ROLE_STREAMS	 2048 /* relayed at the same time */
#define ROLE_BURST	 5    /* seconds of CELERIAC_ENGINE_RATE in reserve */
#define ROLE_KNOWN	 8192 /* containers remembered as ours */

/* What requests, the agents that come with some, and large answers may take at the same time. A
 * byte of JSON is about ROLE_PARSED bytes once it is read. */
#define ROLE_BUDGET (32u << 20)
/* Of each of these one peer has at most so much. */
#define ROLE_PEER_CONNECTIONS 48
#define ROLE_PEER_STREAMS     1024
#define ROLE_PEER_BUDGET      (16u << 20)
#define ROLE_PARSED	      8u
#define ROLE_ANSWER	      (8u << 20) /* of a list */

struct role_relay;

struct engine_role {
	const struct settings *settings;
	struct engine *engine;
	char *path, *directory;
	int listens; /* or -1, and */
	int control; /* connections come by it from the worker whose own role this is */
	struct role_relay *relay;

	/* what is made with a volume holds it to read, who makes or removes volumes to write */
	pthread_rwlock_t volumes;

	struct mutex lock;
	struct cond spent; /* less of the budget is in use */
	/* guarded by lock */
	size_t in_use; /* of ROLE_BUDGET */
	size_t connections, streams;
	struct role_share *shares;
	size_t containers;    /* of our instance, when they were counted last and made since then */
	usec_t containers_at; /* monotonic; 0 = never */
	struct role_bucket requests;
	usec_t flooded; /* monotonic: when that was last written down */
	size_t dropped; /* since then */
	char (*known)[ENGINE_ID_SIZE];
	size_t known_count, known_next;
};

/* What one peer has of all that; lives as long as a connection or stream of its. */
struct role_share {
	struct role_share *next;
	int pid; /* 0: not to be seen from here */
	unsigned uid;
	/* guarded by the role's lock */
	size_t held, connections, streams, in_use;
};

/* Who asks. */
struct role_peer {
	int fd, pid;
	unsigned uid;
	struct role_share *share;
};

/* What a connection does next. */
enum role_next { ROLE_GO_ON, ROLE_END, ROLE_HANDED_OVER };
/* One request of `size` bytes to its answer, and its audit line. */
enum role_next role_serve(struct engine_role *r, const struct role_peer *peer, const json_t *json,
			  size_t size);
/* ---- role_share.c ---- */
struct role_share *role_share_of(struct engine_role *r, int pid, unsigned uid);
/* One more connection of the share, which is let go of where there is no room for it. */
bool role_connection_enter(struct engine_role *r, struct role_share *s) must_check;
void role_connection_leave(struct engine_role *r, struct role_share *s);
/* One more relayed stream. ERR_TOOBIG. [any] */
int role_stream_enter(struct engine_role *r, struct role_share *s, struct err *err) must_check;
void role_stream_leave(struct engine_role *r, struct role_share *s);
/* Waits for room in the budget, for a while: ERR_UNAVAILABLE. [any] */
int role_take(struct engine_role *r, struct role_share *s, size_t bytes,
	      struct err *err) must_check;
void role_give(struct engine_role *r, struct role_share *s, size_t bytes);

/* An audit line. `err` NULL: it was done. */
void role_audit(const struct role_peer *peer, const struct waist_request *q, usec_t began,
		const char *image, const char *made, const struct err *err);

/* ---- role_relay.c: one thread moves the bytes of all relayed streams ---- */
int role_relay_start(struct engine_role *r, struct role_relay **ret, struct err *err) must_check;
/* Takes both, and the place that was entered. [any] */
void role_relay_add(struct role_relay *y, struct role_share *share, struct http_stream *engine,
		    int client);

#endif
