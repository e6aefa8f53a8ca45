/*
 * socket.c: the bytes of one connection: connect, write and read without blocking, wait with a
 * deadline.
 */
#include "socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

int socket_wait(struct client_socket *s, short events, usec_t deadline, struct err *err)
{
	struct pollfd fds[] = {
		{.fd = s->fd, .events = events},
		{.fd = s->cancel_fd, .events = POLLIN},
	};

	for (;;) {
		int n = poll(fds, ARRAY_LEN(fds), clock_left_ms(deadline));

		if (n < 0 && errno != EINTR)
			return err_set_errno(err, ERR_FAILED, errno, "poll");
		if (n > 0 && fds[1].revents != 0)
			return err_set(err, ERR_CANCELLED, "given up");
		if (n > 0)
			return 0;
		if (n == 0)
			return err_set(err, ERR_TIMEOUT, "no answer in time");
	}
}

/* Connects the new socket `fd`, which is s->fd afterwards or closed. */
static int connect_one(struct client_socket *s, int fd, const struct sockaddr *sa, socklen_t size,
		       usec_t deadline, struct err *err)
{
	int rc = 0, failure = 0;
	socklen_t len = sizeof(failure);

	s->fd = fd;
	if (connect(fd, sa, size) < 0) {
		failure = errno;
		/* A unix socket whose queue is full says EAGAIN, and there is nothing to wait for.
		 */
		if (failure == EINPROGRESS) {
			rc = socket_wait(s, POLLOUT, deadline, err);
			if (rc == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) < 0)
				failure = errno;
		}
		if (rc == 0 && failure != 0)
			rc = err_set_errno(err, ERR_UNAVAILABLE, failure, "connect");
	}
	if (rc < 0)
		socket_close(s);
	return rc;
}

static int connect_unix(struct client_socket *s, const char *path, usec_t deadline, struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(err, ERR_TOOBIG, "the path of a socket has at most %zu bytes",
			       sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(err, ERR_UNAVAILABLE, errno, "socket");
	return connect_one(s, fd, (const struct sockaddr *)&sa, sizeof(sa), deadline, err);
}

/* The time until `deadline` shared out evenly over this and the following addresses. */
static usec_t share_deadline(const struct addrinfo *ai, usec_t deadline)
{
	usec_t now = clock_mono();
	int count = 0;

	for (; ai; ai = ai->ai_next)
		count++;
	return deadline == USEC_NEVER ? deadline : now + (deadline - now) / count;
}

/* A peer that vanished is noticed by the kernel too, within half a minute. */
static void keep_alive(int fd, const struct socket_keepalive *k)
{
	static const int names[] = {TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT};
	static const int ours[] = {10, 5, 3};
	int on = 1;

	if (k->off)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int value = k->values[i] > 0 ? k->values[i] : ours[i];

		(void)setsockopt(fd, IPPROTO_TCP, names[i], &value, sizeof(value));
	}
}

static int connect_tcp(struct client_socket *s, const struct socket_target *t, usec_t deadline,
		       struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char service[16];
	int rc, on = 1;

	(void)snprintf(service, sizeof(service), "%d", t->port);
	rc = getaddrinfo(t->host, service, &hints, &list);
	if (rc != 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot find host \"%s\": %s", t->host,
			       gai_strerror(rc));
	rc = -ERR_UNAVAILABLE;
	for (const struct addrinfo *ai = list; ai && rc < 0 && rc != -ERR_CANCELLED;
	     ai = ai->ai_next) {
		int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd < 0) {
			rc = err_set_errno(err, ERR_UNAVAILABLE, errno, "socket");
			continue;
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		keep_alive(fd, &t->keepalive);
		rc = connect_one(s, fd, ai->ai_addr, ai->ai_addrlen, share_deadline(ai, deadline),
				 err);
	}
	freeaddrinfo(list);
	return rc;
}

int socket_connect(struct client_socket *s, const struct socket_target *t, usec_t deadline,
		   struct err *err)
{
	int rc = t->path ? connect_unix(s, t->path, deadline, err)
			 : connect_tcp(s, t, deadline, err);

	if (rc == 0 && t->tls->on)
		rc = tls_connect(s, t->tls, t->host, deadline, err);
	return rc;
}

ssize_t socket_write(struct client_socket *s, const struct iovec *iov, size_t count,
		     struct err *err)
{
	/* sendmsg only reads what msg_iov points at. */
	union {
		const struct iovec *in;
		struct iovec *out;
	} v = {.in = iov};
	struct msghdr msg = {.msg_iov = v.out, .msg_iovlen = count};
	ssize_t n;

	if (s->tls)
		return tls_write(s, iov, count, err);
	do
		n = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN)
		return 0;
	return err_set_errno(err, ERR_CLOSED, errno, "send");
}

ssize_t socket_read(struct client_socket *s, void *data, size_t size, struct err *err)
{
	ssize_t n;

	if (s->tls)
		return tls_read(s, data, size, err);
	do
		n = recv(s->fd, data, size, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0)
		return err_set(err, ERR_CLOSED, "the server closed the connection");
	if (errno == EAGAIN)
		return 0;
	return err_set_errno(err, ERR_CLOSED, errno, "recv");
}

void socket_close(struct client_socket *s)
{
	tls_close(s);
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}
