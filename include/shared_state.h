/*
 * shared_state.h: the Redis in which the workers and beats of a deployment keep what they know of
 * each other: who is alive, conversations and containers, live output, quotas, what was revoked,
 * beat's runs and which beat leads. All keys are "<prefix>celeriac:…".
 *
 * It is CELERIAC_STATE_URL; without that the broker's Redis, or where messages are not in Redis the
 * result backend's. Where it is the broker's it is the broker's link, so that there is no
 * connection more. What must be one step with messages stays where messages are (broker.h).
 */
#ifndef CELERIAC_SHARED_STATE_H
#define CELERIAC_SHARED_STATE_H

#include "err.h"
#include "redis.h"
#include "settings.h"

struct shared_state;

/* Which Redis that is, with its options; no server is asked. ERR_INVALID names the setting. *ret is
 * given. [init] */
int shared_state_place(const struct settings *s, struct redis_address *ret,
		       struct err *err) must_check;
/* The same as a check: silent when all is well. [init] */
int shared_state_check(const struct settings *s, struct err *err) must_check;
/* Takes `link`, the broker's, which it borrows, where that is the same Redis with the same
 * prefix of keys; else starts one of
 * its own. `broker` and `link` NULL: messages are not in Redis. Needs no server yet. [init] */
int shared_state_open(const struct settings *s, const struct redis_address *broker,
		      struct redis_link *link, struct shared_state **ret,
		      struct err *err) must_check;
/* Whether there is such a Redis by the settings. [init] */
bool shared_state_said(const struct settings *s);
/* What goes without it, for logs and --check. */
#define SHARED_STATE_MISSING                                                                       \
	"node names are not leased, what is revoked is forgotten with its workers, and there are " \
	"no sandbox and tool tasks and no quotas"
/* For a worker that has none: it shares nothing. It is ready, has no link, no address, and an empty
 * prefix. [init] */
struct shared_state *shared_state_none(void);
/* Waits for what was handed over until `deadline`, unless the link is borrowed. NULL is fine. */
void shared_state_close(struct shared_state *s, usec_t deadline);

/* ---- any thread ---- */
/* With the prefix of its keys. Borrowed. */
const struct redis_address *shared_state_address(const struct shared_state *s);
struct redis_link *shared_state_link(const struct shared_state *s); /* NULL: there is none */
bool shared_state_ready(const struct shared_state *s);
/* It is another Redis than the broker's, or has keys of another prefix there. */
bool shared_state_apart(const struct shared_state *s);

#endif
