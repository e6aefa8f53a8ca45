/*
 * redis_address.c: Redis URLs as kombu and Celery understand them (kombu/utils/url.py,
 * celery/backends/redis.py): one server, several, or sentinels.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <strings.h>

#include "codec.h"
#include "mem.h"
#include "redis_conn.h"
#include "url.h"

#define DEFAULT_PORT	      6379
#define DEFAULT_SENTINEL_PORT 26379
#define MOST_ENDPOINTS	      64

enum family { FAMILY_TCP, FAMILY_TLS, FAMILY_SOCKET, FAMILY_SENTINEL };
static const struct scheme {
	const char *name;
	enum family family;
} schemes[] = {
	{"redis", FAMILY_TCP},	   {"rediss", FAMILY_TLS},	  {"redis+socket", FAMILY_SOCKET},
	{"socket", FAMILY_SOCKET}, {"sentinel", FAMILY_SENTINEL},
};

/* "/3" or "3"; kombu takes an empty one for 0. */
static int parse_db(const char *text, int *ret, struct err *err)
{
	char *end;
	long n;

	while (*text == '/')
		text++;
	if (*text == '\0') {
		*ret = 0;
		return 0;
	}
	n = strtol(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || n > 1000000)
		return err_set(err, ERR_INVALID, "a Redis database is a number, not \"%.40s\"",
			       text);
	*ret = (int)n;
	return 0;
}

static int find_scheme(const char *name, enum family *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (strcmp(schemes[i].name, name) == 0) {
			*ret = schemes[i].family;
			return 0;
		}
	}
	return err_set(err, ERR_UNSUPPORTED,
		       "\"%.40s://\" is not built in: redis://, rediss://, redis+socket:// and "
		       "sentinel:// are",
		       name);
}

bool redis_is_url(const char *url)
{
	size_t len = strcspn(url, ":");

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (strlen(schemes[i].name) == len && strncasecmp(schemes[i].name, url, len) == 0)
			return true;
	}
	return false;
}

/* ---- TLS ---- */

/*
 * A broker's rediss:// that says nothing of certificates verifies none, as kombu does; a backend's
 * must say what it wants, as Celery demands.
 */
static int make_tls(const struct url *u, enum family family, const struct redis_tuning *tuning,
		    struct tls_options *t, struct err *err)
{
	bool reqs = tuning->tls.on, any = false;
	int rc;

	tls_options_copy(&tuning->tls, t);
	rc = tls_options_query(u, t, &any, &reqs, err);
	if (rc < 0)
		return rc;
	if (tuning->is_backend && family == FAMILY_TLS && !reqs)
		return err_set(err, ERR_INVALID,
			       "a rediss:// URL must have parameter ssl_cert_reqs and this must be "
			       "set to CERT_REQUIRED, CERT_OPTIONAL, or CERT_NONE");
	if (tuning->is_backend && family == FAMILY_TCP && any)
		return err_set(err, ERR_INVALID,
			       "ssl_* parameters have been given but the scheme is redis://; with "
			       "TLS it is rediss://");
	if (family == FAMILY_TLS && !t->on && !any)
		t->verify = TLS_VERIFY_NONE;
	t->on |= any || family == FAMILY_TLS;
	if (t->on && family == FAMILY_SOCKET)
		return err_set(err, ERR_INVALID, "there is no TLS on a Unix socket");
	return t->on ? tls_options_check(t, err) : 0;
}

/* ---- endpoints ---- */

static void endpoint_done(struct redis_endpoint *e)
{
	if (e->password)
		wipe(e->password, strlen(e->password));
	free(e->host);
	free(e->path);
	free(e->user);
	free(e->password);
	tls_options_done(&e->tls);
}

static char *text_or(const char *text, const char *fallback)
{
	return xstrdup(text[0] != '\0' ? text : fallback ? fallback : "");
}

static int make_endpoint(const char *text, const struct redis_tuning *tuning,
			 enum family *ret_family, struct redis_endpoint *e, struct err *err)
{
	_cleanup_url_ struct url u = {0};
	_cleanup_free_ char *virtual_host = NULL;
	bool is_socket;
	int rc;

	if ((rc = url_parse(text, &u, err)) < 0 ||
	    (rc = find_scheme(u.scheme, ret_family, err)) < 0)
		return rc;
	is_socket = *ret_family == FAMILY_SOCKET;
	virtual_host = url_query_get(&u, "virtual_host");
	rc = parse_db(virtual_host ? virtual_host : is_socket ? "" : u.path, &e->db, err);
	if (rc < 0)
		return rc;
	if (is_socket && u.path[0] == '\0')
		return err_set(err, ERR_INVALID, "%s:// needs the path of a socket", u.scheme);
	if (strchr(u.host, ';') != NULL)
		return err_set(err, ERR_INVALID,
			       "each URL after a \";\" needs its own scheme, as %s://", u.scheme);
	if (is_socket)
		e->path = xstrdup(u.path);
	else
		e->host = text_or(u.host, "localhost");
	e->port = is_socket			   ? 0
		  : u.port != 0			   ? u.port
		  : *ret_family == FAMILY_SENTINEL ? DEFAULT_SENTINEL_PORT
						   : DEFAULT_PORT;
	e->user = text_or(u.user, tuning->user);
	e->password = text_or(u.password, tuning->password);
	return make_tls(&u, *ret_family, tuning, &e->tls, err);
}

/* Where the next URL of a list begins: behind a ';' that a scheme follows, for passwords may hold
 * one too. */
static size_t url_length(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+";

	for (size_t len = 0;; len++) {
		len += strcspn(text + len, ";");
		if (text[len] == '\0' || text[len + 1] == '\0')
			return len;
		size_t scheme = strspn(text + len + 1, letters);

		if (scheme > 0 && strncmp(text + len + 1 + scheme, "://", 3) == 0)
			return len;
	}
}

static int add_endpoint(struct redis_site *s, const char *text, struct err *err)
{
	struct redis_endpoint *e;
	enum family family = FAMILY_TCP;
	int rc;

	if (s->count == MOST_ENDPOINTS)
		return err_set(err, ERR_TOOBIG, "more than %d servers", MOST_ENDPOINTS);
	s->endpoints = xrealloc(s->endpoints, (s->count + 1) * sizeof(*s->endpoints));
	e = &s->endpoints[s->count++];
	*e = (struct redis_endpoint){0};
	rc = make_endpoint(text, &s->tuning, &family, e, err);
	if (rc < 0)
		return rc;
	if (s->count > 1 && s->sentinel != (family == FAMILY_SENTINEL))
		return err_set(err, ERR_INVALID,
			       "sentinel:// and other URLs do not go into one list");
	s->sentinel = family == FAMILY_SENTINEL;
	return 0;
}

/* The first stays the first, as in kombu. */
static void shuffle(struct redis_site *s)
{
	for (size_t i = s->count - 1; i > 1; i--) {
		struct redis_endpoint kept = s->endpoints[i];
		uint32_t random;
		size_t other;

		random_bytes(&random, sizeof(random));
		other = 1 + random % i;
		s->endpoints[i] = s->endpoints[other];
		s->endpoints[other] = kept;
	}
}

static int fill_site(struct redis_site *s, const char *url, struct err *err)
{
	do {
		size_t len = url_length(url);
		_cleanup_free_ char *text = xstrndup(url, len);
		int rc = add_endpoint(s, text, err);

		if (rc < 0)
			return rc;
		url += len + (url[len] == ';');
	} while (*url != '\0');
	if (s->sentinel && (s->tuning.master_name == NULL || s->tuning.master_name[0] == '\0'))
		return err_set(err, ERR_INVALID,
			       "sentinel:// needs the transport option master_name");
	if (s->sentinel && s->tuning.sentinel_tls.on) {
		int rc = tls_options_check(&s->tuning.sentinel_tls, err);

		if (rc < 0)
			return err_wrap(err, "sentinel_kwargs");
	}
	if (s->tuning.shuffle && s->count > 2)
		shuffle(s);
	return 0;
}

/* ---- the site ---- */

struct redis_site *redis_site_ref(struct redis_site *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void redis_site_unref(struct redis_site *s)
{
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) > 1)
		return;
	for (size_t i = 0; i < s->count; i++)
		endpoint_done(&s->endpoints[i]);
	free(s->endpoints);
	free(s->safe);
	free(s->master_host);
	mutex_done(&s->lock);
	redis_tuning_done(&s->tuning);
	free(s);
}

void redis_site_failed(struct redis_site *s, unsigned endpoint)
{
	(void)atomic_compare_exchange_strong(&s->current, &endpoint,
					     (unsigned)((endpoint + 1) % s->count));
}

/* ---- addresses ---- */

int redis_address_parse_tuned(const char *url, const struct redis_tuning *tuning,
			      struct redis_address *ret, struct err *err)
{
	struct redis_site *s = xcalloc(1, sizeof(*s));
	int rc;

	atomic_init(&s->refs, 1);
	mutex_init(&s->lock);
	if (tuning != NULL)
		redis_tuning_copy(tuning, &s->tuning);
	rc = fill_site(s, url, err);
	if (rc < 0) {
		redis_site_unref(s);
		return rc;
	}
	s->safe = url_safe(url);
	*ret = (struct redis_address){
		.site = s, .first = &s->endpoints[0], .safe = s->safe, .key_prefix = xstrdup("")};
	return 0;
}

int redis_address_parse(const char *url, struct redis_address *ret, struct err *err)
{
	return redis_address_parse_tuned(url, NULL, ret, err);
}

void redis_address_copy(const struct redis_address *a, struct redis_address *ret)
{
	*ret = *a;
	(void)redis_site_ref(ret->site);
	ret->key_prefix = xstrdup(a->key_prefix);
}

void redis_address_done(struct redis_address *a)
{
	redis_site_unref(a->site); /* NULL-safe */
	free(a->key_prefix);
	*a = (struct redis_address){0};
}

static bool endpoint_equal(const struct redis_endpoint *a, const struct redis_endpoint *b)
{
	if (a->db != b->db || strcmp(a->user, b->user) != 0)
		return false;
	if (a->path || b->path)
		return a->path && b->path && strcmp(a->path, b->path) == 0;
	return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

bool redis_address_equal(const struct redis_address *a, const struct redis_address *b)
{
	const struct redis_site *x = a->site, *y = b->site;

	if (x->count != y->count || x->sentinel != y->sentinel)
		return false;
	if (x->sentinel && strcmp(x->tuning.master_name, y->tuning.master_name) != 0)
		return false;
	for (size_t i = 0; i < x->count; i++) {
		if (!endpoint_equal(&x->endpoints[i], &y->endpoints[i]))
			return false;
	}
	return true;
}

const char *redis_address_warning(const struct redis_address *a)
{
	for (size_t i = 0; i < a->site->count; i++) {
		const struct tls_options *t = &a->site->endpoints[i].tls;

		if (t->on && t->verify == TLS_VERIFY_NONE)
			return "the server's certificate is not verified; say "
			       "ssl_cert_reqs=required to have it verified";
	}
	return NULL;
}
