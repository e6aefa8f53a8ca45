/*
 * Live output. See stream.h.
 */
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "log.h"
#include "mem.h"
#include "outcome.h"
#include "thread.h"

extern const char script_stream[];

#define COMMAND_BYTES (48u << 20)
#define ASK_TIME      (1 * USEC_PER_SEC)
#define FIXED_ARGS    12 /* words of the command before its entries */

/* One entry to be: output, or so many bytes that are missing at its place. */
struct chunk {
	enum stream_side side;
	uint64_t dropped; /* 0 = `text` */
	struct buf text;
};

struct side {
	struct buf line;  /* begun, and without its end so far */
	uint64_t skip;	  /* bytes that are in Redis already and come once more */
	uint64_t taken;	  /* bytes that are in Redis, on their way, in a chunk, or lost */
	uint64_t sent;	  /* `taken` when the batch on its way was made */
	uint64_t written; /* bytes that Redis has for certain */
	uint64_t lost;	  /* bytes of a batch that has failed, to be told as dropped */
};

struct sandbox_stream {
	struct redis_link *link;
	char sha[sizeof(((struct redis_script *)0)->sha)];
	char *key, *state_key;
	struct mutex lock;
	/* guarded by lock */
	struct side sides[STREAM_SIDES];
	struct chunk *chunks;
	size_t count, room, bytes;
	bool anew;   /* the next batch begins the stream */
	bool flying; /* a batch is on its way */
	bool deaf;   /* somebody else goes on with it */
	bool ending; /* what comes now is bounded by itself */
	bool last;   /* the owner has let go of it */
	char *status;
};

static const char *const side_names[STREAM_SIDES] = {"stdout", "stderr"};

void sandbox_streams_init(struct stream_store *store, struct redis_link *link,
			  const char *key_prefix)
{
	*store = (struct stream_store){.link = link};
	store->base = xasprintf("%sceleriac:stream:", key_prefix);
	redis_script_init(&store->append, script_stream);
	if (link)
		redis_link_add_script(link, &store->append);
}

void sandbox_streams_done(struct stream_store *store)
{
	free(store->base);
}

static void drop_chunks(struct sandbox_stream *s)
{
	for (size_t i = 0; i < s->count; i++)
		buf_done(&s->chunks[i].text);
	s->count = s->bytes = 0;
}

static void stream_free(struct sandbox_stream *s)
{
	drop_chunks(s);
	free(s->chunks);
	for (int i = 0; i < STREAM_SIDES; i++)
		buf_done(&s->sides[i].line);
	mutex_done(&s->lock);
	free(s->key);
	free(s->state_key);
	free(s->status);
	free(s);
}

/* Where the one before us has come to; false when that is not to be had. */
static bool ask(struct sandbox_stream *s)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;
	int rc = redis_link_do(s->link, clock_deadline(ASK_TIME), &reply, &err,
			       "HMGET %s stdout stderr end", s->state_key);

	if (rc < 0) {
		log_debug("no live output of a run: %s", err.msg);
		return false;
	}
	for (size_t i = 0; i < STREAM_SIDES; i++) {
		struct side *side = &s->sides[i];

		side->written = (uint64_t)redis_reply_int(redis_reply_at(reply, i));
		side->skip = side->taken = side->written;
	}
	return redis_reply_type(redis_reply_at(reply, STREAM_SIDES)) == REDIS_NIL;
}

struct sandbox_stream *sandbox_stream_open(struct stream_store *store, const char *task_id,
					   bool resume)
{
	struct sandbox_stream *s;

	if (store->link == NULL || task_id == NULL || !*task_id)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->link = store->link;
	memcpy(s->sha, store->append.sha, sizeof(s->sha));
	s->key = xasprintf("%s%s", store->base, task_id);
	s->state_key = xasprintf("%s:state", s->key);
	s->anew = !resume;
	mutex_init(&s->lock);
	for (int i = 0; i < STREAM_SIDES; i++)
		s->sides[i].line = BUF_INIT(2 * STREAM_ENTRY_BYTES);
	if (!resume || ask(s))
		return s;
	stream_free(s);
	return NULL;
}

static struct chunk *add_chunk(struct sandbox_stream *s, enum stream_side side, size_t limit)
{
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 8;
		s->chunks = xrealloc(s->chunks, s->room * sizeof(*s->chunks));
	}
	s->chunks[s->count] = (struct chunk){.side = side, .text = BUF_INIT(limit)};
	return &s->chunks[s->count++];
}

static void add_dropped(struct sandbox_stream *s, enum stream_side side, uint64_t bytes)
{
	struct chunk *c = s->count > 0 ? &s->chunks[s->count - 1] : NULL;

	if (c == NULL || c->dropped == 0 || c->side != side)
		c = add_chunk(s, side, 0);
	c->dropped += bytes;
}

/* Whole lines, or a part of a long one, to the entry that is being filled. */
static void put(struct sandbox_stream *s, enum stream_side side, const char *data, size_t len)
{
	struct chunk *c = s->count > 0 ? &s->chunks[s->count - 1] : NULL;

	s->sides[side].taken += len;
	if (s->deaf)
		return;
	if (s->bytes + len > STREAM_PENDING_BYTES && !s->ending) {
		add_dropped(s, side, len);
		return;
	}
	if (c == NULL || c->side != side || c->dropped > 0 ||
	    c->text.len + len > STREAM_ENTRY_BYTES)
		c = add_chunk(s, side, 4 * STREAM_ENTRY_BYTES);
	buf_append(&c->text, data, len);
	s->bytes += len;
}

/* All that is whole in the begun line; all of it when nothing more comes. */
static void cut_lines(struct sandbox_stream *s, enum stream_side side, bool all)
{
	struct buf *line = &s->sides[side].line;
	const char *end = line->len > 0 ? memrchr(line->data, '\n', line->len) : NULL;
	size_t len = end ? (size_t)(end - line->data) + 1 : 0, part;

	if (all || (len == 0 && line->len >= STREAM_ENTRY_BYTES))
		len = all ? line->len : sandbox_outcome_whole(line->data, line->len);
	for (size_t at = 0; at < len; at += part) {
		part = len - at;
		if (part > STREAM_ENTRY_BYTES) {
			end = memrchr(line->data + at, '\n', STREAM_ENTRY_BYTES);
			part = end ? (size_t)(end - (line->data + at)) + 1
				   : sandbox_outcome_whole(line->data + at, STREAM_ENTRY_BYTES);
		}
		put(s, side, line->data + at, part);
	}
	buf_consume(line, len);
}

static void take(struct sandbox_stream *s, enum stream_side side, const char *data, size_t len)
{
	struct side *d = &s->sides[side];
	size_t part;

	if (d->skip > 0) {
		part = d->skip < len ? (size_t)d->skip : len;
		d->skip -= part;
		data += part;
		len -= part;
	}
	for (; len > 0; data += part, len -= part) {
		part = len < STREAM_ENTRY_BYTES ? len : STREAM_ENTRY_BYTES;
		buf_append(&d->line, data, part);
		cut_lines(s, side, false);
	}
}

/* ---- to Redis ---- */

static void add_entry(struct slice *argv, size_t *argc, const char *stream, const char *data,
		      size_t len)
{
	argv[(*argc)++] = slice_of(stream);
	argv[(*argc)++] = (struct slice){data, len};
}

static void submit(struct sandbox_stream *s);

static void answered(void *arg, struct redis_reply *const *replies, size_t count,
		     const struct err *err unused_arg)
{
	struct sandbox_stream *s = arg;
	bool ok = count == 1 && redis_reply_type(replies[0]) == REDIS_INTEGER;
	bool done;

	mutex_lock(&s->lock);
	s->flying = false;
	if (ok && redis_reply_int(replies[0]) == 0)
		s->deaf = true;
	for (int i = 0; i < STREAM_SIDES; i++) {
		struct side *d = &s->sides[i];

		if (ok)
			d->written = d->sent;
		else
			d->lost += d->sent - d->written;
	}
	s->anew = s->anew && !ok;
	submit(s);
	done = s->last && !s->flying;
	mutex_unlock(&s->lock);
	if (done)
		stream_free(s);
}

/* The numbers before the entries. */
struct numbers {
	char ttl[24], from[STREAM_SIDES][24], to[STREAM_SIDES][24], lost[STREAM_SIDES][48];
};

static void fill_numbers(struct sandbox_stream *s, struct numbers *n)
{
	snprintf(n->ttl, sizeof(n->ttl), "%lld", (long long)(STREAM_TTL / USEC_PER_MSEC));
	for (int i = 0; i < STREAM_SIDES; i++) {
		struct side *d = &s->sides[i];

		d->sent = d->taken;
		snprintf(n->from[i], sizeof(n->from[i]), "%llu", (unsigned long long)d->written);
		snprintf(n->to[i], sizeof(n->to[i]), "%llu", (unsigned long long)d->sent);
		snprintf(n->lost[i], sizeof(n->lost[i]), "%s %llu", side_names[i],
			 (unsigned long long)d->lost);
	}
}

/* Everything that is collected, as one command. */
static void build(struct sandbox_stream *s, struct numbers *n, struct buf *cleaned, struct buf *out)
{
	size_t room = FIXED_ARGS + 2 * (s->count + STREAM_SIDES + 1), argc = 0;
	_cleanup_free_ struct slice *argv = xcalloc(room, sizeof(*argv));
	const char *const fixed[] = {"EVALSHA",
				     s->sha,
				     "2",
				     s->key,
				     s->state_key,
				     n->ttl,
				     s->anew ? "1" : "0",
				     n->from[STREAM_STDOUT],
				     n->from[STREAM_STDERR],
				     n->to[STREAM_STDOUT],
				     n->to[STREAM_STDERR],
				     s->status ? "1" : "0"};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		argv[argc++] = slice_of(fixed[i]);
	for (int i = 0; i < STREAM_SIDES; i++) {
		if (s->sides[i].lost > 0)
			add_entry(argv, &argc, "dropped", n->lost[i], strlen(n->lost[i]));
		s->sides[i].lost = 0;
	}
	for (size_t i = 0; i < s->count; i++) {
		const struct chunk *c = &s->chunks[i];

		if (c->dropped > 0)
			buf_appendf(&cleaned[i], "%s %llu", side_names[c->side],
				    (unsigned long long)c->dropped);
		else
			utf8_clean(c->text.data, c->text.len, true, &cleaned[i]);
		add_entry(argv, &argc, c->dropped > 0 ? "dropped" : side_names[c->side],
			  cleaned[i].data, cleaned[i].len);
	}
	if (s->status)
		add_entry(argv, &argc, "end", s->status, strlen(s->status));
	redis_command_argv(out, argv, argc);
}

static bool has_something(const struct sandbox_stream *s)
{
	bool lost = s->sides[STREAM_STDOUT].lost > 0 || s->sides[STREAM_STDERR].lost > 0;

	return s->count > 0 || s->status || (lost && !s->last);
}

/* Under the lock; the answer comes in another thread. */
static void submit(struct sandbox_stream *s)
{
	struct buf out = BUF_INIT(COMMAND_BYTES), *cleaned;
	struct numbers n = {0};

	if (s->flying || s->deaf || !has_something(s))
		return;
	cleaned = xcalloc(s->count + 1, sizeof(*cleaned));
	for (size_t i = 0; i < s->count; i++)
		cleaned[i] = BUF_INIT(3 * s->chunks[i].text.len + 64);
	fill_numbers(s, &n);
	build(s, &n, cleaned, &out);
	for (size_t i = 0; i < s->count; i++)
		buf_done(&cleaned[i]);
	free(cleaned);
	drop_chunks(s);
	s->flying = true;
	/* The end waits for Redis to come back; so much of each run, and no more. */
	redis_link_submit(s->link, &out, 1, s->status ? REDIS_LINK_KEEP : 0, answered, s);
	free(TAKE(s->status));
	buf_done(&out);
}

/* ---- the run's thread ---- */

void sandbox_stream_add(struct sandbox_stream *s, enum stream_side side, const void *data,
			size_t len)
{
	if (s == NULL)
		return;
	mutex_lock(&s->lock);
	take(s, side, data, len);
	submit(s);
	mutex_unlock(&s->lock);
}

void sandbox_stream_tail(struct sandbox_stream *s, enum stream_side side, uint64_t dropped,
			 const void *tail, size_t len)
{
	if (s == NULL || dropped == 0)
		return;
	mutex_lock(&s->lock);
	s->ending = true;
	cut_lines(s, side, true);
	/* Who has some of the tail already has been told what is missing before it. */
	if (s->sides[side].skip == 0 && !s->deaf)
		add_dropped(s, side, dropped);
	take(s, side, tail, len);
	submit(s);
	mutex_unlock(&s->lock);
}

static void let_go(struct sandbox_stream *s, const char *status)
{
	bool done;

	mutex_lock(&s->lock);
	s->ending = s->last = true;
	if (status) {
		for (int i = 0; i < STREAM_SIDES; i++)
			cut_lines(s, (enum stream_side)i, true);
		s->status = xstrdup(status);
	}
	submit(s);
	done = !s->flying;
	mutex_unlock(&s->lock);
	if (done)
		stream_free(s);
}

void sandbox_stream_end(struct sandbox_stream *s, const char *status)
{
	if (s)
		let_go(s, status);
}

void sandbox_stream_leave(struct sandbox_stream *s)
{
	if (s)
		let_go(s, NULL);
}
