/*
 * fleet.h: the engines of DOCKER_HOST, and which of them has a conversation.
 *
 * Each engine is a struct sandbox of its own. A conversation stays on the engine that has its
 * container, as its entry in the index says; a new one goes where most places are free.
 */
#ifndef CELERIAC_FLEET_H
#define CELERIAC_FLEET_H

#include "sandbox.h"

#define FLEET_MAX 32 /* engines of one worker */

struct fleet;
struct engine_held;

/* Opens the engines that DOCKER_HOST and DOCKER_CERT_PATH name, separated by commas; a single
 * directory of certificates is that of all. They are reached through the roles of `held`
 * (engine_role.h), or NULL. ERR_INVALID says what is wrong with which. As sandbox_open. [init] */
int fleet_open(const struct settings *settings, const struct engine_held *held,
	       struct redis_link *link, const char *key_prefix, const struct presence *presence,
	       struct fleet **ret, struct err *err) must_check;
/* Calls are routed in another Redis than `link` (broker_route_reach): there it is asked who reaches
 * an engine. Before the first call. [init] */
void fleet_route_at(struct fleet *f, struct redis_link *link, const char *key_prefix);
/* Then whoever routes calls is told which engines have the containers of these conversations; "" =
 * there is none. Blocks for seconds at most. [any] */
int fleet_engines_of(struct fleet *f, const char *const *conversations, size_t count,
		     char (*ret)[ENGINE_KEY_SIZE], struct err *err) must_check;
/* NULL is fine. */
void fleet_close(struct fleet *f);

/* Const: [any] */
size_t fleet_count(const struct fleet *f);
struct sandbox *fleet_at(const struct fleet *f, size_t i);
/* As the settings say; for messages. */
const char *fleet_address(const struct fleet *f, size_t i);

/* Is any of them ready? NULL is fine: no. [any] */
bool fleet_ready(const struct fleet *f);
/* One that is ready, with most places free; the first if none is. For what belongs to no
 * conversation. [any] */
struct sandbox *fleet_any(struct fleet *f);
/* The same for a container that is going to be made there: its place is taken until containers are
 * counted next. [any] */
struct sandbox *fleet_take(struct fleet *f);

enum fleet_choice {
	FLEET_HERE,	 /* *ret */
	FLEET_ELSEWHERE, /* an engine that others reach, and we do not: theirs is the call */
	FLEET_WAIT	 /* an engine that nobody reaches now; to be asked again */
};
/*
 * Where a call of this conversation (NULL = of none) is to run. `begun`: the id of a task whose run
 * may have begun before, or NULL. A conversation whose engine was away for SANDBOX_ENGINE_GRACE,
 * while another is ready, goes to that, without its files. Blocks for seconds at most; without an
 * answer of Redis the choice is any engine. [any]
 */
enum fleet_choice fleet_choose(struct fleet *f, const char *conversation, const char *begun,
			       struct sandbox **ret);
/* Was `s` away for so long that its conversations go elsewhere, and is there another? [any] */
bool fleet_is_lost(const struct fleet *f, struct sandbox *s);

/* sandbox_cleanup on all that are ready, together; an error only if it failed on all. */
int fleet_cleanup(struct fleet *f, struct sandbox_report *ret, struct err *err) must_check;

#endif
