/*
 * Requests to the application: the one host that is not looked for outside.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "callback.h"
#include "clock.h"
#include "egress_channel.h"
#include "mem.h"

bool channel_is_callback(const struct egress_channel *c)
{
	return c->egress->wish->callback != NULL && !c->request.connect && c->request.port == 80 &&
	       strcmp(c->request.host.name, CALLBACK_HOST) == 0;
}

/* Never the sandbox's own Celeriac-Run: egress_head.c has left that out. */
int channel_make_callback(struct egress_channel *c, struct err *err)
{
	const struct sandbox_egress *w = c->egress->wish;
	struct egress_request *r = &c->request;
	_cleanup_buf_ struct buf said = r->head;
	int rc;

	r->head = BUF_INIT(3 * EGRESS_HEAD_BYTES); /* `said` has the other now */
	rc = callback_allows(w->callback, r->method, r->path, err);
	if (rc < 0)
		return rc;
	egress_head_begin(r, r->path, &w->callback->host, w->callback->port,
			  w->callback->tls ? 443 : 80);
	buf_append_str(&r->head, EGRESS_RUN_HEADER ": ");
	callback_sign(w->callback, w->task, w->conversation, w->project, clock_wall(), &r->head);
	buf_append_str(&r->head, "\r\n");
	buf_append(&r->head, said.data + r->headers, said.len - r->headers);
	c->callback = true;
	return buf_status(&r->head, err);
}

const struct outbound_host *channel_host(const struct egress_channel *c)
{
	return c->callback ? &c->egress->wish->callback->host : &c->request.host;
}

uint16_t channel_port(const struct egress_channel *c)
{
	return c->callback ? c->egress->wish->callback->port : c->request.port;
}

ssize_t channel_recv(struct egress_channel *c, void *data, size_t size)
{
	ssize_t n;

	if (c->tls == NULL)
		return recv(c->fd, data, size, 0);
	c->tls_wanted = 0;
	n = egress_tls_read(c->tls, data, size, &c->tls_wanted);
	/* that more may come is waited for anyway */
	if (c->tls_wanted == POLLIN)
		c->tls_wanted = 0;
	return n;
}

ssize_t channel_write(struct egress_channel *c, const void *data, size_t len)
{
	if (c->tls == NULL)
		return send(c->fd, data, len, MSG_NOSIGNAL);
	c->tls_wanted = 0;
	return egress_tls_write(c->tls, data, len, &c->tls_wanted);
}
