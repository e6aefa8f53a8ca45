/*
 * sending.c: parcels are made of entries, as Celery's beat sends a run, and entries move on by what
 * became of them. It takes several times as long to make one as to send it, so it is made before
 * the run is due: many runs of one instant leave at once.
 */
#include "sending.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "json.h"
#include "ledger.h"
#include "mem.h"
#include "message.h"

#define PROMPT	    (250 * USEC_PER_MSEC) /* after its slot, from which countdown and expiry count */
#define AHEAD	    (2 * USEC_PER_SEC)	  /* more than beat sleeps */
#define AHEAD_BYTES (16u << 20)

static int make_message(const struct publisher *p, const struct entry *e, const char *id,
			usec_t wall, struct buf *out, struct err *err)
{
	_cleanup_json_ json_t *headers = json_pack("{s:b}", "celery_beat_task", 1);
	struct message_out m = {.task = e->task,
				.id = id,
				.queue = e->queue,
				.args = e->args,
				.kwargs = e->kwargs,
				.headers = headers,
				.shadow = e->shadow,
				.time_limit = e->time_limit,
				.soft_time_limit = e->soft_time_limit,
				.ignore_result = e->ignore_result,
				.priority = e->priority,
				.eta = e->countdown ? wall + e->countdown : 0,
				.expires = e->expires ? wall + e->expires : 0,
				.reply_to = p->reply_to};

	if (e->headers)
		json_object_update(headers, (json_t *)(uintptr_t)e->headers);
	return message_encode(&m, out, err);
}

/* Every try of a slot is the same message, whichever beat makes it, so that one that got through
 * unseen is known again. */
static void name_run(const struct publisher *p, const struct entry *e, char id[UUID_SIZE])
{
	_cleanup_free_ char *what = NULL;

	if (e->id[0] != '\0') {
		memcpy(id, e->id, UUID_SIZE);
		return;
	}
	what = xasprintf("%s:%s:%lld", p->ledger->name, e->name, (long long)e->slot);
	uuid8(what, id);
}

/* That of the next run, as it is sent at `wall`, which its times are counted from. Given. */
static int make_parcel(const struct publisher *p, const struct entry *e, usec_t wall,
		       struct parcel **ret, struct err *err)
{
	struct parcel *parcel = xcalloc(1, sizeof(*parcel));
	int rc;

	*parcel = (struct parcel){.list = BUF_INIT(BOUND_URL_BYTES),
				  .message = BUF_INIT(BOUND_MESSAGE_BYTES),
				  .ran_at = entry_slot(e, wall),
				  .slot = e->slot};
	name_run(p, e, parcel->id);
	broker_list_key(p->broker, e->queue, e->priority, &parcel->list);
	rc = make_message(p, e, parcel->id, wall, &parcel->message, err);
	if (rc == 0)
		rc = buf_status(&parcel->message, err);
	if (rc == 0)
		rc = buf_status(&parcel->list, err);
	if (rc < 0) {
		parcel_free(parcel);
		return rc;
	}
	parcel->next = entry_state_text(parcel->ran_at, e->total_run_count + 1, parcel->id);
	*ret = parcel;
	return 0;
}

/* ---- what became of it ---- */

static void moved_on(struct parcel *parcel, bool ours)
{
	struct entry *e = parcel->sending->entry;

	e->id[0] = '\0';
	e->tried = e->published = false;
	parcel->sending->verdict = ours ? SEND_DONE : SEND_ELSEWHERE;
}

void sending_sent(struct parcel *parcel)
{
	entry_ran(parcel->sending->entry, TAKE(parcel->next), parcel->ran_at, clock_wall(),
		  clock_mono());
	moved_on(parcel, true);
}

/* One that waited in a stuck server may tell a time that is not to be counted from. */
void sending_was_there(struct parcel *parcel, struct slice state)
{
	struct entry *e = parcel->sending->entry;
	bool ours;

	entry_set_state(e, state, clock_wall(), clock_mono());
	ours = e->tried && strcmp(e->last_id, e->id) == 0;
	if (ours && e->schedule.kind == SCHEDULE_INTERVAL)
		e->due = clock_mono() + e->schedule.period;
	moved_on(parcel, ours);
}

void sending_refused(struct parcel *parcel, const struct err *why)
{
	parcel->sending->verdict = SEND_FAILED;
	parcel->sending->err = *why;
}

/* ---- ahead ---- */

static bool is_for(const struct parcel *parcel, const struct entry *e)
{
	return parcel->slot == e->slot && (e->id[0] == '\0' || strcmp(parcel->id, e->id) == 0);
}

int sending_take(const struct publisher *p, struct entry *e, struct parcel **ret, struct err *err)
{
	struct parcel *ready = TAKE(e->ready);
	usec_t now = clock_wall();
	bool prompt = now >= e->slot && now - e->slot <= PROMPT;

	if (ready && prompt && is_for(ready, e)) {
		*ret = ready;
		return 0;
	}
	parcel_free(ready);
	return make_parcel(p, e, prompt ? e->slot : now, ret, err);
}

struct making {
	const struct publisher *p;
	usec_t until;
	size_t bytes;
};

static bool make_ready(void *arg, struct entry *e)
{
	struct making *m = arg;
	struct err err;

	if (e->id[0] != '\0')
		return true;
	if (e->ready && !is_for(e->ready, e))
		parcel_free(TAKE(e->ready));
	/* what cannot be made says so when it is due */
	if (!e->ready && make_parcel(m->p, e, e->slot, &e->ready, &err) < 0)
		return true;
	m->bytes += e->ready->message.len;
	return m->bytes < AHEAD_BYTES && clock_mono() < m->until;
}

bool publisher_prepare(const struct publisher *p, const struct scheduler *s, usec_t until)
{
	struct making m = {.p = p, .until = until};

	return scheduler_soon(s, clock_mono() + AHEAD, make_ready, &m) || m.bytes >= AHEAD_BYTES;
}
