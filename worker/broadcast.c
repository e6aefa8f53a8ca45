/*
 * The broadcast thread: listens for what is sent to everybody who consumes a queue on a fanout
 * exchange. It is there only where the settings name such a queue.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broadcast.h"
#include "clock.h"
#include "log.h"
#include "worker.h"

#define TICK	      (1 * USEC_PER_SEC)
#define BACKOFF_FIRST (100 * USEC_PER_MSEC)
#define BACKOFF_MOST  (1 * USEC_PER_SEC)

static int listen_for_messages(struct worker *w, struct err *err)
{
	struct broadcaster *t = &w->broadcaster;
	int rc = broadcast_connect(t->broadcast, err);

	while (rc == 0 && !atomic_load(&t->stopping)) {
		eventfd_t changes;

		rc = broadcast_receive(t->broadcast, t->wake_fd, clock_deadline(TICK), err);
		(void)eventfd_read(t->wake_fd, &changes);
	}
	return rc;
}

static void *broadcast_thread(void *arg)
{
	struct worker *w = arg;
	struct broadcaster *t = &w->broadcaster;
	usec_t backoff = BACKOFF_FIRST;

	while (!atomic_load(&t->stopping)) {
		struct pollfd fd = {.fd = t->wake_fd, .events = POLLIN};
		struct err err = {0};
		usec_t began = clock_mono();

		if (listen_for_messages(w, &err) == 0)
			break;
		if (clock_mono() - began > BACKOFF_MOST)
			backoff = BACKOFF_FIRST;
		if (backoff == BACKOFF_FIRST)
			log_error("broadcast: %s. Trying again; what is sent meanwhile is not "
				  "heard.",
				  err.msg);
		poll(&fd, 1, clock_left_ms(clock_deadline(backoff)));
		backoff = backoff * 2 > BACKOFF_MOST ? BACKOFF_MOST : backoff * 2;
	}
	return NULL;
}

int broadcast_start(struct worker *w, struct err *err)
{
	struct broadcaster *t = &w->broadcaster;
	int rc;

	if (!broadcast_wanted(w->broker))
		return 0;
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->wake_fd < 0)
		return err_set_errno(err, ERR_FAILED, errno, "eventfd");
	t->broadcast = broadcast_new(w->broker);
	rc = thread_start(&t->thread, "broadcast", broadcast_thread, w, err);
	t->started = rc == 0;
	return rc;
}

void broadcast_wake(struct worker *w)
{
	if (w->broadcaster.started)
		(void)eventfd_write(w->broadcaster.wake_fd, 1);
}

void broadcast_stop(struct worker *w)
{
	struct broadcaster *t = &w->broadcaster;

	if (!t->started)
		return;
	atomic_store(&t->stopping, true);
	broadcast_wake(w);
	pthread_join(t->thread, NULL);
	t->started = false;
	broadcast_free(t->broadcast);
	close(t->wake_fd);
}
