/*
 * engine_hosts.c: which engines the settings name, and by which way each is reached.
 */
#include "engine_role.h"

#include <string.h>

#include "mem.h"

enum engine_way engine_way(const struct settings *s)
{
	if (s->engine[0] == '\0' || strcmp(s->engine, "fork") == 0)
		return ENGINE_WAY_FORK;
	return strcmp(s->engine, "direct") == 0 ? ENGINE_WAY_DIRECT : ENGINE_WAY_ROLE;
}

const char *engine_hosts(const struct settings *s)
{
	return engine_way(s) == ENGINE_WAY_ROLE ? s->engine : s->docker_host;
}

char *engine_host_at(const char *list, size_t n)
{
	for (; n > 0 && list; n--) {
		list = strchr(list, ',');
		list = list ? list + 1 : NULL;
	}
	if (list == NULL)
		return NULL;
	list += strspn(list, " ");
	size_t len = strcspn(list, ",");
	while (len > 0 && list[len - 1] == ' ')
		len--;
	return xstrndup(list, len);
}

size_t engine_host_count(const char *list)
{
	size_t n = 1;

	for (; *list; list++)
		n += *list == ',';
	return n;
}
