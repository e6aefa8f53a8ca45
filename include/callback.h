/*
 * callback.h: the one hole from a sandbox towards the application (SANDBOX_CALLBACK_URL), for
 * example its MCP endpoint.
 *
 * A run is given CELERIAC_CALLBACK_URL, an http URL of a host that does not exist, and reaches it
 * through its proxy. The worker sends the request to the application's origin, below the path
 * prefix and with one of the methods only, and says in the header Celeriac-Run whose it is: "v1.",
 * a JSON object {"task","conversation","project","exp"} and its HMAC-SHA256 under
 * SANDBOX_CALLBACK_SECRET, both in base64url without padding, the MAC over "v1." and the first.
 * `exp` is unix seconds. Redirects are handed back, not followed. Pure but for the clock.
 */
#ifndef CELERIAC_CALLBACK_H
#define CELERIAC_CALLBACK_H

#include "buf.h"
#include "outbound.h"

#define CALLBACK_HOST  "callback.celeriac.internal"
#define CALLBACK_VALID (300 * USEC_PER_SEC) /* of a header */

struct callback {
	bool tls;
	struct outbound_host host;
	uint16_t port;
	char *prefix;  /* "" or "/mcp": no slash at the end */
	char *methods; /* ",GET,POST," */
	char *secret;
	size_t secret_len;
};

/* `text` as the setting has it: "[METHOD,METHOD… ]http[s]://host[:port][/prefix]"; without methods
 * GET and POST. ERR_INVALID says what was wrong. [any] */
int callback_parse(const char *text, const char *secret, struct callback *ret,
		   struct err *err) must_check;
void callback_done(struct callback *c);

/* What a run is told. Given. */
char *callback_url(const struct callback *c);
/* May this be asked for? ERR_DENIED. `path` begins with a slash and may have a query; one that a
 * server could read in two ways is refused. */
int callback_allows(const struct callback *c, const char *method, const char *path,
		    struct err *err) must_check;
/* The value of the header, appended. `project` may be NULL. Wall clock `now`. */
void callback_sign(const struct callback *c, const char *task, const char *conversation,
		   const char *project, usec_t now, struct buf *out);

#endif
