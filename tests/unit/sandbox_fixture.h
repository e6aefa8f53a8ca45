/*
 * sandbox_fixture.h: sandboxes for a test, on the machine's real engine and image, with a Redis and
 * an instance name of their own. Every function aborts the test when it cannot do its work.
 */
#ifndef CELERIAC_TESTS_SANDBOX_FIXTURE_H
#define CELERIAC_TESTS_SANDBOX_FIXTURE_H

#include <check.h>

#include "common/sandbox/sandbox_internal.h"
#include "tests/unit/redis_fixture.h"

/* One worker's share of it. */
struct sandbox_worker {
	struct settings settings;
	struct redis_link *link;
	struct presence *presence;
	struct sandbox *sandbox;
};

struct sandbox_fixture {
	char instance[64];
	struct redis_server *server;
	struct redis_address address;
	struct redis *redis;
	struct sandbox_worker one;
};

/* All of main: chooses the instance name for the program's tests, runs them, and removes what they
 * left on the engine, in whatever way they have ended. */
int sandbox_fixture_run(const char *name, TCase *cases);

/* `env`: further settings, "NAME=value", NULL-terminated; or NULL. */
void sandbox_fixture_start(struct sandbox_fixture *f, const char *const *env);
void sandbox_fixture_stop(struct sandbox_fixture *f);

/* In another program: to be a worker of a deployment that a fixture has started. */
void sandbox_fixture_join(struct sandbox_fixture *f, const char *instance, const char *redis_url);

/* Another worker of the same deployment. */
void sandbox_worker_start(struct sandbox_fixture *f, const char *node, const char *const *env,
			  struct sandbox_worker *ret);
/* As a worker ends that is killed: its lease in Redis stays unless `leave`. */
void sandbox_worker_stop(struct sandbox_fixture *f, struct sandbox_worker *w, bool leave);

/* Runs Python; an error fails the test. */
void sandbox_worker_run(struct sandbox_worker *w, const char *conversation, const char *code,
			usec_t timeout, struct sandbox_outcome *ret);

/* The same of code that succeeds, in place of what `o` holds; what it printed, borrowed from `o`.
 */
const char *sandbox_worker_prints(struct sandbox_worker *w, const char *conversation,
				  const char *code, struct sandbox_outcome *o);

/* Redis has done what the worker handed to it. */
void sandbox_worker_settle(struct sandbox_worker *w);
/* After that of the first worker, a command for Redis. */
void sandbox_fixture_tell(struct sandbox_fixture *f, const char *line);

/* Containers of the instance. */
size_t sandbox_fixture_count(void);

#endif
