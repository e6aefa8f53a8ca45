/*
 * socket.h: the bytes of a connection to a server: TCP, a Unix socket, TLS over either's stream.
 *
 * Nothing here blocks but socket_connect and socket_wait, which have a deadline and can be given up
 * from another thread. A socket belongs to one thread at a time.
 */
#ifndef CELERIAC_SOCKET_H
#define CELERIAC_SOCKET_H

#include <sys/uio.h>

#include "tls.h"

struct client_socket {
	int fd;	       /* non-blocking; -1 = none */
	int cancel_fd; /* readable = give up waiting; -1 = none */
	bool broken;   /* by its user: nothing is said to the server when it is closed */
	void *tls;     /* OpenSSL's SSL, or NULL */
};
#define CLIENT_SOCKET_INIT ((struct client_socket){.fd = -1, .cancel_fd = -1})

/* TCP keepalive: TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT; 0 = ours, which find a peer that
 * vanished within half a minute. */
struct socket_keepalive {
	bool off;
	int values[3];
};
struct socket_target {
	const char *host; /* or NULL with … */
	const char *path; /* … a Unix socket */
	int port;
	const struct tls_options *tls;
	struct socket_keepalive keepalive;
};

/* Connects, with TLS where the target has it, until the monotonic `deadline`. ERR_UNAVAILABLE,
 * ERR_TIMEOUT, ERR_CANCELLED; ERR_DENIED: the certificate is refused. */
int socket_connect(struct client_socket *s, const struct socket_target *t, usec_t deadline,
		   struct err *err) must_check;
/* Writes what the kernel takes at once: bytes written, 0 when it takes nothing now, or an error. */
ssize_t socket_write(struct client_socket *s, const struct iovec *iov, size_t count,
		     struct err *err) must_check;
/* Reads what is there into `data`: bytes, 0 when there is nothing now, or an error (ERR_CLOSED at
 * the end). */
ssize_t socket_read(struct client_socket *s, void *data, size_t size, struct err *err) must_check;
/* Waits for poll(2) `events` until the monotonic `deadline`. ERR_TIMEOUT, ERR_CANCELLED. */
int socket_wait(struct client_socket *s, short events, usec_t deadline, struct err *err) must_check;
void socket_close(struct client_socket *s);

/* ---- tls.c: the same of a connection with TLS ---- */
/* The handshake on a socket that is connected to `host`. */
int tls_connect(struct client_socket *s, const struct tls_options *t, const char *host,
		usec_t deadline, struct err *err) must_check;
ssize_t tls_write(struct client_socket *s, const struct iovec *iov, size_t count,
		  struct err *err) must_check;
ssize_t tls_read(struct client_socket *s, void *data, size_t size, struct err *err) must_check;
void tls_close(struct client_socket *s);

#endif
