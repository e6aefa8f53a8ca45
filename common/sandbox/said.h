/*
 * said.h: the end of what a server has written for people. Private to common/sandbox.
 */
#ifndef CELERIAC_SANDBOX_SAID_H
#define CELERIAC_SANDBOX_SAID_H

#include "base.h"

#define SAID_BYTES 4096
struct said {
	char text[SAID_BYTES + 1]; /* visible ASCII; a line ends with a space */
	size_t len;
};
void said_add(struct said *s, const void *data, size_t len);

#endif
