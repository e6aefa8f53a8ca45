/*
 * sha1.c: SHA-1 by OpenSSL.
 */
#include <openssl/evp.h>
#include <string.h>

#include "codec.h"

void sha1_hex(const struct slice *pieces, size_t count, char *out, size_t size)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool done = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1;
	char hex[SHA1_HEX_SIZE];

	for (size_t i = 0; done && i < count; i++)
		done = EVP_DigestUpdate(ctx, pieces[i].data, pieces[i].len) == 1;
	if (!done || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
		BUG("SHA-1");
	EVP_MD_CTX_free(ctx);
	hex_encode(digest, (SHA1_HEX_SIZE - 1) / 2, hex);
	size = size < sizeof(hex) ? size : sizeof(hex);
	memcpy(out, hex, size - 1);
	out[size - 1] = '\0';
}
