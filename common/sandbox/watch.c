/*
 * The thread that listens to the engine's events. They are hints: what it hears makes it look, and
 * what it may have missed it looks for when it begins to listen anew.
 */
#include "sandbox_internal.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define PAUSE_MIN USEC_PER_SEC
#define PAUSE_MAX (60 * USEC_PER_SEC)
#define LOOK_MS	  2000 /* at whether the engine is there: a connection may die without a word */

/* Until `fd` (-1 = none) has something to read or so many milliseconds have gone by; true when it
 * is over. */
static bool wait_for(struct sandbox *s, int fd, int ms)
{
	struct pollfd fds[] = {{.fd = s->watch.stop, .events = POLLIN},
			       {.fd = fd, .events = POLLIN}};

	return poll(fds, fd < 0 ? 1 : 2, ms) > 0 && fds[0].revents != 0;
}

static void heed(struct sandbox *s, const struct engine_notice *notice)
{
	struct err err;

	if (sandbox_heed(s, notice, &err) < 0)
		log_debug("container %.12s has ended: %s", notice->id, err.msg);
}

/* True when it is over, false when the connection is. */
static bool listen_to(struct sandbox *s, struct engine_events *events)
{
	struct engine_notice notice;
	struct err err;

	for (;;) {
		int rc = engine_events_next(events, 0, &notice, &err);

		if (rc > 0)
			heed(s, &notice);
		else if (rc != -ERR_TIMEOUT || !sandbox_ready(s))
			return false;
		else if (wait_for(s, engine_events_fd(events), LOOK_MS))
			return true;
	}
}

static void *watch_thread(void *arg)
{
	struct sandbox *s = arg;
	usec_t pause = PAUSE_MIN;
	bool over = false;

	while (!over) {
		struct engine_events *events = NULL;
		struct err err = {0};
		int rc = sandbox_ready(s) ? engine_events_open(s->engine, &events, &err)
					  : -ERR_UNAVAILABLE;

		if (rc == 0)
			rc = sandbox_mend_all(s, &err);
		if (rc == 0) {
			pause = PAUSE_MIN;
			over = listen_to(s, events);
		} else if (err.msg[0]) {
			log_debug("the engine's events: %s", err.msg);
			pause = 2 * pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX;
		}
		engine_events_close(events);
		over = over || wait_for(s, -1, (int)(pause / USEC_PER_MSEC));
	}
	return NULL;
}

void sandbox_watch(struct sandbox *s)
{
	struct err err;

	if (s->watch.running)
		return;
	s->watch.stop = eventfd(0, EFD_CLOEXEC);
	if (s->watch.stop < 0)
		log_warning("the engine's events are not listened to: no descriptor");
	else if (thread_start(&s->watch.thread, "sandbox-events", watch_thread, s, &err) < 0)
		log_warning("the engine's events are not listened to: %s", err.msg);
	else
		s->watch.running = true;
	if (s->watch.stop >= 0 && !s->watch.running)
		close(s->watch.stop);
}

void sandbox_watch_done(struct sandbox *s)
{
	const uint64_t one = 1;

	if (!s->watch.running)
		return;
	if (write(s->watch.stop, &one, sizeof(one)) < 0)
		log_debug("the engine's events: the listener cannot be told to stop");
	pthread_join(s->watch.thread, NULL);
	close(s->watch.stop);
	s->watch.running = false;
}
