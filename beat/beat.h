/*
 * beat.h: the one private header of the room.
 *
 * One thread does everything; the broker's link (common/client) has its own. The schedule lives in
 * Redis, in the hash celeriac:<instance>:beat: one field per entry, what it holds is the time of
 * the last run. A run is made by one script that compares that field, pushes the message and moves
 * the field on, so however many beats there are, and however often a beat must try, a slot is sent
 * once.
 */
#ifndef CELERIAC_BEAT_H
#define CELERIAC_BEAT_H

#include "broker.h"
#include "codec.h"
#include "err.h"
#include "schedule.h"
#include "settings.h"

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
	int priority;
	int ignore_result;	   /* 0: not said, 1: true, -1: false */
	usec_t expires, countdown; /* after the run, 0 = none */

	char *state;		 /* as it stands in Redis; NULL until it was read */
	char last_id[UUID_SIZE]; /* the message of the last run, "" if none */
	usec_t last_run_at;	 /* wall */
	int64_t total_run_count;
	usec_t slot;	    /* wall: the run that is next, USEC_NEVER = none */
	usec_t due;	    /* monotonic: likewise */
	char id[UUID_SIZE]; /* the message being tried, "" when none was */
	bool tried;	    /* by us, and no answer came */
};
void entry_done(struct entry *e);
/* How the state after a run at `wall` by message `id` is written. Given. */
char *entry_state_text(usec_t wall, int64_t count, const char *id);
/* Takes over what Redis holds. What cannot be read counts as a run just now. */
void entry_set_state(struct entry *e, struct slice text, usec_t wall, usec_t mono);
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
	json_t *documents; /* what the entries borrow from */
	json_t *names;	   /* their places */
};
void entries_init(struct entries *l, const struct timezone_info *zone);
void entries_done(struct entries *l);
/* `name` must last as long as `row`, which is kept. One of the same name is replaced. ERR_INVALID
 * and ERR_UNSUPPORTED name entry and mistake. */
int entries_add(struct entries *l, const char *name, const json_t *row, const char *queue,
		struct err *err) must_check;
/* sandbox.cleanup. */
int entries_add_own(struct entries *l, const struct settings *s, struct err *err) must_check;
/* An object of entries by their names, as Celery's beat_schedule. */
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
/* The due time of the first was changed. */
void scheduler_first_changed(struct scheduler *s);
/* Sends everything due at `mono` with `send`, which moves the entry on; stops at its first error.
 */
typedef int scheduler_send_fn(void *arg, struct entry *e, struct err *err);
int scheduler_tick(struct scheduler *s, usec_t mono, scheduler_send_fn *send, void *arg,
		   struct err *err) must_check;

/* ---- publish.c: entries to Redis ---- */
struct publisher {
	struct broker *broker;
	struct redis_script slot;
	char *state_key;
	char *reply_to; /* this process, as Celery's thread_oid */
};
int publisher_open(struct publisher *p, const struct settings *s, struct err *err) must_check;
void publisher_close(struct publisher *p, usec_t deadline);
/* Reads the entry's state, writing "last run now" for one that Redis does not know. */
int publisher_load(struct publisher *p, struct entry *e, struct err *err) must_check;
/* Sends the run that is due, unless another beat was faster; either way the entry has moved on. */
int publisher_send(struct publisher *p, struct entry *e, bool *ret_sent,
		   struct err *err) must_check;

/* ---- service.c ---- */
/* Runs until a signal ends it. Returns the exit status. */
int service_run(const struct settings *s, int signals);
/* The entries of the settings and the file; those of the table come later. */
int service_entries(const struct settings *s, const struct timezone_info *zone, struct entries *ret,
		    struct err *err) must_check;
/* "5.00 minutes", as Celery says it. */
#define HUMAN_SIZE 48
void service_human(usec_t span, char out[HUMAN_SIZE]);

/* ---- options.c: the command line ---- */
extern const struct option_table beat_options;

#endif
