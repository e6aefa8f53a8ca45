/*
 * Several engines. See fleet.h.
 */
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "engine_role.h"
#include "log.h"
#include "mem.h"
#include "sandbox_internal.h"

struct fleet {
	const struct settings *settings;
	struct {
		struct sandbox *sandbox;
		char *address;
	} engines[FLEET_MAX];
	size_t count;
	struct index routes; /* where calls are routed, if that is another Redis; else zeros */
};

/* ---- the list ---- */

static int check_lists(const struct settings *s, struct err *err)
{
	const bool roles = engine_way(s) == ENGINE_WAY_ROLE;
	const char *list = engine_hosts(s), *name = roles ? "CELERIAC_ENGINE" : "DOCKER_HOST";
	size_t hosts = engine_host_count(list), paths = engine_host_count(s->docker_cert_path);

	if (hosts > FLEET_MAX)
		return err_set(err, ERR_TOOBIG, "%s: more than %d engines", name, FLEET_MAX);
	if (!roles && paths != 1 && paths != hosts)
		return err_set(err, ERR_INVALID,
			       "DOCKER_CERT_PATH: %zu directories for the %zu engines of "
			       "DOCKER_HOST; one for each, or one for all",
			       paths, hosts);
	for (size_t i = 0; i < hosts; i++) {
		_cleanup_free_ char *host = engine_host_at(list, i);

		if (host[0] == '\0')
			return err_set(err, ERR_INVALID, "%s: entry %zu is empty", name, i + 1);
		for (size_t j = 0; j < i; j++) {
			_cleanup_free_ char *other = engine_host_at(list, j);

			if (strcmp(host, other) == 0)
				return err_set(err, ERR_INVALID, "%s: %.100s is there twice", name,
					       host);
		}
	}
	return 0;
}

static void close_fleet(struct fleet **f)
{
	fleet_close(*f);
}

int fleet_open(const struct settings *settings, const struct engine_held *held,
	       struct redis_link *link, const char *key_prefix, const struct presence *presence,
	       struct fleet **ret, struct err *err)
{
	_cleanup_(close_fleet) struct fleet *f = xcalloc(1, sizeof(*f));
	const char *hosts = engine_hosts(settings);
	bool roles = engine_way(settings) == ENGINE_WAY_ROLE;
	size_t paths = roles ? 1 : engine_host_count(settings->docker_cert_path);
	int rc = check_lists(settings, err);

	f->settings = settings;
	for (size_t i = 0; rc == 0 && i < engine_host_count(hosts); i++) {
		_cleanup_free_ char *path =
			engine_host_at(settings->docker_cert_path, paths > 1 ? i : 0);

		f->engines[i].address = engine_host_at(hosts, i);
		f->count = i + 1;
		rc = sandbox_open_at(settings, f->engines[i].address, path,
				     engine_held_control(held, i), link, key_prefix, presence,
				     &f->engines[i].sandbox, err);
		if (rc == 0)
			f->engines[i].sandbox->several = engine_host_count(hosts) > 1;
	}
	if (rc < 0)
		return rc;
	*ret = TAKE(f);
	return 0;
}

void fleet_route_at(struct fleet *f, struct redis_link *link, const char *key_prefix)
{
	sandbox_index_of_routes(&f->routes, link, key_prefix, f->settings->instance);
}

int fleet_engines_of(struct fleet *f, const char *const *conversations, size_t count,
		     char (*ret)[ENGINE_KEY_SIZE], struct err *err)
{
	_cleanup_free_ struct index_record *records = xcalloc(count + 1, sizeof(*records));
	int rc = sandbox_index_read(&f->engines[0].sandbox->index, conversations, count, records,
				    err);

	if (rc < 0)
		return err_wrap(err, "where conversations are");
	for (size_t i = 0; i < count; i++)
		memcpy(ret[i], records[i].container[0] != '\0' ? records[i].engine : "",
		       records[i].container[0] != '\0' ? sizeof(ret[i]) : 1);
	return 0;
}

void fleet_close(struct fleet *f)
{
	if (f == NULL)
		return;
	sandbox_index_done(&f->routes);
	for (size_t i = 0; i < f->count; i++) {
		sandbox_close_all(f->engines[i].sandbox);
		free(f->engines[i].address);
	}
	free(f);
}

size_t fleet_count(const struct fleet *f)
{
	return f->count;
}

struct sandbox *fleet_at(const struct fleet *f, size_t i)
{
	return f->engines[i].sandbox;
}

const char *fleet_address(const struct fleet *f, size_t i)
{
	return f->engines[i].address;
}

bool fleet_ready(const struct fleet *f)
{
	for (size_t i = 0; f && i < f->count; i++)
		if (sandbox_ready(f->engines[i].sandbox))
			return true;
	return false;
}

/* ---- where ---- */

static struct sandbox *best(struct fleet *f, bool take)
{
	struct sandbox *found = NULL;
	int64_t most = INT64_MIN;
	unsigned char first = 0; /* of equals, every worker begins with another */

	random_bytes(&first, sizeof(first));
	for (size_t i = 0; i < f->count; i++) {
		struct sandbox *s = f->engines[(i + first) % f->count].sandbox;
		int64_t places = sandbox_ready(s) ? sandbox_free_places(s, false) : INT64_MIN;

		if (places > most) {
			most = places;
			found = s;
		}
	}
	if (found && take)
		(void)sandbox_free_places(found, true);
	return found ? found : f->engines[0].sandbox;
}

struct sandbox *fleet_any(struct fleet *f)
{
	return best(f, false);
}

struct sandbox *fleet_take(struct fleet *f)
{
	return best(f, true);
}

bool fleet_is_lost(const struct fleet *f, struct sandbox *s)
{
	usec_t since = sandbox_away_since(s);

	return since != 0 && clock_mono() - since >= f->settings->sandbox_engine_grace &&
	       fleet_ready(f);
}

/* The engine of ours by its name in the index; NULL. */
static struct sandbox *find_by_name(const struct fleet *f, const char *name)
{
	for (size_t i = 0; name[0] && i < f->count; i++) {
		char key[ENGINE_KEY_SIZE];

		sandbox_engine_name(f->engines[i].sandbox, key);
		if (strcmp(key, name) == 0)
			return f->engines[i].sandbox;
	}
	return NULL;
}

typedef int ask_fn(struct sandbox *s, const char *what, bool *ret, struct err *err);

/* The engine that has it, of those that are ready; NULL. */
static struct sandbox *find_by_asking(const struct fleet *f, ask_fn *ask, const char *what)
{
	for (size_t i = 0; i < f->count; i++) {
		struct sandbox *s = f->engines[i].sandbox;
		bool has = false;
		struct err err;

		if (!sandbox_ready(s))
			continue;
		if (ask(s, what, &has, &err) < 0)
			log_debug("engine %s: %s", f->engines[i].address, err.msg);
		else if (has)
			return s;
	}
	return NULL;
}

/* One that we were never told of: do others reach it? What nobody reaches is waited for a while,
 * from when that is seen first: whoever reached it may be about to come back. */
static enum fleet_choice ask_others(struct fleet *f, const char *engine)
{
	struct index *ix = f->routes.link != NULL ? &f->routes : &f->engines[0].sandbox->index;
	usec_t since = 0;
	bool reached = false;
	struct err err;

	if (engine[0] == '\0')
		return FLEET_HERE;
	if (sandbox_index_engine(ix, engine, f->settings->sandbox_engine_grace, &reached, &since,
				 &err) < 0) {
		log_debug("engine %s: %s", engine, err.msg);
		return FLEET_WAIT;
	}
	if (reached)
		return FLEET_ELSEWHERE;
	return since >= f->settings->sandbox_engine_grace ? FLEET_HERE : FLEET_WAIT;
}

/* The engine to whose container of the conversation we are attached, and nobody after us; NULL. */
static struct sandbox *find_attached(const struct fleet *f, const char *conversation)
{
	for (size_t i = 0; i < f->count; i++) {
		struct sandbox *s = f->engines[i].sandbox;

		if (sandbox_ready(s) && sandbox_live_has(s, conversation))
			return s;
	}
	return NULL;
}

/* The engine that has the conversation, NULL = none has; FLEET_HERE, or where else it is. */
static enum fleet_choice find_home(struct fleet *f, const char *conversation, struct sandbox **ret)
{
	struct index *ix = &f->engines[0].sandbox->index;
	struct index_record r = {0};
	struct err err;

	*ret = find_attached(f, conversation);
	if (*ret != NULL || sandbox_index_read(ix, &conversation, 1, &r, &err) < 0)
		return FLEET_HERE;
	if (!r.known && f->count > 1)
		*ret = find_by_asking(f, sandbox_has_conversation, conversation);
	if (!r.container[0])
		return FLEET_HERE;
	*ret = find_by_name(f, r.engine);
	if (*ret == NULL)
		*ret = find_by_asking(f, sandbox_has, r.container);
	return *ret ? FLEET_HERE : ask_others(f, r.engine);
}

/* Every engine of ours has said what it is called: without that, none can be told from others'. */
static bool all_known(const struct fleet *f)
{
	for (size_t i = 0; i < f->count; i++) {
		char key[ENGINE_KEY_SIZE];

		sandbox_engine_name(f->engines[i].sandbox, key);
		if (key[0] == '\0')
			return false;
	}
	return true;
}

enum fleet_choice fleet_choose(struct fleet *f, const char *conversation, const char *begun,
			       struct sandbox **ret)
{
	enum fleet_choice choice = FLEET_HERE;
	struct sandbox *home = NULL;

	if (f->count > 1 && begun)
		home = find_by_asking(f, sandbox_has_run, begun);
	if (home == NULL && conversation)
		choice = find_home(f, conversation, &home);
	if (choice != FLEET_HERE && (f->count == 1 || all_known(f)))
		return choice;
	if (home == NULL || fleet_is_lost(f, home))
		home = best(f, true);
	*ret = home;
	return FLEET_HERE;
}

int fleet_cleanup(struct fleet *f, struct sandbox_report *ret, struct err *err)
{
	struct sandbox_report all = {0};
	size_t done = 0;
	int rc = 0;

	for (size_t i = 0; i < f->count; i++) {
		struct sandbox_report one = {0};

		if (f->count > 1 && !sandbox_ready(f->engines[i].sandbox))
			continue;
		rc = sandbox_cleanup(f->engines[i].sandbox, &one, err);
		if (rc < 0) {
			if (f->count > 1)
				log_warning("engine %s: %s", f->engines[i].address, err->msg);
			continue;
		}
		done++;
		all.idle += one.idle;
		all.orphans += one.orphans;
		all.kept += one.kept;
		all.failed += one.failed;
	}
	if (done == 0)
		return rc < 0 ? rc : err_set(err, ERR_UNAVAILABLE, "no engine answers");
	*ret = all;
	return 0;
}
