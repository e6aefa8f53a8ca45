/*
 * http_stream.c: a connection that HTTP gives up to a raw stream of bytes.
 *
 * libcurl makes the connection (TCP, unix socket, TLS) and carries the bytes; the few lines of HTTP
 * before the stream are ours, since libcurl has no notion of an upgrade to "tcp". A libcurl handle
 * is not for two threads, so the calls into it are short, never block and hold the lock; the
 * waiting is done outside of it.
 */
#include "http.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "http_easy.h"
#include "http_head.h"
#include "mem.h"
#include "thread.h"

#define STREAM_ERROR_BODY 4096u /* bytes of a refusal that are worth reading */

struct http_stream {
	CURL *curl; /* NULL: `fd` is a stream by itself, and ours */
	int fd;
	bool plain;
	struct mutex lock; /* around every call with `curl` */
	char error_text[CURL_ERROR_SIZE];
	struct buf early; /* bytes of the stream that came with the head; the reader's */
};

/* 0 when `fd` is ready for `events` (or closed). */
static int wait_for(int fd, short events, usec_t deadline, struct err *err)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int ms = clock_left_ms(deadline);
		int n = poll(&p, 1, ms);

		if (n > 0)
			return 0;
		if (n == 0 && ms >= 0 && clock_left_ms(deadline) == 0)
			return err_set(err, ERR_TIMEOUT, "stream: nothing within the time");
		if (n < 0 && errno != EINTR)
			return err_set_errno(err, ERR_FAILED, errno, "poll");
	}
}

/* Of both: what was moved, or -1 when nothing can be now; or an error below that. */
static ssize_t plain_move(ssize_t moved, struct err *err)
{
	if (moved >= 0)
		return moved;
	if (errno == EAGAIN || errno == EINTR)
		return -1;
	return -1 + err_set_errno(err, ERR_CLOSED, errno, "stream");
}

static ssize_t curl_move(struct http_stream *s, CURLcode rc, size_t moved, struct err *err)
{
	if (rc == CURLE_OK)
		return (ssize_t)moved;
	return rc == CURLE_AGAIN ? -1 : -1 + http_easy_error(s->curl, rc, s->error_text, err);
}

static ssize_t receive_now(struct http_stream *s, void *data, size_t size, struct err *err)
{
	size_t got = 0;

	if (s->curl == NULL)
		return plain_move(recv(s->fd, data, size, MSG_DONTWAIT), err);
	mutex_lock(&s->lock);
	s->error_text[0] = '\0';
	CURLcode rc = curl_easy_recv(s->curl, data, size, &got);
	ssize_t n = curl_move(s, rc, got, err);
	mutex_unlock(&s->lock);
	return n;
}

static ssize_t send_now(struct http_stream *s, const void *data, size_t len, struct err *err)
{
	size_t sent = 0;

	if (s->curl == NULL)
		return plain_move(send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL), err);
	mutex_lock(&s->lock);
	s->error_text[0] = '\0';
	CURLcode rc = curl_easy_send(s->curl, data, len, &sent);
	ssize_t n = curl_move(s, rc, sent, err);
	mutex_unlock(&s->lock);
	return n;
}

ssize_t http_stream_send(struct http_stream *s, const void *data, size_t len, struct err *err)
{
	ssize_t n = send_now(s, data, len, err);

	return n >= 0 ? n : n + 1;
}

static ssize_t receive(struct http_stream *s, void *data, size_t size, usec_t deadline,
		       struct err *err)
{
	for (;;) {
		ssize_t n = receive_now(s, data, size, err);

		if (n >= 0)
			return n;
		if (n < -1)
			return n + 1;
		int waited = wait_for(s->fd, POLLIN, deadline, err);
		if (waited < 0)
			return waited;
	}
}

ssize_t http_stream_read(struct http_stream *s, void *data, size_t size, usec_t deadline,
			 struct err *err)
{
	if (s->early.len > 0) {
		size_t n = s->early.len < size ? s->early.len : size;
		memcpy(data, s->early.data, n);
		buf_consume(&s->early, n);
		return (ssize_t)n;
	}
	return receive(s, data, size, deadline, err);
}

int http_stream_write(struct http_stream *s, const void *data, size_t len, usec_t deadline,
		      struct err *err)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send_now(s, p, len, err);

		if (n < -1)
			return (int)n + 1;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		int waited = wait_for(s->fd, POLLOUT, deadline, err);
		if (waited < 0)
			return waited;
	}
	return 0;
}

int http_stream_fd(const struct http_stream *s)
{
	return s->fd;
}

void http_stream_close(struct http_stream *s)
{
	if (!s)
		return;
	if (s->curl)
		curl_easy_cleanup(s->curl);
	else
		close(s->fd);
	mutex_done(&s->lock);
	buf_done(&s->early);
	free(s);
}

struct http_stream *http_stream_adopt(int fd, const void *early, size_t len)
{
	struct http_stream *s = xcalloc(1, sizeof(*s));

	mutex_init(&s->lock);
	s->early = BUF_INIT(BOUND_HTTP_HEAD);
	if (len > 0)
		buf_append(&s->early, early, len);
	s->fd = fd;
	return s;
}

bool http_stream_is_plain(const struct http_stream *s, struct slice *ret_early)
{
	if (s->plain)
		*ret_early = (struct slice){s->early.data, s->early.len};
	return s->plain;
}

static void close_stream(struct http_stream **s)
{
	http_stream_close(*s);
}

static int connect_to(struct http_stream *s, const struct http_target *target, usec_t timeout,
		      struct err *err)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	curl_easy_setopt(s->curl, CURLOPT_URL, target->base_url);
	curl_easy_setopt(s->curl, CURLOPT_CONNECT_ONLY, 1L);
	http_easy_timeout(s->curl, timeout);
	CURLcode rc = curl_easy_perform(s->curl);
	if (rc == CURLE_OK)
		rc = curl_easy_getinfo(s->curl, CURLINFO_ACTIVESOCKET, &fd);
	if (rc != CURLE_OK)
		return http_easy_error(s->curl, rc, s->error_text, err);
	if (fd == CURL_SOCKET_BAD)
		return err_set(err, ERR_UNAVAILABLE, "connection lost at once");
	s->fd = fd;
	return 0;
}

static int send_head(struct http_stream *s, const struct http_target *target,
		     const struct http_request *req, usec_t deadline, struct err *err)
{
	_cleanup_buf_ struct buf head = BUF_INIT(BOUND_HTTP_HEAD);
	const char *host = strstr(target->base_url, "://");

	for (const char *p = req->path; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			return err_set(err, ERR_INVALID, "path is not percent-encoded");
	buf_appendf(&head, "%s %s HTTP/1.%d\r\nHost: %s\r\nUser-Agent: celeriac/%s\r\n",
		    req->method, req->path, req->until_close ? 0 : 1,
		    host ? host + 3 : target->base_url, CELERIAC_VERSION);
	if (!req->until_close)
		buf_append_str(&head, "Connection: Upgrade\r\nUpgrade: tcp\r\n");
	if (req->content_type)
		buf_appendf(&head, "Content-Type: %s\r\n", req->content_type);
	buf_appendf(&head, "Content-Length: %zu\r\n\r\n", req->body_len);
	int rc = buf_status(&head, err);
	if (rc < 0)
		return rc;
	rc = http_stream_write(s, head.data, head.len, deadline, err);
	if (rc == 0 && req->body_len > 0)
		rc = http_stream_write(s, req->body, req->body_len, deadline, err);
	return rc;
}

static int read_head(struct http_stream *s, struct http_head *head, usec_t deadline,
		     struct err *err)
{
	char piece[4096];

	for (;;) {
		size_t used = 0;
		ssize_t n = receive(s, piece, sizeof(piece), deadline, err);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return err_set(err, ERR_UNAVAILABLE, "connection lost before an answer");
		int rc = http_head_feed(head, piece, (size_t)n, &used, err);
		if (rc < 0)
			return rc;
		if (rc > 0) {
			buf_append(&s->early, piece + used, (size_t)n - used);
			return buf_status(&s->early, err);
		}
	}
}

/* The answer is no stream: its body, as far as it comes, is the explanation. */
static int refuse(struct http_stream *s, const struct http_head *head, usec_t deadline,
		  struct err *err)
{
	char piece[1024];
	struct err ignored;
	enum err_code code = head->status == 404   ? ERR_NOTFOUND
			     : head->status == 409 ? ERR_CONFLICT
						   : ERR_PROTOCOL;

	while (s->early.len < STREAM_ERROR_BODY &&
	       !(head->has_length && s->early.len >= head->length)) {
		ssize_t n = receive(s, piece, sizeof(piece), deadline, &ignored);
		if (n <= 0)
			break;
		buf_append(&s->early, piece, (size_t)n);
	}
	int rc = err_set(err, code, "HTTP %d: %.*s", head->status,
			 (int)(s->early.len < 200 ? s->early.len : 200), s->early.data);
	return head->status >= 500 ? err_transient(err) : rc;
}

int http_stream_open(const struct http_target *target, const struct http_request *req,
		     struct http_stream **ret, struct err *err)
{
	usec_t deadline = clock_deadline(req->timeout);
	_cleanup_(close_stream) struct http_stream *s = xcalloc(1, sizeof(*s));
	_cleanup_free_ struct http_head *head = xmalloc(sizeof(*head));

	mutex_init(&s->lock);
	s->early = BUF_INIT(BOUND_HTTP_HEAD);
	s->curl = http_easy_new(target, s->error_text);
	http_head_init(head);
	int rc = connect_to(s, target, req->timeout, err);
	if (rc == 0)
		rc = send_head(s, target, req, deadline, err);
	if (rc == 0 && (rc = read_head(s, head, deadline, err)) == -ERR_PROTOCOL)
		err_transient(err);
	if (rc < 0)
		return rc;
	if (head->status != 101 && (head->status != 200 || head->has_length || head->chunked))
		return refuse(s, head, deadline, err);
	s->plain = target->unix_socket != NULL && head->status == 101;
	*ret = TAKE(s);
	return 0;
}
