/*
 * sessions.c: sessions found, opened, kept and ended.
 *
 * The lock is held for the list alone, never while a server is started, asked or ended.
 */
#include "mcp_sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

#define END_TIME   (3 * USEC_PER_SEC)
#define LOOK_AGAIN (100 * USEC_PER_MSEC) /* at whether somebody asked us to stop */
#define ERAS	   256			 /* servers whose generation is remembered */

/* A server in a container, and its last words once it is gone. */
struct instance {
	struct sandbox_server *server;
	char words[200];
};

struct mcp_session {
	struct mcp_session *next;
	int64_t server;
	char *conversation; /* "" = none */
	char *hash;
	struct mcp_client *client;
	struct instance instance; /* server NULL: none, or ended by its pipe */
	bool has_instance;
	char container[ENGINE_ID_SIZE];
	bool busy, ending, keep;
	usec_t used; /* monotonic */
};

/* What is known of a server's configuration. */
struct era_row {
	int64_t server;
	char hash[65];
	enum mcp_era era;
};

struct mcp_sessions {
	struct sandbox *sandbox;
	struct outbound *outbound;
	int64_t max_instances;
	usec_t idle;
	struct mutex lock;
	/* guarded by lock */
	struct mcp_session *first;
	int64_t instances;
	struct cond changed; /* a place or a session is free */
	struct era_row eras[ERAS];
	size_t next_era;
};

struct mcp_sessions *mcp_sessions_new(struct sandbox *sandbox, struct outbound *outbound,
				      int64_t max_instances, usec_t idle)
{
	struct mcp_sessions *s = xcalloc(1, sizeof(*s));

	s->sandbox = sandbox;
	s->outbound = outbound;
	s->max_instances = max_instances;
	s->idle = idle;
	mutex_init(&s->lock);
	cond_init(&s->changed);
	return s;
}

/* ---- a server's container as a pipe ---- */
static ssize_t pipe_read(void *arg, void *data, size_t size, usec_t deadline, struct err *err)
{
	struct instance *i = arg;

	return sandbox_server_read(i->server, data, size, deadline, err);
}

static int pipe_write(void *arg, const void *data, size_t len, usec_t deadline, struct err *err)
{
	struct instance *i = arg;

	return sandbox_server_write(i->server, data, len, deadline, err);
}

static void pipe_close(void *arg, usec_t deadline)
{
	struct instance *i = arg;
	const char *words = sandbox_server_stderr(i->server);
	size_t len = strlen(words);

	if (len >= sizeof(i->words))
		words += len - sizeof(i->words) + 1;
	snprintf(i->words, sizeof(i->words), "%s", words);
	sandbox_server_end(TAKE(i->server), deadline);
}

/* ---- the generation of a server ---- */
static enum mcp_era known_era(struct mcp_sessions *s, const struct mcp_server *server)
{
	enum mcp_era era = MCP_ERA_UNKNOWN;

	mutex_lock(&s->lock);
	for (size_t i = 0; i < ERAS; i++)
		if (s->eras[i].server == server->id && strcmp(s->eras[i].hash, server->hash) == 0)
			era = s->eras[i].era;
	mutex_unlock(&s->lock);
	return era;
}

static void remember_era(struct mcp_sessions *s, const struct mcp_server *server, enum mcp_era era)
{
	struct era_row *row = NULL;

	mutex_lock(&s->lock);
	for (size_t i = 0; i < ERAS && !row; i++)
		if (s->eras[i].server == server->id)
			row = &s->eras[i];
	if (!row)
		row = &s->eras[s->next_era++ % ERAS];
	row->server = server->id;
	row->era = era;
	snprintf(row->hash, sizeof(row->hash), "%s", server->hash);
	mutex_unlock(&s->lock);
}

/* ---- ends ---- */
/* A place is free again. */
static void leave_place(struct mcp_sessions *s)
{
	mutex_lock(&s->lock);
	s->instances--;
	cond_signal(&s->changed);
	mutex_unlock(&s->lock);
}

/* Out of the list before. */
static void destroy(struct mcp_sessions *s, struct mcp_session *session)
{
	bool instance = session->has_instance;

	mcp_client_close(session->client, clock_deadline(END_TIME));
	if (instance)
		leave_place(s);
	free(session->conversation);
	free(session->hash);
	free(session);
}

static void unlink_session(struct mcp_sessions *s, struct mcp_session *session)
{
	for (struct mcp_session **p = &s->first; *p; p = &(*p)->next)
		if (*p == session) {
			*p = session->next;
			return;
		}
}

/* Takes the first free one that `wanted` says yes to out of the list. */
static struct mcp_session *take(struct mcp_sessions *s,
				bool (*wanted)(const struct mcp_session *session, const void *arg),
				const void *arg)
{
	struct mcp_session *found = NULL;

	mutex_lock(&s->lock);
	for (struct mcp_session *p = s->first; p && !found; p = p->next)
		if (!p->busy && wanted(p, arg))
			found = p;
	if (found)
		unlink_session(s, found);
	mutex_unlock(&s->lock);
	return found;
}

static bool anyone(const struct mcp_session *session unused_arg, const void *arg unused_arg)
{
	return true;
}

void mcp_sessions_free(struct mcp_sessions *s)
{
	struct mcp_session *session;

	if (!s)
		return;
	while ((session = take(s, anyone, NULL)))
		destroy(s, session);
	cond_done(&s->changed);
	mutex_done(&s->lock);
	free(s);
}

static bool is_idle(const struct mcp_session *session, const void *arg)
{
	return clock_mono() - session->used >= *(const usec_t *)arg;
}

void mcp_sessions_sweep(struct mcp_sessions *s)
{
	struct mcp_session *session;

	while ((session = take(s, is_idle, &s->idle))) {
		log_info("MCP session with server %lld ends: idle", (long long)session->server);
		destroy(s, session);
	}
}

struct of {
	int64_t server;
	const char *conversation; /* NULL = any */
};

static bool is_of(const struct mcp_session *session, const void *arg)
{
	const struct of *of = arg;

	return session->server == of->server &&
	       (!of->conversation || strcmp(session->conversation, of->conversation) == 0);
}

int64_t mcp_sessions_end(struct mcp_sessions *s, int64_t server, const char *conversation)
{
	const struct of of = {server, conversation};
	struct mcp_session *session;
	int64_t count = 0;

	mutex_lock(&s->lock);
	for (struct mcp_session *p = s->first; p; p = p->next)
		if (p->busy && !p->ending && is_of(p, &of)) {
			p->ending = true;
			count++;
		}
	mutex_unlock(&s->lock);
	while ((session = take(s, is_of, &of))) {
		destroy(s, session);
		count++;
	}
	return count;
}

size_t mcp_sessions_count(struct mcp_sessions *s)
{
	size_t n = 0;

	mutex_lock(&s->lock);
	for (struct mcp_session *p = s->first; p; p = p->next)
		n++;
	mutex_unlock(&s->lock);
	return n;
}

/* ---- beginnings ---- */
/* A free one of the same server, configuration and conversation. */
static struct mcp_session *find(struct mcp_sessions *s, const struct mcp_server *server,
				const char *conversation)
{
	struct mcp_session *found = NULL;

	mutex_lock(&s->lock);
	for (struct mcp_session *p = s->first; p && !found; p = p->next)
		if (!p->busy && p->server == server->id &&
		    strcmp(p->conversation, conversation) == 0 &&
		    strcmp(p->hash, server->hash) == 0)
			found = p;
	if (found)
		found->busy = true;
	mutex_unlock(&s->lock);
	return found;
}

static bool has_instance(const struct mcp_session *session, const void *arg unused_arg)
{
	return session->has_instance;
}

/* A place for one more instance. An idle one may have to go for it; while all are in use, one is
 * waited for. */
static int take_place(struct mcp_sessions *s, const struct mcp_session_wish *w, struct err *err)
{
	for (;;) {
		struct mcp_session *idle;
		bool room;

		mutex_lock(&s->lock);
		room = s->instances < s->max_instances;
		s->instances += room;
		mutex_unlock(&s->lock);
		if (room)
			return 0;
		idle = take(s, has_instance, NULL);
		if (idle) {
			destroy(s, idle);
			continue;
		}
		if (w->cancelled && atomic_load(w->cancelled))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		if (clock_mono() >= w->deadline)
			return err_set(err, ERR_UNAVAILABLE,
				       "%lld MCP servers run already (MCP_MAX), all in use",
				       (long long)s->max_instances);
		mutex_lock(&s->lock);
		if (s->instances >= s->max_instances)
			cond_wait_until(&s->changed, &s->lock, clock_mono() + LOOK_AGAIN);
		mutex_unlock(&s->lock);
	}
}

static int start_instance(struct mcp_sessions *s, const struct mcp_session_wish *w,
			  struct mcp_session *session, struct mcp_transport **ret, struct err *err)
{
	const struct mcp_server *server = w->server;
	const struct sandbox_server_wish wish = {
		.image = server->image,
		.argv = server->argv,
		.env = server->env,
		.network = server->network,
		.name = server->name,
		.conversation = w->conversation,
		.project = w->project,
	};
	int rc;

	if (!s->sandbox)
		return err_set(err, ERR_UNSUPPORTED, "this worker has no container engine");
	rc = take_place(s, w, err);
	if (rc < 0)
		return rc;
	rc = sandbox_server_start(s->sandbox, &wish, &session->instance.server, err);
	if (rc < 0) {
		leave_place(s);
		return rc;
	}
	session->has_instance = true;
	snprintf(session->container, sizeof(session->container), "%s",
		 sandbox_server_container(session->instance.server));
	*ret = mcp_stdio_new(
		&(struct mcp_pipe){pipe_read, pipe_write, pipe_close, &session->instance});
	return 0;
}

static int reach(struct mcp_sessions *s, const struct mcp_session_wish *w,
		 struct mcp_session *session, struct mcp_transport **ret, struct err *err)
{
	const struct mcp_server *server = w->server;
	const struct mcp_http_config http = {.url = server->url,
					     .headers = server->headers,
					     .sse = server->transport == MCP_SSE,
					     .outbound = s->outbound};

	if (!server->docker)
		return mcp_http_new(&http, ret, err);
	if (server->transport != MCP_STDIO)
		return err_set(err, ERR_UNSUPPORTED,
			       "servers in containers are reached by stdio, not by HTTP");
	return start_instance(s, w, session, ret, err);
}

/* The last words of a server that did not get so far. */
static int explain(struct mcp_sessions *s, const struct mcp_session *session, struct err *err)
{
	const char *words = session->instance.words;

	if (session->has_instance)
		leave_place(s);
	if (*words && err->code != ERR_CANCELLED) {
		struct err why = *err;
		err_set(err, (enum err_code)why.code, "%.120s; it wrote: %s", why.msg, words);
		err->flags = why.flags;
	}
	return -err->code;
}

static int open_session(struct mcp_sessions *s, const struct mcp_session_wish *w,
			struct mcp_session *session, struct err *err)
{
	struct mcp_transport *t = NULL;
	struct mcp_client_config config = {
		.era = known_era(s, w->server), .cancelled = w->cancelled, .hooks = w->hooks};
	int rc = reach(s, w, session, &t, err);

	if (rc < 0)
		return rc;
	rc = mcp_client_open(t, &config, w->deadline, &session->client, err);
	if (rc < 0)
		return explain(s, session, err); /* the instance went with its transport */
	remember_era(s, w->server, mcp_client_peer(session->client)->era);
	return 0;
}

/* A free one that is still of use, or NULL. */
static struct mcp_session *find_usable(struct mcp_sessions *s, const struct mcp_session_wish *w)
{
	struct mcp_session *session;

	while ((session = find(s, w->server, w->conversation ? w->conversation : ""))) {
		mcp_client_bind(session->client, w->cancelled, &w->hooks);
		mcp_client_look(session->client);
		if (mcp_client_usable(session->client))
			break;
		mcp_session_put(s, session);
	}
	return session;
}

int mcp_session_get(struct mcp_sessions *s, const struct mcp_session_wish *w,
		    struct mcp_session **ret, struct err *err)
{
	struct mcp_session *session = find_usable(s, w);

	if (session) {
		*ret = session;
		return 0;
	}
	session = xcalloc(1, sizeof(*session));
	int rc = open_session(s, w, session, err);
	if (rc < 0) {
		free(session);
		return err_wrap(err, "MCP server %.100s", w->server->name);
	}
	session->server = w->server->id;
	session->conversation = xstrdup(w->conversation ? w->conversation : "");
	session->hash = xstrdup(w->server->hash);
	session->keep = !w->server->docker || w->server->keep;
	session->busy = true;
	mutex_lock(&s->lock);
	session->next = s->first;
	s->first = session;
	mutex_unlock(&s->lock);
	*ret = session;
	return 0;
}

struct mcp_client *mcp_session_client(const struct mcp_session *session)
{
	return session->client;
}

const char *mcp_session_container(const struct mcp_session *session)
{
	return session->container;
}

const char *mcp_session_stderr(const struct mcp_session *session)
{
	return session->instance.server ? sandbox_server_stderr(session->instance.server) : "";
}

void mcp_session_put(struct mcp_sessions *s, struct mcp_session *session)
{
	static const struct mcp_hooks nobody;
	bool end;

	mcp_client_bind(session->client, NULL, &nobody);
	mutex_lock(&s->lock);
	session->busy = false;
	session->used = clock_mono();
	end = session->ending || !mcp_client_usable(session->client) ||
	      (!session->conversation[0] && !session->keep);
	if (end)
		unlink_session(s, session);
	cond_signal(&s->changed);
	mutex_unlock(&s->lock);
	if (end)
		destroy(s, session);
}
