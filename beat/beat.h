/*
 * beat.h: the one private header of the room.
 *
 * One thread does everything; the broker's link (common/client) has its own. When each entry ran
 * last, and which of several beats leads, stands in a ledger (ledger.h): in Redis (shared_state.h),
 * or without any in PostgreSQL. Where messages go to the same Redis, a run is made by one script
 * that checks the lease, compares the entry's state, pushes the message and moves the state on, so
 * however many beats there are, whoever believes to lead, and however often a beat must try, a slot
 * is sent once. Elsewhere these are three steps (publish_apart.c), and only a beat that dies
 * between them, or whose publishing has no answer, makes a second message, of the same id.
 */
#ifndef CELERIAC_BEAT_H
#define CELERIAC_BEAT_H

#include "broker.h"
#include "codec.h"
#include "err.h"
#include "schedule.h"
#include "settings.h"
#include "shared_state.h"

/* ---- entry.c: one thing to be done again and again ---- */
struct entry {
	const char *name, *task, *queue;	    /* borrowed, as is all that follows here */
	const json_t *args, *kwargs;		    /* or NULL */
	const json_t *headers;			    /* or NULL */
	const json_t *time_limit, *soft_time_limit; /* numbers, or NULL */
	const char *shadow;			    /* or NULL */
	const json_t *schedule_value;		    /* as it was written; or NULL */
	struct schedule schedule;
	const struct timezone_info *zone;
	usec_t deadline; /* after which a run by a crontab is not made up for; 0 = none */
	int priority;
	int ignore_result;	   /* 0: not said, 1: true, -1: false */
	usec_t expires, countdown; /* after the run, 0 = none */

	bool is_row;	     /* of periodic_tasks */
	usec_t known_run_at; /* wall, what the entry says itself of its last run, 0 = nothing */
	int64_t known_run_count;

	char *state;		 /* as it stands in the ledger; NULL until it was read */
	char last_id[UUID_SIZE]; /* the message of the last run, "" if none */
	usec_t last_run_at;	 /* wall */
	int64_t total_run_count;
	usec_t slot;	    /* wall: the run that is next, USEC_NEVER = none */
	usec_t due;	    /* monotonic: likewise */
	char id[UUID_SIZE]; /* the message being tried, "" when none was */
	bool tried;	    /* by us, and no answer came */
	bool published; /* by us, to another server than that of the states, and not marked yet */
	bool failing;	/* its message cannot be sent, and that was said */
	struct parcel *ready; /* what is sent of the next run, made ahead; or NULL */
};
void entry_done(struct entry *e);
/* The state of an entry that the ledger does not know: run just now, unless it says more. Given. */
char *entry_first_state(const struct entry *e, usec_t wall);
/* How the state after a run at `wall` by message `id` is written. Given. */
char *entry_state_text(usec_t wall, int64_t count, const char *id);
/* Takes over what the ledger holds. What cannot be read counts as a run just now. */
void entry_set_state(struct entry *e, struct slice text, usec_t wall, usec_t mono);
/* It ran at `ran_at`, as e->id, and the ledger holds `state` now, which is taken. */
void entry_ran(struct entry *e, char *state, usec_t ran_at, usec_t wall, usec_t mono);
/* When the next run is, by these clocks: also after one of them was set. */
void entry_reckon(struct entry *e, usec_t wall, usec_t mono);
/* The time to write down for the run that is due: its slot, so that small delays do not add up;
 * `wall` when it is much too late. */
usec_t entry_slot(const struct entry *e, usec_t wall);

/* ---- entry_options.c ---- */
/* Reads the options of an entry (object or NULL), from which it borrows. ERR_INVALID and
 * ERR_UNSUPPORTED name the one that is wrong, one that is not known included. */
int entry_take_options(struct entry *e, const json_t *options, struct err *err) must_check;
bool entry_is_option(const char *name);

/* ---- entries.c: which there are ---- */
#define ENTRIES_MAX 100000
struct entries {
	struct entry *list;
	size_t count, size;
	const struct timezone_info *zone;
	usec_t deadline;   /* of all of them */
	json_t *documents; /* what the entries borrow from */
	json_t *names;	   /* their places */
};
void entries_init(struct entries *l, const struct timezone_info *zone);
void entries_done(struct entries *l);
/* `name` must last as long as `row`, which is kept. One of the same name is replaced. ERR_INVALID
 * and ERR_UNSUPPORTED name entry and mistake. */
int entries_add(struct entries *l, const char *name, const json_t *row, const char *queue,
		struct err *err) must_check;
/* sandbox.cleanup, and celery.backend_cleanup where results do not expire by themselves. */
int entries_add_own(struct entries *l, const struct settings *s, struct err *err) must_check;
/* Entries by their names, as Celery's beat_schedule: a JSON object, or INI (ini.h). */
int entries_add_file(struct entries *l, const char *path, const struct settings *s,
		     struct err *err) must_check;
/* Rows of periodic_tasks; those that cannot be read are told and left out. */
void entries_add_rows(struct entries *l, const json_t *rows, const struct settings *s);

/* ---- scheduler.c: a heap of entries, the soonest first ---- */
struct scheduler {
	struct entry **heap; /* borrowed entries */
	size_t count;
};
void scheduler_init(struct scheduler *s, struct entry *entries, size_t count);
void scheduler_done(struct scheduler *s);
/* NULL when there is none. */
struct entry *scheduler_first(const struct scheduler *s);
/* Sends everything due at `mono` with `send`, at most SCHEDULER_BATCH entries at a time, which it
 * moves on; stops at its first error. */
#define SCHEDULER_BATCH 256
typedef int scheduler_send_fn(void *arg, struct entry **due, size_t count, struct err *err);
int scheduler_tick(struct scheduler *s, usec_t mono, scheduler_send_fn *send, void *arg,
		   struct err *err) must_check;
/* Shows those due until `mono`, in no order; false when `see` said so and some were not shown. */
typedef bool scheduler_see_fn(void *arg, struct entry *e);
bool scheduler_soon(const struct scheduler *s, usec_t mono, scheduler_see_fn *see, void *arg);

/* ---- lease.c: which of several beats leads ---- */
#define LEASE_TTL    (3 * USEC_PER_SEC)
#define LEASE_RENEW  (LEASE_TTL / 3)
#define LEASE_LOOK   (500 * USEC_PER_MSEC) /* of those that stand by */
#define LEASE_HOLDER 192
#define LEASE_VALUE  256
/* What the ledger (ledger.h) holds while this beat leads. Given. */
char *lease_value(const struct settings *s);
/* "process 12 on web1", from what it holds; empty: "nobody". Printable, whatever that is. */
void lease_holder(struct slice value, char out[LEASE_HOLDER]);

/*
 * ---- publish.c: leading, states and messages ----
 * All that service.c and leading.c ask of a broker and a ledger.
 */
struct publisher {
	struct broker *broker;
	struct ledger *ledger; /* the lease and the states of entries are there */
	char *reply_to;	       /* this process, as Celery's thread_oid */
};
int publisher_open(struct publisher *p, const struct settings *s, struct err *err) must_check;
void publisher_close(struct publisher *p, usec_t deadline);
/* The server answers; its address without secrets. */
bool publisher_ready(const struct publisher *p);
const char *publisher_where(const struct publisher *p);
/* Takes or renews the lease: *ret_ours, and whose it is. */
int publisher_lead(struct publisher *p, usec_t deadline, bool *ret_ours, char leader[LEASE_HOLDER],
		   struct err *err) must_check;
/* Lets go of it, if it is ours, so that others need not wait. */
void publisher_leave(struct publisher *p, usec_t deadline);
/* Reads the states of at most PUBLISHER_LOAD entries, writing entry_first_state for those that
 * are not known there. */
#define PUBLISHER_LOAD 512
int publisher_load(struct publisher *p, struct entry *list, size_t count,
		   struct err *err) must_check;
/* What became of the run that was due; the entry has moved on unless it failed. */
enum send_verdict {
	SEND_OPEN, /* nothing is known */
	SEND_DONE,
	SEND_ELSEWHERE, /* another beat was faster */
	SEND_FAILED	/* `err` says why; nothing was sent */
};
struct sending {
	struct entry *entry;
	enum send_verdict verdict;
	struct err err;
};
/*
 * Sends the runs that are due, in one round trip, or in several when messages are long. *ret_leads
 * is false when the lease was lost: then nothing more was sent. An error is one of all that have
 * no verdict yet, and they may be tried again.
 */
int publisher_send(struct publisher *p, struct sending *list, size_t count, bool *ret_leads,
		   struct err *err) must_check;
/* Makes what is sent of runs that are due soon, until then (monotonic); false when it was time and
 * not all was made. */
bool publisher_prepare(const struct publisher *p, const struct scheduler *s, usec_t until);

/* ---- service.c ---- */
/* Runs until a signal ends it. Returns the exit status. */
int service_run(const struct settings *s, int signals);
/* The entries of the settings and the file; those of the table come later. */
int service_entries(const struct settings *s, const struct timezone_info *zone, struct entries *ret,
		    struct err *err) must_check;
/* "5.00 minutes", as Celery says it. */
#define HUMAN_SIZE 48
void service_human(usec_t span, char out[HUMAN_SIZE]);

/* ---- connect.c: one connection for what is done once ---- */
/* Where messages are sent to. */
const char *connect_url(const struct settings *s);
/* The settings of one that only sends: all of it is where messages are sent to. Borrows from `s`.
 */
struct settings connect_sending(const struct settings *s);
/* Connects to where states and lease are; both given. */
int connect_shared(const struct settings *s, struct redis_address *ret_address, struct redis **ret,
		   struct err *err) must_check;
/* Connects to that, or to another server with the broker's options. Both given. */
int connect_once(const struct settings *s, const char *url, struct redis_address *ret_address,
		 struct redis **ret, struct err *err) must_check;

/* ---- check.c ---- */
/* Prints a verdict of everything. Returns the exit status. */
int beat_check(const struct settings *s);

/* ---- options.c: the command line ---- */
extern const struct option_table beat_options;

#endif
