/*
 * security.h: the X.509 certificates and the private key by which Celery's `auth` serializer signs
 * and verifies (celery/security): RSA with PSS padding, the longest salt, over the bytes of a body.
 *
 * One set for the process, read at its start and immutable afterwards; HUP reads it anew. What a
 * signature does not cover (the headers of a message, so the name of its task) it says nothing of.
 */
#ifndef CELERIAC_SECURITY_H
#define CELERIAC_SECURITY_H

#include "buf.h"
#include "err.h"
#include "settings.h"

struct certificate; /* of somebody who may sign; lives as long as the process */

/*
 * Reads security_key, security_certificate and every file of security_cert_store. All three are
 * needed. ERR_INVALID names the setting and the file: no RSA key of at least 2048 bits, two
 * certificates with one name, a certificate of ours that has expired. One of others that has is a
 * line in `notes`: what it signed is refused. [init]
 */
int security_open(const struct settings *s, struct buf *notes, struct err *err) must_check;
/* Whether there is such a set. [any] */
bool security_is_open(void);
/* For tests and those who end in good order. [init] */
void security_close(void);

/* What Celery calls a certificate: the values of its issuer's name and its serial number, with
 * spaces between them. NULL: nobody is called so. [any] */
const struct certificate *security_find(struct slice id);
const char *security_id(const struct certificate *c);
/* Bytes of a signature by its key. */
size_t security_signature_size(const struct certificate *c);

/* ERR_DENIED: `c` has expired or is not valid yet, or did not sign these bytes. [any] */
int security_verify(const struct certificate *c, struct slice body, struct slice signature,
		    struct err *err) must_check;
/* Appends our signature of `body`. [any] */
int security_sign(struct slice body, struct buf *out, struct err *err) must_check;
/* Our own certificate. */
const struct certificate *security_own(void);
/* Whether what we sign has the form of Celery 5.4 and earlier. */
bool security_old_form(void);

#endif
