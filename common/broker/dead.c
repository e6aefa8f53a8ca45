/*
 * dead.c: what is done with dead letters. See dead.h.
 */
#include "dead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "dead_queue.h"
#include "json.h"
#include "mem.h"
#include "redis_broker.h"

extern const char script_dead_list[], script_dead_take[];

#define PATIENCE    (10 * USEC_PER_SEC)
#define PAGE	    50
#define WHOLE	    (1 << 30)
#define FOUND_AGAIN 3 /* looks for one whose place changed meanwhile */
#define NODE_LISTS  "celeriac.node."

struct dead {
	struct broker *broker;	     /* names and options; it claims nothing */
	struct dead_queue *in_queue; /* there is no Redis; or NULL, and: */
	struct redis *redis;
	struct redis_script list, take;
	const char *instance;
	int64_t near; /* where the last one was found: the next stands there now, or after it */
};

int dead_open(const struct settings *s, struct dead **ret, struct err *err)
{
	struct dead *d = xcalloc(1, sizeof(*d));
	int rc = broker_open(s, &d->broker, err);

	if (rc == 0 && d->broker->link == NULL)
		rc = dead_queue_open(d->broker, &d->in_queue, err);
	else if (rc == 0)
		rc = redis_open(&d->broker->address, "celeriac-dead", PATIENCE, &d->redis, err);
	if (rc < 0) {
		dead_close(d);
		return rc;
	}
	redis_script_init(&d->list, script_dead_list);
	redis_script_init(&d->take, script_dead_take);
	d->instance = s->instance;
	*ret = d;
	return 0;
}

void dead_close(struct dead *d)
{
	if (d == NULL)
		return;
	redis_close(d->redis);
	broker_close(d->broker, d->in_queue != NULL ? clock_deadline(PATIENCE) : 0);
	dead_queue_close(d->in_queue);
	free(d);
}

void dead_letter_done(struct dead_letter *d)
{
	json_decref(d->said);
	free(d->message);
	*d = (struct dead_letter){0};
}

/* What was put there by somebody else has no line before it. */
static void read_letter(struct slice entry, size_t bytes, struct dead_letter *ret)
{
	const char *end = memchr(entry.data, '\n', entry.len);
	struct err err;

	if (end == NULL ||
	    json_load_python(entry.data, (size_t)(end - entry.data), &ret->said, &err) < 0 ||
	    !json_is_object(ret->said)) {
		json_decref(ret->said);
		ret->said = json_object();
		end = entry.data - 1;
	}
	ret->len = entry.len - (size_t)(end + 1 - entry.data);
	ret->message = xmemdup(end + 1, ret->len);
	ret->bytes = bytes;
	ret->whole = entry.len == bytes;
}

static struct slice number(char out[24], long long n)
{
	return (struct slice){out, (size_t)snprintf(out, 24, "%lld", n)};
}

static int read_page(struct dead *d, int64_t place, int count, int shown, struct redis_reply **ret,
		     struct err *err)
{
	char numbers[3][24];
	const struct slice args[] = {slice_of(d->broker->dead), number(numbers[0], place),
				     number(numbers[1], count), number(numbers[2], shown)};

	return redis_run_script(d->redis, &d->list, 1, args, ARRAY_LEN(args), ret, err);
}

static void letter_at(const struct redis_reply *page, size_t i, int64_t place,
		      struct dead_letter *ret)
{
	struct slice id = redis_reply_str(redis_reply_at(page, 3 * i));
	struct slice shown = redis_reply_str(redis_reply_at(page, 3 * i + 2));
	size_t bytes = (size_t)redis_reply_int(redis_reply_at(page, 3 * i + 1));

	*ret = (struct dead_letter){.place = place};
	snprintf(ret->id, sizeof(ret->id), "%.*s", (int)id.len, id.data);
	if (shown.len > 0) {
		read_letter(shown, bytes, ret);
		return;
	}
	ret->said = json_object();
	ret->message = xstrdup("");
	ret->bytes = bytes;
	ret->whole = bytes == 0;
}

int dead_each(struct dead *d, int shown, dead_each_fn *fn, void *arg, struct err *err)
{
	size_t count = PAGE;

	if (d->in_queue != NULL)
		return dead_queue_each(d->in_queue, fn, arg, err);
	for (int64_t place = 0; count == PAGE; place += PAGE) {
		_cleanup_reply_ struct redis_reply *page = NULL;
		int rc = read_page(d, place, PAGE, shown, &page, err);

		if (rc < 0)
			return rc;
		count = redis_reply_count(page) / 3;
		for (size_t i = 0; i < count; i++) {
			struct dead_letter letter;
			bool enough;

			letter_at(page, i, place + (int64_t)i, &letter);
			enough = fn(arg, &letter) != 0;
			dead_letter_done(&letter);
			if (enough)
				return 0;
		}
	}
	return 0;
}

struct search {
	const char *id;
	int64_t place;
};

static int is_it(void *arg, const struct dead_letter *letter)
{
	struct search *s = arg;

	if (strcmp(letter->id, s->id) != 0)
		return 0;
	s->place = letter->place;
	return 1;
}

/* All of it if it stands there: *ret_found. */
static int look_at(struct dead *d, const char *id, int64_t place, struct dead_letter *ret,
		   bool *ret_found, struct err *err)
{
	_cleanup_reply_ struct redis_reply *page = NULL;
	struct dead_letter letter;
	int rc = read_page(d, place, 1, WHOLE, &page, err);

	*ret_found = false;
	if (rc < 0 || redis_reply_count(page) == 0)
		return rc;
	letter_at(page, 0, place, &letter);
	*ret_found = strcmp(letter.id, id) == 0;
	if (!*ret_found) {
		dead_letter_done(&letter);
		return 0;
	}
	d->near = place;
	*ret = letter;
	return 0;
}

/* Whoever goes through all of them finds each where the last one was, or after it; else its place
 * is looked for, and then all of it: the oldest may be trimmed away in between. */
int dead_find(struct dead *d, const char *id, struct dead_letter *ret, struct err *err)
{
	bool found = false;
	int rc;

	if (d->in_queue != NULL)
		return dead_queue_find(d->in_queue, id, ret, err);
	rc = look_at(d, id, d->near, ret, &found, err);
	if (rc == 0 && !found)
		rc = look_at(d, id, d->near + 1, ret, &found, err);
	for (int look = 0; rc == 0 && !found && look < FOUND_AGAIN; look++) {
		struct search search = {.id = id, .place = -1};

		rc = dead_each(d, 0, is_it, &search, err);
		if (rc == 0 && search.place < 0)
			break;
		if (rc == 0)
			rc = look_at(d, id, search.place, ret, &found, err);
	}
	if (rc < 0 || found)
		return rc;
	return err_set(err, ERR_NOTFOUND, "there is no dead letter %.32s", id);
}

static int take(struct dead *d, const struct dead_letter *letter, const char *list, struct err *err)
{
	_cleanup_reply_ struct redis_reply *taken = NULL;
	char place[24];
	struct slice args[4];
	size_t keys = 0, n = 0;
	int rc;

	args[n++] = slice_of(d->broker->dead);
	if (list != NULL)
		args[n++] = slice_of(list);
	keys = n;
	args[n++] = number(place, letter->place);
	args[n++] = slice_of(letter->id);
	rc = redis_run_script(d->redis, &d->take, keys, args, n, &taken, err);
	if (rc < 0)
		return rc;
	if (redis_reply_type(taken) == REDIS_ERROR)
		return err_set(err, ERR_FAILED, "%.*s", (int)redis_reply_str(taken).len,
			       redis_reply_str(taken).data);
	return redis_reply_int(taken) == 1
		       ? 0
		       : err_set(err, ERR_NOTFOUND, "dead letter %s is not where it was",
				 letter->id);
}

int dead_drop(struct dead *d, const struct dead_letter *letter, struct err *err)
{
	return d->in_queue != NULL ? dead_queue_drop(d->in_queue, letter, err)
				   : take(d, letter, NULL, err);
}

static int priority_of(const struct dead_letter *letter)
{
	_cleanup_json_ json_t *envelope = NULL;
	struct err err;
	json_int_t priority;

	if (json_load_python(letter->message, letter->len, &envelope, &err) < 0)
		return 0;
	priority = json_integer_value(json_member(json_member(envelope, "properties"), "priority"));
	return priority >= 0 && priority <= 9 ? (int)priority : 0;
}

int dead_requeue(struct dead *d, const struct dead_letter *letter, char **ret_queue,
		 struct err *err)
{
	_cleanup_free_ char *nodes = xasprintf(NODE_LISTS "%s:", d->instance);
	_cleanup_buf_ struct buf list = BUF_INIT(BOUND_URL_BYTES);
	const char *queue = json_member_str(letter->said, "queue");
	const struct queue_def *def;
	int rc;

	if (queue == NULL || *queue == '\0')
		return err_set(err, ERR_INVALID, "dead letter %s names no queue", letter->id);
	def = queue_defs_find(&d->broker->defs, queue);
	if (def != NULL && def->type == EXCHANGE_FANOUT)
		return err_set(err, ERR_INVALID,
			       "dead letter %s was broadcast: send it again instead", letter->id);
	if (d->in_queue != NULL) {
		rc = dead_queue_requeue(d->in_queue, letter, queue, err);
		if (rc == 0)
			*ret_queue = xstrdup(queue);
		return rc;
	}
	if (d->broker->amqp != NULL) {
		rc = broker_publish(d->broker, queue, 0, letter->message, letter->len,
				    clock_deadline(PATIENCE), err);
		if (rc == 0)
			rc = take(d, letter, NULL, err);
		if (rc == 0)
			*ret_queue = xstrdup(queue);
		return rc;
	}
	buf_append_str(&list, d->broker->options.global_keyprefix);
	if (strncmp(queue, nodes, strlen(nodes)) == 0) {
		queue = nodes;
		buf_append_str(&list, queue);
	} else {
		buf_append_str(&list, queue);
		broker_append_step(d->broker, priority_of(letter), &list);
	}
	rc = buf_status(&list, err);
	if (rc == 0)
		rc = take(d, letter, list.data, err);
	if (rc == 0)
		*ret_queue = xstrdup(queue);
	return rc;
}
