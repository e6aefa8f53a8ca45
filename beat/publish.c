/*
 * publish.c: a due entry becomes a message, as Celery's beat sends it, by one script (slot.lua).
 */
#include <stdlib.h>
#include <string.h>

#include "beat.h"
#include "bounds.h"
#include "clock.h"
#include "codec.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "message.h"

extern const char script_slot[];

/* One exchange: short enough that a signal ends us within a second. A try that was cut off is told
 * apart by the script. */
#define PATIENCE (600 * USEC_PER_MSEC)

int publisher_open(struct publisher *p, const struct settings *s, struct err *err)
{
	struct settings writing = *s;
	char id[UUID_SIZE];
	int rc;

	/* Nothing is taken here: all of it is where messages are sent to. */
	if (s->broker_write_url != NULL && s->broker_write_url[0] != '\0')
		writing.broker_url = s->broker_write_url;
	writing.broker_read_url = writing.broker_write_url = NULL;
	*p = (struct publisher){0};
	rc = broker_open(&writing, &p->broker, err);
	if (rc < 0)
		return rc;
	uuid4(id);
	p->reply_to = xstrdup(id);
	p->state_key =
		xasprintf("%sceleriac:%s:beat", broker_address(p->broker)->key_prefix, s->instance);
	redis_script_init(&p->slot, script_slot);
	redis_link_add_script(broker_link(p->broker), &p->slot);
	return 0;
}

void publisher_close(struct publisher *p, usec_t deadline)
{
	broker_close(p->broker, deadline);
	free(p->state_key);
	free(p->reply_to);
	*p = (struct publisher){0};
}

static int check_reply(const struct redis_reply *r, enum redis_type type, struct err *err)
{
	struct slice text = redis_reply_str(r);

	if (redis_reply_type(r) == type)
		return 0;
	if (redis_reply_type(r) == REDIS_ERROR)
		return err_set(err, ERR_FAILED, "Redis: %.*s", (int)text.len, text.data);
	return err_set(err, ERR_PROTOCOL, "Redis: an answer of an unexpected type");
}

int publisher_load(struct publisher *p, struct entry *e, struct err *err)
{
	_cleanup_free_ char *now = entry_state_text(clock_wall(), 0, "");
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	struct redis_reply *replies[2] = {NULL};
	int rc;

	redis_command(&commands, "HSETNX %s %s %s", p->state_key, e->name, now);
	redis_command(&commands, "HGET %s %s", p->state_key, e->name);
	rc = redis_link_exchange(broker_link(p->broker), &commands, 2, 0, clock_deadline(PATIENCE),
				 replies, err);
	if (rc == 0)
		rc = check_reply(replies[0], REDIS_INTEGER, err);
	if (rc == 0)
		rc = check_reply(replies[1], REDIS_STRING, err);
	if (rc == 0)
		entry_set_state(e, redis_reply_str(replies[1]), clock_wall(), clock_mono());
	redis_reply_free(replies[0]);
	redis_reply_free(replies[1]);
	return rc;
}

static int make_message(const struct publisher *p, const struct entry *e, struct buf *out,
			struct err *err)
{
	_cleanup_json_ json_t *headers = json_pack("{s:b}", "celery_beat_task", 1);
	usec_t now = clock_wall();
	struct message_out m = {.task = e->task,
				.id = e->id,
				.queue = e->queue,
				.args = e->args,
				.kwargs = e->kwargs,
				.headers = headers,
				.shadow = e->shadow,
				.time_limit = e->time_limit,
				.soft_time_limit = e->soft_time_limit,
				.ignore_result = e->ignore_result,
				.priority = e->priority,
				.eta = e->countdown ? now + e->countdown : 0,
				.expires = e->expires ? now + e->expires : 0,
				.reply_to = p->reply_to};

	if (e->headers)
		json_object_update(headers, (json_t *)(uintptr_t)e->headers);
	return message_encode(&m, out, err);
}

static struct slice as_slice(const char *text)
{
	return (struct slice){text, strlen(text)};
}

static void slot_command(const struct publisher *p, const struct entry *e, const char *list,
			 const char *next, const struct buf *message, struct buf *out)
{
	const struct slice argv[] = {
		as_slice("EVALSHA"),	as_slice(p->slot.sha), as_slice("2"),
		as_slice(p->state_key), as_slice(list),	       as_slice(e->name),
		as_slice(e->state),	as_slice(next),	       {message->data, message->len}};

	redis_command_argv(out, argv, ARRAY_LEN(argv));
}

/*
 * {1, our state}, or {0, what is there}: another beat's run, or ours, when the answer to an earlier
 * try was lost. That one may have waited in a stuck server, so the time it tells is not to be
 * counted from.
 */
static int take_answer(struct entry *e, const struct redis_reply *reply, bool *ret_sent,
		       struct err *err)
{
	int rc = check_reply(reply, REDIS_ARRAY, err);
	bool now;

	if (rc == 0)
		rc = check_reply(redis_reply_at(reply, 1), REDIS_STRING, err);
	if (rc < 0)
		return rc;
	now = redis_reply_int(redis_reply_at(reply, 0)) == 1;
	entry_set_state(e, redis_reply_str(redis_reply_at(reply, 1)), clock_wall(), clock_mono());
	*ret_sent = now || (e->tried && strcmp(e->last_id, e->id) == 0);
	if (*ret_sent && !now && e->schedule.kind == SCHEDULE_INTERVAL)
		e->due = clock_mono() + e->schedule.period;
	e->id[0] = '\0';
	e->tried = false;
	return 0;
}

static int send_slot(struct publisher *p, struct entry *e, const struct buf *message,
		     struct redis_reply **ret, struct err *err)
{
	_cleanup_free_ char *next =
		entry_state_text(entry_slot(e, clock_wall()), e->total_run_count + 1, e->id);
	_cleanup_buf_ struct buf list = BUF_INIT(BOUND_URL_BYTES),
				 commands = BUF_INIT(BOUND_REDIS_COMMAND);

	broker_list_key(p->broker, e->queue, e->priority, &list);
	slot_command(p, e, list.data, next, message, &commands);
	return redis_link_exchange(broker_link(p->broker), &commands, 1, 0,
				   clock_deadline(PATIENCE), ret, err);
}

int publisher_send(struct publisher *p, struct entry *e, bool *ret_sent, struct err *err)
{
	_cleanup_buf_ struct buf message = BUF_INIT(BOUND_MESSAGE_BYTES);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc;

	/* Every try of a slot is the same message, whichever beat makes it, so that one that got
	 * through unseen is known again. */
	if (e->id[0] == '\0') {
		_cleanup_free_ char *what =
			xasprintf("%s:%s:%lld", p->state_key, e->name, (long long)e->slot);
		uuid8(what, e->id);
	}
	rc = make_message(p, e, &message, err);
	if (rc == 0)
		rc = send_slot(p, e, &message, &reply, err);
	if (rc < 0)
		e->tried = true;
	if (rc == 0)
		rc = take_answer(e, reply, ret_sent, err);
	if (rc == 0 && *ret_sent)
		log_debug("%s sent. id->%s", e->task, e->last_id);
	return rc;
}
