/*
 * instances.c: containers of servers, started, shared and ended.
 *
 * The lock is held for the list and the numbers alone.
 */
#include "instances.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

#define LOOK_AGAIN (100 * USEC_PER_MSEC) /* at whether somebody asked us to stop */
#define WORDS	   200

struct mcp_instance {
	struct mcp_instances *all;
	struct mcp_instance *next; /* shared ones */
	/* const once it is listed */
	int64_t server;
	char hash[65];
	char name[129];
	bool shared;
	/* the one that is used; both NULL: it has not started, or has ended */
	struct sandbox_server *stdio;
	struct sandbox_service *service;
	char words[WORDS]; /* of one that has ended */
	/* guarded by the lock */
	bool starting, ending, failed;
	struct err why; /* it failed */
	int64_t users;
	usec_t used; /* monotonic */
};

void mcp_instances_init(struct mcp_instances *all, struct fleet *fleet, int64_t max,
			bool (*make_room)(void *arg), void *arg)
{
	*all = (struct mcp_instances){
		.fleet = fleet, .max = max, .make_room = make_room, .arg = arg};
	mutex_init(&all->lock);
	cond_init(&all->changed);
}

void mcp_instances_wake(struct mcp_instances *all)
{
	mutex_lock(&all->lock);
	cond_broadcast(&all->changed);
	mutex_unlock(&all->lock);
}

/* ---- ends ---- */
static void leave_place(struct mcp_instances *all)
{
	mutex_lock(&all->lock);
	all->places--;
	cond_broadcast(&all->changed);
	mutex_unlock(&all->lock);
}

/* Nobody has it any more, and it is not listed. */
static void destroy(struct mcp_instance *i)
{
	sandbox_service_end(i->service);
	leave_place(i->all);
	free(i);
}

static void unlist(struct mcp_instance *i) REQUIRES(i->all->lock)
{
	for (struct mcp_instance **p = &i->all->first; *p; p = &(*p)->next)
		if (*p == i) {
			*p = i->next;
			return;
		}
}

/* Takes the first one that nobody uses and that `wanted` says yes to out of the list. */
static struct mcp_instance *take(struct mcp_instances *all,
				 bool (*wanted)(struct mcp_instance *i, int64_t arg), int64_t arg)
{
	struct mcp_instance *found = NULL;

	mutex_lock(&all->lock);
	for (struct mcp_instance *i = all->first; i && !found; i = i->next)
		if (i->users == 0 && !i->starting && wanted(i, arg))
			found = i;
	if (found)
		unlist(found);
	mutex_unlock(&all->lock);
	return found;
}

static bool anyone(struct mcp_instance *i unused_arg, int64_t arg unused_arg)
{
	return true;
}

static bool is_of(struct mcp_instance *i, int64_t server)
{
	return i->server == server;
}

static bool is_over(struct mcp_instance *i, int64_t idle)
{
	return i->ending || clock_mono() - i->used >= idle || !sandbox_service_lives(i->service);
}

void mcp_instances_done(struct mcp_instances *all)
{
	struct mcp_instance *i;

	while ((i = take(all, anyone, 0)))
		destroy(i);
	cond_done(&all->changed);
	mutex_done(&all->lock);
}

int64_t mcp_instances_end(struct mcp_instances *all, int64_t server)
{
	struct mcp_instance *i;
	int64_t count = 0;

	mutex_lock(&all->lock);
	for (i = all->first; i; i = i->next)
		i->ending |= i->server == server;
	mutex_unlock(&all->lock);
	while ((i = take(all, is_of, server))) {
		destroy(i);
		count++;
	}
	return count;
}

void mcp_instances_sweep(struct mcp_instances *all, usec_t idle)
{
	struct mcp_instance *i;

	while ((i = take(all, is_over, idle))) {
		log_info("MCP server %s ends: %s", i->name,
			 sandbox_service_lives(i->service) ? "idle" : "it is gone");
		destroy(i);
	}
}

void mcp_instance_put(struct mcp_instance *i)
{
	struct mcp_instances *all = i->all;
	bool end = true;

	mutex_lock(&all->lock);
	i->used = clock_mono();
	if (i->shared) {
		i->users--;
		end = i->ending && i->users == 0;
		if (end)
			unlist(i);
		cond_broadcast(&all->changed);
	}
	mutex_unlock(&all->lock);
	if (end)
		destroy(i);
}

static struct mcp_instance *oldest(struct mcp_instances *all) REQUIRES(all->lock)
{
	struct mcp_instance *found = NULL;

	for (struct mcp_instance *i = all->first; i; i = i->next)
		if (i->users == 0 && !i->starting && (!found || i->used < found->used))
			found = i;
	return found;
}

usec_t mcp_instances_oldest(struct mcp_instances *all)
{
	mutex_lock(&all->lock);
	struct mcp_instance *i = oldest(all);
	usec_t used = i ? i->used : USEC_NEVER;
	mutex_unlock(&all->lock);
	return used;
}

bool mcp_instances_end_oldest(struct mcp_instances *all)
{
	mutex_lock(&all->lock);
	struct mcp_instance *i = oldest(all);
	if (i)
		unlist(i);
	mutex_unlock(&all->lock);
	if (i)
		destroy(i);
	return i != NULL;
}

bool mcp_instance_is_shared(const struct mcp_instance *i)
{
	return i->shared;
}

bool mcp_instance_hangs_on_one(struct mcp_instance *i)
{
	mutex_lock(&i->all->lock);
	bool one = !i->shared || i->users == 1;
	mutex_unlock(&i->all->lock);
	return one;
}

bool mcp_instance_lives(const struct mcp_instance *i)
{
	return !i->service || sandbox_service_lives(i->service);
}

void mcp_instance_words(struct mcp_instance *i, char *out, size_t size)
{
	if (i->service)
		sandbox_service_said(i->service, out, size);
	else
		snprintf(out, size, "%s", i->words);
}

/* ---- beginnings ---- */
static int check_wait(const struct mcp_session_wish *w, const char *what, struct err *err)
{
	if (w->cancelled && atomic_load(w->cancelled))
		return err_set(err, ERR_CANCELLED, "asked to stop");
	if (clock_mono() >= w->deadline)
		return err_set(err, ERR_UNAVAILABLE, "%s", what);
	return 0;
}

/* A place for one more. What nobody uses may have to go for it; while all are in use, one is waited
 * for. */
static int take_place(struct mcp_instances *all, const struct mcp_session_wish *w, struct err *err)
{
	char full[80];

	snprintf(full, sizeof(full), "%lld MCP servers run already (MCP_MAX), all in use",
		 (long long)all->max);
	for (;;) {
		bool room;

		mutex_lock(&all->lock);
		room = all->places < all->max;
		all->places += room;
		mutex_unlock(&all->lock);
		if (room)
			return 0;
		if (all->make_room(all->arg))
			continue;
		int rc = check_wait(w, full, err);
		if (rc < 0)
			return rc;
		mutex_lock(&all->lock);
		if (all->places >= all->max)
			cond_wait_until(&all->changed, &all->lock, clock_mono() + LOOK_AGAIN);
		mutex_unlock(&all->lock);
	}
}

/* On the engine with most places free; while one turns out to be away, on another. */
static int start_somewhere(struct mcp_instance *i, const struct sandbox_server_wish *wish,
			   bool stdio, struct err *err)
{
	struct fleet *fleet = i->all->fleet;
	int rc = 0;

	for (size_t n = 0; n < fleet_count(fleet); n++) {
		struct sandbox *sandbox = fleet_take(fleet);

		rc = stdio ? sandbox_server_start(sandbox, wish, &i->stdio, err)
			   : sandbox_service_start(sandbox, wish, &i->service, err);
		if (rc == 0 || !err_is_transient(err) || fleet_count(fleet) == 1)
			break;
		sandbox_look(sandbox);
		if (sandbox_ready(sandbox) || !fleet_ready(fleet))
			break;
	}
	return rc;
}

static int start(struct mcp_instance *i, const struct mcp_session_wish *w, struct err *err)
{
	const struct mcp_server *server = w->server;
	const struct sandbox_server_wish wish = {
		.image = server->image,
		.argv = server->argv,
		.package = server->package,
		.egress = server->egress,
		.port = server->port,
		.env = server->env,
		.network = server->network,
		.name = server->name,
		.conversation = i->shared ? NULL : w->conversation,
		.project = i->shared ? server->project : w->project,
		.deadline = w->deadline,
		.cancelled = w->cancelled,
	};
	int rc = take_place(i->all, w, err);

	if (rc < 0)
		return rc;
	rc = start_somewhere(i, &wish, server->transport == MCP_STDIO, err);
	if (rc < 0)
		leave_place(i->all);
	return rc;
}

static struct mcp_instance *new_instance(struct mcp_instances *all, const struct mcp_server *server,
					 bool shared)
{
	struct mcp_instance *i = xcalloc(1, sizeof(*i));

	i->all = all;
	i->server = server->id;
	i->shared = shared;
	i->users = 1;
	i->used = clock_mono();
	snprintf(i->hash, sizeof(i->hash), "%s", server->hash);
	snprintf(i->name, sizeof(i->name), "%s", server->name);
	return i;
}

static struct mcp_instance *find(struct mcp_instances *all, const struct mcp_server *server)
	REQUIRES(all->lock)
{
	struct mcp_instance *found = NULL;

	for (struct mcp_instance *i = all->first; i; i = i->next) {
		if (i->server != server->id || i->ending)
			continue;
		if (strcmp(i->hash, server->hash) != 0 ||
		    (!i->starting && !sandbox_service_lives(i->service)))
			i->ending = true; /* of another configuration, or gone */
		else
			found = i;
	}
	return found;
}

static bool is_ending(struct mcp_instance *i, int64_t server)
{
	return i->server == server && i->ending;
}

/* Waits for who starts it; then it is ours too. ERR_CONFLICT: that one was called off, another has
 * to. */
static int join(struct mcp_instances *all, struct mcp_instance *i, const struct mcp_session_wish *w,
		struct err *err)
{
	int rc = 0;
	bool last;

	mutex_lock(&all->lock);
	while (rc == 0 && i->starting) {
		cond_wait_until(&all->changed, &all->lock, clock_mono() + LOOK_AGAIN);
		if (i->starting)
			rc = check_wait(w, "it did not start within the time", err);
	}
	if (rc == 0 && i->failed) {
		*err = i->why;
		rc = -err->code;
		if (rc == -ERR_CANCELLED || rc == -ERR_TIMEOUT)
			rc = err_set(err, ERR_CONFLICT, "whoever started it has given up");
	}
	last = rc < 0 && --i->users == 0 && i->failed;
	mutex_unlock(&all->lock);
	if (last)
		free(i);
	return rc;
}

static int start_shared(struct mcp_instance *i, const struct mcp_session_wish *w, struct err *err)
{
	struct mcp_instances *all = i->all;
	int rc = start(i, w, err);
	bool last = false;

	mutex_lock(&all->lock);
	i->starting = false;
	if (rc < 0) {
		i->failed = true;
		i->why = *err;
		unlist(i);
		last = --i->users == 0;
	}
	cond_broadcast(&all->changed);
	mutex_unlock(&all->lock);
	if (last)
		free(i);
	return rc;
}

static int get_shared(struct mcp_instances *all, const struct mcp_session_wish *w,
		      struct mcp_instance **ret, struct err *err)
{
	int rc;

	do {
		struct mcp_instance *i, *old;
		bool starter = false;

		while ((old = take(all, is_ending, w->server->id)))
			destroy(old);
		mutex_lock(&all->lock);
		i = find(all, w->server);
		if (i) {
			i->users++;
		} else {
			starter = true;
			i = new_instance(all, w->server, true);
			i->starting = true;
			i->next = all->first;
			all->first = i;
		}
		mutex_unlock(&all->lock);
		rc = starter ? start_shared(i, w, err) : join(all, i, w, err);
		if (rc == 0)
			*ret = i;
	} while (rc == -ERR_CONFLICT && clock_mono() < w->deadline);
	return rc;
}

int mcp_instance_get(struct mcp_instances *all, const struct mcp_session_wish *w,
		     struct mcp_instance **ret, struct err *err)
{
	struct mcp_instance *i;

	if (!all->fleet)
		return err_set(err, ERR_UNSUPPORTED, "this worker has no container engine");
	if (w->server->keep && w->server->transport != MCP_STDIO)
		return get_shared(all, w, ret, err);
	i = new_instance(all, w->server, false);
	int rc = start(i, w, err);
	if (rc < 0) {
		free(i);
		return rc;
	}
	*ret = i;
	return 0;
}

/* ---- the ways to it ---- */
static ssize_t pipe_read(void *arg, void *data, size_t size, usec_t deadline, struct err *err)
{
	return sandbox_server_read(((struct mcp_instance *)arg)->stdio, data, size, deadline, err);
}

static int pipe_write(void *arg, const void *data, size_t len, usec_t deadline, struct err *err)
{
	return sandbox_server_write(((struct mcp_instance *)arg)->stdio, data, len, deadline, err);
}

static void pipe_close(void *arg, usec_t deadline)
{
	struct mcp_instance *i = arg;
	const char *words = sandbox_server_stderr(i->stdio);
	size_t len = strlen(words);

	if (len >= sizeof(i->words))
		words += len - sizeof(i->words) + 1;
	snprintf(i->words, sizeof(i->words), "%s", words);
	sandbox_server_end(TAKE(i->stdio), deadline);
}

int mcp_instance_transport(struct mcp_instance *i, const struct mcp_server *server,
			   struct mcp_transport **ret, struct err *err)
{
	struct mcp_http_config http = {.url = server->url, .sse = server->transport == MCP_SSE};

	if (i->service) {
		http.local = (struct http_local){sandbox_service_connect, i->service};
		return mcp_http_new(&http, ret, err);
	}
	*ret = mcp_stdio_new(&(struct mcp_pipe){pipe_read, pipe_write, pipe_close, i});
	return 0;
}
