/*
 * sha256.c: digests by OpenSSL, alone in a file so that only who needs them is linked with it.
 */
#include <openssl/sha.h>

#include "codec.h"

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256(data, len, digest);
	hex_encode(digest, sizeof(digest), out);
}
