/* http_fixture.c: see http_fixture.h. */
#include "http_fixture.h"

#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct server {
	int fd;
	pthread_t thread;
	char path[64], url[64];
	struct http_reply replies[HTTP_REPLIES];
	size_t count;
	pthread_mutex_t lock;
	/* guarded by lock */
	size_t connections, requests;
	char request[8192]; /* the last one */
};

static struct server g_server = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct http_target g_target;

static void send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

bool http_fixture_asked(const char *text)
{
	pthread_mutex_lock(&g_server.lock);
	bool found = strstr(g_server.request, text) != NULL;
	pthread_mutex_unlock(&g_server.lock);
	return found;
}

static bool read_request(struct server *s, int fd)
{
	char in[sizeof(s->request)];
	size_t have = 0;

	for (;;) {
		ssize_t n = recv(fd, in + have, sizeof(in) - 1 - have, 0);
		if (n <= 0)
			return false;
		have += (size_t)n;
		in[have] = '\0';
		const char *end = strstr(in, "\r\n\r\n");
		const char *length = strstr(in, "Content-Length: ");
		size_t body = length ? strtoul(length + 16, NULL, 10) : 0;
		if (!end || have < (size_t)(end - in) + 4 + body)
			continue;
		pthread_mutex_lock(&s->lock);
		memcpy(s->request, in, sizeof(in));
		s->requests++;
		pthread_mutex_unlock(&s->lock);
		return true;
	}
}

static void echo(int fd)
{
	char piece[4096];
	ssize_t n;

	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
		send_all(fd, piece, (size_t)n);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	size_t next = 0;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		pthread_mutex_lock(&s->lock);
		s->connections++;
		pthread_mutex_unlock(&s->lock);
		enum http_after after = KEEP;
		while (after == KEEP && read_request(s, fd)) {
			const struct http_reply *r = &s->replies[next++ % s->count];
			for (size_t i = 0; i < (r->repeat ? r->repeat : 1); i++)
				send_all(fd, r->text, strlen(r->text));
			after = r->after;
		}
		if (after == ECHO)
			echo(fd);
		if (after == HOLD)
			pause();
		close(fd);
	}
	return NULL;
}

void http_fixture_run(bool tcp, const struct http_reply *replies, size_t count)
{
	struct server *s = &g_server;

	ck_assert_uint_le(count, HTTP_REPLIES);
	memcpy(s->replies, replies, count * sizeof(*replies));
	s->count = count;
	if (tcp) {
		struct sockaddr_in in = {.sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		socklen_t size = sizeof(in);
		s->fd = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&in, size), 0);
		ck_assert_int_eq(getsockname(s->fd, (struct sockaddr *)&in, &size), 0);
		snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", ntohs(in.sin_port));
		g_target = (struct http_target){.base_url = s->url};
	} else {
		struct sockaddr_un un = {.sun_family = AF_UNIX};
		snprintf(s->path, sizeof(s->path), "/tmp/celeriac-http-%d.sock", (int)getpid());
		memcpy(un.sun_path, s->path, sizeof(s->path));
		s->fd = socket(AF_UNIX, SOCK_STREAM, 0);
		ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&un, sizeof(un)), 0);
		g_target = (struct http_target){.base_url = "http://localhost",
						.unix_socket = s->path};
	}
	ck_assert_int_eq(listen(s->fd, 8), 0);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

void http_fixture_clean(void)
{
	if (g_server.path[0])
		unlink(g_server.path);
}

struct http_target *http_fixture_target(void)
{
	return &g_target;
}

size_t http_fixture_connections(void)
{
	pthread_mutex_lock(&g_server.lock);
	size_t n = g_server.connections;
	pthread_mutex_unlock(&g_server.lock);
	return n;
}

size_t http_fixture_requests(void)
{
	pthread_mutex_lock(&g_server.lock);
	size_t n = g_server.requests;
	pthread_mutex_unlock(&g_server.lock);
	return n;
}
