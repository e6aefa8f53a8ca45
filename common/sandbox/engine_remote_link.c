/*
 * engine_remote_link.c: connections to an engine role, and one request over one of them.
 *
 * A few are kept, each for one call at a time. What the role does not carry fails; there is no
 * other way from here to Docker.
 */
#include "engine_remote.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "metrics.h"
#include "role_held.h"

#define MARGIN	   (5 * USEC_PER_SEC) /* an answer may come so much later than the call may take */
#define GIVE_UP_MS 500

/* To the socket of a role, or to our own. */
static int reach(struct engine *e, int *ret, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (e->control)
		return engine_held_connect(e->control, ret, err);
	memcpy(at.sun_path, e->role, strlen(e->role) + 1);
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		return err_set_errno(err, ERR_UNAVAILABLE, errno, "connect");
	*ret = TAKE_FD(fd);
	return 0;
}

static int connect_to(struct engine *e, int *ret, struct err *err)
{
	_cleanup_json_ json_t *hello = NULL, *answer = NULL;
	usec_t deadline = clock_deadline(ENGINE_LIMIT_PING * USEC_PER_SEC);
	_cleanup_fd_ int fd = -1;
	int rc = reach(e, &fd, err);

	if (rc < 0)
		return rc;
	hello = waist_request_write(&(struct waist_request){
		.op = "hello", .version = WAIST_VERSION, .instance = e->instance});
	rc = waist_send(fd, hello, WAIST_REQUEST, deadline, err);
	if (rc == 0)
		rc = waist_receive(fd, WAIST_REPLY, deadline, &answer, err);
	if (rc == 0)
		rc = waist_error_read(answer, err);
	if (rc == 0)
		*ret = TAKE_FD(fd);
	return rc;
}

/* A role has a thread for each of so many connections and no more: who is one too many waits. */
static int enter(struct engine *e, usec_t deadline, struct err *err)
{
	bool room;

	mutex_lock(&e->lock);
	while (e->role_busy >= ENGINE_ROLE_CALLS &&
	       cond_wait_until(&e->role_free, &e->lock, deadline))
		;
	room = e->role_busy < ENGINE_ROLE_CALLS;
	e->role_busy += room;
	mutex_unlock(&e->lock);
	return room ? 0 : err_set(err, ERR_UNAVAILABLE, "too many calls are under way");
}

static void leave(struct engine *e)
{
	mutex_lock(&e->lock);
	e->role_busy--;
	cond_signal(&e->role_free);
	mutex_unlock(&e->lock);
}

/* One that is kept, unless the role has closed it meanwhile. */
static int borrow(struct engine *e, int *ret, struct err *err)
{
	for (;;) {
		int fd = -1;

		mutex_lock(&e->lock);
		if (e->role_idle_count > 0)
			fd = e->role_idle[--e->role_idle_count];
		mutex_unlock(&e->lock);
		if (fd < 0)
			return connect_to(e, ret, err);
		if (!waist_is_over(fd)) {
			*ret = fd;
			return 0;
		}
		close(fd);
	}
}

void engine_remote_give_back(struct engine *e, int fd)
{
	mutex_lock(&e->lock);
	bool keep = e->role_idle_count < ENGINE_IDLE_CLIENTS;
	if (keep)
		e->role_idle[e->role_idle_count++] = fd;
	mutex_unlock(&e->lock);
	if (!keep)
		close(fd);
}

/* The next frame, asking all the while whether it is still wanted. */
static int next_frame(int fd, const struct remote_extra *x, usec_t deadline, json_t **ret,
		      struct err *err)
{
	while (x && x->pull && x->pull->give_up && clock_left_ms(deadline) > 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, GIVE_UP_MS) > 0)
			break;
		if (x->pull->give_up(x->pull->arg))
			return err_set(err, ERR_CANCELLED, "cancelled");
	}
	return waist_receive(fd, WAIST_REPLY, deadline, ret, err);
}

static int receive_answer(int fd, const struct remote_extra *x, usec_t deadline, json_t **ret,
			  struct err *err)
{
	for (;;) {
		_cleanup_json_ json_t *frame = NULL;
		int rc = next_frame(fd, x, deadline, &frame, err);

		if (rc < 0)
			return rc;
		const char *progress = json_member_str(frame, "progress");
		if (progress == NULL || x == NULL || x->pull == NULL) {
			*ret = TAKE(frame);
			return 0;
		}
		if (x->pull->progress)
			x->pull->progress(x->pull->arg, progress);
	}
}

static int exchange(int fd, const struct waist_request *q, const struct remote_extra *x,
		    usec_t deadline, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *request = waist_request_write(q);
	int rc = waist_send(fd, request, WAIST_REQUEST, deadline, err);

	if (rc == 0 && x && x->bytes)
		rc = waist_send_bytes(fd, x->bytes, (size_t)q->size, deadline, err);
	return rc < 0 ? rc : receive_answer(fd, x, deadline, ret, err);
}

static void count_call(const struct waist_request *q, const char *outcome, usec_t took)
{
	metric_count(METRIC_ENGINE_CALLS, q->op, outcome);
	metric_observe(metric_series(METRIC_ENGINE_TIME, q->op, NULL), took);
}

int engine_remote_ask_all(struct engine *e, const struct waist_request *q,
			  const struct remote_extra *x, enum engine_limit limit, int *ret_fd,
			  json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	usec_t began = clock_mono(), deadline = clock_deadline(limit * USEC_PER_SEC + MARGIN);
	int fd = -1;
	int rc = enter(e, deadline, err);

	if (rc == 0) {
		rc = borrow(e, &fd, err);
		if (rc == 0)
			rc = exchange(fd, q, x, deadline, &answer, err);
		leave(e);
	}
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		count_call(q, "failed", clock_mono() - began);
		return err_wrap(err, "engine %s", e->address);
	}
	rc = waist_error_read(answer, err);
	count_call(q, rc < 0 ? "refused" : "ok", clock_mono() - began);
	if (rc == 0 && ret_fd)
		*ret_fd = fd;
	else
		engine_remote_give_back(e, fd);
	if (rc == 0 && ret)
		*ret = TAKE(answer);
	return rc;
}

int engine_remote_ask(struct engine *e, const struct waist_request *q, enum engine_limit limit,
		      json_t **ret, struct err *err)
{
	return engine_remote_ask_all(e, q, NULL, limit, NULL, ret, err);
}
