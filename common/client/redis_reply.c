/*
 * redis_reply.c: replies as hiredis reads them. The only file that knows the library.
 *
 * hiredis 0.14 (Debian 12) and 1.x share this part of their interface; sockets are ours
 * (socket.c), because 0.14 has no cancellable connect, no close-on-exec and no way to write
 * and read at the same time.
 */
#include "redis_conn.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "mem.h"

/* hiredis' types under our opaque names. */
static redisReader *reader(struct redis_reader *r)
{
	return (redisReader *)r;
}

static const redisReply *reply(const struct redis_reply *r)
{
	return (const redisReply *)r;
}

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

static const redisReplyObjectFunctions *g_theirs;
static redisReplyObjectFunctions g_ours;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;
/* Of the array that was refused last, in the thread that reads. */
static _Thread_local uint64_t t_too_many;

/* An array has room for all of its elements before the first one has come. */
static void *create_array(const redisReadTask *task, element_count count)
{
	if ((uint64_t)count > BOUND_REDIS_ELEMENTS) {
		t_too_many = (uint64_t)count;
		return NULL;
	}
	return g_theirs->createArray(task, count);
}

static void learn_functions(void)
{
	redisReader *r = redisReaderCreate();

	if (r) {
		g_theirs = r->fn; /* static there */
		g_ours = *g_theirs;
		g_ours.createArray = create_array;
		redisReaderFree(r);
	} else {
		BUG("no memory for a reply reader");
	}
}

struct redis_reader *redis_reader_new(void)
{
	redisReader *r;

	pthread_once(&g_once, learn_functions);
	r = redisReaderCreateWithFunctions(&g_ours);
	if (!r)
		BUG("no memory for a reply reader");
	return (struct redis_reader *)r;
}

void redis_reader_free(struct redis_reader *r)
{
	if (r)
		redisReaderFree(reader(r));
}

int redis_reader_feed(struct redis_reader *r, const void *data, size_t len, struct err *err)
{
	if (redisReaderFeed(reader(r), data, len) == REDIS_OK)
		return 0;
	return err_set(err, reader(r)->err == REDIS_ERR_OOM ? ERR_NOMEM : ERR_PROTOCOL, "%s",
		       reader(r)->errstr);
}

int redis_reader_next(struct redis_reader *r, struct redis_reply **ret, struct err *err)
{
	void *found = NULL;

	t_too_many = 0;
	if (redisReaderGetReply(reader(r), &found) != REDIS_OK && t_too_many > 0)
		return err_set(err, ERR_PROTOCOL, "a reply of %" PRIu64 " elements", t_too_many);
	if (reader(r)->err != 0)
		return err_set(err, reader(r)->err == REDIS_ERR_OOM ? ERR_NOMEM : ERR_PROTOCOL,
			       "%s", reader(r)->errstr);
	if (!found)
		return 0;
	*ret = found;
	return 1;
}

bool redis_reader_has_more(const struct redis_reader *r)
{
	const redisReader *known = (const redisReader *)r;

	return known->pos < known->len;
}

enum redis_type redis_reply_type(const struct redis_reply *r)
{
	switch (reply(r)->type) {
	case REDIS_REPLY_STRING:
		return REDIS_STRING;
	case REDIS_REPLY_STATUS:
		return REDIS_STATUS;
	case REDIS_REPLY_ERROR:
		return REDIS_ERROR;
	case REDIS_REPLY_INTEGER:
		return REDIS_INTEGER;
	case REDIS_REPLY_ARRAY:
		return REDIS_ARRAY;
	default: /* nil; what only RESP3 has cannot come, we never ask for it */
		return REDIS_NIL;
	}
}

struct slice redis_reply_str(const struct redis_reply *r)
{
	switch (reply(r)->type) {
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
	case REDIS_REPLY_ERROR:
		return (struct slice){.data = reply(r)->str, .len = reply(r)->len};
	default:
		return (struct slice){.data = ""};
	}
}

int64_t redis_reply_int(const struct redis_reply *r)
{
	char *end;
	long long n;

	if (reply(r)->type == REDIS_REPLY_INTEGER)
		return reply(r)->integer;
	if (reply(r)->type != REDIS_REPLY_STRING || reply(r)->len == 0)
		return 0;
	n = strtoll(reply(r)->str, &end, 10);
	return end == reply(r)->str + reply(r)->len ? n : 0;
}

size_t redis_reply_count(const struct redis_reply *r)
{
	return reply(r)->type == REDIS_REPLY_ARRAY ? reply(r)->elements : 0;
}

char *redis_reply_take_str(struct redis_reply *array, size_t i, size_t *ret_len)
{
	redisReply *item = (redisReply *)(uintptr_t)redis_reply_at(array, i);
	char *text;

	if (item->type != REDIS_REPLY_STRING)
		return NULL;
	text = TAKE(item->str);
	*ret_len = (size_t)item->len;
	item->len = 0;
	return text;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *r, size_t i)
{
	static const redisReply nil = {.type = REDIS_REPLY_NIL};

	if (i >= redis_reply_count(r))
		return (const struct redis_reply *)&nil;
	return (const struct redis_reply *)reply(r)->element[i];
}

void redis_reply_free(struct redis_reply *r)
{
	if (r)
		freeReplyObject(r);
}

bool redis_reply_is_error(const struct redis_reply *r, const char *word)
{
	size_t len = strlen(word);

	return reply(r)->type == REDIS_REPLY_ERROR && reply(r)->len >= len &&
	       memcmp(reply(r)->str, word, len) == 0 &&
	       (reply(r)->len == len || reply(r)->str[len] == ' ');
}

bool redis_reply_is_outage(const struct redis_reply *r)
{
	static const char *const words[] = {"LOADING",	  "READONLY", "MASTERDOWN",
					    "TRYAGAIN",	  "MISCONF",  "OOM",
					    "NOREPLICAS", "BUSY",     "CLUSTERDOWN"};

	if (reply(r)->type != REDIS_REPLY_ERROR)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (redis_reply_is_error(r, words[i]))
			return true;
	return false;
}

int redis_reply_to_err(const struct redis_reply *r, struct err *err)
{
	struct slice text = redis_reply_str(r);
	int rc =
		err_set(err, ERR_FAILED, "%.*s", (int)(text.len > 200 ? 200 : text.len), text.data);

	return redis_reply_is_outage(r) ? err_transient(err) : rc;
}
