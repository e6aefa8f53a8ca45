/*
 * The table of languages.
 */
#include "language.h"

#include <string.h>

const char *const sandbox_language_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
					    "HOME=/sandbox",
					    "USER=sandbox",
					    "LANG=C.UTF-8",
					    "TMPDIR=/tmp",
					    "XDG_CACHE_HOME=/tmp/.cache",
					    NULL};

/* Without bytecode files beside input files; modules of the conversation lie in /sandbox, the code
 * itself does not. */
static const char *const python_env[] = {"PYTHONPATH=/sandbox",
					 "PYTHONUNBUFFERED=1",
					 "PYTHONDONTWRITEBYTECODE=1",
					 "PYTHONIOENCODING=utf-8",
					 "MPLBACKEND=Agg",
					 "MPLCONFIGDIR=/tmp/matplotlib",
					 NULL};

static const struct language languages[] = {
	{.name = "python",
	 .file = ".celeriac/main.py",
	 .argv = {"python3", "-u", "/sandbox/.celeriac/main.py"},
	 .env = python_env},
};

const struct language *sandbox_language_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(languages); i++)
		if (strcmp(languages[i].name, name) == 0)
			return &languages[i];
	return NULL;
}
