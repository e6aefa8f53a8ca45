/*
 * engine_fixture.h: a real engine for a test program: an image made on the spot, an instance name
 * nobody else has, and everything of it removed afterwards.
 *
 * The image holds one static program, /probe, compiled by the test (engine_fixture.c says what it
 * does). Every function ends the test when it cannot do its work.
 */
#ifndef CELERIAC_TESTS_ENGINE_FIXTURE_H
#define CELERIAC_TESTS_ENGINE_FIXTURE_H

#include "buf.h"
#include "engine.h"

struct engine_fixture {
	char instance[64]; /* value of the label celeriac.instance */
	char image[96];
	char *probe; /* the program's bytes */
	size_t probe_len;
};

/* Before any engine is opened; from a suite's unchecked setup. */
void engine_fixture_start(struct engine_fixture *f);
/* Removes the instance's containers, the image, and the volume with /probe as the agent. */
void engine_fixture_stop(struct engine_fixture *f);
/* Removes every container of an instance. */
void engine_fixture_clear(const char *instance);

/* A client of its own; engine_close. */
struct engine *engine_fixture_open(const char *instance);

/* Removes a volume and forgives when it is not there. */
void engine_fixture_drop_volume(const char *volume);

#endif
