/*
 * sockets.c: whether a program needs connections to unix sockets beside that of the engine.
 *
 * In doubt it does: then they are allowed.
 */
#include "cage_internal.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* libpq goes to a unix socket where a URL names no host, or a directory for one. */
static bool database_by_socket(const char *url)
{
	const char *authority = strstr(url, "://");

	if (authority == NULL || strstr(url, "host=") != NULL)
		return true;
	authority += 3;
	size_t len = strcspn(authority, "/?");
	_cleanup_free_ char *text = xstrndup(authority, len);
	const char *host = strrchr(text, '@');
	host = host ? host + 1 : text;
	return host[0] == '\0' || host[0] == ':' || strchr(host, '%') != NULL ||
	       strchr(host, ',') != NULL;
}

static void look(void *arg, const char *name, const char *value)
{
	static const char *const engine[] = {"DOCKER_", "CELERIAC_ENGINE", "SANDBOX_"};
	bool *needs = arg;

	for (size_t i = 0; i < ARRAY_LEN(engine); i++)
		if (strncmp(name, engine[i], strlen(engine[i])) == 0)
			return;
	if (strstr(value, "socket:") != NULL || strstr(value, "unix:") != NULL ||
	    (strstr(value, "postgres") != NULL && database_by_socket(value)))
		*needs = true;
}

bool cage_needs_unix(const struct settings *s)
{
	bool needs = getenv("PGHOST") != NULL || getenv("PGSERVICE") != NULL ||
		     s->imports.count > 0 || s->include.count > 0; /* modules: who knows */

	settings_each_text(s, look, &needs);
	return needs;
}
