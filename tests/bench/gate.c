/*
 * gate.c: what the gate, the quota and the audit take of one call, in the functions that the worker
 * calls, with a real Redis and a real PostgreSQL. Started by gate.py.
 *
 *   gate CALLS PAUSE_MS [PROJECT]
 *
 * The settings are those of a worker. Without DATABASE_URL there is no rule, no quota and no row,
 * only the audit's line: the least there is. A line on stdout for each call: nanoseconds of policy
 * and terms, of entering the quota, of leaving it, of the record; and, after a pause like that
 * before each call, of PING on a connection of its own: the least that any question to this Redis
 * takes.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "clock.h"
#include "log.h"
#include "quota.h"
#include "tasks/tasks.h"
#include "worker/gate.h"
#include "worker/worker.h"

#define PATIENCE (30 * USEC_PER_SEC)

static void must(int rc, const struct err *err)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s\n", err->msg);
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static struct redis *bare;

static void open_redis(struct worker *w)
{
	struct redis_address address;
	struct redis_link *link = NULL;
	struct err err = {0};

	must(redis_address_parse(w->settings.broker_url, &address, &err), &err);
	must(redis_open(&address, "bench", PATIENCE, &bare, &err), &err);
	must(presence_join(bare, "", w->settings.instance, "bench", clock_deadline(PATIENCE),
			   &w->presence, &err),
	     &err);
	must(redis_link_new(&address, "bench", &link, &err), &err);
	while (!redis_link_up(link))
		poll(NULL, 0, 1);
	w->quota = quota_new(link, "", w->presence);
}

static void loaded(void *arg unused_arg)
{
}

static void open_worker(struct worker *w)
{
	const struct audit_limits limits = {60, 100, 100};
	struct err err = {0};
	char *name = NULL;

	must(settings_load(NULL, &w->settings, &err), &err);
	must(settings_expand_node(&w->settings, "celery@%h", &name, &err), &err);
	w->settings.worker_hostname = name;
	must(log_open(NULL, LOG_LEVEL_INFO, LOG_FORMAT_CELERY, &err), &err);
	open_redis(w);
	if (w->settings.database_url && *w->settings.database_url)
		must(store_open(&w->settings, &w->store, &err), &err);
	must(audit_open(w->store, &limits, &w->audit, &err), &err);
	must(policy_watch_open(&w->policy, &w->settings, w->store, &err), &err);
	if (w->store)
		must(policy_watch_start(&w->policy, loaded, NULL, &err), &err);
	while (!policy_watch_ready(&w->policy))
		poll(NULL, 0, 1);
}

static void call(struct worker *w, const char *project, long number)
{
	const struct task *task = &task_tools_call_http;
	json_t *values[32] = {0};
	char id[64];
	struct message message = {.id = id, .task = task->name};
	struct request r = {.worker = w,
			    .message = &message,
			    .id = id,
			    .name = task->name,
			    .shown = task->name,
			    .task = task};
	struct task_ctx ctx = {.worker = w, .request = &r, .task = task, .ran = USEC_PER_MSEC};
	int64_t at[5];

	snprintf(id, sizeof(id), "%d-%ld", getpid(), number);
	for (size_t i = 0; i < task->param_count; i++)
		if (strcmp(task->params[i].name, "tool") == 0)
			values[i] = json_string("custom_weather");
		else if (strcmp(task->params[i].name, "conversation_id") == 0)
			values[i] = json_string("a-conversation");
		else if (project && strcmp(task->params[i].name, "project_id") == 0)
			values[i] = json_string(project);
	at[0] = now();
	bool pass = gate_pass(&ctx, values);
	at[1] = now();
	bool open = pass && gate_enter(&ctx) == GATE_OPEN;
	at[2] = now();
	gate_record(&ctx, false, ctx.ran);
	at[3] = now();
	gate_leave(&ctx);
	at[4] = now();
	if (!pass || !open) {
		fprintf(stderr, "a call was refused\n");
		exit(1);
	}
	printf("%lld %lld %lld %lld ", (long long)(at[1] - at[0]), (long long)(at[2] - at[1]),
	       (long long)(at[4] - at[3]), (long long)(at[3] - at[2]));
	for (size_t i = 0; i < task->param_count; i++)
		json_decref(values[i]);
	policy_unref(ctx.policy);
}

static void ping(void)
{
	struct err err = {0};
	int64_t began = now();

	must(redis_do(bare, NULL, &err, "PING"), &err);
	printf("%lld\n", (long long)(now() - began));
}

int main(int argc, char **argv)
{
	static struct worker w;
	const char *project = argc > 3 ? argv[3] : NULL;

	if (argc < 3)
		return 2;
	open_worker(&w);
	for (long i = 0, calls = atol(argv[1]); i < calls; i++) {
		call(&w, project, i);
		poll(NULL, 0, atoi(argv[2]));
		ping();
		poll(NULL, 0, atoi(argv[2]));
	}
	fflush(stdout);
	audit_close(w.audit,
		    clock_deadline(PATIENCE)); /* every row is written; gate.py counts them */
	policy_watch_close(&w.policy);
	return 0;
}
