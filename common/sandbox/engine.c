/*
 * engine.c: where an engine is, and the checks on every name that goes to it.
 */
#include "engine_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "url.h"
#include "waist.h"

#define DEFAULT_HOST "unix:///var/run/docker.sock"

static bool is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int set_unix(struct engine *e, const char *path, struct err *err)
{
	if (path[0] != '/')
		return err_set(err, ERR_INVALID, "the socket's path must begin with a slash");
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return err_set(err, ERR_INVALID, "the socket's path is too long");
	e->unix_socket = xstrdup(path);
	e->base_url = xstrdup("http://localhost");
	return 0;
}

static int set_tls(struct engine *e, const char *cert_path, struct err *err)
{
	_cleanup_free_ char *own = NULL;

	if (!cert_path || !*cert_path) {
		const char *home = secure_getenv("HOME");
		if (!home)
			return err_set(err, ERR_INVALID, "TLS needs a directory of certificates");
		cert_path = own = xasprintf("%s/.docker", home);
	}
	e->ca_file = xasprintf("%s/ca.pem", cert_path);
	e->cert_file = xasprintf("%s/cert.pem", cert_path);
	e->key_file = xasprintf("%s/key.pem", cert_path);
	return 0;
}

static int set_tcp(struct engine *e, const char *host, const struct engine_config *config,
		   struct err *err)
{
	_cleanup_url_ struct url u = {0};
	int rc = url_parse(host, &u, err);

	if (rc < 0)
		return rc;
	if (!u.host[0] || u.user[0] || u.password[0] || u.query[0] ||
	    (u.path[0] && strcmp(u.path, "/") != 0))
		return err_set(err, ERR_INVALID, "must be tcp://host:port");
	if (!config->tls_verify && !config->plain_tcp && !is_loopback(u.host))
		return err_set(err, ERR_DENIED,
			       "plain TCP would give root on %s to whoever is on the way; "
			       "set DOCKER_TLS_VERIFY=1 with certificates, or "
			       "DOCKER_PLAIN_TCP=1 where the way is yours",
			       u.host);
	bool v6 = strchr(u.host, ':') != NULL;
	int port = u.port ? u.port : config->tls_verify ? 2376 : 2375;
	e->base_url = xasprintf("%s://%s%s%s:%d", config->tls_verify ? "https" : "http",
				v6 ? "[" : "", u.host, v6 ? "]" : "", port);
	return config->tls_verify ? set_tls(e, config->cert_path, err) : 0;
}

static int set_host(struct engine *e, const struct engine_config *config, struct err *err)
{
	const char *host = config->host && *config->host ? config->host : DEFAULT_HOST;
	int rc;

	if (strchr(host, ','))
		return err_set(err, ERR_UNSUPPORTED, "DOCKER_HOST: one engine, not a list");
	if (strncmp(host, "unix://", 7) == 0)
		rc = set_unix(e, host + 7, err);
	else if (strncmp(host, "tcp://", 6) == 0)
		rc = set_tcp(e, host, config, err);
	else
		return err_set(err, ERR_UNSUPPORTED,
			       "DOCKER_HOST '%.60s': only unix:///path and tcp://host:port", host);
	if (rc < 0)
		return err_wrap(err, "DOCKER_HOST");
	e->address = e->unix_socket ? xasprintf("unix://%s", e->unix_socket)
				    : xasprintf("tcp%s", strstr(e->base_url, "://"));
	e->target = (struct http_target){
		.base_url = e->base_url,
		.unix_socket = e->unix_socket,
		.ca_file = e->ca_file,
		.cert_file = e->cert_file,
		.key_file = e->key_file,
	};
	return 0;
}

static int set_role(struct engine *e, const char *role, struct err *err)
{
	int rc = waist_path(role, &e->role, err);

	if (rc < 0)
		return err_wrap(err, "CELERIAC_ENGINE");
	e->address = xasprintf("role unix:%s", e->role);
	return 0;
}

static int set_pinned(struct engine *e, const char *version, struct err *err)
{
	unsigned major = 0, minor = 0;
	char rest;

	if (!version || !*version)
		return 0;
	if (strlen(version) >= sizeof(e->pinned) ||
	    sscanf(version, "%1u.%3u%c", &major, &minor, &rest) != 2)
		return err_set(err, ERR_INVALID, "DOCKER_API_VERSION: not like 1.43");
	if (major != 1 || minor < ENGINE_API_MIN || minor > ENGINE_API_MAX)
		return err_set(err, ERR_UNSUPPORTED, "DOCKER_API_VERSION: only 1.%d to 1.%d",
			       ENGINE_API_MIN, ENGINE_API_MAX);
	memcpy(e->pinned, version, strlen(version));
	return 0;
}

static void close_engine(struct engine **e)
{
	engine_close(*e);
}

void engine_on_event(struct engine *e, engine_event_fn *fn, void *arg)
{
	e->on_event = fn;
	e->on_event_arg = arg;
}

int engine_open(const struct engine_config *config, struct engine **ret, struct err *err)
{
	_cleanup_(close_engine) struct engine *e = xcalloc(1, sizeof(*e));
	int rc;

	e->control = config->control > 0 ? config->control : 0;
	e->driver = config->role || e->control ? &engine_remote : &engine_direct;
	mutex_init(&e->lock);
	cond_init(&e->pause);
	cond_init(&e->role_free);
	if (!config->instance || !engine_is_name(config->instance, 64))
		return err_set(err, ERR_INVALID,
			       "CELERIAC_INSTANCE: 1 to 64 letters, digits and _.-");
	e->instance = xstrdup(config->instance);
	e->stale = ENGINE_LIMIT_STALE * USEC_PER_SEC;
	rc = config->role ? set_role(e, config->role, err) : set_host(e, config, err);
	if (rc == 0)
		rc = set_pinned(e, config->api_version, err);
	if (rc == 0 && config->mounts &&
	    engine_mounts_read(config->mounts, &e->mounts, &e->mount_count, err) < 0)
		rc = err_wrap(err, "SANDBOX_MOUNT_ALLOW");
	if (rc < 0)
		return rc;
	*ret = TAKE(e);
	return 0;
}

const char *engine_address(const struct engine *e)
{
	return e->address;
}

void engine_close(struct engine *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->idle_count; i++)
		http_client_free(e->idle[i]);
	for (size_t i = 0; i < e->role_idle_count; i++)
		close(e->role_idle[i]);
	free(e->role);
	cond_done(&e->role_free);
	cond_done(&e->pause);
	mutex_done(&e->lock);
	free(e->base_url);
	free(e->unix_socket);
	free(e->ca_file);
	free(e->cert_file);
	free(e->key_file);
	free(e->address);
	free(e->instance);
	engine_mounts_free(e->mounts, e->mount_count);
	free(e);
}

void engine_pause(struct engine *e, usec_t how_long)
{
	usec_t until = clock_deadline(how_long);

	mutex_lock(&e->lock);
	while (cond_wait_until(&e->pause, &e->lock, until))
		;
	mutex_unlock(&e->lock);
}

int engine_check_id(const char *id, struct err *err)
{
	size_t len = strlen(id);

	if (len < 12 || len > 64 || strspn(id, "0123456789abcdef") != len)
		return err_set(err, ERR_INVALID, "'%.72s' is not a container's id", id);
	return 0;
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool engine_is_name(const char *s, size_t max)
{
	size_t i = 0;

	if (!is_alnum(s[0]))
		return false;
	for (; s[i]; i++)
		if (i >= max || !(is_alnum(s[i]) || strchr("_.-", s[i])))
			return false;
	return true;
}

bool engine_is_image(const char *s)
{
	size_t i = 0;

	if (!is_alnum(s[0]) || strstr(s, "..") || strstr(s, "//"))
		return false;
	for (; s[i]; i++)
		if (i >= 512 || !(is_alnum(s[i]) || strchr("_.-/:@", s[i])))
			return false;
	return s[i - 1] != '/';
}

void engine_encode(const char *s, const char *keep, struct buf *out)
{
	for (; *s; s++) {
		if (is_alnum(*s) || strchr("-._~", *s) || strchr(keep, *s))
			buf_append_char(out, *s);
		else
			buf_appendf(out, "%%%02X", (unsigned)(unsigned char)*s);
	}
}

const char *engine_label(const json_t *labels, const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), ENGINE_LABEL_PREFIX "%s", name);
	const char *value = json_string_value(json_object_get(labels, key));
	return value ? value : "";
}
