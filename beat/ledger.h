/*
 * ledger.h: where it is written who leads and when each entry ran last, for all beats of a
 * deployment: a table of the kinds there are, which a publisher goes through.
 *
 * An entry's state is text (entry.c) that moves on only from what it was known to be, so whoever
 * believes to lead, a slot is moved on once. A function that may wait gives up within a second or
 * two: then it is not known whether it was done, and it may be tried again.
 */
#ifndef CELERIAC_BEAT_LEDGER_H
#define CELERIAC_BEAT_LEDGER_H

#include "sending.h"

struct ledger {
	const struct ledger_driver *driver;
	bool sends;  /* messages are in the same place: `send` can be used */
	char *name;  /* of this deployment's: what ids of runs are made of */
	char *value; /* the lease when this beat leads: lease_value */
};

struct ledger_driver {
	const char *what; /* for messages */
	/* Needs no server yet. `broker` is where messages are sent to. */
	int (*open)(const struct settings *s, struct broker *broker, struct ledger **ret,
		    struct err *err);
	void (*close)(struct ledger *l, usec_t deadline);
	bool (*ready)(const struct ledger *l);
	/* Takes or renews the lease; whose it is then, as lease_holder. */
	int (*lead)(struct ledger *l, usec_t deadline, bool *ret_ours, char holder[LEASE_HOLDER],
		    struct err *err);
	void (*leave)(struct ledger *l, usec_t deadline);
	/* As publisher_load. */
	int (*load)(struct ledger *l, struct entry *list, size_t count, struct err *err);
	/* Sends a batch and moves its entries on in one step, as publisher_send; NULL where
	 * messages always go elsewhere. */
	int (*send)(struct ledger *l, struct batch *b, bool *ret_leads, struct err *err);
	/* The first of three steps: renews the lease, and says which of b->parcels[from…] are still
	 * to be sent; others have their verdict. */
	int (*look)(struct ledger *l, struct batch *b, size_t from, bool open[SCHEDULER_BATCH],
		    bool *ret_leads, struct err *err);
	/* The last: moves on entries whose messages were sent; each has its verdict. */
	int (*mark)(struct ledger *l, struct parcel *const *sent, size_t count, struct err *err);
	/* For --check: whose the lease is, and for how long, 0 = nobody's. Connects once. */
	int (*leader)(const struct settings *s, char holder[LEASE_HOLDER], usec_t *ret_left,
		      struct err *err);
};
extern const struct ledger_driver ledger_redis, ledger_postgres;

/* The kind by the settings: a Redis where one is named (shared_state.h), else the database.
 * ERR_INVALID: neither is. */
int ledger_kind(const struct settings *s, const struct ledger_driver **ret,
		struct err *err) must_check;

#endif
