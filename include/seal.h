/*
 * seal.h: secrets at rest: AES-256-GCM, bound to the place where they lie.
 *
 * "v1:<key id>:<base64 of nonce (12 bytes), ciphertext, tag (16)>". The key id is the first eight
 * hex digits of the key's SHA-256, so that a key can be changed while rows of the old one are still
 * there. The associated data is table.column.id: a sealed value that is moved elsewhere does not
 * open.
 */
#ifndef CELERIAC_SEAL_H
#define CELERIAC_SEAL_H

#include "buf.h"
#include "err.h"

#define SEAL_KEY_BYTES 32
#define SEAL_KEYS      2 /* SECRETS_ENCRYPTION_KEY: the one in use, and the one before */

struct seal_keys {
	size_t count;
	unsigned char key[SEAL_KEYS][SEAL_KEY_BYTES];
	char id[SEAL_KEYS][9];
};
/* `text`: base64 keys, comma-separated, the one in use first; NULL or "" = none. ERR_INVALID, which
 * never holds a part of it. [any] */
int seal_keys_parse(const char *text, struct seal_keys *ret, struct err *err) must_check;
void seal_keys_wipe(struct seal_keys *k);

/* Does `text` have the form of a sealed value? [any] */
bool seal_is_sealed(const char *text);
/* Appends the sealed form. ERR_UNSUPPORTED: there is no key. [any] */
int seal(const struct seal_keys *k, const char *place, const void *secret, size_t len,
	 struct buf *out, struct err *err) must_check;
/* Appends the secret; the caller wipes it. ERR_UNSUPPORTED: no such key; ERR_INVALID: not a sealed
 * value; ERR_DENIED: it was changed, or lies somewhere else than it was sealed for. [any] */
int seal_open(const struct seal_keys *k, const char *place, const char *text, struct buf *out,
	      struct err *err) must_check;

#endif
