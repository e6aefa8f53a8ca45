/*
 * codec.h: small pure encodings. All [any].
 */
#ifndef CELERIAC_CODEC_H
#define CELERIAC_CODEC_H

#include "buf.h"
#include "err.h"

/* Standard alphabet with padding. */
void base64_encode(const void *data, size_t len, struct buf *out);
/* Ignores ASCII white space; anything else outside the alphabet, or wrong padding, is ERR_INVALID.
 * Appends to `out`. */
int base64_decode(const char *text, size_t len, struct buf *out, struct err *err) must_check;
/* Whether it could be decoded, without memory for what comes out. ERR_INVALID. */
int base64_check(const char *text, size_t len, struct err *err) must_check;

void hex_encode(const void *data, size_t len, char *out /* 2 * len + 1 */);

/* A random (version 4) UUID, 36 characters and NUL. */
#define UUID_SIZE 37
void uuid4(char out[UUID_SIZE]);

/* One made of `name` (version 8, which leaves its bits to whoever makes it): the same for the same.
 */
void uuid8(const char *name, char out[UUID_SIZE]);

/* Bytes from the kernel's generator; aborts if there are none. */
void random_bytes(void *out, size_t len);

/* Lower-case hex SHA-256, 64 characters and NUL. */
#define SHA256_HEX_SIZE 65
void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE]);

/* The same of SHA-1, of several pieces one after the other, cut to `size` with its NUL: names for
 * what is the same, nothing that must not be forged. */
#define SHA1_HEX_SIZE 41
void sha1_hex(const struct slice *pieces, size_t count, char *out, size_t size);

#define HMAC_SHA256_SIZE 32
void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
		 unsigned char out[HMAC_SHA256_SIZE]);

/* Length of the valid UTF-8 sequence at `s` (1-4), 0 if there is none. Surrogates and overlong
 * forms are invalid. */
size_t utf8_valid(const char *s, size_t len);
/* Whether `s` has a character below U+0020, or U+007F. */
bool utf8_has_control(const char *s, size_t len);
/* Appends `data` with every invalid byte (and NUL if `no_nul`) replaced by U+FFFD. */
void utf8_clean(const char *data, size_t len, bool no_nul, struct buf *out);

#endif
