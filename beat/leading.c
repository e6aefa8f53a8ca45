/*
 * leading.c: who leads, and what that beat does: it reads the states and sends what is due.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "service.h"

#define ASKING	  (600 * USEC_PER_MSEC) /* for the lease: a signal ends us within a second */
#define PREPARING (50 * USEC_PER_MSEC)	/* at once: signals and the lease wait */
#define AGAIN	  (2 * USEC_PER_SEC)	/* for an entry whose message cannot be sent */

/* ---- leading ---- */

void leading_forget(struct service *s)
{
	scheduler_done(&s->scheduler);
	s->loaded = 0;
	s->status.failing = 0;
}

static void set_role(struct service *s, bool leads, const char *leader)
{
	if (leads && !s->leads)
		log_info("beat: Leading%s%s", *s->leader ? ", after " : "", s->leader);
	else if (!leads && s->leads)
		log_warning("beat: The lease went to %s while this beat slept or was cut off; "
			    "standing by",
			    leader);
	else if (!leads && strcmp(s->leader, leader) != 0)
		log_info("beat: Standing by: %s leads", leader);
	if (!leads && s->leads)
		leading_forget(s);
	s->leads = leads;
	status_role(&s->status, leads, leader);
	snprintf(s->leader, sizeof(s->leader), "%s", leader);
}

/* Takes the lease, renews it, or sees whose it is. */
static int lead(struct service *s, struct err *err)
{
	char leader[LEASE_HOLDER];
	usec_t now = clock_mono();
	bool ours;
	int rc;

	if (now < s->lease_due)
		return 0;
	rc = publisher_lead(&s->publisher, clock_deadline(ASKING), &ours, leader, err);
	if (rc < 0)
		return rc;
	s->lease_due = now + (ours ? LEASE_RENEW : LEASE_LOOK);
	set_role(s, ours, leader);
	return 0;
}

/* ---- sending ---- */

static void note(struct service *s, const struct entry *e)
{
	if (e->is_row)
		table_note(s->table, e->name, e->last_run_at, e->total_run_count);
}

static void tell(struct service *s, struct sending *sending, usec_t slot)
{
	struct entry *e = sending->entry;

	switch (sending->verdict) {
	case SEND_OPEN:
		return;
	case SEND_DONE:
		log_info("Scheduler: Sending due task %s (%s)", e->name, e->task);
		log_debug("%s sent. id->%s", e->task, e->last_id);
		status_sent(slot, clock_wall());
		note(s, e);
		break;
	case SEND_ELSEWHERE:
		log_debug("Scheduler: %s (%s) was sent already", e->name, e->task);
		break;
	case SEND_FAILED:
		if (!e->failing)
			log_error("beat: entry '%.100s': %s; trying again until it works", e->name,
				  sending->err.msg);
		s->status.failing += !e->failing;
		e->failing = true;
		e->due = clock_deadline(AGAIN);
		return;
	}
	s->status.failing -= e->failing;
	if (e->failing)
		log_info("beat: entry '%.100s' works again", e->name);
	e->failing = false;
}

/* ERR_CONFLICT: we do not lead. */
static int send_due(void *arg, struct entry **due, size_t count, struct err *err)
{
	struct sending list[SCHEDULER_BATCH];
	usec_t slots[SCHEDULER_BATCH];
	struct service *s = arg;
	bool leads;
	int rc;

	for (size_t i = 0; i < count; i++) {
		list[i] = (struct sending){.entry = due[i]};
		slots[i] = due[i]->slot;
	}
	rc = publisher_send(&s->publisher, list, count, &leads, err);
	for (size_t i = 0; i < count; i++)
		tell(s, &list[i], slots[i]);
	return rc < 0 || leads ? rc : err_set(err, ERR_CONFLICT, "another beat leads");
}

/* What ran and was not written down, because the database was away or beat ended. */
static void note_what_is_known(struct service *s)
{
	for (size_t i = 0; i < s->entries.count; i++) {
		const struct entry *e = &s->entries.list[i];

		if (e->total_run_count > 0 && e->last_run_at > e->known_run_at)
			note(s, e);
	}
}

/* The states are read when the ledger answers, and only then is anything due. */
static int load(struct service *s, struct err *err)
{
	while (s->loaded < s->entries.count) {
		size_t left = s->entries.count - s->loaded;
		size_t n = left < PUBLISHER_LOAD ? left : PUBLISHER_LOAD;
		int rc = publisher_load(&s->publisher, &s->entries.list[s->loaded], n, err);

		if (rc < 0)
			return rc;
		s->loaded += n;
	}
	if (!s->scheduler.heap) {
		scheduler_init(&s->scheduler, s->entries.list, s->entries.count);
		note_what_is_known(s);
	}
	return 0;
}

/* ---- both ---- */

bool leading_prepare(struct service *s)
{
	const struct entry *first = scheduler_first(&s->scheduler);
	usec_t until = clock_deadline(PREPARING);

	if (!s->leads || !first)
		return true;
	return publisher_prepare(&s->publisher, &s->scheduler,
				 first->due < until ? first->due : until);
}

int leading_work(struct service *s, struct err *err)
{
	int rc = lead(s, err);

	if (rc < 0 || !s->leads)
		return rc;
	rc = load(s, err);
	if (rc == 0)
		rc = scheduler_tick(&s->scheduler, clock_mono(), send_due, s, err);
	if (rc != -ERR_CONFLICT)
		return rc;
	s->lease_due = 0; /* to see at once whose it is */
	return 0;
}
