/*
 * The table of languages. Code lies in /sandbox/.celeriac, what it is compiled to beside it; the
 * working directory is /sandbox. Caches are in memory and last as long as the conversation.
 */
#include "language.h"

#include <string.h>

#include "frame.h"
#include "python_env.h"
#include "sandbox.h"

#define HOME	   "/sandbox"
#define CODE(name) (HOME "/.celeriac/" name)
#define LOCAL	   HOME "/.local"

const char *const sandbox_language_env[] = {(SANDBOX_PATH ":" LOCAL "/bin"),
					    ("HOME=" HOME),
					    "USER=sandbox",
					    SANDBOX_LANG,
					    "TMPDIR=/tmp",
					    "XDG_CACHE_HOME=/tmp/.cache",
					    NULL};

/* Modules of the conversation lie in /sandbox, the code itself does not. */
static const char *const python_env[] = {("PYTHONPATH=" HOME), SANDBOX_PYTHON_ENV,
					 "MPLCONFIGDIR=/tmp/matplotlib", NULL};

static const char *const node_env[] = {"npm_config_cache=/tmp/.npm",
				       "npm_config_update_notifier=false",
				       "npm_config_fetch_retries=1", NULL};

/* The standard library is taken as the image has compiled it (a Go without one compiles it into the
 * cache). No toolchain is fetched. */
static const char *const go_env[] = {"GODEBUG=installgoroot=all", "GOFLAGS=-buildvcs=false",
				     "GOTOOLCHAIN=local",	  "GOTELEMETRY=off",
				     ("GOPATH=" LOCAL "/go"),	  NULL};

static const char *const r_env[] = {("R_LIBS_USER=" LOCAL "/lib/R"), NULL};

/* Scripts that are the same for every call; the packages are their arguments. */
#define GO_GET "test -f go.mod || go mod init sandbox >/dev/null 2>&1 || exit; exec go get \"$@\""
#define R_INSTALL                                                                                  \
	"p <- commandArgs(TRUE); l <- Sys.getenv('R_LIBS_USER'); dir.create(l, FALSE, TRUE); "     \
	"install.packages(p, l, quiet = TRUE); "                                                   \
	"quit(status = !all(p %in% rownames(installed.packages())))"

/* Node and Java do not read the variables that name a proxy. */
#define WAY_OUT_FILE ".celeriac/way_out.cjs"
#define JAVA_PROXY(scheme)                                                                         \
	("-D" scheme ".proxyHost=127.0.0.1"), ("-D" scheme ".proxyPort=" FRAME_PROXY_PORT_TEXT)

static const struct language languages[] = {
	{.name = "python",
	 .file = ".celeriac/main.py",
	 .steps = {{"python3", "-u", CODE("main.py")}},
	 .install = {"python3", "-m", "pip", "install", "--quiet", "--user",
		     "--break-system-packages", "--no-cache-dir", "--no-input", "--retries=1",
		     "--disable-pip-version-check", "--"},
	 .env = python_env,
	 .is_python = true},
	{.name = "javascript",
	 .file = ".celeriac/main.js",
	 .steps = {{"node", CODE("main.js")}},
	 .way_out = {"--require", (HOME "/" WAY_OUT_FILE)},
	 .way_out_file = WAY_OUT_FILE,
	 .install = {"npm", "install", "--no-audit", "--no-fund", "--no-progress",
		     "--loglevel=error", "--prefix", HOME, "--"},
	 .env = node_env},
	{.name = "typescript",
	 .file = ".celeriac/main.ts",
	 .steps = {{"esbuild", CODE("main.ts"), "--log-level=warning", "--color=false",
		    "--platform=node", "--format=esm", "--target=node20",
		    ("--outfile=" HOME "/.celeriac/main.mjs"), "--sourcemap=inline"},
		   {"node", "--enable-source-maps", CODE("main.mjs")}},
	 .way_out = {"--require", (HOME "/" WAY_OUT_FILE)},
	 .way_out_file = WAY_OUT_FILE,
	 .install = {"npm", "install", "--no-audit", "--no-fund", "--no-progress",
		     "--loglevel=error", "--prefix", HOME, "--"},
	 .env = node_env},
	/* The launcher compiles in memory: one start of the machine instead of two. */
	{.name = "java",
	 .file = ".celeriac/Main.java",
	 .steps = {{"java", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:MaxRAMPercentage=50",
		    CODE("Main.java")}},
	 .way_out = {JAVA_PROXY("http"), JAVA_PROXY("https"),
		     "-Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]"}},
	{.name = "cpp",
	 .file = ".celeriac/main.cpp",
	 .steps = {{"g++", "-std=gnu++20", "-o", CODE("main-cpp"), CODE("main.cpp")},
		   {CODE("main-cpp")}}},
	{.name = "c",
	 .file = ".celeriac/main.c",
	 .steps = {{"gcc", "-std=gnu17", "-o", CODE("main-c"), CODE("main.c"), "-lm"},
		   {CODE("main-c")}}},
	{.name = "go",
	 .file = ".celeriac/main.go",
	 .steps = {{"go", "build", "-o", CODE("main-go"), CODE("main.go")}, {CODE("main-go")}},
	 .install = {"sh", "-c", GO_GET, "go-get"},
	 .env = go_env},
	{.name = "r",
	 .file = ".celeriac/main.R",
	 .steps = {{"Rscript", CODE("main.R")}},
	 .install = {"Rscript", "-e", R_INSTALL},
	 .env = r_env},
	{.name = "bash", .file = ".celeriac/main.sh", .steps = {{"bash", CODE("main.sh")}}},
};

const struct language *sandbox_language_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(languages); i++)
		if (strcmp(languages[i].name, name) == 0)
			return &languages[i];
	return NULL;
}

const char *sandbox_language_name(size_t i)
{
	return i < ARRAY_LEN(languages) ? languages[i].name : NULL;
}

const char *const *sandbox_language_installer(const char *name)
{
	static const char *const none[] = {NULL};
	const struct language *l = sandbox_language_find(name);

	return l ? l->install : none;
}

bool sandbox_language_installs(const char *name)
{
	const struct language *l = sandbox_language_find(name);

	return l && l->install[0];
}
