/*
 * Frames on a connection. See waist.h.
 */
#include "waist.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "clock.h"
#include "mem.h"

int waist_path(const char *address, char **ret, struct err *err)
{
	const char *path = strncmp(address, "unix:", 5) == 0 ? address + 5 : "";

	if (strncmp(path, "//", 2) == 0)
		path += 2;
	if (path[0] != '/' || strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return err_set(err, ERR_INVALID, "'%.100s' is not unix:/path", address);
	*ret = xstrdup(path);
	return 0;
}

static int wait_for(int fd, short events, usec_t deadline, struct err *err)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int ms = clock_left_ms(deadline), n = poll(&p, 1, ms);

		if (n > 0)
			return 0;
		if (n == 0 && ms >= 0 && clock_left_ms(deadline) == 0)
			return err_set(err, ERR_TIMEOUT, "the other end is silent for too long");
		if (n < 0 && errno != EINTR)
			return err_set_errno(err, ERR_FAILED, errno, "poll");
	}
}

/* After a call that moved nothing. */
static int go_on(int fd, short events, usec_t deadline, struct err *err)
{
	if (errno == EAGAIN || errno == EINTR)
		return wait_for(fd, events, deadline, err);
	return err_set_errno(err, ERR_CLOSED, errno, "the connection broke");
}

int waist_send_bytes(int fd, const void *data, size_t len, usec_t deadline, struct err *err)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		int rc = go_on(fd, POLLOUT, deadline, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int waist_receive_bytes(int fd, void *data, size_t len, usec_t deadline, struct err *err)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = recv(fd, p, len, MSG_DONTWAIT);

		if (n == 0)
			return err_set(err, ERR_CLOSED, "the other end has closed");
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		int rc = go_on(fd, POLLIN, deadline, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int waist_send(int fd, const json_t *json, size_t max, usec_t deadline, struct err *err)
{
	_cleanup_free_ char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	unsigned char head[4] = {(unsigned char)(len >> 24), (unsigned char)(len >> 16),
				 (unsigned char)(len >> 8), (unsigned char)len};

	if (text == NULL)
		return err_set(err, ERR_INVALID, "not UTF-8");
	if (len > max)
		return err_set(err, ERR_TOOBIG, "a frame of %zu bytes, %zu are allowed", len, max);
	int rc = waist_send_bytes(fd, head, sizeof(head), deadline, err);
	return rc < 0 ? rc : waist_send_bytes(fd, text, len, deadline, err);
}

int waist_receive_head(int fd, size_t max, usec_t deadline, size_t *ret_len, struct err *err)
{
	unsigned char head[4];
	int rc = waist_receive_bytes(fd, head, sizeof(head), deadline, err);

	if (rc < 0)
		return rc;
	size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (len > max)
		return err_set(err, ERR_TOOBIG, "a frame of %zu bytes, %zu are allowed", len, max);
	*ret_len = len;
	return 0;
}

int waist_receive_body(int fd, size_t len, usec_t deadline, json_t **ret, struct err *err)
{
	_cleanup_free_ void *text = NULL;
	int rc = try_alloc(len + 1, WAIST_REPLY + 1, "frame", &text, err);

	if (rc == 0)
		rc = waist_receive_bytes(fd, text, len, deadline, err);
	if (rc == 0 && (rc = json_load_strict(text, len, ret, err)) < 0)
		return err_set(err, ERR_PROTOCOL, "a frame that is not JSON");
	return rc;
}

int waist_receive(int fd, size_t max, usec_t deadline, json_t **ret, struct err *err)
{
	size_t len = 0;
	int rc = waist_receive_head(fd, max, deadline, &len, err);

	return rc < 0 ? rc : waist_receive_body(fd, len, deadline, ret, err);
}

bool waist_is_over(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n >= 0 || (errno != EAGAIN && errno != EINTR);
}
