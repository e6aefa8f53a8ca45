/*
 * role_relay.c: the bytes between attached containers and those who attached, in one thread; of
 * engines whose streams are no plain socket that could be handed over.
 *
 * What one side sends and the other does not take yet is kept, PIECE bytes at most, and nothing
 * more is read from the first: back-pressure goes through.
 */
#include "role.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

#define PIECE  (16u << 10)
#define EVENTS 64
#define ROUNDS 64 /* pieces of one stream before the others have their turn */

/* What was read and not yet taken. */
struct rest {
	char *data;
	size_t len;
};

struct relayed {
	struct relayed *next; /* of those that ended in this round */
	struct role_share *share;
	struct http_stream *engine;
	int client;
	struct rest to_client, to_engine;
	uint32_t engine_events, client_events; /* waited for now */
	bool over;
};

struct role_relay {
	struct engine_role *role;
	int epoll;
	pthread_t thread;
	/* the thread's */
	char piece[PIECE];
};

/* A descriptor without an event to wait for is taken out: its hang-up would be told for ever. */
static void watch(struct role_relay *y, struct relayed *r, int fd, uint32_t events, uint32_t *now)
{
	struct epoll_event ev = {.events = events, .data.ptr = r};
	int how = events == 0 ? EPOLL_CTL_DEL : *now == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (events == *now)
		return;
	if (epoll_ctl(y->epoll, how, fd, &ev) < 0)
		r->over = true;
	*now = events;
}

/* A side is read from only while the other has taken all. `more`: bytes may be there that no
 * descriptor tells of. */
static void watch_both(struct role_relay *y, struct relayed *r, bool more)
{
	watch(y, r, http_stream_fd(r->engine),
	      (r->to_client.len ? 0 : EPOLLIN) | (r->to_engine.len ? EPOLLOUT : 0),
	      &r->engine_events);
	watch(y, r, r->client,
	      (r->to_engine.len ? 0 : EPOLLIN) | (r->to_client.len || more ? EPOLLOUT : 0),
	      &r->client_events);
}

static ssize_t give_client(struct relayed *r, const char *data, size_t len)
{
	ssize_t n = send(r->client, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

static ssize_t give_engine(struct relayed *r, const char *data, size_t len)
{
	struct err ignored;

	return http_stream_send(r->engine, data, len, &ignored);
}

static ssize_t take_client(struct relayed *r, char *data, size_t size)
{
	ssize_t n = recv(r->client, data, size, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n > 0 ? n : -1;
}

static ssize_t take_engine(struct relayed *r, char *data, size_t size)
{
	struct err err = {0};
	ssize_t n = http_stream_read(r->engine, data, size, clock_mono() - 1, &err);

	if (n == -ERR_TIMEOUT)
		return 0;
	return n > 0 ? n : -1;
}

typedef ssize_t give_fn(struct relayed *r, const char *data, size_t len);
typedef ssize_t take_fn(struct relayed *r, char *data, size_t size);

/* False: the stream is over. */
static bool give(struct relayed *r, struct rest *rest, const char *data, size_t len, give_fn *to)
{
	ssize_t n = to(r, data, len);

	if (n < 0)
		return false;
	if ((size_t)n == len) {
		free(rest->data);
		*rest = (struct rest){0};
		return true;
	}
	char *left = xmemdup(data + n, len - (size_t)n);
	free(rest->data);
	*rest = (struct rest){left, len - (size_t)n};
	return true;
}

static bool move(struct role_relay *y, struct relayed *r, struct rest *rest, take_fn *from,
		 give_fn *to, bool *more)
{
	if (rest->len && !give(r, rest, rest->data, rest->len, to))
		return false;
	for (int i = 0; i < ROUNDS && rest->len == 0; i++) {
		ssize_t n = from(r, y->piece, sizeof(y->piece));

		if (n <= 0)
			return n == 0;
		if (!give(r, rest, y->piece, (size_t)n, to))
			return false;
		*more = *more || i == ROUNDS - 1;
	}
	return true;
}

static void end(struct role_relay *y, struct relayed *r)
{
	watch(y, r, r->client, 0, &r->client_events);
	watch(y, r, http_stream_fd(r->engine), 0, &r->engine_events);
	http_stream_close(r->engine);
	close(r->client);
	free(r->to_client.data);
	free(r->to_engine.data);
	role_stream_leave(y->role, r->share);
	free(r);
}

static void serve(struct role_relay *y, struct relayed *r)
{
	bool more = false;

	if (move(y, r, &r->to_client, take_engine, give_client, &more) &&
	    move(y, r, &r->to_engine, take_client, give_engine, &more))
		watch_both(y, r, more);
	else
		r->over = true;
}

static void *relay_thread(void *arg)
{
	struct role_relay *y = arg;
	struct epoll_event events[EVENTS];

	for (;;) {
		struct relayed *ended = NULL;
		int n = epoll_wait(y->epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct relayed *r = events[i].data.ptr;

			/* one stream may be there twice, by each of its ends */
			if (r->over)
				continue;
			serve(y, r);
			if (r->over) {
				r->next = ended;
				ended = r;
			}
		}
		while (ended) {
			struct relayed *next = ended->next;

			end(y, ended);
			ended = next;
		}
	}
	return NULL;
}

int role_relay_start(struct engine_role *role, struct role_relay **ret, struct err *err)
{
	struct role_relay *y = xcalloc(1, sizeof(*y));

	y->role = role;
	y->epoll = epoll_create1(EPOLL_CLOEXEC);
	int rc = y->epoll < 0 ? err_set_errno(err, ERR_FAILED, errno, "epoll")
			      : thread_start(&y->thread, "relay", relay_thread, y, err);
	if (rc < 0) {
		if (y->epoll >= 0)
			close(y->epoll);
		free(y);
		return rc;
	}
	*ret = y;
	return 0;
}

void role_relay_add(struct role_relay *y, struct role_share *share, struct http_stream *engine,
		    int client)
{
	struct relayed *r = xcalloc(1, sizeof(*r));
	r->share = share;
	r->engine = engine;
	r->client = client;
	/* By its client's end alone, which can be written to and so tells at once: bytes that came
	 * with the head of the engine's answer are there already. From then on it is the thread's.
	 */
	r->client_events = EPOLLIN | EPOLLOUT;
	struct epoll_event first = {.events = r->client_events, .data.ptr = r};
	if (epoll_ctl(y->epoll, EPOLL_CTL_ADD, client, &first) < 0) {
		r->client_events = 0;
		end(y, r);
	}
}
