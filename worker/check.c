/*
 * --check: reach every service and say plainly what is wrong. Exit 0 only when the worker would
 * run.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "cage.h"
#include "check.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "serial.h"
#include "transport.h"
#include "worker.h"

#define PATIENCE (5 * USEC_PER_SEC)

void check_verdict(const char *what, const struct err *err, const char *detail, int *failures)
{
	if (err == NULL) {
		printf("ok    %-12s %s\n", what, detail);
		return;
	}
	printf("FAIL  %-12s %s\n", what, err->msg);
	(*failures)++;
}

void check_note(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("note  %-12s ", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static int ping(const char *what, const char *url, const struct redis_tuning *tuning,
		struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct redis_address address = {0};
	struct redis *r = NULL;
	int rc = redis_address_parse_tuned(url, tuning, &address, err);

	if (rc == 0)
		rc = redis_open(&address, "celeriac-check", PATIENCE, &r, err);
	if (rc == 0)
		rc = redis_do(r, &reply, err, "PING");
	if (rc == 0)
		rc = check_redis_keeps(what, r, err);
	redis_close(r);
	if (rc == 0 && redis_address_warning(&address) != NULL)
		printf("note  %s: %s\n", address.safe, redis_address_warning(&address));
	redis_address_done(&address);
	return rc;
}

static void print_notes(const char *what, const char *setting, const struct buf *notes)
{
	for (const char *line = notes->data; line != NULL && *line != '\0';) {
		size_t len = strcspn(line, "\n");

		printf("note  %-12s %s: %.*s\n", what, setting, (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static void check_redis(const char *what, const struct settings *s, enum transport_side side,
			const char *url, int *failures)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct transport_options options = {0};
	struct err err = {0};
	int rc = transport_options_read(s, side, &options, &notes, &err);

	print_notes(what, transport_setting(side), &notes);
	if (rc == 0)
		rc = url && url[0] ? ping(what, url, &options.connection, &err)
				   : err_set(&err, ERR_INVALID, "CELERY_BROKER_URL is not set");
	check_verdict(what, rc < 0 ? &err : NULL, "answers", failures);
	transport_options_done(&options);
}

static void check_amqp(const struct settings *s, int *failures)
{
	struct broker *b = NULL;
	char detail[64] = "";
	struct err err = {0};
	int rc = broker_open(s, &b, &err);

	if (rc == 0)
		rc = broker_reach(b, clock_deadline(PATIENCE), detail, &err);
	check_verdict("broker", rc < 0 ? &err : NULL, detail, failures);
	broker_close(b, 0);
}

static void check_brokers(const struct settings *s, int *failures)
{
	const struct {
		const char *what, *url;
	} further[] = {{"broker read", s->broker_read_url}, {"broker write", s->broker_write_url}};

	if (broker_is_amqp(s)) {
		check_amqp(s, failures);
		return;
	}
	check_redis("broker", s, TRANSPORT_BROKER, s->broker_url, failures);
	for (size_t i = 0; i < ARRAY_LEN(further); i++) {
		if (further[i].url != NULL && further[i].url[0] != '\0')
			check_redis(further[i].what, s, TRANSPORT_BROKER, further[i].url, failures);
	}
}

static void check_backend(const struct settings *s, int *failures)
{
	struct err err = {0};
	int rc = backend_check(s, &err);

	if (rc < 0)
		return; /* that was said */
	if (backend_kind(s) == BACKEND_REDIS)
		check_redis("backend", s, TRANSPORT_BACKEND, s->result_backend, failures);
	else if (backend_kind(s) == BACKEND_DATABASE)
		check_verdict("backend", backend_reach(s, &err) < 0 ? &err : NULL, "answers",
			      failures);
}

static void check_store(const struct settings *s, int *failures)
{
	struct store *store = NULL;
	struct err err = {0};
	char detail[64];
	int version = 0;
	int rc;

	if (s->database_url == NULL || s->database_url[0] == '\0') {
		printf("note  %-12s DATABASE_URL is not set: sandbox and tool tasks are not "
		       "offered\n",
		       "database");
		return;
	}
	rc = store_open(s, &store, &err);
	if (rc == 0)
		rc = store_check(store, &version, &err);
	snprintf(detail, sizeof(detail), "schema version %d", version);
	check_verdict("database", rc < 0 ? &err : NULL, detail, failures);
	if (rc == 0)
		check_pooler(s);
	store_close(store);
}

static void check_way_out(const struct settings *s, int *failures)
{
	struct way_out way_out = {0};
	struct err err = {0};
	int rc = way_out_open(s, &way_out, &err);

	if (strcmp(s->sandbox_network, "egress") == 0 || rc < 0)
		check_verdict("way out", rc < 0 ? &err : NULL, "EGRESS_ALLOW, SANDBOX_CALLBACK_URL",
			      failures);
	way_out_close(&way_out);
}

static void check_one_engine(struct fleet *fleet, size_t i, int *failures)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct err err = {0};
	int rc = sandbox_prepare(fleet_at(fleet, i), &notes, &err);

	if (fleet_count(fleet) > 1)
		printf("      %-12s %s\n", "", fleet_address(fleet, i));
	check_verdict("engine", rc < 0 ? &err : NULL, "answers", failures);
	for (const char *line = notes.data; *line != '\0';) {
		size_t len = strcspn(line, "\n");

		printf("      %-12s %.*s\n", "", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

/* Where it is not the broker's. */
static void check_shared(const struct settings *s, int *failures)
{
	struct err err = {0};

	bool stored = s->database_url != NULL && s->database_url[0] != '\0';

	if (!shared_state_said(s) && !stored)
		check_note("state", "CELERIAC_STATE_URL is not set: " SHARED_STATE_MISSING);
	else if (shared_state_check(s, &err) < 0)
		check_verdict("state", &err, "", failures);
	else if (s->state_url != NULL && s->state_url[0] != '\0')
		check_redis("state", s, TRANSPORT_STATE, s->state_url, failures);
}

/* Who reaches the engine keeps its containers in the shared Redis, so one that cannot be leaves
 * this open. */
static void check_engine(const struct settings *s, int *failures)
{
	struct redis_address address = {0};
	struct redis_link *link = NULL;
	struct fleet *fleet = NULL;
	struct presence *presence = NULL;
	int64_t containers = 0;
	struct err err = {0};
	int rc = shared_state_place(s, &address, &err);

	if (rc < 0) {
		printf("note  %-12s not tried without a Redis that workers share\n", "engine");
		return;
	}
	rc = redis_link_new(&address, "celeriac-check", &link, &err);
	if (rc == 0)
		rc = fleet_open(s, NULL, link, address.key_prefix, presence, &fleet, &err);
	if (rc < 0)
		check_verdict("engine", &err, "", failures);
	for (size_t i = 0; fleet && i < fleet_count(fleet); i++) {
		check_one_engine(fleet, i, failures);
		if (sandbox_ready(fleet_at(fleet, i)))
			containers += sandbox_free_places(fleet_at(fleet, i), false);
	}
	check_descriptors(s, containers);
	fleet_close(fleet);
	if (link != NULL)
		redis_link_free(link, 0);
	redis_address_done(&address);
}

/* Annotations, modules and aliases: what can be run. */
static void check_tasks(const struct settings *s, int *failures)
{
	struct registry registry = {0};
	struct modules modules = {0};
	struct err err = {0};

	if (registry_load(&registry, s, &err) < 0 || modules_load(&modules, &registry, s, &err) < 0)
		check_verdict("tasks", &err, "", failures);
	else if (alias_check(&registry, s->task_aliases, &err) < 0)
		check_verdict("aliases", &err, "", failures);
	else
		printf("ok    %-12s %zu, %zu module(s)\n", "tasks", registry_count(&registry),
		       modules.count);
	modules_done(&modules);
	registry_done(&registry);
}

static int check_autoscale(const struct settings *s, struct err *err)
{
	struct autoscaler a = {0};

	return autoscaler_init(&a, s->worker_autoscale, err);
}

static int check_content(const struct settings *s, struct err *err)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	int rc = serial_open(s, &notes, err);

	for (const char *line = notes.data; *line != '\0'; line += strcspn(line, "\n") + 1)
		printf("note  %-12s %.*s\n", "messages", (int)strcspn(line, "\n"), line);
	return rc;
}

/* The file; what the table says is looked at when it is loaded. */
static int check_policy(const struct settings *s, struct err *err)
{
	struct policy_watch policy = {0};
	int rc;

	if (s->database_url == NULL || s->database_url[0] == '\0')
		return 0; /* there is nothing to ask it about */
	rc = policy_watch_open(&policy, s, NULL, err);

	policy_watch_close(&policy);
	return rc;
}

static int check_plugins(const struct settings *s, struct err *err)
{
	struct plugin_index *index;
	int rc = plugin_index_open(s->plugin_dir, &index, err);

	if (rc == 0)
		plugin_index_close(index);
	return rc;
}

static int check_secrets(const struct settings *s, struct err *err)
{
	struct seal_keys keys = {0};
	int rc = seal_keys_parse(s->secrets_encryption_key, &keys, err);

	seal_keys_wipe(&keys);
	return rc;
}

/* What the worker reads of its settings at the start, without a service: silent when it can. */
static void check_settings(const struct settings *s, int *failures)
{
	static const struct {
		const char *what;
		int (*check)(const struct settings *s, struct err *err);
	} parts[] = {
		{"queues", broker_check_queues}, {"results", backend_check},
		{"control", fanout_check},	 {"autoscale", check_autoscale},
		{"secrets", check_secrets},	 {"plugins", check_plugins},
		{"policy", check_policy},	 {"metrics", metrics_check},
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct err err = {0};

		if (parts[i].check(s, &err) < 0)
			check_verdict(parts[i].what, &err, "", failures);
	}
}

/* What follows is done from inside it, as all the worker's work. */
static void check_cage(const struct settings *s, int *failures)
{
	const struct cage_plan plan = {.settings = s, .listens = s->metrics};
	struct cage_report report;
	struct err err = {0};

	if (cage_enter(&plan, &report, &err) < 0) {
		check_verdict("cage", &err, "", failures);
		return;
	}
	if (report.off)
		printf("note  %-12s off (CELERIAC_CAGE)\n", "cage");
	for (size_t i = 0; !report.off && i < CAGE_PARTS; i++)
		printf("%-5s %-12s %s: %s\n", report.parts[i].holds ? "ok" : "note", "cage",
		       report.parts[i].part, report.parts[i].detail);
}

int check_run(const struct settings *s)
{
	int failures = 0;
	struct err err = {0};

	check_cage(s, &failures);
	if (check_content(s, &err) < 0)
		check_verdict("messages", &err, "", &failures);
	check_brokers(s, &failures);
	check_backend(s, &failures);
	check_shared(s, &failures);
	check_store(s, &failures);
	check_way_out(s, &failures);
	check_engine(s, &failures);
	check_settings(s, &failures);
	check_tasks(s, &failures);
	printf(failures ? "%d check(s) failed\n" : "ready\n", failures);
	return failures ? 1 : 0;
}
