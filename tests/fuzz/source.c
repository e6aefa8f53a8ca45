/* Source and commands as text: names of tools, what Python loads, a server's command line. */
#include "common/sandbox/language.h"
#include "fuzz.h"
#include "sandbox.h"
#include "mcp.h"
#include "mcp_sessions.h"
#include "tasks/mcp_task.h"
#include "tasks/plugin_scan.h"

static int found(void *arg, const char *name, struct err *err)
{
	(void)arg, (void)err;
	FUZZ_CHECK(name[0] != '\0' && strlen(name) < TOOL_NAME_BYTES);
	return 0;
}

int fuzz_source(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xmemdup(data, size);
	struct mcp_package package = {0};
	char **words = NULL;
	struct err err;
	int rc = plugin_scan((const char *)data, size, found, NULL, &err);

	if (rc < 0)
		fuzz_failed(rc, &err);
	(void)sandbox_python_is_plain((struct slice){(const char *)data, size});
	rc = mcp_command_split(text, &words, &err);
	if (rc < 0) {
		fuzz_failed(rc, &err);
		return 0;
	}
	rc = mcp_package_read((const char *const *)words, &package, &err);
	if (rc < 0)
		fuzz_failed(rc, &err);
	else if (rc == 1) {
		FUZZ_CHECK(package.id && package.spec && package.name && package.argv[0]);
		mcp_package_done(&package);
	}
	free(words);
	return 0;
}
