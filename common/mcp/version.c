/*
 * version.c: the revisions of the protocol that this client speaks, newest first.
 */
#include <string.h>

#include "version.h"

static const struct {
	const char *version;
	enum mcp_era era;
} versions[] = {
	{"2026-07-28", MCP_ERA_STATELESS}, {"2025-11-25", MCP_ERA_HANDSHAKE},
	{"2025-06-18", MCP_ERA_HANDSHAKE}, {"2025-03-26", MCP_ERA_HANDSHAKE},
	{"2024-11-05", MCP_ERA_HANDSHAKE},
};

enum mcp_era mcp_version_era(const char *version)
{
	for (size_t i = 0; version && i < ARRAY_LEN(versions); i++)
		if (strcmp(versions[i].version, version) == 0)
			return versions[i].era;
	return MCP_ERA_UNKNOWN;
}

const char *mcp_version_newest(enum mcp_era era)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (versions[i].era == era)
			return versions[i].version;
	BUG("no version of generation %d", (int)era);
}

const char *mcp_version_choose(const json_t *supported, enum mcp_era era)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		size_t n;
		json_t *v;
		if (versions[i].era != era)
			continue;
		json_array_foreach(supported, n,
				   v) if (json_is_string(v) &&
					  strcmp(json_string_value(v), versions[i].version) ==
						  0) return versions[i]
			.version;
	}
	return NULL;
}
