/*
 * The way out of a sandbox without a network: what connects to the loopback address becomes a
 * channel of the frame stream, and the worker at its other end is the proxy. Nothing is understood
 * here. While the worker does not take what it is sent, connections are left alone, so that they
 * never stand in the way of a run's output.
 */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE	   (16u << 10) /* of one connection at a time */
#define TELL_TAKEN (16u << 10) /* bytes written to a client before the window is opened again */

static void free_channel(struct channel *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->bytes);
	*c = (struct channel){.fd = -1};
}

static void send_number(struct agent *a, enum frame_type type, uint32_t channel, uint32_t value)
{
	unsigned char bytes[8];

	frame_put_u32(frame_put_u32(bytes, channel), value);
	control_send(a, type, 0, a->run.id, bytes, sizeof(bytes));
}

static void reset(struct agent *a, struct channel *c)
{
	send_number(a, FRAME_CHANNEL_ENDED, c->id, FRAME_CHANNEL_RESET);
	free_channel(c);
}

void proxy_init(struct proxy *p)
{
	p->listener = -1;
	p->room = FRAME_CHANNELS;
	for (size_t i = 0; i < FRAME_DIALS; i++)
		p->channels[i].fd = -1;
}

int proxy_open(struct proxy *p)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(FRAME_PROXY_PORT),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, error;

	proxy_close(p);
	if (fd < 0)
		return errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, FRAME_CHANNELS) < 0) {
		error = errno;
		close(fd);
		return error;
	}
	p->listener = fd;
	p->room = FRAME_CHANNELS;
	return 0;
}

void proxy_serve(struct proxy *p)
{
	proxy_close(p);
	p->dials = true;
	p->room = FRAME_DIALS;
}

void proxy_reset(struct proxy *p)
{
	for (size_t i = 0; i < FRAME_DIALS; i++)
		free_channel(&p->channels[i]);
}

void proxy_close(struct proxy *p)
{
	proxy_reset(p);
	if (p->listener >= 0)
		close(p->listener);
	p->listener = -1;
	p->dials = false;
}

static struct channel *find(struct proxy *p, uint32_t id)
{
	for (size_t i = 0; i < p->room; i++)
		if (p->channels[i].fd >= 0 && p->channels[i].id == id)
			return &p->channels[i];
	return NULL;
}

static struct channel *find_free(struct proxy *p)
{
	for (size_t i = 0; i < p->room; i++)
		if (p->channels[i].fd < 0)
			return &p->channels[i];
	return NULL;
}

/* ---- what to wait for ---- */
static short wanted(const struct channel *c)
{
	short events = 0;

	if (c->connecting)
		return POLLOUT;
	if (!c->client_done && c->credit > 0)
		events |= POLLIN;
	if (c->len > 0)
		events |= POLLOUT;
	return events;
}

size_t proxy_poll(const struct agent *a, struct pollfd fds[1 + FRAME_DIALS])
{
	const struct proxy *p = &a->proxy;
	/* while nobody is attached to the run, clients wait */
	bool room = a->run.attached && control_has_room(a), full = true;

	for (size_t i = 0; i < p->room; i++) {
		const struct channel *c = &p->channels[i];

		full = full && c->fd >= 0;
		/* a client that hangs up is seen by reading or writing, when its turn has come */
		fds[1 + i] =
			(struct pollfd){.fd = room && wanted(c) ? c->fd : -1, .events = wanted(c)};
	}
	fds[0] = (struct pollfd){.fd = room && !full ? p->listener : -1, .events = POLLIN};
	return 1 + p->room;
}

/* ---- clients ---- */
static void accept_client(struct agent *a)
{
	struct proxy *p = &a->proxy;
	struct channel *c = find_free(p);
	unsigned char bytes[4];
	int on = 1;

	if (c == NULL)
		return;
	c->fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (c->fd < 0)
		return;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->id = ++p->last_id;
	c->credit = FRAME_CHANNEL_WINDOW;
	frame_put_u32(bytes, c->id);
	control_send(a, FRAME_CHANNEL_OPEN, 0, a->run.id, bytes, sizeof(bytes));
}

/* Over when both directions are. */
static void settle(struct channel *c)
{
	if (c->client_done && c->worker_done && c->len == 0)
		free_channel(c);
}

static void read_client(struct agent *a, struct channel *c)
{
	unsigned char bytes[4 + PIECE];
	ssize_t n = read(c->fd, bytes + 4, c->credit < PIECE ? c->credit : PIECE);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		return reset(a, c);
	if (n == 0) {
		c->client_done = true;
		send_number(a, FRAME_CHANNEL_ENDED, c->id, FRAME_CHANNEL_HALF);
		return settle(c);
	}
	c->credit -= (size_t)n;
	frame_put_u32(bytes, c->id);
	control_send(a, FRAME_CHANNEL_SENT, 0, a->run.id, bytes, 4 + (size_t)n);
}

static void write_client(struct agent *a, struct channel *c)
{
	ssize_t n = 0;

	while (c->len > 0) {
		n = write(c->fd, c->bytes + c->begin, c->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		c->begin += (size_t)n;
		c->len -= (size_t)n;
		c->taken += (size_t)n;
	}
	if (n < 0 && errno != EAGAIN)
		return reset(a, c);
	if (c->len == 0 && c->worker_done)
		shutdown(c->fd, SHUT_WR);
	if (!c->worker_done && c->taken > 0 && (c->taken >= TELL_TAKEN || c->len == 0)) {
		send_number(a, FRAME_CHANNEL_WRITTEN, c->id, (uint32_t)c->taken);
		c->taken = 0;
	}
	settle(c);
}

/* ---- the run's server ---- */
/* Begins to connect; -1 when that has failed already. */
static int connect_to(uint16_t port, bool v6)
{
	const struct sockaddr_in four = {.sin_family = AF_INET,
					 .sin_port = htons(port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr_in6 six = {.sin6_family = AF_INET6,
					 .sin6_port = htons(port),
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if ((v6 ? connect(fd, (const struct sockaddr *)&six, sizeof(six))
		: connect(fd, (const struct sockaddr *)&four, sizeof(four))) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* The first of the two addresses, or the other: some listen on one alone. */
static void connect_next(struct agent *a, struct channel *c)
{
	bool first = c->fd < 0;

	if (!first)
		close(c->fd);
	c->fd = first ? connect_to(c->port, false) : -1;
	if (c->fd < 0 && !c->v6) {
		c->v6 = true;
		c->fd = connect_to(c->port, true);
	}
	if (c->fd < 0)
		reset(a, c);
}

static void connected(struct agent *a, struct channel *c)
{
	unsigned char bytes[4];
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
		return connect_next(a, c);
	c->connecting = false;
	frame_put_u32(bytes, c->id);
	control_send(a, FRAME_CHANNEL_OPEN, 0, a->run.id, bytes, sizeof(bytes));
}

static void dial(struct agent *a, uint32_t id, uint32_t port)
{
	struct channel *c = a->proxy.dials && !find(&a->proxy, id) ? find_free(&a->proxy) : NULL;

	if (c == NULL || port == 0 || port > UINT16_MAX)
		return send_number(a, FRAME_CHANNEL_ENDED, id, FRAME_CHANNEL_RESET);
	*c = (struct channel){.fd = -1,
			      .id = id,
			      .credit = FRAME_CHANNEL_WINDOW,
			      .port = (uint16_t)port,
			      .connecting = true};
	connect_next(a, c);
}

/* ---- both ---- */
void proxy_work(struct agent *a, const struct pollfd fds[1 + FRAME_DIALS])
{
	struct proxy *p = &a->proxy;

	for (size_t n = 0; n < p->room; n++) {
		size_t i = (p->first + n) % p->room;
		struct channel *c = &p->channels[i];

		/* the slot may have become another's since */
		if (fds[1 + i].fd < 0 || fds[1 + i].fd != c->fd || fds[1 + i].revents == 0)
			continue;
		if (!control_has_room(a))
			break;
		if (c->connecting) {
			connected(a, c);
			continue;
		}
		if (c->len > 0)
			write_client(a, c);
		if (c->fd >= 0 && (fds[1 + i].events & POLLIN) && control_has_room(a))
			read_client(a, c);
	}
	if (++p->first >= p->room)
		p->first = 0;
	if (fds[0].fd >= 0 && fds[0].revents && control_has_room(a))
		accept_client(a);
}

/* ---- the worker ---- */
static void take_data(struct agent *a, struct channel *c, const unsigned char *data, size_t len)
{
	if (c->bytes == NULL)
		c->bytes = malloc(FRAME_CHANNEL_WINDOW);
	if (c->bytes == NULL || c->connecting || c->worker_done ||
	    c->len + len > FRAME_CHANNEL_WINDOW)
		return reset(a, c);
	if (c->begin + c->len + len > FRAME_CHANNEL_WINDOW) {
		memmove(c->bytes, c->bytes + c->begin, c->len);
		c->begin = 0;
	}
	memcpy(c->bytes + c->begin + c->len, data, len);
	c->len += len;
	if (control_has_room(a))
		write_client(a, c);
}

static void take_end(struct channel *c, uint32_t how)
{
	if (how != FRAME_CHANNEL_HALF || c->connecting)
		return free_channel(c);
	c->worker_done = true;
	if (c->len == 0)
		shutdown(c->fd, SHUT_WR);
	settle(c);
}

void proxy_frame(struct agent *a, const struct frame *f)
{
	struct frame_cursor cursor = {.data = f->data, .left = f->len};
	uint32_t id = frame_get_u32(&cursor);
	struct channel *c = find(&a->proxy, id);

	if (cursor.bad)
		return control_complain(a, "a short frame of a channel");
	if (f->type == FRAME_CHANNEL_DIAL && f->run == a->run.id)
		return dial(a, id, frame_get_u32(&cursor));
	if (c == NULL || f->run != a->run.id)
		return; /* it has ended meanwhile */
	if (f->type == FRAME_CHANNEL_DATA)
		return take_data(a, c, cursor.data, cursor.left);
	uint32_t value = frame_get_u32(&cursor);
	if (f->type == FRAME_CHANNEL_END)
		take_end(c, value);
	else if (value <= FRAME_CHANNEL_WINDOW - c->credit)
		c->credit += value;
}
