/*
 * egress_tls.h: TLS over a connected, non-blocking socket, for the callback: the worker itself is
 * the client there. [owner]
 */
#ifndef CELERIAC_SANDBOX_EGRESS_TLS_H
#define CELERIAC_SANDBOX_EGRESS_TLS_H

#include <sys/types.h>

#include "outbound.h"

struct egress_tls;
/* `host` is what the certificate must be for, by the roots that OpenSSL uses on this machine. The
 * socket stays the caller's. */
int egress_tls_new(int fd, const struct outbound_host *host, struct egress_tls **ret,
		   struct err *err) must_check;
/* As recv and send: bytes, 0 at the end, or -1 with errno; EAGAIN: *ret_wanted (POLLIN or POLLOUT)
 * is what has to come first. */
ssize_t egress_tls_read(struct egress_tls *t, void *data, size_t size, short *ret_wanted);
ssize_t egress_tls_write(struct egress_tls *t, const void *data, size_t len, short *ret_wanted);
/* Bytes that are here already and that no poll will tell. */
bool egress_tls_has_more(const struct egress_tls *t);
void egress_tls_free(struct egress_tls *t);

#endif
