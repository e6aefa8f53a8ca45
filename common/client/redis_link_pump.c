/*
 * redis_link_pump.c: work on a live connection, of who holds its lock: writes all that waits at
 * once, reads what came, completes items in order.
 */
#include "redis_link.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

#define IOV_COUNT   128 /* items written with one system call */
#define READ_ROUNDS 64	/* reads in a row before what was queued meanwhile is looked at */

static void add_work(struct redis_link *l, struct link_item *item)
{
	link_list_append(&l->work, item);
	if (!l->next_send)
		l->next_send = item;
}

/* Without memory for the commands nothing is added: replies would be owed to nobody. */
static int add_internal(struct redis_link *l, struct buf *commands, size_t count,
			redis_link_fn *done, struct err *err)
{
	int rc = buf_status(commands, err);
	struct link_item *item;

	if (rc < 0)
		return rc;
	item = link_item_new(commands, count, 0);
	item->internal = true;
	item->done = done;
	item->arg = l;
	atomic_fetch_add_explicit(&l->backlog, item->commands.len, memory_order_relaxed);
	add_work(l, item);
	return 0;
}

void link_tell_over(struct redis_link *l)
{
	if (!l->told)
		return;
	l->told = false;
	log_info("%s: connected again to %s", l->name, l->address.safe);
}

/* Counts `n` written bytes. */
static void advance(struct redis_link *l, size_t n)
{
	while (l->next_send) {
		struct link_item *item = l->next_send;
		size_t left = item->commands.len - item->sent;

		if (n < left) {
			item->sent += n;
			return;
		}
		item->sent += left;
		n -= left;
		l->next_send = item->next;
	}
}

void link_write_batch(struct redis_link *l, struct link_item *item)
{
	struct err err;

	item->batch->write(item->arg, &item->commands);
	if (buf_status(&item->commands, &err) == 0) {
		item->is_written = true;
		l->batches++;
		l->hold_until = clock_deadline(LINK_HOLD);
		return;
	}
	item->fault = xmalloc(sizeof(err));
	*item->fault = err;
}

bool link_holds(const struct redis_link *l)
{
	return l->conn && l->batches > 0 && clock_mono() < l->hold_until;
}

void link_take_work(struct redis_link *l, struct link_item *item)
{
	if (!l->work.head)
		l->alive_at = clock_mono();
	add_work(l, item);
}

int link_send_work(struct redis_link *l, struct err *err)
{
	while (l->next_send) {
		struct iovec iov[IOV_COUNT];
		size_t count = 0;
		ssize_t n;

		for (struct link_item *i = l->next_send; i && count < IOV_COUNT; i = i->next)
			iov[count++] = (struct iovec){
				.iov_base = i->commands.data + i->sent,
				.iov_len = i->commands.len - i->sent,
			};
		n = socket_write(&l->conn->socket, iov, count, err);
		if (n <= 0)
			return (int)n;
		/* Being written is a sign of life only as long as no reply can be owed. */
		if (l->next_send == l->work.head)
			l->alive_at = clock_mono();
		advance(l, (size_t)n);
	}
	return 0;
}

static void scripts_loaded(void *arg, struct redis_reply *const *replies, size_t count,
			   const struct err *err)
{
	struct redis_link *l = arg;

	l->reloading = false;
	(void)err; /* the connection is gone, and the next one loads them */
	for (size_t i = 0; i < count; i++)
		if (redis_reply_type(replies[i]) == REDIS_ERROR)
			log_error("%s: script %zu: %.*s", l->name, i,
				  (int)redis_reply_str(replies[i]).len,
				  redis_reply_str(replies[i]).data);
}

static bool has_noscript(const struct redis_reply *reply)
{
	for (size_t i = 0; i < redis_reply_count(reply); i++)
		if (redis_reply_is_error(redis_reply_at(reply, i), "NOSCRIPT"))
			return true;
	return false;
}

/*
 * True when an item is to be sent again because the server had forgotten a script: all of a KEEP
 * item, inside a transaction too; another one only if nothing of it has run.
 */
static bool lacks_script(const struct link_item *item)
{
	size_t missing = 0;
	bool nested = false;

	for (size_t i = 0; i < item->count; i++) {
		if (redis_reply_is_error(item->replies[i], "NOSCRIPT"))
			missing++;
		else if (has_noscript(item->replies[i]))
			nested = true;
	}
	if (item->internal || item->reloaded)
		return false;
	return missing == item->count ||
	       ((item->flags & REDIS_LINK_KEEP) && (missing > 0 || nested));
}

/* Where that fails the next connection loads them. */
static int resend_with_scripts(struct redis_link *l, struct link_item *item, struct err *err)
{
	_cleanup_buf_ struct buf scripts = BUF_INIT(BOUND_REDIS_COMMAND);
	size_t count;
	int rc = 0;

	if (!l->reloading) {
		mutex_lock(&l->lock);
		count = link_scripts_locked(l, &scripts);
		mutex_unlock(&l->lock);
		if (count > 0)
			rc = add_internal(l, &scripts, count, scripts_loaded, err);
		l->reloading = rc == 0 && count > 0;
	}
	link_item_rewind(item);
	item->reloaded = rc == 0;
	add_work(l, item);
	return rc;
}

static int take_reply(struct redis_link *l, struct redis_reply *reply, struct err *err)
{
	struct link_item *item = l->work.head;

	if (!item || (item == l->next_send && (item->sent == 0 || item->got + 1 == item->count))) {
		redis_reply_free(reply);
		return err_set(err, ERR_PROTOCOL, "a reply that nobody waits for");
	}
	if ((item->flags & REDIS_LINK_KEEP) && redis_reply_is_outage(reply)) {
		struct slice text = redis_reply_str(reply);

		(void)err_set(err, ERR_UNAVAILABLE, "%.*s", (int)(text.len > 100 ? 100 : text.len),
			      text.data);
		redis_reply_free(reply);
		return -err->code;
	}
	item->replies[item->got++] = reply;
	if (item->got < item->count)
		return 0;
	(void)link_list_pop(&l->work);
	if (lacks_script(item))
		return resend_with_scripts(l, item, err);
	if (!item->internal)
		link_tell_over(l);
	link_item_finish(l, item, NULL);
	return 0;
}

static bool may_take(const struct redis_link *l, const struct link_item *own)
{
	return !own || !l->work.head || l->work.head == own;
}

/* What was read, a reader may have left some of it. */
static int take_replies(struct redis_link *l, const struct link_item *own, struct err *err)
{
	struct redis_reply *reply;
	int rc = 0;

	while (may_take(l, own) && (rc = redis_reader_next(l->conn->reader, &reply, err)) == 1) {
		rc = take_reply(l, reply, err);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? rc : 0;
}

int link_read_replies(struct redis_link *l, const struct link_item *own, struct err *err)
{
	int rc = take_replies(l, own, err);

	for (int round = 0; rc == 0 && round < READ_ROUNDS && may_take(l, own); round++) {
		ssize_t n = redis_fill(l->conn, err);

		if (n <= 0)
			return (int)n;
		l->alive_at = clock_mono();
		rc = take_replies(l, own, err);
		if (n < (ssize_t)REDIS_READ_SIZE)
			break;
	}
	return rc;
}

/* What a reader found is why the connection is of no more use. */
static int take_fault(struct redis_link *l, struct err *err)
{
	struct err *fault = TAKE(l->fault);

	if (!fault)
		return 0;
	*err = *fault;
	free(fault);
	return -err->code;
}

usec_t link_owed_patience(const struct redis_link *l)
{
	const struct redis_tuning *t = &l->address.site->tuning;

	return t->socket_timeout > 0 ? t->socket_timeout : REDIS_REPLY_TIMEOUT;
}

usec_t link_patience(const struct redis_link *l)
{
	const struct redis_tuning *t = &l->address.site->tuning;

	if (l->work.head)
		return link_owed_patience(l);
	return t->health_check_interval > 0 ? t->health_check_interval : REDIS_HEALTH_CHECK;
}

/* A server that owes a reply for too long is gone; one that was not needed for a while is asked. */
static int check_alive(struct redis_link *l, struct err *err)
{
	usec_t quiet = clock_mono() - l->alive_at;
	struct buf ping = BUF_INIT(64);
	int rc;

	if (!redis_is_current(l->conn))
		return err_set(err, ERR_CLOSED, "another server is used now");
	if (quiet < link_patience(l))
		return 0;
	if (l->work.head)
		return err_set(err, ERR_TIMEOUT, "no reply for %lld s",
			       (long long)(quiet / USEC_PER_SEC));
	redis_command(&ping, "PING");
	l->alive_at = clock_mono();
	rc = add_internal(l, &ping, 1, NULL, err);
	return rc < 0 ? rc : link_send_work(l, err);
}

int link_pump(struct redis_link *l, struct err *err)
{
	int rc = take_fault(l, err);

	if (rc == 0)
		rc = link_send_work(l, err);
	if (rc == 0)
		rc = link_read_replies(l, NULL, err);
	if (rc == 0)
		rc = check_alive(l, err);
	return rc < 0 ? err_wrap(err, "%s", l->address.safe) : 0;
}
