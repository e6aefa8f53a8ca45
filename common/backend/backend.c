/*
 * Results in Redis as Celery writes them: SETEX and PUBLISH of one JSON meta under
 * celery-task-meta-<id>.
 */
#include "redis_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "serial.h"
#include "transport.h"

extern const char script_store[], script_unbegun[], script_chord_part[], script_chord_done[],
	script_chord_sweep[], script_chord_look[];

void backend_write_done(struct backend_write *w)
{
	free(w->key);
	free(w->value);
	*w = (struct backend_write){0};
}

/* How values are written, and for how long. */
static int take_settings(struct backend *b, const struct settings *s, struct err *err)
{
	const char *compression = s->result_compression ? s->result_compression : "";

	b->ttl = s->result_expires / USEC_PER_SEC;
	b->extended = s->result_extended;
	b->serializer = s->result_serializer ? s->result_serializer : "json";
	b->accept = &s->result_accept_content;
	if (!serial_known(b->serializer))
		return err_set(err, ERR_INVALID,
			       "result_serializer: %.40s is not one of json, yaml, msgpack",
			       b->serializer);
	if (compression[0] == '\0')
		return 0;
	b->compression = serial_compression(compression);
	if (b->compression == NULL)
		return err_set(err, ERR_INVALID,
			       "result_compression: %.40s is not one of gzip, bzip2, lzma, zstd, "
			       "brotli",
			       compression);
	return 0;
}

static const struct {
	size_t offset;
	const char *text;
} g_scripts[] = {
	{offsetof(struct backend, store), script_store},
	{offsetof(struct backend, unbegun), script_unbegun},
	{offsetof(struct backend, chord_part), script_chord_part},
	{offsetof(struct backend, chord_done), script_chord_done},
	{offsetof(struct backend, chord_sweep), script_chord_sweep},
	{offsetof(struct backend, chord_look), script_chord_look},
};

static void add_scripts(struct backend *b)
{
	for (size_t i = 0; i < ARRAY_LEN(g_scripts); i++) {
		struct redis_script *script = (void *)((char *)b + g_scripts[i].offset);

		redis_script_init(script, g_scripts[i].text);
		redis_link_add_script(b->link, script);
	}
}

static int open_redis(struct backend *b, const char *url, const struct redis_tuning *tuning,
		      const struct redis_address *broker, struct redis_link *broker_link,
		      struct err *err)
{
	struct redis_address address = {0};
	int rc = redis_address_parse_tuned(url, tuning, &address, err);

	if (rc < 0)
		return err_wrap(err, "result_backend");
	if (redis_address_warning(&address) != NULL)
		log_warning("%s: %s", address.safe, redis_address_warning(&address));
	b->shares_broker = broker != NULL && redis_address_equal(&address, broker);
	if (b->shares_broker)
		b->link = broker_link;
	else
		rc = redis_link_new(&address, "celeriac-backend", &b->link, err);
	if (rc == 0)
		add_scripts(b);
	redis_address_done(&address);
	return rc;
}

static bool is_redis(const char *url)
{
	static const char *const schemes[] = {"redis://", "rediss://", "redis+socket://",
					      "socket://", "sentinel://"};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	return false;
}

int backend_check(const struct settings *s, struct err *err)
{
	struct backend b = {0};

	return take_settings(&b, s, err);
}

int backend_open(const struct settings *s, const struct redis_address *broker,
		 struct redis_link *broker_link, struct backend **ret, struct err *err)
{
	struct backend *b = xcalloc(1, sizeof(*b));
	const char *url = s->result_backend ? s->result_backend : "";
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct transport_options options = {0};
	int rc = transport_options_read(s, TRANSPORT_BACKEND, &options, &notes, err);

	if (rc == 0) {
		b->key_prefix = xstrdup(options.global_keyprefix);
		b->chord_ordered = options.chord_ordered;
	}
	transport_options_tell(TRANSPORT_BACKEND, &notes);
	if (rc == 0)
		rc = take_settings(b, s, err);
	if (rc == 0)
		rc = timezone_open(s->timezone, s->enable_utc, &b->zone, err);
	if (rc < 0)
		goto fail;
	if (url[0] == '\0' || strncmp(url, "disabled", 8) == 0)
		b->disabled = true;
	else if (is_redis(url))
		rc = open_redis(b, url, &options.connection, broker, broker_link, err);
	else
		rc = err_set(err, ERR_UNSUPPORTED,
			     "result_backend: %.*s is not built in; redis:// is",
			     (int)strcspn(url, ":"), url);
	if (rc < 0)
		goto fail;
	transport_options_done(&options);
	*ret = b;
	return 0;
fail:
	transport_options_done(&options);
	backend_close(b, 0);
	return rc;
}

void backend_close(struct backend *b, usec_t deadline)
{
	if (b == NULL)
		return;
	if (b->link != NULL && !b->shares_broker)
		redis_link_free(b->link, deadline);
	timezone_close(b->zone);
	free(b->key_prefix);
	free(b);
}

bool backend_ready(const struct backend *b)
{
	return b->disabled || redis_link_up(b->link);
}

bool backend_shares_broker(const struct backend *b)
{
	return b->shares_broker;
}

bool backend_is_disabled(const struct backend *b)
{
	return b->disabled;
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

static void submit(struct backend *b, const struct redis_script *script, struct backend_write *w,
		   void (*done)(void *arg, const struct err *err), void *arg)
{
	_cleanup_buf_ struct buf commands = BUF_INIT(BOUND_REDIS_COMMAND);
	struct storing *storing;

	if (b->disabled) {
		backend_write_done(w);
		if (done != NULL)
			done(arg, NULL);
		return;
	}
	storing = xcalloc(1, sizeof(*storing));
	storing->done = done;
	storing->arg = arg;
	redis_command(&commands, "EVALSHA %s 1 %s %b %lld", script->sha, w->key, w->value, w->len,
		      (long long)w->ttl);
	redis_link_submit(b->link, &commands, 1, REDIS_LINK_KEEP, stored, storing);
	backend_write_done(w);
}

void backend_store(struct backend *b, struct backend_write *w,
		   void (*done)(void *arg, const struct err *err), void *arg)
{
	submit(b, &b->store, w, done, arg);
}

void backend_store_unbegun(struct backend *b, struct backend_write *w)
{
	submit(b, &b->unbegun, w, NULL, NULL);
}
