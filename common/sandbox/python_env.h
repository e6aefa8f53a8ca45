/*
 * python_env.h: what a Python run's environment begins with. Shared with the agent, whose fork
 * server has to have begun with the same.
 */
#ifndef CELERIAC_SANDBOX_PYTHON_ENV_H
#define CELERIAC_SANDBOX_PYTHON_ENV_H

#define SANDBOX_PATH "PATH=/usr/local/bin:/usr/bin:/bin"
#define SANDBOX_LANG "LANG=C.UTF-8"

/* Without bytecode files beside input files. */
#define SANDBOX_PYTHON_ENV                                                                         \
	"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "PYTHONIOENCODING=utf-8",               \
		"MPLBACKEND=Agg"

/* Modules of the standard library, with spaces between and around them: a program that names no
 * others is plain. The fork server without packages has them loaded. */
#define SANDBOX_PYTHON_PLAIN                                                                       \
	" abc array base64 bisect calendar collections contextlib copy csv dataclasses datetime "  \
	"decimal enum fractions functools glob hashlib heapq html io itertools json math "         \
	"operator os pathlib random re secrets shutil statistics string struct sys tempfile "      \
	"textwrap time traceback types typing unicodedata uuid zlib "

#endif
