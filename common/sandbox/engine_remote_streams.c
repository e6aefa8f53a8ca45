/*
 * engine_remote_streams.c: the calls to an engine role after which there is a stream: its
 * descriptor, where the role hands it over, or the connection to the role.
 */
#include "engine_remote.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "role_held.h"

static int stream(struct engine *e, const struct waist_request *q, struct http_stream **ret,
		  struct err *err)
{
	int fd = -1;
	int rc = engine_remote_ask_all(e, q, NULL, ENGINE_LIMIT_ATTACH, &fd, NULL, err);

	if (rc == 0)
		*ret = http_stream_adopt(fd, NULL, 0);
	return rc;
}

static int receive_descriptor(int from, usec_t deadline, int *ret, struct err *err)
{
	struct pollfd p = {.fd = from, .events = POLLIN};

	while (poll(&p, 1, clock_left_ms(deadline)) < 0 && errno == EINTR)
		;
	int rc = engine_held_receive(from, ret);
	if (rc == 0)
		return err_set(err, ERR_TIMEOUT, "the stream's descriptor does not come");
	if (rc < 0)
		return err_set(err, ERR_CLOSED, "the role has closed");
	/* the kernel drops what there is no place for, without a word */
	return *ret >= 0 ? 0
			 : err_set(err, ERR_UNAVAILABLE,
				   "too many open files: no descriptor of the stream");
}

/* What follows the answer to attach_fd. */
static int take_over(int fd, const json_t *answer, struct http_stream **ret, struct err *err)
{
	usec_t deadline = clock_deadline(ENGINE_LIMIT_ATTACH * USEC_PER_SEC);
	int64_t size = json_integer_value(json_member(answer, "size"));
	_cleanup_free_ void *early = NULL;
	int handed = -1;

	if (size < 0)
		return err_set(err, ERR_PROTOCOL, "a stream of less than nothing");
	int rc = try_alloc((size_t)size + 1, WAIST_EARLY + 1, "stream", &early, err);
	if (rc == 0)
		rc = waist_receive_bytes(fd, early, (size_t)size, deadline, err);
	if (rc == 0)
		rc = receive_descriptor(fd, deadline, &handed, err);
	if (rc == 0)
		*ret = http_stream_adopt(handed, early, (size_t)size);
	return rc;
}

static int ask_for_descriptor(struct engine *e, const char *id, struct http_stream **ret,
			      struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	int fd = -1;
	int rc = engine_remote_ask_all(e, &(struct waist_request){.op = "attach_fd", .id = id},
				       NULL, ENGINE_LIMIT_ATTACH, &fd, &answer, err);

	if (rc < 0)
		return rc;
	rc = take_over(fd, answer, ret, err);
	if (rc == 0)
		engine_remote_give_back(e, fd);
	else
		close(fd);
	return rc < 0 ? err_wrap(err, "engine %s: attach", e->address) : 0;
}

int engine_remote_attach(struct engine *e, const char *id, struct http_stream **ret,
			 struct err *err)
{
	mutex_lock(&e->lock);
	bool relayed = e->role_keeps_them;
	mutex_unlock(&e->lock);
	int rc = relayed ? -ERR_UNSUPPORTED : ask_for_descriptor(e, id, ret, err);
	if (rc != -ERR_UNSUPPORTED)
		return rc;
	mutex_lock(&e->lock);
	e->role_keeps_them = true;
	mutex_unlock(&e->lock);
	return stream(e, &(struct waist_request){.op = "attach", .id = id}, ret, err);
}

int engine_remote_events(struct engine *e, struct http_stream **ret, struct err *err)
{
	return stream(e, &(struct waist_request){.op = "events"}, ret, err);
}
