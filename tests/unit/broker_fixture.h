/*
 * broker_fixture.h: a broker on a real Redis of its own, for a test program, and what it asks of
 * that Redis.
 */
#ifndef CELERIAC_TESTS_BROKER_FIXTURE_H
#define CELERIAC_TESTS_BROKER_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/broker/redis_broker.h"
#include "clock.h"
#include "mem.h"
#include "tests/unit/redis_fixture.h"

static struct redis_server *g_server;
static struct settings g_settings;
static struct broker *g_broker;
static struct presence *g_presence;
static struct redis *g_redis;
static char *g_queues[] = {(char *)(uintptr_t) "celery", (char *)(uintptr_t) "other \"queue\""};

#define MESSAGE "{\"body\": \"W10=\", \"headers\": {}, \"properties\": {}, \"n\": %d}"

static inline void open_broker(const char *node)
{
	struct err err = {0};

	ck_assert_int_eq(broker_open(&g_settings, &g_broker, &err), 0);
	ck_assert_int_eq(
		redis_open(broker_address(g_broker), "test", 20 * USEC_PER_SEC, &g_redis, &err), 0);
	ck_assert_int_eq(presence_join(g_redis, "", "test", node, clock_deadline(20 * USEC_PER_SEC),
				       &g_presence, &err),
			 0);
	ck_assert_msg(broker_connect(g_broker, g_presence, &err) == 0, "%s", err.msg);
	while (!broker_ready(g_broker)) {
		usleep(1000);
	}
}

static inline void close_broker(void)
{
	presence_leave(g_presence, g_redis);
	presence_free(g_presence);
	redis_close(g_redis);
	broker_close(g_broker, clock_deadline(USEC_PER_SEC));
}

static inline void setup(void)
{
	g_server = redis_server_start(NULL);
	g_settings = (struct settings){.broker_url = redis_server_url(g_server, 0),
				       .broker_transport_options = "",
				       .task_default_queue = "celery",
				       .task_create_missing_queues = true,
				       .worker_queues = {g_queues, 2}};
	open_broker("a");
}

static inline void teardown(void)
{
	close_broker();
	free((char *)(uintptr_t)g_settings.broker_url);
	redis_server_free(g_server);
}

static inline void push(const char *key, const char *message)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;

	ck_assert_int_eq(redis_do(g_redis, &reply, &err, "LPUSH %s %s", key, message), 0);
}

static inline int64_t ask(const char *command, const char *key)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err = {0};

	ck_assert_msg(redis_do(g_redis, &reply, &err, "%s %s", command, key) == 0, "%s", err.msg);
	return redis_reply_int(reply);
}

static inline size_t claim(size_t max, struct delivery *out)
{
	struct err err = {0};
	size_t count = 0;

	ck_assert_msg(broker_claim(g_broker, max, out, &count, &err) == 0, "%s", err.msg);
	return count;
}

static inline void drop(struct delivery *d, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(d[i].data);
	}
}

static inline int number_of(const struct delivery *d)
{
	return atoi(strstr(d->data, "\"n\": ") + 5);
}

static inline void push_number(const char *key, int n)
{
	_cleanup_free_ char *text = xasprintf(MESSAGE, n);

	push(key, text);
}

#endif
