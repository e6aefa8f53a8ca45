/* sandbox_fixture.c: see sandbox_fixture.h. */
#include "sandbox_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"
#include "mem.h"
#include "tests/unit/suite.h"

#define SETTINGS_MAX 16
#define LONG	     (20 * USEC_PER_SEC)

static char g_instance[64];

static void choose_instance(void)
{
	unsigned char id[6];
	char hex[2 * sizeof(id) + 1];

	random_bytes(id, sizeof(id));
	hex_encode(id, sizeof(id), hex);
	snprintf(g_instance, sizeof(g_instance), "test-%s", hex);
}

static void load_settings(struct sandbox_fixture *f, const char *node, const char *const *env,
			  struct settings *ret)
{
	_cleanup_free_ char *instance = xasprintf("CELERIAC_INSTANCE=%s", f->instance);
	_cleanup_free_ char *name = xasprintf("CELERIAC_NODE=%s", node);
	_cleanup_free_ char *host =
		xasprintf("DOCKER_HOST=%s", getenv("DOCKER_HOST") ? getenv("DOCKER_HOST") : "");
	char *all[SETTINGS_MAX] = {instance, name};
	size_t n = 2;
	struct err err;

	if (getenv("DOCKER_HOST"))
		all[n++] = host;
	for (; env && *env; env++) {
		ck_assert_uint_lt(n, SETTINGS_MAX - 1);
		all[n++] = (char *)(uintptr_t)*env;
	}
	ck_assert_msg(settings_load(all, ret, &err) == 0, "%s", err.msg);
}

void sandbox_worker_start(struct sandbox_fixture *f, const char *node, const char *const *env,
			  struct sandbox_worker *ret)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(64 << 10);
	struct err err;

	*ret = (struct sandbox_worker){0};
	load_settings(f, node, env, &ret->settings);
	ck_assert_int_eq(redis_link_new(&f->address, node, &ret->link, &err), 0);
	ck_assert_msg(presence_join(f->redis, "", f->instance, node,
				    clock_deadline(20 * USEC_PER_SEC), &ret->presence, &err) == 0,
		      "%s", err.msg);
	ck_assert_msg(sandbox_open(&ret->settings, ret->link, "", ret->presence, &ret->sandbox,
				   &err) == 0,
		      "%s", err.msg);
	ck_assert_msg(sandbox_prepare(ret->sandbox, &notes, &err) == 0, "%s", err.msg);
	ck_assert(sandbox_ready(ret->sandbox));
}

void sandbox_worker_stop(struct sandbox_fixture *f, struct sandbox_worker *w, bool leave)
{
	sandbox_close_all(w->sandbox);
	if (leave && w->presence)
		presence_leave(w->presence, f->redis);
	redis_link_free(w->link, clock_deadline(5 * USEC_PER_SEC));
	presence_free(w->presence);
	settings_done(&w->settings);
	*w = (struct sandbox_worker){0};
}

void sandbox_fixture_join(struct sandbox_fixture *f, const char *instance, const char *redis_url)
{
	struct err err;

	*f = (struct sandbox_fixture){0};
	snprintf(f->instance, sizeof(f->instance), "%s", instance);
	ck_assert_int_eq(redis_address_parse(redis_url, &f->address, &err), 0);
	ck_assert_int_eq(redis_open(&f->address, "test", 5 * USEC_PER_SEC, &f->redis, &err), 0);
}

void sandbox_fixture_start(struct sandbox_fixture *f, const char *const *env)
{
	struct redis_server *server = redis_server_start(NULL);
	_cleanup_free_ char *url = redis_server_url(server, 0);

	sandbox_fixture_join(f, g_instance, url);
	f->server = server;
	sandbox_worker_start(f, "one", env, &f->one);
}

static struct engine *open_engine(struct err *err)
{
	struct engine_config config = {.host = getenv("DOCKER_HOST"), .instance = g_instance};
	struct engine *e;

	return engine_open(&config, &e, err) == 0 ? e : NULL;
}

static void clear(void)
{
	_cleanup_free_ struct engine_container *list = NULL;
	struct err err;
	struct engine *e = open_engine(&err);
	size_t n = 0;
	int rc = e ? engine_list(e, &list, &n, &err) : -1;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = engine_remove(e, list[i].id, &err);
	if (rc < 0)
		fprintf(stderr, "containers may be left behind: %s\n", err.msg);
	engine_close(e);
}

void sandbox_fixture_stop(struct sandbox_fixture *f)
{
	if (f->one.sandbox)
		sandbox_worker_stop(f, &f->one, true);
	redis_close(f->redis);
	redis_address_done(&f->address);
	redis_server_free(f->server);
	clear();
}

size_t sandbox_fixture_count(void)
{
	_cleanup_free_ struct engine_container *list = NULL;
	struct err err;
	struct engine *e = open_engine(&err);
	size_t n;

	ck_assert_ptr_nonnull(e);
	ck_assert_msg(engine_list(e, &list, &n, &err) == 0, "%s", err.msg);
	engine_close(e);
	return n;
}

void sandbox_worker_run(struct sandbox_worker *w, const char *conversation, const char *code,
			usec_t timeout, struct sandbox_outcome *ret)
{
	const struct sandbox_run run = {.task_id = "a-task",
					.conversation = conversation,
					.language = "python",
					.code = {code, strlen(code)},
					.timeout = timeout};
	struct err err;

	ck_assert_msg(sandbox_execute(w->sandbox, &run, ret, &err) == 0, "%s", err.msg);
}

const char *sandbox_worker_prints(struct sandbox_worker *w, const char *conversation,
				  const char *code, struct sandbox_outcome *o)
{
	sandbox_outcome_done(o);
	sandbox_worker_run(w, conversation, code, LONG, o);
	ck_assert_msg(o->status == SANDBOX_OK, "%s %s", sandbox_status_text(o->status),
		      o->stderr_text);
	return o->stdout_text;
}

void sandbox_worker_settle(struct sandbox_worker *w)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err = {0};

	ck_assert_msg(redis_link_do(w->link, clock_deadline(LONG), &reply, &err, "PING") == 0, "%s",
		      err.msg);
}

void sandbox_fixture_tell(struct sandbox_fixture *f, const char *line)
{
	sandbox_worker_settle(&f->one);
	free(redis_server_tell(f->server, line));
}

int sandbox_fixture_run(const char *name, TCase *cases)
{
	choose_instance();
	int status = suite_run(name, cases);
	clear();
	return status;
}
