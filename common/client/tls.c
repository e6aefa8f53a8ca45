/*
 * tls.c: TLS under a connection: parameters, the handshake, bytes.
 *
 * OpenSSL itself and not hiredis' binding of it: sockets are ours (redis_reply.c says why), the
 * binding verifies no host name, and Debian 12 has none.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "socket.h"

#define RECORD_SIZE (16u << 10) /* of one TLS record; what is written at once */

/* ---- parameters ---- */

static const struct verify_name {
	const char *name;
	enum tls_verify verify;
} verify_names[] = {
	{"required", TLS_VERIFY_REQUIRED},
	{"optional", TLS_VERIFY_OPTIONAL},
	{"none", TLS_VERIFY_NONE},
	{"CERT_REQUIRED", TLS_VERIFY_REQUIRED},
	{"CERT_OPTIONAL", TLS_VERIFY_OPTIONAL},
	{"CERT_NONE", TLS_VERIFY_NONE},
	/* ssl.CERT_… as the numbers they are in Python */
	{"2", TLS_VERIFY_REQUIRED},
	{"1", TLS_VERIFY_OPTIONAL},
	{"0", TLS_VERIFY_NONE},
};

static const struct text_parameter {
	const char *name;
	size_t offset;
} texts[] = {
	{"ca_certs", offsetof(struct tls_options, ca_certs)},
	{"ca_path", offsetof(struct tls_options, ca_path)},
	{"certfile", offsetof(struct tls_options, certfile)},
	{"server_hostname", offsetof(struct tls_options, server_hostname)},
	{"keyfile", offsetof(struct tls_options, keyfile)},
	{"password", offsetof(struct tls_options, password)},
};

static char **text_at(struct tls_options *t, size_t i)
{
	return (char **)(void *)((char *)t + texts[i].offset);
}

static int set_verify(struct tls_options *t, const char *value, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(verify_names); i++) {
		if (strcmp(value, verify_names[i].name) == 0) {
			t->verify = verify_names[i].verify;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID,
		       "ssl_cert_reqs is required, optional or none (or CERT_…), not \"%.40s\"",
		       value);
}

int tls_option_set(struct tls_options *t, const char *name, const char *value, bool *ret_known,
		   struct err *err)
{
	*ret_known = true;
	if (strcmp(name, "cert_reqs") == 0)
		return set_verify(t, value, err);
	if (strcmp(name, "check_hostname") == 0) {
		t->any_host = strcasecmp(value, "false") == 0 || strcmp(value, "0") == 0;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (strcmp(name, texts[i].name) == 0) {
			free(*text_at(t, i));
			*text_at(t, i) = value[0] != '\0' ? xstrdup(value) : NULL;
			return 0;
		}
	}
	*ret_known = false;
	return 0;
}

void tls_options_copy(const struct tls_options *t, struct tls_options *ret)
{
	*ret = *t;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char **text = text_at(ret, i);

		*text = *text ? xstrdup(*text) : NULL;
	}
}

void tls_options_done(struct tls_options *t)
{
	if (t->password)
		wipe(t->password, strlen(t->password));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(TAKE(*text_at(t, i)));
}

/* ---- contexts ---- */

/* What OpenSSL says last, without its file names. */
static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return text ? text : "unknown";
}

static int give_password(char *out, int size, int writing, void *arg)
{
	const char *password = arg;
	size_t len = password ? strlen(password) : 0;

	(void)writing;
	if (size < 0 || len > (size_t)size)
		return 0;
	memcpy(out, password ? password : "", len);
	return (int)len;
}

static int use_files(SSL_CTX *c, const struct tls_options *t, struct err *err)
{
	const char *key = t->keyfile ? t->keyfile : t->certfile;

	if (t->ca_certs || t->ca_path) {
		if (SSL_CTX_load_verify_locations(c, t->ca_certs, t->ca_path) != 1)
			return err_set(err, ERR_INVALID, "TLS: cannot use ssl_ca_certs %s: %s",
				       t->ca_certs ? t->ca_certs : t->ca_path, reason());
	} else if (SSL_CTX_set_default_verify_paths(c) != 1) {
		return err_set(err, ERR_FAILED, "TLS: no certificates of this system: %s",
			       reason());
	}
	SSL_CTX_set_default_passwd_cb(c, give_password);
	SSL_CTX_set_default_passwd_cb_userdata(c, t->password);
	if (t->certfile && SSL_CTX_use_certificate_chain_file(c, t->certfile) != 1)
		return err_set(err, ERR_INVALID, "TLS: cannot use ssl_certfile %s: %s", t->certfile,
			       reason());
	if (key && SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
		return err_set(err, ERR_INVALID, "TLS: cannot use ssl_keyfile %s: %s", key,
			       reason());
	return 0;
}

static int make_context(const struct tls_options *t, SSL_CTX **ret, struct err *err)
{
	SSL_CTX *c;
	int rc;

	ERR_clear_error();
	c = SSL_CTX_new(TLS_client_method());
	if (!c)
		return err_set(err, ERR_FAILED, "TLS: %s", reason());
	(void)SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(c, t->verify == TLS_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
			   NULL);
	rc = use_files(c, t, err);
	if (rc < 0) {
		SSL_CTX_free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

int tls_options_query(const struct url *u, struct tls_options *t, bool *ret_any, bool *ret_reqs,
		      struct err *err)
{
	for (const char *p = u->query; *p != '\0';) {
		size_t len = strcspn(p, "&"), name_len = strcspn(p, "=&");

		if (strncmp(p, "ssl_", 4) == 0) {
			_cleanup_free_ char *name = xstrndup(p, name_len);
			_cleanup_free_ char *value = url_query_get(u, name);
			bool known = false;
			int rc = tls_option_set(t, name + 4, value ? value : "", &known, err);

			if (rc == 0 && !known)
				rc = err_set(err, ERR_INVALID, "there is no parameter %.40s", name);
			if (rc < 0)
				return rc;
			*ret_any = true;
			*ret_reqs |= strcmp(name, "ssl_cert_reqs") == 0;
		}
		p += len + (p[len] == '&');
	}
	return 0;
}

int tls_options_check(const struct tls_options *t, struct err *err)
{
	SSL_CTX *c;
	int rc = make_context(t, &c, err);

	if (rc == 0)
		SSL_CTX_free(c);
	return rc;
}

/* ---- one connection ---- */

static SSL *session(const struct client_socket *sock)
{
	return (SSL *)sock->tls;
}

static int expect_host(SSL *s, const struct tls_options *t, const char *host, struct err *err)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(s);
	unsigned char address[sizeof(struct in6_addr)];
	bool is_ip =
		inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
	int ok = 1;

	if (!is_ip)
		ok = (int)SSL_set_tlsext_host_name(s, host);
	if (ok == 1 && t->verify != TLS_VERIFY_NONE && !t->any_host)
		ok = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
			   : X509_VERIFY_PARAM_set1_host(param, host, 0);
	return ok == 1 ? 0 : err_set(err, ERR_INVALID, "TLS: %.100s is no host name", host);
}

/* What went wrong in a handshake. A certificate that is refused stays refused. */
static int handshake_failed(SSL *s, int why, struct err *err)
{
	long verdict = SSL_get_verify_result(s);

	if (SSL_get_verify_mode(s) != SSL_VERIFY_NONE && verdict != X509_V_OK)
		return err_set(err, ERR_DENIED, "TLS: the server's certificate is refused: %s",
			       X509_verify_cert_error_string(verdict));
	if (why == SSL_ERROR_SSL)
		return err_set(err, ERR_UNAVAILABLE, "TLS: %s", reason());
	return err_set(err, ERR_UNAVAILABLE,
		       "TLS: the server closed the connection; does it speak TLS?");
}

int tls_connect(struct client_socket *sock, const struct tls_options *t, const char *host,
		usec_t deadline, struct err *err)
{
	SSL_CTX *c;
	SSL *s;
	int rc = make_context(t, &c, err);

	if (rc < 0)
		return rc;
	s = SSL_new(c);
	SSL_CTX_free(c); /* the session holds it */
	if (!s || SSL_set_fd(s, sock->fd) != 1) {
		SSL_free(s);
		return err_set(err, ERR_FAILED, "TLS: %s", reason());
	}
	sock->tls = s;
	rc = expect_host(s, t, t->server_hostname ? t->server_hostname : host, err);
	while (rc == 0) {
		int n, why;

		ERR_clear_error();
		n = SSL_connect(s);
		why = SSL_get_error(s, n);
		if (n == 1)
			return 0;
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return handshake_failed(s, why, err);
		rc = socket_wait(sock, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline,
				 err);
	}
	return rc;
}

/* Nothing now: 0; else why. */
static int no_bytes(SSL *s, int n, struct err *err)
{
	switch (SSL_get_error(s, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return err_set(err, ERR_CLOSED, "the server closed the connection");
	case SSL_ERROR_SYSCALL:
		if (errno == 0)
			return err_set(err, ERR_CLOSED, "the server closed the connection");
		return err_set_errno(err, ERR_CLOSED, errno, "TLS");
	default:
		return err_set(err, ERR_CLOSED, "TLS: %s", reason());
	}
}

/* A write to a peer that ended the connection: its last word may still be there to be read, as that
 * it wants a certificate of ours, which TLS 1.3 says after the handshake. */
static int cannot_write(SSL *s, int n, struct err *err)
{
	int rc = no_bytes(s, n, err);
	char byte;

	if (rc < 0 && SSL_get_error(s, n) == SSL_ERROR_SYSCALL) {
		ERR_clear_error();
		n = SSL_read(s, &byte, sizeof(byte));
		if (n <= 0 && SSL_get_error(s, n) == SSL_ERROR_SSL)
			rc = no_bytes(s, n, err);
	}
	return rc;
}

ssize_t tls_write(struct client_socket *sock, const struct iovec *iov, size_t count,
		  struct err *err)
{
	char record[RECORD_SIZE];
	size_t len = 0;
	int n;

	/* One record instead of one per command. A call after one that took nothing begins with the
	 * same bytes and has no fewer, as OpenSSL wants it. */
	for (size_t i = 0; i < count && len < sizeof(record); i++) {
		size_t part = iov[i].iov_len < sizeof(record) - len ? iov[i].iov_len
								    : sizeof(record) - len;

		memcpy(record + len, iov[i].iov_base, part);
		len += part;
	}
	ERR_clear_error();
	errno = 0;
	n = SSL_write(session(sock), record, (int)len);
	return n > 0 ? n : cannot_write(session(sock), n, err);
}

/* Until there is no more, so that poll(2) tells the truth about what is left. */
ssize_t tls_read(struct client_socket *sock, void *data, size_t size, struct err *err)
{
	size_t len = 0;

	while (len < size) {
		int n, rc;

		ERR_clear_error();
		errno = 0;
		n = SSL_read(session(sock), (char *)data + len, (int)(size - len));
		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		if (len > 0)
			break; /* an end is found by the next call */
		rc = no_bytes(session(sock), n, err);
		return rc;
	}
	return (ssize_t)len;
}

void tls_close(struct client_socket *sock)
{
	if (!sock->tls)
		return;
	/* Said without waiting for the answer; a session that failed says nothing. */
	if (!sock->broken)
		(void)SSL_shutdown(session(sock));
	SSL_free(session(sock));
	sock->tls = NULL;
}
