/*
 * What the operator and the worker itself say about where connections may go.
 */
#include "outbound.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "pg.h"
#include "thread.h"
#include "url.h"

#define LOOK_AGAIN	  (60 * USEC_PER_SEC)
#define OWN_MAX		  64 /* services */
#define OWN_ADDRESSES_MAX 1024
#define START_PATIENCE	  (5 * USEC_PER_SEC)

/* A hole of EGRESS_ALLOW. */
struct hole {
	unsigned scope;
	bool is_range;
	struct ip_range range;
	struct outbound_host host;
	uint16_t port; /* 0 = the usual ones */
};

/* A service of the worker's own: what is said of it, and what that means now. */
struct own_service {
	char name[OUTBOUND_NAME_BYTES + 1];
	uint16_t port;
	struct lookup *lookup; /* guarded by the lock below: going on, or NULL */
};
struct own_address {
	struct ip_address address;
	uint16_t port;
};

struct outbound {
	struct hole *holes;
	size_t hole_count;
	struct own_service services[OWN_MAX];
	size_t service_count;
	struct mutex lock;
	struct own_address *own; /* guarded by lock */
	size_t own_count;	 /* guarded by lock */
	usec_t look_again;	 /* guarded by lock: monotonic */
};

static const struct {
	const char *name;
	unsigned scope;
} scopes[] = {{"sandbox", OUTBOUND_SANDBOX},
	      {"http", OUTBOUND_HTTP},
	      {"mcp", OUTBOUND_MCP},
	      {"all", OUTBOUND_EVERY}};

/* ---- EGRESS_ALLOW ---- */
static const char *take_scope(const char *entry, unsigned *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
		size_t len = strlen(scopes[i].name);

		if (strncmp(entry, scopes[i].name, len) == 0 && entry[len] == ':') {
			*ret = scopes[i].scope;
			return entry + len + 1;
		}
	}
	return NULL;
}

/* Splits "host:port" and "[v6]:port"; 0 = no port, -1 = not a port. */
static long split_port(const char *text, size_t *ret_len)
{
	const char *bracket = strrchr(text, ']');
	const char *colon = strrchr(text, ':');
	long port;
	char *end;

	*ret_len = strlen(text);
	if (colon == NULL || (bracket != NULL && colon < bracket))
		return 0;
	*ret_len = (size_t)(colon - text);
	if (colon[1] < '0' || colon[1] > '9')
		return -1;
	port = strtol(colon + 1, &end, 10);
	return *end == '\0' && port > 0 && port <= 65535 ? port : -1;
}

static int parse_hole(const char *entry, struct hole *ret, struct err *err)
{
	struct hole h = {0};
	const char *what = take_scope(entry, &h.scope);
	struct err why;
	size_t len;
	long port;

	if (what == NULL)
		return err_set(
			err, ERR_INVALID,
			"EGRESS_ALLOW '%.100s': it begins with sandbox:, http:, mcp: or all:",
			entry);
	/* a range of IPv6 addresses has colons of its own */
	h.is_range = ip_range_parse(what, &h.range);
	if (!h.is_range) {
		port = split_port(what, &len);
		if (port < 0)
			return err_set(err, ERR_INVALID, "EGRESS_ALLOW '%.100s': the port", entry);
		h.port = (uint16_t)port;
		_cleanup_free_ char *host = xstrndup(what, len);
		h.is_range = ip_range_parse(host, &h.range);
		if (!h.is_range && outbound_host_parse(host, len, &h.host, &why) < 0)
			return err_set(err, ERR_INVALID, "EGRESS_ALLOW '%.100s': %s", entry,
				       why.msg);
		if (!h.is_range && h.host.is_address) {
			h.is_range = true;
			h.range = (struct ip_range){.base = h.host.address,
						    .bits = h.host.address.v6 ? 128 : 32};
		}
	}
	*ret = h;
	return 0;
}

static int parse_holes(struct outbound *o, const struct str_list *list, struct err *err)
{
	o->holes = xcalloc(list->count + 1, sizeof(*o->holes));
	for (size_t i = 0; i < list->count; i++) {
		int rc = parse_hole(list->items[i], &o->holes[o->hole_count], err);

		if (rc < 0)
			return rc;
		o->hole_count++;
	}
	return 0;
}

static bool is_usual_port(uint16_t port)
{
	return port == 80 || port == 443;
}

static bool port_fits(const struct hole *h, uint16_t port)
{
	return h->port != 0 ? h->port == port : is_usual_port(port);
}

/* A hole that names this host, or, with an address, covers it. */
static bool has_hole(const struct outbound *o, enum outbound_scope scope,
		     const struct outbound_host *host, const struct ip_address *a, uint16_t port)
{
	for (size_t i = 0; i < o->hole_count; i++) {
		const struct hole *h = &o->holes[i];

		if (!(h->scope & scope) || !port_fits(h, port))
			continue;
		if (h->is_range ? a != NULL && ip_range_has(&h->range, a)
				: strcmp(h->host.name, host->name) == 0)
			return true;
	}
	return false;
}

/* A port that is opened for some address: the addresses are not known before the name is looked up.
 */
static bool port_may_open(const struct outbound *o, enum outbound_scope scope, uint16_t port)
{
	for (size_t i = 0; i < o->hole_count; i++)
		if ((o->holes[i].scope & scope) && o->holes[i].is_range && o->holes[i].port == port)
			return true;
	return false;
}

/* ---- the worker's own services ---- */
static void note_service(struct outbound *o, const char *host, int port)
{
	struct own_service *s = &o->services[o->service_count];
	size_t len = strlen(host);

	if (len == 0 || len > OUTBOUND_NAME_BYTES || port <= 0 || o->service_count == OWN_MAX)
		return;
	for (size_t i = 0; i < len; i++)
		s->name[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] | 0x20) : host[i];
	s->port = (uint16_t)port;
	o->service_count++;
}

/* One URL of several in a setting (`;` between brokers, `,` between engines). */
static void note_url(struct outbound *o, const char *text, int usual_port)
{
	struct err ignored;

	while (text && *text) {
		size_t len = strcspn(text, ";,");
		_cleanup_free_ char *one = xstrndup(text, len);
		_cleanup_url_ struct url u = {0};

		if (url_parse(one, &u, &ignored) == 0)
			note_service(o, u.host, u.port ? u.port : usual_port);
		else if (strncmp(one, "unix:", 5) != 0)
			log_debug("an address among the worker's own services is not a URL");
		text += len + (text[len] != '\0');
	}
}

static void note_host(void *arg, const char *host, int port)
{
	note_service(arg, host, port);
}

/* A database's, of which there may be several; SQLAlchemy's forms of a result backend among them.
 */
static bool note_database(struct outbound *o, const char *url)
{
	static const char *const before[] = {"db+", "database+"};

	for (size_t i = 0; url != NULL && i < ARRAY_LEN(before); i++) {
		if (strncmp(url, before[i], strlen(before[i])) == 0)
			url += strlen(before[i]);
	}
	return url != NULL && pg_url_hosts(url, note_host, o);
}

/* "host:port" of CELERIAC_METRICS. */
static void note_listener(struct outbound *o, const char *text)
{
	const char *colon = strrchr(text, ':');
	_cleanup_free_ char *host = colon ? xstrndup(text, (size_t)(colon - text)) : NULL;

	if (host)
		note_service(o, host, atoi(colon + 1));
}

/* Of brokers and result backends, by how their URLs begin; else Redis'. */
static int service_port(const char *url)
{
	static const struct {
		const char *begins;
		int port;
	} ports[] = {{"amqps", 5671}, {"amqp", 5672}, {"sentinel", 26379}};

	for (size_t i = 0; url != NULL && i < ARRAY_LEN(ports); i++) {
		if (strncmp(url, ports[i].begins, strlen(ports[i].begins)) == 0)
			return ports[i].port;
	}
	return 6379;
}

static void collect_services(struct outbound *o, const struct settings *s)
{
	note_url(o, s->broker_url, service_port(s->broker_url));
	if (!note_database(o, s->result_backend))
		note_url(o, s->result_backend, service_port(s->result_backend));
	note_database(o, s->database_url);
	note_database(o, s->owner_database_url);
	note_url(o, s->docker_host, s->docker_tls_verify ? 2376 : 2375);
	note_listener(o, s->metrics);
}

/* An address that was ours stays so. */
static void add_own_locked(struct outbound *o, const struct ip_address *a, uint16_t port)
	REQUIRES(o->lock);
static void add_own_locked(struct outbound *o, const struct ip_address *a, uint16_t port)
{
	for (size_t i = 0; i < o->own_count; i++)
		if (o->own[i].port == port && ip_address_equal(&o->own[i].address, a))
			return;
	if (o->own_count == OWN_ADDRESSES_MAX)
		return;
	o->own = xrealloc(o->own, (o->own_count + 1) * sizeof(*o->own));
	o->own[o->own_count++] = (struct own_address){.address = *a, .port = port};
}

/* Takes the answer if it is there. */
static void collect_locked(struct outbound *o, struct own_service *s) REQUIRES(o->lock);
static void collect_locked(struct outbound *o, struct own_service *s)
{
	struct ip_address found[OUTBOUND_ADDRESSES];
	struct pollfd fd = {.events = POLLIN};
	struct err ignored;
	size_t n;

	if (s->lookup == NULL)
		return;
	fd.fd = lookup_fd(s->lookup);
	if (poll(&fd, 1, 0) <= 0)
		return;
	if (lookup_result(s->lookup, found, &n, &ignored) == 0)
		for (size_t i = 0; i < n; i++)
			add_own_locked(o, &found[i], s->port);
	lookup_free(s->lookup);
	s->lookup = NULL;
}

/* Services may move while we run: their names are looked up again from time to time, without
 * waiting for it. */
static void keep_services_known(struct outbound *o)
{
	usec_t now = clock_mono();
	struct err ignored;
	bool due;

	mutex_lock(&o->lock);
	due = now >= o->look_again;
	if (due)
		o->look_again = now + LOOK_AGAIN;
	for (size_t i = 0; i < o->service_count; i++) {
		struct own_service *s = &o->services[i];

		collect_locked(o, s);
		if (due && s->lookup == NULL && lookup_begin(s->name, &s->lookup, &ignored) < 0)
			s->lookup = NULL; /* the next time then */
	}
	mutex_unlock(&o->lock);
}

/* At start their addresses are waited for. */
static void await_services(struct outbound *o)
{
	usec_t deadline = clock_deadline(START_PATIENCE);

	for (size_t i = 0; i < o->service_count; i++) {
		struct pollfd fd = {.events = POLLIN};
		usec_t left = deadline - clock_mono();

		if (o->services[i].lookup == NULL || left <= 0)
			continue;
		fd.fd = lookup_fd(o->services[i].lookup);
		poll(&fd, 1, (int)(left / USEC_PER_MSEC));
	}
	keep_services_known(o);
}

int outbound_open(const struct settings *s, struct outbound **ret, struct err *err)
{
	struct outbound *o = xcalloc(1, sizeof(*o));
	int rc;

	mutex_init(&o->lock);
	rc = parse_holes(o, &s->egress_allow, err);
	if (rc < 0) {
		outbound_close(o);
		return rc;
	}
	collect_services(o, s);
	keep_services_known(o);
	await_services(o);
	*ret = o;
	return 0;
}

void outbound_close(struct outbound *o)
{
	if (o == NULL)
		return;
	for (size_t i = 0; i < o->service_count; i++)
		lookup_free(o->services[i].lookup);
	free(o->holes);
	free(o->own);
	mutex_done(&o->lock);
	free(o);
}

int outbound_check_host(struct outbound *o, enum outbound_scope scope,
			const struct outbound_host *host, uint16_t port, struct err *err)
{
	keep_services_known(o);
	for (size_t i = 0; i < o->service_count; i++)
		if (o->services[i].port == port && strcmp(o->services[i].name, host->name) == 0)
			return err_set(err, ERR_DENIED, "%s:%u: a service of the worker's own",
				       host->name, port);
	if (host->is_address)
		return outbound_check_address(o, scope, host, &host->address, port, err);
	if (!is_usual_port(port) && !has_hole(o, scope, host, NULL, port) &&
	    !port_may_open(o, scope, port))
		return err_set(err, ERR_DENIED, "port %u: only 80 and 443 are open", port);
	return 0;
}

int outbound_check_address(struct outbound *o, enum outbound_scope scope,
			   const struct outbound_host *host, const struct ip_address *a,
			   uint16_t port, struct err *err)
{
	const char *what = ip_address_forbidden(a);
	char text[IP_ADDRESS_TEXT];
	bool own = false;

	ip_address_format(a, text);
	mutex_lock(&o->lock);
	for (size_t i = 0; i < o->own_count && !own; i++)
		own = o->own[i].port == port && ip_address_equal(&o->own[i].address, a);
	mutex_unlock(&o->lock);
	if (own)
		return err_set(err, ERR_DENIED, "%s:%u: a service of the worker's own", text, port);
	if (has_hole(o, scope, host, a, port))
		return 0;
	if (what)
		return err_set(err, ERR_DENIED, "%s: an address that is %s", text, what);
	if (!is_usual_port(port))
		return err_set(err, ERR_DENIED, "port %u: only 80 and 443 are open", port);
	return 0;
}
