/*
 * random.c: the kernel's random bytes, and what is made of them: UUIDs and their hexadecimal form.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "codec.h"

void hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *in = data;
	for (size_t i = 0; i < len; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

void random_bytes(void *out, size_t len)
{
	unsigned char *to = out;
	while (len > 0) {
		ssize_t n = getrandom(to, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			BUG("no random bytes from the kernel: errno %d", errno);
		to += n;
		len -= (size_t)n;
	}
}

void uuid8(const char *name, char out[UUID_SIZE])
{
	char hex[SHA256_HEX_SIZE];

	sha256_hex(name, strlen(name), hex);
	hex[12] = '8';
	hex[16] = "89ab"[hex[16] & 3];
	snprintf(out, UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
}

void uuid4(char out[UUID_SIZE])
{
	unsigned char b[16];
	random_bytes(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	static const int groups[] = {4, 2, 2, 2, 6};
	const unsigned char *in = b;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		if (i)
			*out++ = '-';
		hex_encode(in, (size_t)groups[i], out);
		in += groups[i];
		out += 2 * groups[i];
	}
}
