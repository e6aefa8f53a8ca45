/*
 * tunnel.c: the thread between sockets of this process and channels of an agent's stream.
 */
#include "tunnel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

#define SEND_TIME  (10 * USEC_PER_SEC)
#define QUIET_TIME (60 * USEC_PER_SEC) /* proxies cut a stream that is quiet for much longer */
#define OWN_FDS	   2
#define FRAMES	   64 /* between two looks at the connections */
#define PIECE	   (16u << 10)
#define TELL_TAKEN (16u << 10)
#define WAITING	   1024 /* connections that no line is free for */

/* One connection. The thread's. */
struct line {
	int fd; /* -1 = free */
	uint32_t id;
	bool open;	 /* the server has taken it */
	bool ended;	 /* it sends no more */
	struct buf down; /* for our side; FRAME_CHANNEL_WINDOW at most */
	size_t taken;	 /* of it, out of the way and not told */
	size_t credit;	 /* bytes that may be sent to the server */
};

struct tunnel {
	struct agent_link *link; /* the thread's */
	uint32_t run, last_id;
	uint16_t port;
	pthread_t thread;
	int wake;
	struct line lines[FRAME_DIALS];
	usec_t next_sign; /* of life; monotonic */

	struct mutex lock;
	/* guarded by lock */
	bool stopping, gone;
	int waiting[WAITING]; /* our ends of new connections, the oldest first */
	size_t waiting_count;
	struct said said;
};

/* ---- to the agent ---- */
static int tell(struct tunnel *t, enum frame_type type, uint32_t id, uint32_t value,
		struct err *err)
{
	unsigned char bytes[8];

	frame_put_u32(frame_put_u32(bytes, id), value);
	return agent_link_send(t->link, type, 0, t->run, bytes, sizeof(bytes),
			       clock_deadline(SEND_TIME), err);
}

static void free_line(struct line *l)
{
	close(l->fd);
	buf_done(&l->down);
	*l = (struct line){.fd = -1};
}

/* Our side is gone. */
static int hang_up(struct tunnel *t, struct line *l, struct err *err)
{
	uint32_t id = l->id;

	free_line(l);
	return tell(t, FRAME_CHANNEL_END, id, FRAME_CHANNEL_RESET, err);
}

static struct line *find_free(struct tunnel *t)
{
	for (size_t i = 0; i < FRAME_DIALS; i++)
		if (t->lines[i].fd < 0)
			return &t->lines[i];
	return NULL;
}

/* The end of the connection that waits for the longest; -1: none does. */
static int next_waiting(struct tunnel *t)
{
	int fd = -1;

	mutex_lock(&t->lock);
	if (t->waiting_count > 0) {
		fd = t->waiting[0];
		memmove(t->waiting, t->waiting + 1, --t->waiting_count * sizeof(fd));
	}
	mutex_unlock(&t->lock);
	return fd;
}

static int take_connections(struct tunnel *t, struct err *err)
{
	struct line *l;
	int rc = 0, fd;

	while (rc == 0 && (l = find_free(t)) != NULL && (fd = next_waiting(t)) >= 0) {
		*l = (struct line){.fd = fd,
				   .id = ++t->last_id,
				   .down = BUF_INIT(FRAME_CHANNEL_WINDOW),
				   .credit = FRAME_CHANNEL_WINDOW};
		rc = tell(t, FRAME_CHANNEL_DIAL, l->id, t->port, err);
	}
	return rc;
}

/* ---- between a socket and its channel ---- */
/* What the server has sent goes to our side as far as that takes it. */
static int write_down(struct tunnel *t, struct line *l, struct err *err)
{
	while (l->down.len > 0) {
		ssize_t n = send(l->fd, l->down.data, l->down.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return hang_up(t, l, err);
		buf_consume(&l->down, (size_t)n);
		l->taken += (size_t)n;
	}
	if (l->down.len == 0 && l->ended)
		shutdown(l->fd, SHUT_WR);
	if (l->ended || l->taken == 0 || (l->taken < TELL_TAKEN && l->down.len > 0))
		return 0;
	uint32_t taken = (uint32_t)l->taken;
	l->taken = 0;
	return tell(t, FRAME_CHANNEL_TAKEN, l->id, taken, err);
}

static int read_up(struct tunnel *t, struct line *l, struct err *err)
{
	unsigned char bytes[4 + PIECE];
	ssize_t n = recv(l->fd, bytes + 4, l->credit < PIECE ? l->credit : PIECE, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return hang_up(t, l, err);
	l->credit -= (size_t)n;
	frame_put_u32(bytes, l->id);
	return agent_link_send(t->link, FRAME_CHANNEL_DATA, 0, t->run, bytes, 4 + (size_t)n,
			       clock_deadline(SEND_TIME), err);
}

/* ---- from the agent ---- */
static struct line *find(struct tunnel *t, uint32_t id)
{
	for (size_t i = 0; i < FRAME_DIALS; i++)
		if (t->lines[i].fd >= 0 && t->lines[i].id == id)
			return &t->lines[i];
	return NULL;
}

static int take_sent(struct tunnel *t, struct line *l, const struct frame_cursor *c,
		     struct err *err)
{
	if (l->down.len + c->left > FRAME_CHANNEL_WINDOW || l->ended)
		return err_set(err, ERR_PROTOCOL, "more of a connection than there is room for");
	buf_append(&l->down, c->data, c->left);
	return write_down(t, l, err);
}

static int take_ended(struct tunnel *t, struct line *l, uint32_t how, struct err *err)
{
	if (how != FRAME_CHANNEL_HALF) {
		/* what it had said before is still of use */
		send(l->fd, l->down.data, l->down.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		free_line(l);
		return 0;
	}
	l->ended = true;
	return write_down(t, l, err);
}

static int take_channel(struct tunnel *t, const struct frame *f, struct err *err)
{
	struct frame_cursor c = {.data = f->data, .left = f->len};
	struct line *l = find(t, frame_get_u32(&c));
	uint32_t value = f->type == FRAME_CHANNEL_ENDED || f->type == FRAME_CHANNEL_WRITTEN
				 ? frame_get_u32(&c)
				 : 0;

	if (c.bad)
		return err_set(err, ERR_PROTOCOL, "a short frame of a channel");
	if (l == NULL) /* it has ended meanwhile, or was a sign of life */
		return 0;
	switch (f->type) {
	case FRAME_CHANNEL_OPEN:
		l->open = true;
		return 0;
	case FRAME_CHANNEL_SENT:
		return take_sent(t, l, &c, err);
	case FRAME_CHANNEL_ENDED:
		return take_ended(t, l, value, err);
	default:
		if (value > FRAME_CHANNEL_WINDOW - l->credit)
			return err_set(err, ERR_PROTOCOL, "more written than was sent");
		l->credit += value;
		return 0;
	}
}

static int take_frame(struct tunnel *t, const struct frame *f, struct err *err)
{
	switch (f->type) {
	case FRAME_STDOUT:
	case FRAME_STDERR:
		mutex_lock(&t->lock);
		said_add(&t->said, f->data, f->len);
		mutex_unlock(&t->lock);
		return 0;
	case FRAME_CHANNEL_OPEN:
	case FRAME_CHANNEL_SENT:
	case FRAME_CHANNEL_ENDED:
	case FRAME_CHANNEL_WRITTEN:
		return take_channel(t, f, err);
	case FRAME_EXIT:
		return err_set(err, ERR_CLOSED, "the server ended");
	default:
		return 0;
	}
}

static int take_frames(struct tunnel *t, struct err *err)
{
	for (int i = 0; i < FRAMES; i++) {
		struct frame f;
		int rc = agent_link_receive(t->link, 0, &f, err);

		if (rc == -ERR_TIMEOUT)
			return 0;
		if (rc == 0)
			rc = take_frame(t, &f, err);
		if (rc < 0)
			return rc;
	}
	return 1;
}

/* ---- the thread ---- */
/* Woken again by what comes after this: so before what we were woken for is looked at, and never
 * after it. */
static void hear(struct tunnel *t)
{
	uint64_t ignored;

	if (read(t->wake, &ignored, sizeof(ignored)) < 0)
		errno = 0;
}

static void wait_for(struct tunnel *t, struct pollfd *fds, bool more)
{
	fds[0] = (struct pollfd){.fd = agent_link_fd(t->link), .events = POLLIN};
	fds[1] = (struct pollfd){.fd = t->wake, .events = POLLIN};
	for (size_t i = 0; i < FRAME_DIALS; i++) {
		const struct line *l = &t->lines[i];
		short events = (short)((l->open && l->credit > 0 ? POLLIN : 0) |
				       (l->down.len > 0 ? POLLOUT : 0));

		/* that our side has hung up is told also of what is waited for otherwise */
		fds[OWN_FDS + i] = (struct pollfd){.fd = l->fd, .events = events};
	}
	poll(fds, OWN_FDS + FRAME_DIALS, more ? 0 : clock_left_ms(t->next_sign));
	hear(t);
}

static int work(struct tunnel *t, const struct pollfd *fds, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < FRAME_DIALS; i++) {
		struct line *l = &t->lines[i];

		if (fds[OWN_FDS + i].fd < 0 || fds[OWN_FDS + i].fd != l->fd ||
		    fds[OWN_FDS + i].revents == 0)
			continue;
		if (l->down.len > 0)
			rc = write_down(t, l, err);
		if (rc == 0 && l->fd >= 0 && l->open && l->credit > 0)
			rc = read_up(t, l, err);
		else if (rc == 0 && l->fd >= 0 && (fds[OWN_FDS + i].revents & POLLHUP))
			rc = hang_up(t, l, err);
	}
	return rc;
}

/* Something is said in both directions: a connection that cannot be. */
static int give_sign(struct tunnel *t, struct err *err)
{
	if (clock_mono() < t->next_sign)
		return 0;
	t->next_sign = clock_deadline(QUIET_TIME);
	return tell(t, FRAME_CHANNEL_DIAL, ++t->last_id, 0, err);
}

static bool is_stopping(struct tunnel *t)
{
	mutex_lock(&t->lock);
	bool stopping = t->stopping;
	mutex_unlock(&t->lock);
	return stopping;
}

static void carry(struct tunnel *t, struct err *err)
{
	struct pollfd fds[OWN_FDS + FRAME_DIALS];
	int rc = 0, more = 1;

	while (rc == 0 && !is_stopping(t)) {
		wait_for(t, fds, more);
		rc = work(t, fds, err);
		if (rc == 0)
			more = rc = take_frames(t, err);
		/* after what frees lines: nothing else would wake us for those that wait */
		if (rc >= 0)
			rc = take_connections(t, err);
		if (rc == 0)
			rc = give_sign(t, err);
		if (rc == 0)
			rc = agent_link_flush(t->link, clock_deadline(SEND_TIME), err);
	}
	if (rc == 0)
		err_set(err, ERR_CLOSED, "ended");
}

static void *tunnel_thread(void *arg)
{
	struct tunnel *t = arg;
	struct err err;

	carry(t, &err);
	log_debug("the way to an MCP server ends: %s", err.msg);
	mutex_lock(&t->lock);
	t->gone = true;
	while (t->waiting_count > 0)
		close(t->waiting[--t->waiting_count]);
	mutex_unlock(&t->lock);
	for (size_t i = 0; i < FRAME_DIALS; i++)
		if (t->lines[i].fd >= 0)
			free_line(&t->lines[i]);
	return NULL;
}

/* ---- for others ---- */
static void wake(struct tunnel *t)
{
	uint64_t one = 1;

	if (write(t->wake, &one, sizeof(one)) < 0)
		errno = 0; /* it is awake */
}

/* Neither end had to listen or connect: where no unix socket may be made, a pair may. */
int tunnel_connect(struct tunnel *t, int *ret, struct err *err)
{
	int ends[2];
	bool gone, room;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return err_set_errno(err, ERR_UNAVAILABLE, errno, "a socket for an MCP server");
	mutex_lock(&t->lock);
	gone = t->gone || t->stopping;
	room = !gone && t->waiting_count < WAITING;
	if (room)
		t->waiting[t->waiting_count++] = ends[1];
	mutex_unlock(&t->lock);
	if (room) {
		wake(t);
		*ret = ends[0];
		return 0;
	}
	close(ends[0]);
	close(ends[1]);
	return gone ? err_set(err, ERR_CLOSED, "the server is gone")
		    : err_set(err, ERR_UNAVAILABLE, "%d connections wait for the server", WAITING);
}

bool tunnel_lives(struct tunnel *t)
{
	mutex_lock(&t->lock);
	bool lives = !t->gone;
	mutex_unlock(&t->lock);
	return lives;
}

void tunnel_said(struct tunnel *t, struct said *ret)
{
	mutex_lock(&t->lock);
	*ret = t->said;
	mutex_unlock(&t->lock);
}

static void destroy(struct tunnel *t)
{
	agent_link_close(t->link);
	if (t->wake >= 0)
		close(t->wake);
	mutex_done(&t->lock);
	free(t);
}

int tunnel_new(struct agent_link *link, uint32_t run, uint16_t port, const struct said *said,
	       struct tunnel **ret, struct err *err)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));
	int rc = 0;

	t->link = link;
	t->run = run;
	t->port = port;
	t->said = *said;
	t->last_id = UINT32_MAX / 2; /* those before are whoever has made the link's */
	t->next_sign = clock_deadline(QUIET_TIME);
	mutex_init(&t->lock);
	for (size_t i = 0; i < FRAME_DIALS; i++)
		t->lines[i].fd = -1;
	t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->wake < 0)
		rc = err_set_errno(err, ERR_UNAVAILABLE, errno, "eventfd");
	if (rc == 0)
		rc = thread_start(&t->thread, "mcp-tunnel", tunnel_thread, t, err);
	if (rc < 0) {
		destroy(t);
		return rc;
	}
	*ret = t;
	return 0;
}

void tunnel_free(struct tunnel *t)
{
	if (!t)
		return;
	mutex_lock(&t->lock);
	t->stopping = true;
	mutex_unlock(&t->lock);
	wake(t);
	pthread_join(t->thread, NULL);
	destroy(t);
}
