/*
 * Addresses and what they are. The ranges are those of the registries of special-purpose addresses
 * (RFC 6890 and its updates) and the metadata services of clouds.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outbound.h"

bool ip_address_parse(const char *text, struct ip_address *ret)
{
	struct ip_address a = {0};

	if (inet_pton(AF_INET, text, a.bytes) != 1) {
		a.v6 = true;
		if (inet_pton(AF_INET6, text, a.bytes) != 1)
			return false;
	}
	*ret = a;
	return true;
}

void ip_address_format(const struct ip_address *a, char out[IP_ADDRESS_TEXT])
{
	if (inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->bytes, out, IP_ADDRESS_TEXT) == NULL)
		BUG("an address without text");
}

bool ip_address_equal(const struct ip_address *a, const struct ip_address *b)
{
	return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, a->v6 ? 16 : 4) == 0;
}

bool ip_range_parse(const char *text, struct ip_range *ret)
{
	char address[IP_ADDRESS_TEXT];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	struct ip_range r = {0};

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (!ip_address_parse(address, &r.base))
		return false;
	r.bits = r.base.v6 ? 128 : 32;
	if (slash) {
		unsigned most = r.bits;
		char *end;

		if (slash[1] < '0' || slash[1] > '9')
			return false;
		r.bits = (unsigned)strtoul(slash + 1, &end, 10);
		if (*end != '\0' || end - slash > 4 || r.bits > most)
			return false;
	}
	*ret = r;
	return true;
}

bool ip_range_has(const struct ip_range *r, const struct ip_address *a)
{
	unsigned bytes = r->bits / 8, rest = r->bits % 8;

	if (r->base.v6 != a->v6 || memcmp(r->base.bytes, a->bytes, bytes) != 0)
		return false;
	return rest == 0 || (r->base.bytes[bytes] ^ a->bytes[bytes]) >> (8 - rest) == 0;
}

static const struct special {
	const char *range, *what;
} special[] = {
	{"0.0.0.0/8", "unspecified"},
	{"10.0.0.0/8", "private"},
	{"100.64.0.0/10", "shared by a carrier"},
	{"127.0.0.0/8", "loopback"},
	{"169.254.0.0/16", "link-local"},
	{"172.16.0.0/12", "private"},
	{"192.0.0.0/24", "reserved"},
	{"192.0.2.0/24", "reserved for documentation"},
	{"192.88.99.0/24", "a relay"},
	{"192.168.0.0/16", "private"},
	{"198.18.0.0/15", "reserved for benchmarks"},
	{"198.51.100.0/24", "reserved for documentation"},
	{"203.0.113.0/24", "reserved for documentation"},
	{"224.0.0.0/4", "multicast"},
	{"240.0.0.0/4", "reserved"},
	{"168.63.129.16", "a cloud's own service"},
	{"::1", "loopback"},
	{"2001::/32", "a tunnel"},
	{"2001:db8::/32", "reserved for documentation"},
	{"100::/64", "discarded"},
	{"fc00::/7", "private"},
	{"fe80::/10", "link-local"},
	{"fec0::/10", "site-local"},
	{"ff00::/8", "multicast"},
	{"64:ff9b:1::/48", "private translation"},
};

/* Where in an IPv6 address of these ranges an IPv4 address stands. */
static const struct carrier {
	const char *range;
	size_t offset;
} carriers[] = {
	{"::ffff:0:0/96", 12},
	{"::/96", 12},
	{"64:ff9b::/96", 12},
	{"2002::/16", 2},
};

static bool in(const char *range, const struct ip_address *a)
{
	struct ip_range r;

	if (!ip_range_parse(range, &r))
		BUG("range %s", range);
	return ip_range_has(&r, a);
}

const char *ip_address_forbidden(const struct ip_address *a)
{
	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		if (in(special[i].range, a))
			return special[i].what;
	for (size_t i = 0; a->v6 && i < ARRAY_LEN(carriers); i++) {
		struct ip_address inner = {0};

		if (!in(carriers[i].range, a))
			continue;
		memcpy(inner.bytes, a->bytes + carriers[i].offset, 4);
		return ip_address_forbidden(&inner);
	}
	return NULL;
}
