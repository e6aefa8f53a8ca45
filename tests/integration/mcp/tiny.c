/*
 * tiny.c: an MCP server that needs nothing but a kernel, for images that hold nothing else. It
 * answers `initialize`, and everything else with one tool and one text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOOL                                                                                       \
	"\"tools\":[{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}],\"content\":[{"        \
	"\"type\":\"text\",\"text\":\"tiny\"}]"
#define GREETING                                                                                   \
	"\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{}},"                      \
	"\"serverInfo\":{\"name\":\"tiny\",\"version\":\"1\"}"

int main(void)
{
	static char line[65536];

	while (fgets(line, sizeof(line), stdin)) {
		const char *id = strstr(line, "\"id\":");

		if (id && strstr(line, "server/discover"))
			printf("{\"jsonrpc\":\"2.0\",\"id\":%ld,\"error\":{\"code\":-32601,"
			       "\"message\":\"no\"}}\n",
			       strtol(id + 5, NULL, 10));
		else if (id)
			printf("{\"jsonrpc\":\"2.0\",\"id\":%ld,\"result\":{%s}}\n",
			       strtol(id + 5, NULL, 10),
			       strstr(line, "\"initialize\"") ? GREETING : TOOL);
		fflush(stdout);
	}
	return 0;
}
