/*
 * The control thread: listens to the node's mailbox, runs commands, replies
 * (celery/worker/pidbox.py, kombu/pidbox.py).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "control.h"
#include "fanout.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "panel.h"
#include "record.h"
#include "worker.h"

#define TICK		 (1 * USEC_PER_SEC)
#define DECLARE_INTERVAL (600 * USEC_PER_SEC)
#define BACKOFF_FIRST	 (100 * USEC_PER_MSEC)
#define BACKOFF_MOST	 (1 * USEC_PER_SEC)

static void reply(struct worker *w, const struct control_request *r, const json_t *value)
{
	_cleanup_buf_ struct buf envelope = BUF_INIT(BOUND_REDIS_COMMAND);
	const char *node = w->settings.worker_hostname;
	struct err err = {0};
	int64_t clock = lamport_forward(&w->clock);

	if (r->reply_key == NULL)
		return;
	if (control_encode_reply(r, node, value, clock, &envelope, &err) < 0) {
		_cleanup_json_ json_t *error = json_pack("{s:s}", "error", err.msg);

		log_error("control: %s", err.msg);
		buf_reset(&envelope);
		if (control_encode_reply(r, node, error, clock, &envelope, &err) < 0)
			return;
	}
	fanout_reply(w->fanout, r->reply_exchange, r->reply_key,
		     (struct slice){envelope.data, envelope.len});
}

static int run(struct worker *w, const struct control_request *r, json_t **ret, struct err *err)
{
	const struct panel_command *c = panel_find(r->method);
	json_t *values[PANEL_PARAMS] = {NULL};
	int rc;

	if (c == NULL)
		return panel_raise(err, "KeyError", "%s", r->method);
	rc = panel_bind(c, r->arguments, values, err);
	return rc < 0 ? rc : c->run(w, values, ret, err);
}

static void serve(struct worker *w, const char *data, size_t len)
{
	_cleanup_(control_request_done) struct control_request r = {0};
	_cleanup_json_ json_t *value = NULL;
	struct err err = {0};

	if (control_decode(data, len, &w->settings.accept_content, w->settings.worker_hostname,
			   w->panel.reply_exchange, &r, &err) < 0) {
		log_error("control: a message is refused: %s", err.msg);
		if (err.code == ERR_DENIED)
			record_refused(w, "control", NULL, NULL, err.msg);
		return;
	}
	lamport_adjust(&w->clock, r.clock);
	if (!r.for_us)
		return;
	log_debug("pidbox received method %s", r.method);
	if (run(w, &r, &value, &err) < 0) {
		log_error("pidbox command error: %s: %s", r.method, err.msg);
		value = json_pack("{s:s}", "error", err.msg);
	}
	reply(w, &r, value);
}

/* What whoever publishes or asks must find: our mailbox, and the queues we consume. Said again now
 * and then, for binding sets get lost. */
static void declare(struct worker *w)
{
	struct panel *p = &w->panel;

	if (clock_mono() < p->declare_at)
		return;
	p->declare_at = clock_deadline(DECLARE_INTERVAL);
	fanout_bind(w->fanout, &(struct fanout_binding){p->exchange, "", "", p->queue, false});
	control_declare_queues(w);
}

static int listen_for_requests(struct worker *w, struct err *err)
{
	struct panel *p = &w->panel;
	const struct fanout_mailbox mailbox = {p->exchange, p->reply_exchange, p->queue};
	int rc = fanout_listen(w->fanout, &mailbox, err);

	if (rc < 0)
		return rc;
	p->declare_at = 0;
	revoked_learn(w); /* what was said while we did not listen */
	while (!atomic_load(&p->stopping)) {
		_cleanup_free_ char *data = NULL;
		size_t len;

		declare(w);
		rc = fanout_receive(w->fanout, p->wake_fd, clock_deadline(TICK), &data, &len, err);
		if (rc < 0)
			return rc;
		if (rc > 0)
			serve(w, data, len);
		autoscaler_tick(w);
	}
	return 0;
}

static void *control_thread(void *arg)
{
	struct worker *w = arg;
	struct panel *p = &w->panel;
	usec_t backoff = BACKOFF_FIRST;

	while (!atomic_load(&p->stopping)) {
		struct pollfd fd = {.fd = p->wake_fd, .events = POLLIN};
		struct err err = {0};
		usec_t began = clock_mono();

		if (listen_for_requests(w, &err) == 0)
			break;
		if (clock_mono() - began > BACKOFF_MOST)
			backoff = BACKOFF_FIRST;
		if (backoff == BACKOFF_FIRST)
			log_error("control: %s. Trying again.", err.msg);
		poll(&fd, 1, clock_left_ms(clock_deadline(backoff)));
		backoff = backoff * 2 > BACKOFF_MOST ? BACKOFF_MOST : backoff * 2;
	}
	return NULL;
}

int panel_start(struct worker *w, struct err *err)
{
	struct panel *p = &w->panel;
	const char *name = w->settings.control_exchange;
	int rc;

	if (!w->settings.worker_enable_remote_control)
		return 0;
	p->exchange = xasprintf("%s.pidbox", name);
	p->reply_exchange = xasprintf("reply.%s.pidbox", name);
	p->queue = xasprintf("%s.%s.pidbox", w->settings.worker_hostname, name);
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake_fd < 0)
		return err_set_errno(err, ERR_FAILED, errno, "eventfd");
	rc = thread_start(&p->thread, "control", control_thread, w, err);
	p->started = rc == 0;
	return rc;
}

void panel_stop(struct worker *w)
{
	struct panel *p = &w->panel;
	uint64_t one = 1;
	ssize_t n;

	if (!p->started)
		return;
	atomic_store(&p->stopping, true);
	n = write(p->wake_fd, &one, sizeof(one));
	(void)n;
	pthread_join(p->thread, NULL);
	p->started = false;
	fanout_unbind(w->fanout, &(struct fanout_binding){p->exchange, "", "", p->queue, false});
	control_forget_queues(w);
	close(p->wake_fd);
	free(p->exchange);
	free(p->reply_exchange);
	free(p->queue);
}
