/*
 * redis_loop.c: hiredis and nothing else, on one thread, against a Redis on the loopback.
 *
 *   redis_loop drain PORT DATABASE COUNT RESULTS        messages of the list "celery" as a worker
 *       would take them: each is popped and recorded as unacked in one step (a script, so that
 *       none is lost), its result is stored and published (if RESULTS is 1), it is acknowledged; in
 *       batches of 256 whose commands are written at once. Prints seconds.
 *   redis_loop latency PORT DATABASE PAUSE_US           messages are the lines of stdin, which go
 *       into that list one by one; prints microseconds from each LPUSH until its result is heard
 * of.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#define BATCH	   256
#define ID_BYTES   36
#define LINE_BYTES (1 << 20)

static const char claim[] = "local m = redis.call('RPOP', KEYS[1]) if not m then return false end "
			    "redis.call('HSET', KEYS[2], ARGV[1], m) "
			    "redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1]) return m";

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "redis_loop: %s failed\n", what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static redisReply *reply_of(redisContext *c)
{
	redisReply *reply = NULL;

	must(redisGetReply(c, (void **)&reply) == REDIS_OK && reply->type != REDIS_REPLY_ERROR,
	     c->errstr[0] != '\0' ? c->errstr : "a command");
	return reply;
}

static void skip(redisContext *c, size_t count)
{
	while (count-- > 0)
		freeReplyObject(reply_of(c));
}

static redisContext *open_to(int port, int database)
{
	redisContext *c = redisConnect("127.0.0.1", port);

	must(c != NULL && c->err == 0, "connecting");
	redisAppendCommand(c, "SELECT %d", database);
	skip(c, 1);
	return c;
}

/* The first "id": "…" of a message, as kombu writes it. */
static const char *id_of(const char *message, size_t len)
{
	static const char name[] = "\"id\": \"";
	const char *at = memmem(message, len, name, sizeof(name) - 1);

	must(at != NULL && at + sizeof(name) - 1 + ID_BYTES < message + len, "finding an id");
	return at + sizeof(name) - 1;
}

/* ---- drain ---- */

static size_t finish(redisContext *c, const redisReply *message, unsigned long number, bool results)
{
	char meta[512];
	const char *id;
	int len;

	if (results) {
		id = id_of(message->str, (size_t)message->len);
		len = snprintf(meta, sizeof(meta),
			       "{\"status\": \"SUCCESS\", \"result\": 1, \"traceback\": null, "
			       "\"children\": [], \"date_done\": "
			       "\"2026-01-01T00:00:00.000000+00:00\", \"task_id\": \"%.*s\"}",
			       ID_BYTES, id);
		redisAppendCommand(c, "SETEX celery-task-meta-%b 86400 %b", id, (size_t)ID_BYTES,
				   meta, (size_t)len);
		redisAppendCommand(c, "PUBLISH celery-task-meta-%b %b", id, (size_t)ID_BYTES, meta,
				   (size_t)len);
	}
	redisAppendCommand(c, "ZREM unacked_index bare:%lu", number);
	redisAppendCommand(c, "HDEL unacked bare:%lu", number);
	return results ? 4 : 2;
}

static void drain(redisContext *c, size_t count, bool results)
{
	redisReply *script, *messages[BATCH];
	double began = now();

	redisAppendCommand(c, "SCRIPT LOAD %s", claim);
	script = reply_of(c);
	for (size_t done = 0; done < count;) {
		size_t n = count - done < BATCH ? count - done : BATCH, owed = 0;

		for (size_t i = 0; i < n; i++)
			redisAppendCommand(
				c, "EVALSHA %s 3 celery unacked unacked_index bare:%lu %ld",
				script->str, (unsigned long)(done + i), (long)time(NULL));
		for (size_t i = 0; i < n; i++) {
			messages[i] = reply_of(c);
			must(messages[i]->type == REDIS_REPLY_STRING, "taking a message");
		}
		for (size_t i = 0; i < n; i++) {
			owed += finish(c, messages[i], (unsigned long)(done + i), results);
			freeReplyObject(messages[i]);
		}
		skip(c, owed);
		done += n;
	}
	freeReplyObject(script);
	printf("%.6f\n", now() - began);
}

/* ---- latency ---- */

static void hear(redisContext *heard, const char *id)
{
	for (;;) {
		redisReply *r = reply_of(heard);
		bool found = r->elements == 4 && (size_t)r->element[2]->len > ID_BYTES &&
			     memcmp(r->element[2]->str + r->element[2]->len - ID_BYTES, id,
				    ID_BYTES) == 0 &&
			     strstr(r->element[3]->str, "\"SUCCESS\"") != NULL;

		freeReplyObject(r);
		if (found)
			return;
	}
}

static void latency(redisContext *c, redisContext *heard, useconds_t pause)
{
	char *line = malloc(LINE_BYTES);

	must(line != NULL, "malloc");
	redisAppendCommand(heard, "PSUBSCRIBE celery-task-meta-*");
	skip(heard, 1);
	while (fgets(line, LINE_BYTES, stdin)) {
		size_t len = strcspn(line, "\n");
		int done = 0;
		double began;

		usleep(pause);
		began = now();
		redisAppendCommand(c, "LPUSH celery %b", line, len);
		while (!done)
			must(redisBufferWrite(c, &done) == REDIS_OK, "writing");
		hear(heard, id_of(line, len));
		printf("%.1f\n", (now() - began) * 1e6);
		skip(c, 1);
	}
	free(line);
}

int main(int argc, char **argv)
{
	redisContext *c, *heard;

	must(argc >= 5, "reading the command line");
	c = open_to(atoi(argv[2]), atoi(argv[3]));
	if (strcmp(argv[1], "drain") == 0) {
		must(argc == 6, "reading the command line");
		drain(c, strtoul(argv[4], NULL, 10), argv[5][0] == '1');
	} else {
		heard = open_to(atoi(argv[2]), atoi(argv[3]));
		latency(c, heard, (useconds_t)atoi(argv[4]));
		redisFree(heard);
	}
	redisFree(c);
	return 0;
}
