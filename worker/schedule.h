/*
 * schedule.h: messages that are held for later: until their eta, or until their turn under a rate
 * limit. Only this is kept of each: when, which task, which delivery, its id; the payload stays in
 * the broker's unacked record and is read again when its time has come (due.c).
 *
 * About 120 bytes each, whatever the message. A record is with the schedule, renewed and listed, or
 * it was taken and belongs to whoever took it.
 */
#ifndef CELERIAC_WORKER_SCHEDULE_H
#define CELERIAC_WORKER_SCHEDULE_H

#include <jansson.h>
#include <stdatomic.h>

#include "broker.h"
#include "task.h"
#include "thread.h"

struct limits;

enum hold {
	HOLD_ETA,   /* until a time of the wall clock, which may be set */
	HOLD_TURN,  /* until its turn: monotonic */
	HOLD_HURRY, /* remote control wants it looked at now */
	HOLDS
};

struct held {
	usec_t due; /* of the clock that `hold` names */
	struct delivery_ref ref;
	const struct task *task;
	struct held *prev, *next; /* all of the schedule, in the order they came */
	uint32_t place;		  /* in its heap */
	uint32_t bytes;		  /* of the message; at most BOUND_MESSAGE_BYTES */
	uint8_t hold;
	bool has_turn;	  /* it need not ask for one */
	bool redelivered; /* its message was delivered before */
	char id[];
};

struct heap {
	struct held **items;
	size_t count, size;
};

struct schedule {
	struct mutex lock;
	struct heap heaps[HOLDS];    /* guarded by lock: by due, then number */
	struct held *all;	     /* guarded by lock */
	struct held *walk;	     /* guarded by lock: the next of schedule_walk */
	atomic_size_t counts[HOLDS]; /* of each heap */
	atomic_size_t bytes;	     /* of memory, all records */
};
void schedule_init(struct schedule *s);
/* Frees what is left: its messages stay recorded as ours. */
void schedule_done(struct schedule *s);

/* A record that is not in the schedule yet. Given: schedule_add or free. */
struct held *held_new(const struct delivery_ref *ref, const struct task *task, const char *id,
		      size_t bytes);
/* Takes `h`. */
void schedule_add(struct schedule *s, struct held *h, enum hold hold, usec_t due);
size_t schedule_count(const struct schedule *s);
/* When the first of `hold` is due, or USEC_NEVER. */
usec_t schedule_next_due(struct schedule *s, enum hold hold);
/* Takes the first of `hold` that are due at `now`, as a list by `next` in their order, or with
 * `latest_first` in the opposite one: at most `max`, whose messages are together at most `bytes`
 * (but always one). `ret_count` how many. */
struct held *schedule_take(struct schedule *s, enum hold hold, usec_t now, size_t max, size_t bytes,
			   bool latest_first, size_t *ret_count);
/* Takes up to `max` of those that came last, the last first. */
struct held *schedule_take_newest(struct schedule *s, size_t max, size_t *ret_count);

/* Writes the next `max` into `out`, from the first on after schedule_rewind; 0 = all were seen. */
void schedule_rewind(struct schedule *s);
size_t schedule_walk(struct schedule *s, struct delivery_ref *out, size_t max);

/* The same of the numbers of all, up to `max`. */
size_t schedule_numbers(struct schedule *s, uint64_t *out, size_t max);

/* What is known of one without its message. */
struct held_look {
	struct delivery_ref ref;
	const struct task *task;
	size_t bytes;
	enum hold hold;
};
/* Those with one of `ids` (an object whose keys are ids; NULL = all) and held for a reason that is
 * set in `holds` (1 << HOLD_ETA …), the oldest first. Returns how many. */
size_t schedule_look(struct schedule *s, const json_t *ids, unsigned holds, struct held_look *out,
		     size_t max);
/* Those with one of `ids` are due now; says which in `found` (an object, id = true). */
void schedule_hurry(struct schedule *s, const json_t *ids, json_t *found);
/* What waits for a turn of `task` gets a new one, in the order they came: its rate changed. */
void schedule_reset_turns(struct schedule *s, struct limits *l, const struct task *task,
			  usec_t now);

#endif
