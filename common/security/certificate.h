/*
 * certificate.h: one certificate, as celery/security/certificate.py knows it.
 */
#ifndef CELERIAC_SECURITY_CERTIFICATE_H
#define CELERIAC_SECURITY_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "clock.h"
#include "security.h"

struct certificate {
	char *id;
	EVP_PKEY *key;		  /* public */
	usec_t not_before, until; /* wall */
};

/* Of PEM text; what follows the first certificate is not looked at, as in Celery. ERR_INVALID.
 * Given (certificate_free). */
int certificate_parse(struct slice pem, struct certificate **ret, struct err *err) must_check;
void certificate_free(struct certificate *c);
/* 0, or ERR_DENIED: not at this time. */
int certificate_check_time(const struct certificate *c, struct err *err) must_check;
/* ERR_INVALID: no RSA, or a key too short to be trusted. */
int certificate_check_key(const EVP_PKEY *key, struct err *err) must_check;
/* The last error of the library, and none is left. */
const char *certificate_why(char *out, size_t size);

#endif
