/*
 * redis_sentinel.c: where the master is, by its sentinels (redis-py's Sentinel.discover_master).
 */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "clock.h"
#include "login.h"
#include "mem.h"
#include "redis_conn.h"

#define HOST_BYTES 255

struct slice redis_sentinel_field(const struct redis_reply *master, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i + 1 < redis_reply_count(master); i += 2) {
		struct slice field = redis_reply_str(redis_reply_at(master, i));

		if (field.len == len && memcmp(field.data, name, len) == 0)
			return redis_reply_str(redis_reply_at(master, i + 1));
	}
	return (struct slice){.data = ""};
}

static int64_t field_number(const struct redis_reply *master, const char *name)
{
	struct slice text = redis_sentinel_field(master, name);
	char digits[24];

	if (text.len >= sizeof(digits))
		return 0;
	memcpy(digits, text.data, text.len);
	digits[text.len] = '\0';
	return strtoll(digits, NULL, 10);
}

/* "master", "master,disconnected" …; a sentinel that holds it for down sends nobody there. */
static bool has_flag(struct slice flags, const char *flag)
{
	size_t len = strlen(flag);

	for (size_t at = 0; at + len <= flags.len; at++) {
		bool begins = at == 0 || flags.data[at - 1] == ',';
		bool ends = at + len == flags.len || flags.data[at + len] == ',';

		if (begins && ends && memcmp(flags.data + at, flag, len) == 0)
			return true;
	}
	return false;
}

/* What one sentinel says. */
struct said {
	char *host;
	int port;
	int64_t epoch; /* of its configuration: rises with every failover */
};

static int read_master(const struct redis_site *s, const struct redis_reply *reply,
		       struct said *ret, struct err *err)
{
	struct slice host = redis_sentinel_field(reply, "ip");
	struct slice flags = redis_sentinel_field(reply, "flags");
	int64_t port = field_number(reply, "port");

	if (redis_reply_type(reply) == REDIS_ERROR)
		return redis_reply_to_err(reply, err);
	if (host.len == 0 || host.len > HOST_BYTES || memchr(host.data, '\0', host.len) ||
	    port < 1 || port > 65535)
		return err_set(err, ERR_PROTOCOL, "the sentinel's answer has no address");
	if (!has_flag(flags, "master") || has_flag(flags, "s_down") || has_flag(flags, "o_down"))
		return err_set(err, ERR_UNAVAILABLE, "the sentinel holds the master for down");
	if (field_number(reply, "num-other-sentinels") < s->tuning.min_other_sentinels)
		return err_set(err, ERR_UNAVAILABLE,
			       "the sentinel knows fewer than %lld other sentinels",
			       (long long)s->tuning.min_other_sentinels);
	*ret = (struct said){.host = xstrndup(host.data, host.len),
			     .port = (int)port,
			     .epoch = field_number(reply, "config-epoch")};
	return 0;
}

static int ask(struct redis *r, const struct redis_site *s, struct said *ret, struct err *err)
{
	const struct redis_tuning *t = &s->tuning;
	_cleanup_buf_ struct buf out = BUF_INIT(BOUND_REDIS_COMMAND);
	struct redis_reply *replies[2] = {NULL};
	size_t count = 1;
	int rc;

	if (t->sentinel_password != NULL) {
		if (t->sentinel_user != NULL)
			redis_command(&out, "AUTH %s %s", t->sentinel_user, t->sentinel_password);
		else
			redis_command(&out, "AUTH %s", t->sentinel_password);
		count++;
	}
	redis_command(&out, "SENTINEL MASTER %s", t->master_name);
	rc = redis_exchange(r, &out, count, replies, err);
	wipe(out.data, out.size); /* held the password */
	if (rc < 0)
		return rc;
	if (count == 2 && redis_reply_type(replies[0]) == REDIS_ERROR) {
		rc = err_set(err, ERR_DENIED, "the sentinel refused the password");
		login_refused("Redis sentinel", t->master_name, err->msg);
	} else
		rc = read_master(s, replies[count - 1], ret, err);
	for (size_t i = 0; i < count; i++)
		redis_reply_free(replies[i]);
	return rc;
}

/* Takes `said` into the site. */
static int learn(struct redis_site *s, const struct said *said, unsigned *ret_generation,
		 struct err *err)
{
	int rc = 0;

	mutex_lock(&s->lock);
	if (s->master_host != NULL && said->epoch < s->master_epoch) {
		rc = err_set(err, ERR_UNAVAILABLE, "the sentinel knows an older master");
	} else if (s->master_host == NULL || s->master_port != said->port ||
		   strcmp(s->master_host, said->host) != 0) {
		free(s->master_host);
		s->master_host = xstrdup(said->host);
		s->master_port = said->port;
		atomic_fetch_add(&s->generation, 1);
	}
	if (rc == 0)
		s->master_epoch = said->epoch;
	*ret_generation = atomic_load(&s->generation);
	mutex_unlock(&s->lock);
	return rc;
}

int redis_sentinel_ask(struct redis_site *s, unsigned i, usec_t deadline, int cancel_fd,
		       struct redis_endpoint *ret, unsigned *ret_generation, struct err *err)
{
	const struct redis_endpoint *sentinel = &s->endpoints[i];
	usec_t patience = s->tuning.sentinel_timeout;
	usec_t own = clock_deadline(patience > 0 ? patience : USEC_NEVER);
	struct redis_endpoint where = *sentinel; /* whose TLS is the master's */
	struct said said = {0};
	struct redis *r = NULL;
	int rc;

	where.tls = s->tuning.sentinel_tls;
	rc = redis_open_bare(s, &where, own < deadline ? own : deadline, cancel_fd, &r, err);
	if (rc == 0)
		rc = ask(r, s, &said, err);
	redis_close(r);
	if (rc == 0)
		rc = learn(s, &said, ret_generation, err);
	if (rc < 0) {
		free(said.host);
		rc = err_wrap(err, "sentinel %s:%d", sentinel->host, sentinel->port);
		/* An answer of today may be another tomorrow: sentinels learn. */
		return rc == -ERR_DENIED ? rc : err_transient(err);
	}
	*ret = *sentinel;
	ret->host = said.host;
	ret->port = said.port;
	return 0;
}

bool redis_sentinel_watch(struct redis_site *s, int cancel_fd)
{
	unsigned i = atomic_load(&s->current), before = atomic_load(&s->generation), now;
	struct redis_endpoint master;
	struct err err;

	if (redis_sentinel_ask(s, i, clock_deadline(REDIS_CONNECT_TIMEOUT), cancel_fd, &master,
			       &now, &err) < 0) {
		redis_site_failed(s, i);
		return false;
	}
	free(master.host);
	return now != before;
}
