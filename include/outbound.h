/*
 * outbound.h: where connections on behalf of sandboxes, tools and MCP servers may go.
 *
 * One strict reader of host names serves check and connection alike; every address a name stands
 * for is judged before any is connected to, and the connection goes to a judged address. By default
 * public addresses on ports 80 and 443 are open and nothing else; EGRESS_ALLOW makes holes, except
 * to the worker's own broker, database, engine and metrics. Rules about
 * names are the policy's (policy.h), and asked first, so that a denied name is never looked up.
 */
#ifndef CELERIAC_OUTBOUND_H
#define CELERIAC_OUTBOUND_H

#include <stdatomic.h>

#include "base.h"
#include "err.h"
#include "settings.h"

/* ---- addresses: pure ---- */
struct ip_address {
	bool v6;
	uint8_t bytes[16]; /* the first 4 for IPv4 */
};
#define IP_ADDRESS_TEXT 46

/* The usual text of an address alone: dotted decimal of four parts, or IPv6 without brackets and
 * zone. [any] */
bool ip_address_parse(const char *text, struct ip_address *ret);
void ip_address_format(const struct ip_address *a, char out[IP_ADDRESS_TEXT]);
bool ip_address_equal(const struct ip_address *a, const struct ip_address *b);
/* NULL for a public address; else what it is, in a few words ("loopback", "private" …). An IPv6
 * address that carries an IPv4 one is what that one is. [any] */
const char *ip_address_forbidden(const struct ip_address *a);

/* "10.0.0.0/8", "fd00::/8"; a bare address is a range of one. */
struct ip_range {
	struct ip_address base;
	unsigned bits;
};
bool ip_range_parse(const char *text, struct ip_range *ret);
bool ip_range_has(const struct ip_range *r, const struct ip_address *a);

/* ---- hosts: pure ---- */
#define OUTBOUND_NAME_BYTES 253
struct outbound_host {
	char name[OUTBOUND_NAME_BYTES +
		  1]; /* lower case; of an address its text, without brackets */
	bool is_address;
	struct ip_address address;
};
/*
 * A host as it stands in a URL or after CONNECT: a name of letters, digits, '-' and '_', an IPv4
 * address in its usual form, or an IPv6 address in brackets. Refused, ERR_INVALID with the reason:
 * other spellings of numbers, zones, trailing dots, non-ASCII, percent escapes. [any]
 */
int outbound_host_parse(const char *text, size_t len, struct outbound_host *ret,
			struct err *err) must_check;

/* ---- origins: pure ---- */
struct outbound_origin {
	bool tls;
	struct outbound_host host;
	uint16_t port; /* the scheme's own if none is written */
	size_t length; /* bytes of the URL before its path, query or fragment */
};
/*
 * Where a whole http(s) URL leads. The text is visible ASCII without backslash, of BOUND_URL_BYTES
 * at most (ERR_TOOBIG), and names no user; its host is read by outbound_host_parse. ERR_INVALID
 * says what is wrong, without the URL: it may hold a secret. [any]
 */
int outbound_origin_parse(const char *url, struct outbound_origin *ret, struct err *err) must_check;
/* Scheme, host and port (RFC 6454 section 5). */
bool outbound_origin_equal(const struct outbound_origin *a, const struct outbound_origin *b);

/* What `reference` means at `base`, a URL that outbound_origin_parse takes (RFC 3986 section 5.3,
 * but dots in a path are left as they are); given. A reference with a scheme is what it says.
 * Whatever comes out has to be parsed like any other. [any] */
char *outbound_url_join(const char *base, const char *reference);

/* ---- what the operator and the worker itself say ---- */
enum outbound_scope {
	OUTBOUND_SANDBOX = 1u << 0,
	OUTBOUND_HTTP = 1u << 1,
	OUTBOUND_MCP = 1u << 2,
	OUTBOUND_EVERY = OUTBOUND_SANDBOX | OUTBOUND_HTTP | OUTBOUND_MCP
};
struct outbound;
/* ERR_INVALID names the entry of EGRESS_ALLOW. Looks the worker's own services up. [init] */
int outbound_open(const struct settings *s, struct outbound **ret, struct err *err) must_check;
void outbound_close(struct outbound *o);

/* Before a name is looked up. ERR_DENIED says why: the port, or a service of the worker's own.
 * [any]
 */
int outbound_check_host(struct outbound *o, enum outbound_scope scope,
			const struct outbound_host *host, uint16_t port,
			struct err *err) must_check;
/* Each address that `host` stands for, before any is connected to. ERR_DENIED. [any] */
int outbound_check_address(struct outbound *o, enum outbound_scope scope,
			   const struct outbound_host *host, const struct ip_address *a,
			   uint16_t port, struct err *err) must_check;

/* ---- names to addresses ---- */
#define OUTBOUND_ADDRESSES 16
struct lookup;
/* Begins to look `name` up; never blocks. `lookup_fd` becomes readable when it is over.
 * ERR_UNAVAILABLE: too many at once. [any] */
int lookup_begin(const char *name, struct lookup **ret, struct err *err) must_check;
int lookup_fd(const struct lookup *l);
/* After the descriptor became readable. ERR_NOTFOUND: no such name, or no address. */
int lookup_result(const struct lookup *l, struct ip_address ret[OUTBOUND_ADDRESSES],
		  size_t *ret_count, struct err *err) must_check;
/* Also before it is over: it then ends by itself. */
void lookup_free(struct lookup *l);

/*
 * The addresses that `host` stands for, looked up once and judged, all of them: one that is
 * forbidden is enough to be refused, since nobody mixes them by mistake. They are what is to be
 * connected to. Of a host that is an address itself there are none. Blocks; `cancelled` may be
 * NULL. ERR_DENIED, ERR_NOTFOUND, ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_CANCELLED. [any]
 */
int outbound_resolve(struct outbound *o, enum outbound_scope scope,
		     const struct outbound_host *host, uint16_t port, usec_t deadline,
		     const atomic_bool *cancelled, struct ip_address ret[OUTBOUND_ADDRESSES],
		     size_t *ret_count, struct err *err) must_check;

#endif
