/*
 * From what the client asked for to a connection: decided by name, looked up, judged by address.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bounds.h"
#include "callback.h"
#include "clock.h"
#include "egress_channel.h"
#include "mem.h"

#define LOOKUP_TIME  (5 * USEC_PER_SEC)
#define CONNECT_TIME (5 * USEC_PER_SEC)

static atomic_int descriptors; /* of all runs of this process */

static int deny(struct egress_channel *c, const char *reason, struct err *err)
{
	return channel_refuse(c, 403, "deny", reason, "this host and port are not allowed", err);
}

static int check_caps(struct egress *e, struct err *why)
{
	const struct sandbox_egress *w = e->wish;
	usec_t now = clock_mono();

	if (now - e->second >= USEC_PER_SEC) {
		e->second = now;
		e->in_second = 0;
	}
	if (++e->in_second > w->rate)
		return err_set(why, ERR_DENIED, "more than %lld connections a second",
			       (long long)w->rate);
	if (++e->connections > w->max_connections)
		return err_set(why, ERR_DENIED, "more than %lld connections in one run",
			       (long long)w->max_connections);
	if (e->bytes >= w->max_bytes)
		return err_set(why, ERR_DENIED, "more than %lld bytes in one run",
			       (long long)w->max_bytes);
	return 0;
}

static int check_name(struct egress_channel *c, struct err *why)
{
	const struct sandbox_egress *w = c->egress->wish;
	const struct egress_request *r = &c->request;
	const char *reason = "no rule allows it";
	_cleanup_free_ char *path = r->path ? xstrndup(r->path, strcspn(r->path, "?")) : NULL;

	if (w->allows && !w->allows(w->allows_arg, r->connect ? "https" : "http", &r->host, r->port,
				    path, &reason))
		return err_set(why, ERR_DENIED, "%s", reason);
	return outbound_check_host(w->outbound, w->scope, &r->host, r->port, why);
}

int channel_route(struct egress_channel *c, struct err *err)
{
	const struct outbound_host *host = channel_host(c);
	struct err why;

	if (check_caps(c->egress, &why) < 0)
		return channel_refuse(c, 429, "deny", why.msg, why.msg, err);
	if (!c->callback && check_name(c, &why) < 0)
		return deny(c, why.msg, err);
	if (host->is_address) {
		c->addresses[0] = host->address;
		c->address_count = 1;
		return channel_connect_next(c, err);
	}
	if (lookup_begin(host->name, &c->lookup, &why) < 0)
		return channel_refuse(c, 503, "error", why.msg, why.msg, err);
	c->state = CHANNEL_LOOKUP;
	c->deadline = clock_deadline(LOOKUP_TIME);
	return 0;
}

int channel_looked_up(struct egress_channel *c, struct err *err)
{
	struct err why;
	int rc = lookup_result(c->lookup, c->addresses, &c->address_count, &why);

	lookup_free(c->lookup);
	c->lookup = NULL;
	if (rc < 0)
		return channel_refuse(c, 502, "error", why.msg, "the name cannot be looked up",
				      err);
	/* one bad address is enough: nobody mixes them by mistake */
	for (size_t i = 0; !c->callback && i < c->address_count; i++)
		if (outbound_check_address(c->egress->wish->outbound, c->egress->wish->scope,
					   &c->request.host, &c->addresses[i], c->request.port,
					   &why) < 0)
			return deny(c, why.msg, err);
	return channel_connect_next(c, err);
}

void channel_close_origin(struct egress_channel *c)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	c->fd = -1;
	atomic_fetch_sub(&descriptors, 1);
}

static socklen_t socket_address(const struct ip_address *a, uint16_t port,
				struct sockaddr_storage *ret)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (a->v6) {
		memcpy(&v6.sin6_addr, a->bytes, 16);
		memcpy(ret, &v6, sizeof(v6));
		return sizeof(v6);
	}
	memcpy(&v4.sin_addr, a->bytes, 4);
	memcpy(ret, &v4, sizeof(v4));
	return sizeof(v4);
}

/* A connection that is on its way, or -1. */
static int begin_connecting(const struct ip_address *a, uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t len = socket_address(a, port, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)&address, len) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

int channel_connect_next(struct egress_channel *c, struct err *err)
{
	channel_close_origin(c);
	while (c->next < c->address_count) {
		if (atomic_fetch_add(&descriptors, 1) >= BOUND_EGRESS_DESCRIPTORS) {
			atomic_fetch_sub(&descriptors, 1);
			return channel_refuse(c, 503, "error", "too many connections in all",
					      "too many connections", err);
		}
		c->fd = begin_connecting(&c->addresses[c->next++], channel_port(c));
		if (c->fd >= 0) {
			c->state = CHANNEL_CONNECTING;
			c->deadline = clock_deadline(CONNECT_TIME);
			return 0;
		}
		atomic_fetch_sub(&descriptors, 1);
	}
	return channel_refuse(c, 502, "error", "no address answers", "the host does not answer",
			      err);
}

int channel_connected(struct egress_channel *c, struct err *err)
{
	static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	int error = 0;
	socklen_t len = sizeof(error);
	struct err why;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0)
		return channel_connect_next(c, err);
	c->state = CHANNEL_RELAY;
	c->deadline = USEC_NEVER;
	if (c->callback && c->egress->wish->callback->tls &&
	    egress_tls_new(c->fd, channel_host(c), &c->tls, &why) < 0)
		return channel_refuse(c, 502, "error", why.msg, "the application is away", err);
	if (!c->request.connect)
		return 0;
	if (c->egress->wish->names_count) {
		c->state = CHANNEL_GREETING;
		c->deadline = clock_deadline(EGRESS_GREETING_TIME);
	}
	return channel_send(c, FRAME_CHANNEL_DATA, established, sizeof(established) - 1, err);
}
