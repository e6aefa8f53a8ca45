/*
 * tls.h: how a client verifies a server, and shows who it is: the ssl_* parameters of redis-py and
 * the keys of kombu's broker_use_ssl.
 */
#ifndef CELERIAC_TLS_H
#define CELERIAC_TLS_H

#include "base.h"
#include "err.h"
#include "url.h"

enum tls_verify { TLS_VERIFY_REQUIRED, TLS_VERIFY_OPTIONAL, TLS_VERIFY_NONE };
/* Strings are owned, NULL when not said. */
struct tls_options {
	bool on;
	enum tls_verify verify;	  /* "optional" is "required" for a client, as in Python */
	bool any_host;		  /* check_hostname=false: the certificate may name another */
	char *server_hostname;	  /* asked for and expected instead of the host connected to */
	char *ca_certs, *ca_path; /* neither: the system's */
	char *certfile, *keyfile, *password;
};
/* Reads one parameter, its name without "ssl_": *ret_known is false when there is none of that
 * name. ERR_INVALID names it, never its value when that is a secret. [init] */
int tls_option_set(struct tls_options *t, const char *name, const char *value, bool *ret_known,
		   struct err *err) must_check;
/* The ssl_* parameters of a URL's query, over what `t` says already. *ret_any, *ret_reqs (both only
 * ever set): there was one; it was ssl_cert_reqs. ERR_INVALID names one that there is not. [init]
 */
int tls_options_query(const struct url *u, struct tls_options *t, bool *ret_any, bool *ret_reqs,
		      struct err *err) must_check;
/* Reads every file it names, as a connection will: ERR_INVALID names what cannot be used. [init] */
int tls_options_check(const struct tls_options *t, struct err *err) must_check;
/* Given. [any] */
void tls_options_copy(const struct tls_options *t, struct tls_options *ret);
void tls_options_done(struct tls_options *t);

#endif
