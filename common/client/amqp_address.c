/*
 * amqp_address.c: URLs of RabbitMQ as kombu understands them (kombu/utils/url.py,
 * kombu/connection.py): one server or several.
 */
#include <stdlib.h>
#include <string.h>

#include "amqp_site.h"
#include "codec.h"
#include "mem.h"
#include "url.h"

#define MOST_SERVERS 64

static const struct scheme {
	const char *name;
	bool tls;
	int port;
} schemes[] = {
	{"amqp", false, 5672},
	{"pyamqp", false, 5672},
	{"amqps", true, 5671},
};

static const struct scheme *find_scheme(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (strcmp(schemes[i].name, name) == 0)
			return &schemes[i];
	return NULL;
}

bool amqp_is_url(const char *url)
{
	for (size_t i = 0; url != NULL && i < ARRAY_LEN(schemes); i++) {
		size_t len = strlen(schemes[i].name);

		if (strncmp(url, schemes[i].name, len) == 0 && strncmp(url + len, "://", 3) == 0)
			return true;
	}
	return false;
}

static char *text_or(const char *text, const char *fallback)
{
	return xstrdup(text[0] != '\0' ? text : fallback);
}

static int fill_server(const char *text, const struct amqp_tuning *t, struct amqp_server *s,
		       struct err *err)
{
	_cleanup_url_ struct url u = {0};
	const struct scheme *scheme;
	bool any = false, reqs = false;
	int rc = url_parse(text, &u, err);

	if (rc < 0)
		return rc;
	scheme = find_scheme(u.scheme);
	if (!scheme)
		return err_set(err, ERR_UNSUPPORTED,
			       "\"%.40s://\" is no scheme of RabbitMQ: amqp://, pyamqp:// and "
			       "amqps:// are",
			       u.scheme);
	s->host = text_or(u.host, "localhost");
	s->port = u.port != 0 ? u.port : scheme->port;
	s->user = text_or(u.user, "guest");
	s->password = text_or(u.password, "guest");
	s->vhost = text_or(u.path[0] == '/' ? u.path + 1 : u.path, "/");
	if (strlen(s->vhost) > 255)
		return err_set(err, ERR_TOOBIG, "a virtual host has at most 255 bytes");
	tls_options_copy(&t->tls, &s->tls);
	s->tls.on |= scheme->tls;
	rc = tls_options_query(&u, &s->tls, &any, &reqs, err);
	s->tls.on |= any;
	return rc == 0 && s->tls.on ? tls_options_check(&s->tls, err) : rc;
}

static int add_server(struct amqp_address *a, const char *text, struct err *err)
{
	if (a->count == MOST_SERVERS)
		return err_set(err, ERR_TOOBIG, "more than %d servers", MOST_SERVERS);
	a->servers = xrealloc(a->servers, (a->count + 1) * sizeof(*a->servers));
	a->servers[a->count] = (struct amqp_server){0};
	return fill_server(text, &a->tuning, &a->servers[a->count++], err);
}

static int fill(struct amqp_address *a, const char *url, struct err *err)
{
	do {
		size_t len = strcspn(url, ";");
		_cleanup_free_ char *text = xstrndup(url, len);
		int rc = add_server(a, text, err);

		if (rc < 0)
			return rc;
		url += len + (url[len] == ';');
	} while (*url != '\0');
	return 0;
}

int amqp_address_parse(const char *url, const struct amqp_tuning *tuning, struct amqp_address **ret,
		       struct err *err)
{
	struct amqp_address *a = xcalloc(1, sizeof(*a));
	int rc;

	atomic_init(&a->refs, 1);
	if (tuning) {
		a->tuning = *tuning;
		tls_options_copy(&tuning->tls, &a->tuning.tls);
	}
	rc = fill(a, url, err);
	if (rc < 0) {
		amqp_address_unref(a);
		return rc;
	}
	a->safe = url_safe(url);
	*ret = a;
	return 0;
}

struct amqp_address *amqp_address_ref(struct amqp_address *a)
{
	atomic_fetch_add(&a->refs, 1);
	return a;
}

void amqp_address_unref(struct amqp_address *a)
{
	if (!a || atomic_fetch_sub(&a->refs, 1) > 1)
		return;
	for (size_t i = 0; i < a->count; i++) {
		struct amqp_server *s = &a->servers[i];

		if (s->password)
			wipe(s->password, strlen(s->password));
		free(s->host);
		free(s->user);
		free(s->password);
		free(s->vhost);
		tls_options_done(&s->tls);
	}
	free(a->servers);
	tls_options_done(&a->tuning.tls);
	free(a->safe);
	free(a);
}

size_t amqp_address_count(const struct amqp_address *a)
{
	return a->count;
}

const struct amqp_server *amqp_address_at(const struct amqp_address *a, size_t i)
{
	return &a->servers[i];
}

const char *amqp_address_safe(const struct amqp_address *a)
{
	return a->safe;
}

void amqp_address_failed(struct amqp_address *a, unsigned server)
{
	unsigned step = 1;

	if (a->count < 2)
		return;
	if (a->tuning.shuffle) {
		uint32_t random;

		random_bytes(&random, sizeof(random));
		step = 1 + random % (uint32_t)(a->count - 1);
	}
	(void)atomic_compare_exchange_strong(&a->current, &server,
					     (unsigned)((server + step) % a->count));
}
