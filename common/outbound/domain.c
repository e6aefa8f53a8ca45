/*
 * Ordered rules about domain names.
 */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "outbound.h"

#define RULES_MAX 4096

/* The port after the last colon of a pattern, 0 = any; -1 = not a port. */
static int pattern_port(const char *pattern, size_t *ret_len)
{
	const char *colon = strrchr(pattern, ':');
	const char *bracket = strrchr(pattern, ']');
	long port;
	char *end;

	*ret_len = strlen(pattern);
	if (colon == NULL || (bracket && colon < bracket))
		return 0;
	*ret_len = (size_t)(colon - pattern);
	if (colon[1] < '0' || colon[1] > '9')
		return -1;
	port = strtol(colon + 1, &end, 10);
	return *end == '\0' && port > 0 && port <= 65535 ? (int)port : -1;
}

int domain_rules_add(struct domain_rules *r, const char *pattern, bool allow, struct err *err)
{
	struct outbound_host host;
	size_t len, skip = strncmp(pattern, "*.", 2) == 0 ? 2 : 0;
	struct err why;

	if (r->count >= RULES_MAX)
		return err_set(err, ERR_TOOBIG, "more than %d rules about domains", RULES_MAX);
	if (pattern_port(pattern, &len) < 0)
		return err_set(err, ERR_INVALID, "domain '%.100s': the port", pattern);
	if (!(len == 1 && pattern[0] == '*') &&
	    outbound_host_parse(pattern + skip, len - skip, &host, &why) < 0)
		return err_set(err, ERR_INVALID, "domain '%.100s': %s", pattern, why.msg);
	r->items = xrealloc(r->items, (r->count + 1) * sizeof(*r->items));
	r->items[r->count].pattern = xstrdup(pattern);
	for (char *p = r->items[r->count].pattern; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
	r->items[r->count++].allow = allow;
	return 0;
}

void domain_rules_done(struct domain_rules *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->items[i].pattern);
	free(r->items);
	*r = (struct domain_rules){0};
}

static bool matches(const char *pattern, const struct outbound_host *host, uint16_t port)
{
	size_t len, name = strlen(host->name);
	int wanted = pattern_port(pattern, &len);

	if (wanted != 0 && wanted != port)
		return false;
	if (len == 1 && pattern[0] == '*')
		return true;
	if (pattern[0] == '[' && len > 2) {
		pattern++;
		len -= 2;
	}
	if (strncmp(pattern, "*.", 2) != 0)
		return name == len && strncmp(pattern, host->name, len) == 0;
	/* "*.example.org": the dot stays in the comparison */
	return !host->is_address && name > len - 1 &&
	       strncmp(pattern + 1, host->name + name - (len - 1), len - 1) == 0;
}

bool domain_rules_allow(const struct domain_rules *r, const struct outbound_host *host,
			uint16_t port, const char **ret_rule)
{
	for (size_t i = 0; i < r->count; i++) {
		if (!matches(r->items[i].pattern, host, port))
			continue;
		if (ret_rule)
			*ret_rule = r->items[i].pattern;
		return r->items[i].allow;
	}
	if (ret_rule)
		*ret_rule = NULL;
	return r->otherwise;
}
