/*
 * TLS for the callback.
 */
#include "egress_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>

#include "mem.h"

struct egress_tls {
	SSL_CTX *ctx;
	SSL *ssl;
};

static bool expect(SSL *ssl, const struct outbound_host *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (host->is_address)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host->name) == 1;
	return X509_VERIFY_PARAM_set1_host(param, host->name, 0) == 1 &&
	       SSL_set_tlsext_host_name(ssl, host->name) == 1;
}

static bool set_up(struct egress_tls *t, int fd, const struct outbound_host *host)
{
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (t->ctx == NULL || SSL_CTX_set_default_verify_paths(t->ctx) != 1 ||
	    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) != 1)
		return false;
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(t->ctx,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* An origin that closes without saying so ends its answer, as an unencrypted one does. */
	SSL_CTX_set_options(t->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	t->ssl = SSL_new(t->ctx);
	if (t->ssl == NULL || !expect(t->ssl, host) || SSL_set_fd(t->ssl, fd) != 1)
		return false;
	SSL_set_connect_state(t->ssl);
	return true;
}

int egress_tls_new(int fd, const struct outbound_host *host, struct egress_tls **ret,
		   struct err *err)
{
	struct egress_tls *t = xcalloc(1, sizeof(*t));

	if (!set_up(t, fd, host)) {
		egress_tls_free(t);
		ERR_clear_error();
		return err_set(err, ERR_FAILED, "TLS cannot be set up");
	}
	*ret = t;
	return 0;
}

static ssize_t judge(struct egress_tls *t, int rc, short *ret_wanted)
{
	int error;

	if (rc > 0)
		return rc;
	error = SSL_get_error(t->ssl, rc);
	ERR_clear_error();
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = EPROTO;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		*ret_wanted = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		errno = EAGAIN;
	}
	return -1;
}

ssize_t egress_tls_read(struct egress_tls *t, void *data, size_t size, short *ret_wanted)
{
	ERR_clear_error();
	return judge(t, SSL_read(t->ssl, data, (int)size), ret_wanted);
}

ssize_t egress_tls_write(struct egress_tls *t, const void *data, size_t len, short *ret_wanted)
{
	ERR_clear_error();
	return judge(t, SSL_write(t->ssl, data, (int)len), ret_wanted);
}

bool egress_tls_has_more(const struct egress_tls *t)
{
	return SSL_pending(t->ssl) > 0;
}

void egress_tls_free(struct egress_tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	free(t);
}
