/*
 * request.h: one message on its way through the worker.
 *
 *   RECEIVED ──┬─────────────────┐
 *              ├─▶ WAITING (lane) ├─▶ RESERVED ─▶ ACTIVE ─▶ SETTLING ─▶ gone
 *              │   ASIDE (keeper) ┘   (queue)    (thread)
 *              │      ▲────────────────────────────┘ its row is somebody's
 *              └─▶ gone: only a record in schedule.h is left, and another request is made of the
 *                  message when it is due
 *
 * From RECEIVED until it is settled a request is in the held set of state.h: its message is unacked
 * at the broker and renewed. Being in a state and being on that state's list are the same fact; one
 * thread at a time owns a request, whoever took it off a list.
 */
#ifndef CELERIAC_WORKER_REQUEST_H
#define CELERIAC_WORKER_REQUEST_H

#include <stdatomic.h>

#include "broker.h"
#include "message.h"
#include "task_house.h"

enum request_state {
	REQUEST_RECEIVED, /* the consumer's, being looked at */
	REQUEST_WAITING,  /* in its lane, behind another call of the same conversation */
	REQUEST_ASIDE,	  /* not yet: somebody alive has its row; the keeper sends it on at
			     `again_at` */
	REQUEST_RESERVED, /* in the pool's queue */
	REQUEST_ACTIVE,	  /* a pool thread runs it */
	REQUEST_SETTLING  /* handed to the broker's link */
};

struct request {
	struct delivery delivery; /* data is freed once decoded */
	struct message *message;
	size_t bytes; /* of the envelope */
	const struct task *task;
	const struct task_options *options; /* of the task, complete */
	const char *id, *name;		    /* of the message */
	const char *shown; /* its name in logs and events: its shadow, if it has one */
	_Atomic enum request_state state; /* written by the owner, read by state_is_active */
	usec_t received;		  /* monotonic */
	uint64_t number;		  /* rises with each that is held: their order */
	usec_t again_at;		  /* monotonic, for ASIDE */
	_Atomic usec_t time_start;	  /* wall: when it became ACTIVE, 0 = not yet */
	atomic_int tid;			  /* the kernel's, of the thread that runs it */
	atomic_bool cancel;
	usec_t soft_limit, hard_limit;	 /* 0 = none; set before they are due */
	_Atomic usec_t soft_at, hard_at; /* monotonic; hard_at 0 = the clock does not run */
	atomic_int limit_hit;		 /* enum limit_hit */
	atomic_int terminated;	  /* by which signal remote control ended it, 0 = it did not */
	atomic_bool acknowledged; /* before it ran: its message is no longer the broker's */
	bool reject;		  /* its message goes back though it has a result */
	bool begun;		  /* noted in Redis: redelivery.c */
	bool outlived;		  /* its connection, when it ended: outlived.c */
	bool follows;		  /* something, from how it ended */
	bool refused;		  /* the broker refused what follows from it for good */
	bool runs_again;	  /* what is stored of it is no result yet */
	char *dead_reason;	  /* why its message is kept among the dead, or NULL */
	bool has_turn;		  /* its rate limit, if any, lets it go on */
	struct event_item *last_events; /* told once the broker has confirmed; or NULL */
	char *lane;			/* or NULL */
	bool lane_held;			/* it is at the head of its lane */
	struct settle_steps applied; /* what the task published itself: before all that follows */
	json_t *children;	     /* its results, for the task's meta; or NULL */
	size_t applied_count;
	struct worker *worker;
	struct request *next; /* of the one list it is on */
	struct request *held_prev, *held_next;
};

/* Takes delivery and message. The caller holds it. */
struct request *request_new(struct worker *w, struct delivery *delivery, struct message *message,
			    const struct task *task);
/* Ends a RECEIVED one whose delivery stays recorded as ours, as somebody else's business. */
void request_forget(struct request *r);
/* Moves it on; an impossible step is a BUG. */
void request_transition(struct request *r, enum request_state to);
/* Acknowledges before the task runs, after `started` (taken, or NULL) is stored, and waits until
 * both are done, so that what runs can never be delivered again. On failure the message is still
 * the broker's, for all that is known. */
int request_acknowledge(struct request *r, struct backend_write *started,
			struct err *err) must_check;
/* Publishes `steps` (taken) while it runs, once, and waits until that is done. `number` tells one
 * from another of this request. */
int request_publish(struct request *r, unsigned number, struct settle_steps *steps,
		    struct err *err) must_check;
/* Ends it: what follows from it (taken, or NULL), its result (taken, or NULL; not with
 * SETTLE_REQUEUE) and outcome to the broker; the request is freed once the broker has confirmed.
 * The only caller of broker_settle for requests. With a `dead_reason`, SETTLE_ACK means the dead
 * letters, with `reject` SETTLE_REJECT; once acknowledged, nothing becomes of the message. */
void request_settle(struct request *r, enum settle_outcome outcome, const char *reason,
		    struct backend_write *result, struct settle_steps *steps);

#endif
