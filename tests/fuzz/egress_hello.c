/* The name in a TLS greeting: what more bytes say does not change what is known. */
#include "common/sandbox/egress_head.h"
#include "fuzz.h"

int fuzz_egress_hello(const uint8_t *data, size_t size)
{
	char name[OUTBOUND_NAME_BYTES + 1], before[OUTBOUND_NAME_BYTES + 1];
	enum egress_hello whole = egress_hello_read(data, size, name);

	if (whole == HELLO_NAMED)
		FUZZ_CHECK(name[0] != '\0' && memchr(name, '\0', sizeof(name)) != NULL);
	for (size_t len = 0; len < size; len += 1 + size / 16) {
		char *part = malloc(len + (len == 0));
		enum egress_hello said;

		memcpy(part, data, len);
		said = egress_hello_read(part, len, before);
		free(part);
		FUZZ_CHECK(said == HELLO_MORE || said == whole);
		if (said == HELLO_NAMED)
			FUZZ_CHECK(strcmp(name, before) == 0);
	}
	return 0;
}
