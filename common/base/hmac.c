/*
 * hmac.c: keyed digests by OpenSSL.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "codec.h"

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
		 unsigned char out[HMAC_SHA256_SIZE])
{
	if (HMAC(EVP_sha256(), key, (int)key_len, data, len, out, NULL) == NULL)
		BUG("HMAC");
}
