/*
 * Results in Redis as Celery writes them: SETEX and PUBLISH of one JSON meta under
 * celery-task-meta-<id>.
 */
#include "redis_backend.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "transport.h"

extern const char script_store[], script_unbegun[], script_chord_part[], script_chord_done[],
	script_chord_sweep[], script_chord_look[];

static const struct {
	size_t offset;
	const char *text;
} g_scripts[] = {
	{offsetof(struct redis_backend, store), script_store},
	{offsetof(struct redis_backend, unbegun), script_unbegun},
	{offsetof(struct redis_backend, chord_part), script_chord_part},
	{offsetof(struct redis_backend, chord_done), script_chord_done},
	{offsetof(struct redis_backend, chord_sweep), script_chord_sweep},
	{offsetof(struct redis_backend, chord_look), script_chord_look},
};

static void add_scripts(struct redis_backend *b)
{
	for (size_t i = 0; i < ARRAY_LEN(g_scripts); i++) {
		struct redis_script *script = (void *)((char *)b + g_scripts[i].offset);

		redis_script_init(script, g_scripts[i].text);
		redis_link_add_script(b->link, script);
	}
}

static int connect_link(struct redis_backend *r, const char *url, const struct redis_tuning *tuning,
			const struct backend_links *links, struct err *err)
{
	struct redis_address address = {0};
	int rc = redis_address_parse_tuned(url, tuning, &address, err);

	if (rc < 0)
		return err_wrap(err, "result_backend");
	if (redis_address_warning(&address) != NULL)
		log_warning("%s: %s", address.safe, redis_address_warning(&address));
	r->shares_broker = links->broker != NULL && redis_address_equal(&address, links->broker);
	if (r->shares_broker)
		r->link = links->broker_link;
	else if (links->shared != NULL && redis_address_equal(&address, links->shared))
		r->link = links->shared_link;
	else
		rc = redis_link_new(&address, "celeriac-backend", &r->link, err);
	r->borrows =
		r->link != NULL && (r->link == links->broker_link || r->link == links->shared_link);
	if (rc == 0)
		add_scripts(r);
	redis_address_done(&address);
	return rc;
}

static int open_redis(struct backend *b, const struct settings *s,
		      const struct backend_links *links, struct err *err)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct transport_options options = {0};
	struct redis_backend *r = xcalloc(1, sizeof(*r));
	int rc = transport_options_read(s, TRANSPORT_BACKEND, &options, &notes, err);

	b->own = r;
	transport_options_tell(TRANSPORT_BACKEND, &notes);
	if (rc == 0) {
		r->key_prefix = xstrdup(options.global_keyprefix);
		r->chord_ordered = options.chord_ordered;
		rc = connect_link(r, s->result_backend, &options.connection, links, err);
	}
	transport_options_done(&options);
	return rc;
}

static void close_redis(struct backend *b, usec_t deadline)
{
	struct redis_backend *r = b->own;

	if (r == NULL)
		return;
	if (r->link != NULL && !r->borrows)
		redis_link_free(r->link, deadline);
	free(r->key_prefix);
	free(r);
}

static bool redis_ready(const struct backend *b)
{
	return redis_link_up(redis_of(b)->link);
}

char *backend_meta_key(const struct backend *b, const char *task_id)
{
	const char *prefix = redis_of(b)->key_prefix;
	size_t before = strlen(prefix), name = strlen(BACKEND_META_PREFIX), id = strlen(task_id);
	char *key = xmalloc(before + name + id + 1);

	memcpy(key, prefix, before);
	memcpy(key + before, BACKEND_META_PREFIX, name);
	memcpy(key + before + name, task_id, id + 1);
	return key;
}

static int encode_meta(const struct backend *b, const struct task_meta *m,
		       struct backend_write *ret, struct err *err)
{
	int rc = backend_pack_meta(b, m, &ret->value, &ret->len, err);

	if (rc < 0)
		return rc;
	ret->key = backend_meta_key(b, m->task_id);
	ret->ttl = b->ttl;
	return 0;
}

struct storing {
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

static void stored(void *arg, struct redis_reply *const *replies, size_t count,
		   const struct err *err)
{
	struct storing *storing = arg;
	struct err failed = {0};

	if (count == 1 && redis_reply_type(replies[0]) == REDIS_ERROR) {
		struct slice text = redis_reply_str(replies[0]);

		err_set(&failed, ERR_FAILED, "Redis: %.*s", (int)text.len, text.data);
		err = &failed;
	}
	if (storing->done != NULL)
		storing->done(storing->arg, err);
	free(storing);
}

static void store_meta(struct backend *b, enum backend_store_when when, struct backend_write *w,
		       void (*done)(void *arg, const struct err *err), void *arg)
{
	struct redis_backend *r = redis_of(b);
	const struct redis_script *script = when == STORE_UNLESS_BEGUN ? &r->unbegun : &r->store;
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	struct storing *storing = xcalloc(1, sizeof(*storing));

	storing->done = done;
	storing->arg = arg;
	redis_command(&commands, "EVALSHA %s 1 %s %b %lld", script->sha, w->key, w->value, w->len,
		      (long long)w->ttl);
	redis_link_submit(r->link, &commands, 1, REDIS_LINK_KEEP, stored, storing);
	backend_write_done(w);
}

static int decode_metas(const struct backend *b, const struct redis_reply *reply, json_t **ret,
			struct err *err)
{
	_cleanup_json_ json_t *metas = json_array();

	for (size_t i = 0; i < redis_reply_count(reply); i++) {
		const struct redis_reply *each = redis_reply_at(reply, i);
		json_t *meta = NULL;
		int rc = redis_reply_type(each) == REDIS_STRING
				 ? backend_unpack(b, redis_reply_str(each), &meta, err)
				 : 0;

		if (rc < 0)
			return err_wrap(err, "a stored result");
		json_array_append_new(metas, meta ? meta : json_null());
		if (meta != NULL && !json_is_object(meta))
			return err_set(err, ERR_PROTOCOL, "a stored result is none");
	}
	*ret = TAKE(metas);
	return 0;
}

static int get_metas(struct backend *b, const char *const *task_ids, size_t count, usec_t deadline,
		     json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	_cleanup_reply_ struct redis_reply *reply = NULL;
	_cleanup_free_ struct slice *argv = xcalloc(count + 1, sizeof(*argv));
	_cleanup_free_ char **keys = xcalloc(count + 1, sizeof(*keys));
	int rc;

	argv[0] = (struct slice){"MGET", 4};
	for (size_t i = 0; i < count; i++) {
		keys[i] = backend_meta_key(b, task_ids[i]);
		argv[i + 1] = slice_of(keys[i]);
	}
	redis_command_argv(&commands, argv, count + 1);
	for (size_t i = 0; i < count; i++)
		free(keys[i]);
	rc = redis_link_exchange(redis_of(b)->link, &commands, 1, REDIS_LINK_KEEP, deadline, &reply,
				 err);
	if (rc < 0)
		return rc;
	if (redis_reply_type(reply) == REDIS_ERROR)
		return err_set(err, ERR_FAILED, "results: %.*s", (int)redis_reply_str(reply).len,
			       redis_reply_str(reply).data);
	return decode_metas(b, reply, ret, err);
}

bool backend_shares_broker(const struct backend *b)
{
	return b->driver == &backend_redis && redis_of(b)->shares_broker;
}

bool backend_compresses(const struct backend *b)
{
	return b->driver == &backend_redis && b->compression != NULL;
}

static const char *const g_schemes[] = {"redis://",  "rediss://",   "redis+socket://",
					"socket://", "sentinel://", NULL};

const struct backend_driver backend_redis = {
	.kind = BACKEND_REDIS,
	.schemes = g_schemes,
	.caps = BACKEND_COUNTS_CHORDS,
	.open = open_redis,
	.close = close_redis,
	.ready = redis_ready,
	.encode = encode_meta,
	.store = store_meta,
	.get_many = get_metas,
};
