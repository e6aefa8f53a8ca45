/* replay.h: how a program gives an input of a corpus to its target: once.c, scarce.c. */
#ifndef CELERIAC_TEST_REPLAY_H
#define CELERIAC_TEST_REPLAY_H

#include "fuzz.h"

void replay_input(const struct fuzz_target *t, const uint8_t *data, size_t size);

#endif
