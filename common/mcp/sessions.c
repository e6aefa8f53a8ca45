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
#include "instances.h"
#include "known.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

#define END_TIME   (3 * USEC_PER_SEC)
#define QUIET_TIME (60 * USEC_PER_SEC)

struct mcp_session {
	struct mcp_session *next;
	int64_t server;
	char *conversation, *project; /* "" = none */
	char *hash;
	struct mcp_client *client;
	struct mcp_instance *instance; /* NULL: an external server */
	bool busy, ending, keep;
	bool signing; /* by the sweep, with the lock not held: it is nobody's for a moment */
	usec_t used, signed_at; /* monotonic */
};

struct mcp_sessions {
	struct mcp_instances instances;
	struct mcp_known known;
	struct outbound *outbound;
	usec_t idle;
	struct mutex lock;
	struct cond signed_one;
	/* guarded by lock */
	struct mcp_session *first;
};

/* ---- ends ---- */
/* Out of the list before. */
static void destroy(struct mcp_session *session)
{
	mcp_client_close(session->client, clock_deadline(END_TIME));
	if (session->instance)
		mcp_instance_put(session->instance);
	free(session->conversation);
	free(session->project);
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
		if (!p->busy && !p->signing && wanted(p, arg))
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
		destroy(session);
	mcp_instances_done(&s->instances);
	mcp_known_done(&s->known);
	cond_done(&s->signed_one);
	mutex_done(&s->lock);
	free(s);
}

static bool is_idle(const struct mcp_session *session, const void *arg)
{
	return clock_mono() - session->used >= *(const usec_t *)arg;
}

struct of {
	int64_t server;
	const char *conversation, *project; /* NULL = any */
};

static bool is_of(const struct mcp_session *session, const void *arg)
{
	const struct of *of = arg;

	return session->server == of->server &&
	       (!of->conversation || strcmp(session->conversation, of->conversation) == 0) &&
	       (!of->project || strcmp(session->project, of->project) == 0);
}

int64_t mcp_sessions_end(struct mcp_sessions *s, int64_t server, const char *conversation,
			 const char *project)
{
	const struct of of = {server, conversation, project};
	struct mcp_session *session;
	int64_t count = 0;

	mutex_lock(&s->lock);
	for (struct mcp_session *p = s->first; p; p = p->next)
		if ((p->busy || p->signing) && !p->ending && is_of(p, &of)) {
			p->ending = true;
			count++;
		}
	mutex_unlock(&s->lock);
	while ((session = take(s, is_of, &of))) {
		destroy(session);
		count++;
	}
	return conversation ? count : count + mcp_instances_end(&s->instances, server);
}

/* ---- beginnings ---- */
static const char *text_of(const char *text)
{
	return text ? text : "";
}

/* A free one of the same server, configuration, conversation and project: names of conversations
 * come from messages, and one project's is never another's. */
static bool is_wished(const struct mcp_session *session, const struct mcp_session_wish *w)
{
	return !session->busy && session->server == w->server->id &&
	       strcmp(session->conversation, text_of(w->conversation)) == 0 &&
	       strcmp(session->project, text_of(w->project)) == 0 &&
	       strcmp(session->hash, w->server->hash) == 0;
}

/* One that is given its sign of life is waited for only when there is no other. */
static struct mcp_session *find(struct mcp_sessions *s, const struct mcp_session_wish *w)
{
	struct mcp_session *found;
	bool wait;

	mutex_lock(&s->lock);
	do {
		found = NULL;
		wait = false;
		for (struct mcp_session *p = s->first; p && !found; p = p->next) {
			if (is_wished(p, w) && !p->signing)
				found = p;
			else
				wait |= is_wished(p, w);
		}
		wait &= !found;
		if (wait)
			cond_wait(&s->signed_one, &s->lock); /* it may be gone then */
	} while (wait);
	if (found)
		found->busy = true;
	mutex_unlock(&s->lock);
	return found;
}

/* ---- room ---- */
/* Its end makes room for another instance, or brings that nearer. */
static bool can_go(const struct mcp_session *session)
{
	return !session->busy && !session->signing && session->instance &&
	       mcp_instance_hangs_on_one(session->instance);
}

/* Do they count as one's? A project's do, and of those without one a conversation's. */
static bool same_holder(const struct mcp_session *a, const struct mcp_session *b)
{
	if (a == b)
		return true;
	if (*a->project || *b->project)
		return strcmp(a->project, b->project) == 0;
	return *a->conversation && strcmp(a->conversation, b->conversation) == 0;
}

/* How many instances who has this session has; one that several sessions share is nobody's. */
static size_t held_with(const struct mcp_sessions *s, const struct mcp_session *session)
	REQUIRES(s->lock)
{
	size_t count = 0;

	if (mcp_instance_is_shared(session->instance))
		return 1;
	for (const struct mcp_session *p = s->first; p; p = p->next)
		count += p->instance && !mcp_instance_is_shared(p->instance) &&
			 same_holder(p, session);
	return count;
}

/*
 * Whoever has the most gives up what was not used for the longest time: a project, or conversation,
 * that asks for more and more has to do with its own, and takes nothing from those that have less.
 */
static bool make_room(void *arg)
{
	struct mcp_sessions *s = arg;
	struct mcp_session *found = NULL;
	size_t most = 0;
	usec_t kept = mcp_instances_oldest(&s->instances);

	mutex_lock(&s->lock);
	for (struct mcp_session *p = s->first; p; p = p->next) {
		size_t count = can_go(p) ? held_with(s, p) : 0;

		if (count > most || (count > 0 && count == most && p->used < found->used)) {
			found = p;
			most = count;
		}
	}
	if (found && most == 1 && kept < found->used)
		found = NULL;
	if (found)
		unlink_session(s, found);
	mutex_unlock(&s->lock);
	if (!found)
		return mcp_instances_end_oldest(&s->instances);
	destroy(found);
	return true;
}

struct mcp_sessions *mcp_sessions_new(struct fleet *fleet, struct outbound *outbound,
				      int64_t max_instances, usec_t idle)
{
	struct mcp_sessions *s = xcalloc(1, sizeof(*s));

	mcp_known_init(&s->known);
	mcp_instances_init(&s->instances, fleet, max_instances, make_room, s);
	s->outbound = outbound;
	s->idle = idle;
	mutex_init(&s->lock);
	cond_init(&s->signed_one);
	return s;
}

static int reach(struct mcp_sessions *s, const struct mcp_session_wish *w,
		 struct mcp_session *session, struct mcp_transport **ret, struct err *err)
{
	const struct mcp_server *server = w->server;
	const struct mcp_http_config http = {.url = server->url,
					     .headers = server->headers,
					     .sse = server->transport == MCP_SSE,
					     .outbound = s->outbound};
	int rc;

	if (!server->docker)
		return mcp_http_new(&http, ret, err);
	rc = mcp_instance_get(&s->instances, w, &session->instance, err);
	return rc < 0 ? rc : mcp_instance_transport(session->instance, server, ret, err);
}

/* The last words of a server that did not get so far. */
static int explain(const struct mcp_session *session, struct err *err)
{
	char words[200];

	if (!session->instance || err->code == ERR_CANCELLED)
		return -err->code;
	mcp_instance_words(session->instance, words, sizeof(words));
	if (*words) {
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
	struct mcp_client_config config = {.cancelled = w->cancelled, .hooks = w->hooks};
	int rc = reach(s, w, session, &t, err);

	config.era = mcp_known_get_era(&s->known, w->server, &config.tools_change);
	if (rc == 0) {
		rc = mcp_client_open(t, &config, w->deadline, &session->client, err);
		if (rc < 0)
			explain(session, err);
	}
	if (rc < 0) {
		if (session->instance)
			mcp_instance_put(session->instance);
		return rc;
	}
	mcp_known_put_era(&s->known, w->server, mcp_client_peer(session->client));
	return 0;
}

static bool is_usable(const struct mcp_session *session)
{
	return mcp_client_usable(session->client) &&
	       (!session->instance || mcp_instance_lives(session->instance));
}

/* A free one that is still of use, or NULL. */
static struct mcp_session *find_usable(struct mcp_sessions *s, const struct mcp_session_wish *w)
{
	struct mcp_session *session;

	while ((session = find(s, w))) {
		mcp_client_bind(session->client, w->cancelled, &w->hooks);
		mcp_client_look(session->client);
		if (is_usable(session))
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
	session->conversation = xstrdup(text_of(w->conversation));
	session->project = xstrdup(text_of(w->project));
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

json_t *mcp_sessions_catalogue(struct mcp_sessions *s, const struct mcp_server *server)
{
	return mcp_known_get_catalogue(&s->known, server);
}

void mcp_sessions_keep_catalogue(struct mcp_sessions *s, const struct mcp_server *server,
				 json_t *tools)
{
	mcp_known_put_catalogue(&s->known, server, tools);
}

struct mcp_client *mcp_session_client(const struct mcp_session *session)
{
	return session->client;
}

void mcp_session_put(struct mcp_sessions *s, struct mcp_session *session)
{
	static const struct mcp_hooks nobody;
	bool end;

	mcp_client_bind(session->client, NULL, &nobody);
	mutex_lock(&s->lock);
	session->busy = false;
	session->used = clock_mono();
	end = session->ending || !is_usable(session) ||
	      (!session->conversation[0] && !session->keep);
	if (end)
		unlink_session(s, session);
	mutex_unlock(&s->lock);
	if (end)
		destroy(session);
	else
		mcp_instances_wake(&s->instances);
}

/* ---- signs of life ---- */
/* One that has been quiet for so long, taken. */
static struct mcp_session *take_quiet(struct mcp_sessions *s, usec_t quiet)
{
	struct mcp_session *found = NULL;
	usec_t now = clock_mono();

	mutex_lock(&s->lock);
	for (struct mcp_session *p = s->first; p && !found; p = p->next)
		if (!p->busy && p->instance && now - p->used >= quiet &&
		    now - p->signed_at >= quiet)
			found = p;
	if (found) {
		found->signing = true;
		found->signed_at = now;
	}
	mutex_unlock(&s->lock);
	return found;
}

/* Proxies before an engine cut a stream that is quiet for some minutes, and with it the server's
 * standard streams. That of a server by HTTP has signs of its own (tunnel.c). */
static void give_signs(struct mcp_sessions *s)
{
	usec_t quiet = s->idle / 3 < QUIET_TIME ? s->idle / 3 : QUIET_TIME;
	struct mcp_session *session;

	while ((session = take_quiet(s, quiet))) {
		mcp_client_sign(session->client);
		mutex_lock(&s->lock);
		bool end = session->ending || !is_usable(session);
		session->signing = false;
		if (end)
			unlink_session(s, session);
		cond_broadcast(&s->signed_one);
		mutex_unlock(&s->lock);
		if (end)
			destroy(session);
	}
}

void mcp_sessions_sweep(struct mcp_sessions *s)
{
	struct mcp_session *session;

	give_signs(s);

	while ((session = take(s, is_idle, &s->idle))) {
		log_info("MCP session with server %lld ends: idle", (long long)session->server);
		destroy(session);
	}
	mcp_instances_sweep(&s->instances, s->idle);
}
