/*
 * The table of languages.
 */
#include "language.h"

#include <string.h>

#include "python_env.h"

const char *const sandbox_language_env[] = {
	SANDBOX_PATH, "HOME=/sandbox", "USER=sandbox",
	SANDBOX_LANG, "TMPDIR=/tmp",   "XDG_CACHE_HOME=/tmp/.cache",
	NULL};

/* Modules of the conversation lie in /sandbox, the code itself does not. */
static const char *const python_env[] = {"PYTHONPATH=/sandbox", SANDBOX_PYTHON_ENV,
					 "MPLCONFIGDIR=/tmp/matplotlib", NULL};

static const struct language languages[] = {
	{.name = "python",
	 .file = ".celeriac/main.py",
	 .argv = {"python3", "-u", "/sandbox/.celeriac/main.py"},
	 .env = python_env,
	 .is_python = true},
};

const struct language *sandbox_language_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(languages); i++)
		if (strcmp(languages[i].name, name) == 0)
			return &languages[i];
	return NULL;
}
