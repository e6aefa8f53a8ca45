/* Where connections may go: hosts, origins, references, ranges; the endpoints of MCP servers; the
 * application's own way in. */
#include "bounds.h"
#include "callback.h"
#include "common/mcp/http.h"
#include "fuzz.h"
#include "outbound.h"

static void host(const char *text, size_t len)
{
	struct outbound_host h, again;
	char written[OUTBOUND_NAME_BYTES + 3];
	struct err err;
	int rc = outbound_host_parse(text, len, &h, &err);

	if (rc < 0) {
		fuzz_failed(rc, &err);
		return;
	}
	for (const char *p = h.name; *p; p++)
		FUZZ_CHECK((unsigned char)*p > ' ' && (unsigned char)*p < 0x7f &&
			   !strchr("/@?#%\\", *p));
	if (!h.is_address)
		return;
	/* What is connected to is what was judged. */
	ip_address_format(&h.address, written);
	FUZZ_CHECK(strcmp(written, h.name) == 0);
	if (h.address.v6)
		snprintf(written, sizeof(written), "[%s]", h.name);
	FUZZ_CHECK(outbound_host_parse(written, strlen(written), &again, &err) == 0);
	FUZZ_CHECK(ip_address_equal(&h.address, &again.address));
	(void)ip_address_forbidden(&h.address);
}

static void references(const char *base, const char *reference)
{
	_cleanup_free_ char *joined = NULL, *endpoint = NULL;
	struct outbound_origin from, to;
	struct err err;

	if (outbound_origin_parse(base, &from, &err) < 0)
		return;
	FUZZ_CHECK(from.length <= strlen(base) && strlen(base) <= BOUND_URL_BYTES);
	joined = outbound_url_join(base, reference);
	FUZZ_CHECK(joined != NULL);
	(void)!outbound_origin_parse(joined, &to, &err);
	if (mcp_url_endpoint(base, reference, strlen(reference), &endpoint, &err) < 0)
		return;
	FUZZ_CHECK(outbound_origin_parse(endpoint, &to, &err) == 0);
	FUZZ_CHECK(outbound_origin_equal(&from, &to));
}

static void callbacks(const char *setting, const char *path)
{
	struct callback c;
	struct err err;

	if (path[0] != '/')
		return;
	if (callback_parse(setting, "0123456789abcdef0123456789abcdef", &c, &err) < 0)
		return;
	if (callback_allows(&c, "GET", path, &err) == 0) {
		const char *up = strstr(path, "/../"), *query = strchr(path, '?');

		FUZZ_CHECK(up == NULL || (query && query < up));
		FUZZ_CHECK(strncmp(path, c.prefix, strlen(c.prefix)) == 0);
	}
	callback_done(&c);
}

int fuzz_outbound(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	_cleanup_free_ char *first = fuzz_line(&in), *second = fuzz_line(&in);
	struct ip_address address;
	struct ip_range range;

	host((const char *)data, size);
	references(first, second);
	callbacks(first, second);
	if (ip_range_parse(first, &range) && ip_address_parse(second, &address))
		(void)ip_range_has(&range, &address);
	return 0;
}
