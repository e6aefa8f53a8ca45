/*
 * paths.c: which files a program and its libraries need, from its settings and environment.
 *
 * A directory that is not there yet leads to the nearest one above it that is, but never to the
 * root. What a rule is made for is the file that is there now: where others put a new one in its
 * place (an editor, a renewed certificate), the directory that holds it is what is needed.
 */
#include "cage_internal.h"

#include <ctype.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

#define TEXT_MAX (64u << 10) /* of one setting or variable that is looked through */

static void add(struct cage_paths *p, const char *path, unsigned what)
{
	if (path[0] != '/' || path[1] == '\0')
		return;
	for (size_t i = 0; i < p->count; i++) {
		if (strcmp(p->items[i].path, path) == 0) {
			p->items[i].access |= what;
			return;
		}
	}
	if (p->count == CAGE_PATHS) {
		p->full = true;
		return;
	}
	p->items[p->count].path = xstrdup(path);
	p->items[p->count++].access = what;
}

static void cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

/* The directory, or the nearest above it that is there. */
static void add_directory(struct cage_paths *p, const char *path, unsigned what)
{
	_cleanup_free_ char *whole = realpath(path, NULL);
	_cleanup_free_ char *at = xstrdup(whole ? whole : path);

	while (at[0] == '/' && at[1] && access(at, F_OK) < 0)
		cut_last(at);
	add(p, at, what);
}

/* A file, and where `replaced` whatever stands beside it: under its name may soon be another. */
static void add_file(struct cage_paths *p, const char *path, unsigned what, bool replaced)
{
	_cleanup_free_ char *whole = realpath(path, NULL);
	_cleanup_free_ char *directory = xstrdup(whole ? whole : path);

	add(p, path, what);
	if (whole)
		add(p, whole, what);
	if (!replaced)
		return;
	cut_last(directory);
	add(p, directory, what);
}

/* ---- the system ---- */

static const struct {
	const char *path;
	unsigned access;
} system_paths[] = {
	{"/usr", CAGE_READ},
	{"/lib", CAGE_READ},
	{"/lib32", CAGE_READ},
	{"/lib64", CAGE_READ},
	{"/libx32", CAGE_READ},
	/* of processes one sees who they are; what they hold is kept from us as from a debugger */
	{"/proc", CAGE_READ},
	{"/sys/devices/system/cpu", CAGE_READ},
	{"/dev/null", CAGE_READ | CAGE_DEVICE},
	{"/dev/zero", CAGE_READ},
	{"/dev/urandom", CAGE_READ},
	{"/dev/random", CAGE_READ},
	{"/var/lib/sss/mc", CAGE_READ},
	{"/var/cache/nscd", CAGE_READ},
};

/* What root may read of /etc: nothing with secrets of others. Another user may look at all that its
 * modes let it see, for files there are replaced (resolv.conf by a new lease). */
static const char *const of_etc[] = {
	"hosts",
	"resolv.conf",
	"nsswitch.conf",
	"host.conf",
	"gai.conf",
	"services",
	"protocols",
	"networks",
	"hostname",
	"localtime",
	"timezone",
	"passwd",
	"group",
	"ld.so.cache",
	"ld.so.conf",
	"ld.so.conf.d",
	"ssl/certs",
	"ssl/openssl.cnf",
	"ca-certificates",
	"pki",
	"crypto-policies",
	"krb5.conf",
	"krb5.conf.d",
	"gss",
	"postgresql-common",
	"locale.alias",
	"faketimerc",
};

static void add_system(struct cage_paths *p)
{
	_cleanup_free_ char *resolver = realpath("/etc/resolv.conf", NULL);

	for (size_t i = 0; i < ARRAY_LEN(system_paths); i++)
		add(p, system_paths[i].path, system_paths[i].access);
	for (size_t i = 0; geteuid() == 0 && i < ARRAY_LEN(of_etc); i++) {
		_cleanup_free_ char *path = xasprintf("/etc/%s", of_etc[i]);

		add_file(p, path, CAGE_READ, false);
	}
	if (geteuid() != 0)
		add(p, "/etc", CAGE_READ);
	if (resolver && strncmp(resolver, "/etc/", 5) != 0)
		add_file(p, resolver, CAGE_READ, true);
}

/* ---- this program ---- */

/* The dynamic linker, as the program itself names it. */
static int find_linker(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char **ret = arg;

	(void)size;
	for (size_t i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_INTERP)
			*ret = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return 1; /* the first is the program */
}

static void add_program(struct cage_paths *p, const struct cage_plan *plan)
{
	const char *linker = NULL;
	char own[4096];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	unsigned what = CAGE_READ | (plan->program ? CAGE_EXECUTE : 0);

	if (n <= 0)
		return;
	own[n] = '\0';
	add_file(p, own, what, true);
	dl_iterate_phdr(find_linker, &linker);
	if (linker)
		add_file(p, linker, what, false);
}

/* ---- the environment, for libraries ---- */

/* "a%2Fb" as "a/b", in place. */
static void decode(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		unsigned byte;

		if (in[0] == '%' && isxdigit((unsigned char)in[1]) &&
		    isxdigit((unsigned char)in[2]) && sscanf(in + 1, "%2x", &byte) == 1) {
			*out++ = (char)byte;
			in += 2;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

/* Files that are named anywhere in a text: certificates in a URL's query, in JSON, in a list. */
static void add_named(struct cage_paths *p, const char *value, bool replaced)
{
	static const char apart[] = " \t\n\"',;:=&?{}[]@()";
	_cleanup_free_ char *text = strlen(value) <= TEXT_MAX ? xstrdup(value) : NULL;
	char *rest = NULL;
	struct stat st;

	if (text == NULL || strpbrk(text, "/%") == NULL)
		return;
	decode(text);
	for (char *word = strtok_r(text, apart, &rest); word; word = strtok_r(NULL, apart, &rest)) {
		if (word[0] == '/' && stat(word, &st) == 0 && S_ISREG(st.st_mode))
			add_file(p, word, CAGE_READ, replaced);
	}
}

static void add_environment(struct cage_paths *p)
{
	static const char *const directories[] = {"LD_LIBRARY_PATH", "SSL_CERT_DIR", "TZDIR",
						  "PGSYSCONFDIR"};
	static const char *const of_home[] = {".postgresql", ".pgpass", ".pg_service.conf",
					      ".docker"};
	const char *home = getenv("HOME");

	for (char **one = environ; *one; one++)
		add_named(p, *one, false);
	for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
		_cleanup_free_ char *all = xstrdup(getenv(directories[i]) ?: "");
		char *rest = NULL;

		for (char *one = strtok_r(all, ":", &rest); one; one = strtok_r(NULL, ":", &rest))
			add_directory(p, one, CAGE_READ);
	}
	for (size_t i = 0; home && home[0] == '/' && i < ARRAY_LEN(of_home); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", home, of_home[i]);

		if (access(path, F_OK) == 0)
			add_file(p, path, CAGE_READ, false);
	}
}

/* ---- settings ---- */

static void add_setting(void *arg, const char *name, const char *value)
{
	(void)name;
	add_named(arg, value, true);
}

static void add_modules(struct cage_paths *p, const struct str_list *modules)
{
	for (size_t i = 0; i < modules->count; i++) {
		_cleanup_free_ char *whole = realpath(modules->items[i], NULL);

		if (whole)
			add_file(p, whole, CAGE_READ, true);
	}
}

/* The directory that a pattern of file names is about. */
static void add_pattern(struct cage_paths *p, const char *pattern)
{
	_cleanup_free_ char *directory = xstrndup(pattern, strcspn(pattern, "*?["));

	cut_last(directory);
	if (directory[0] == '/')
		add_directory(p, directory, CAGE_READ);
}

static void add_settings(struct cage_paths *p, const struct settings *s, bool engine_apart)
{
	_cleanup_free_ char *certificates = xstrdup(engine_apart ? "" : s->docker_cert_path);
	char *rest = NULL;

	settings_each_text(s, add_setting, p);
	add_modules(p, &s->imports);
	add_modules(p, &s->include);
	add_directory(p, s->plugin_dir, CAGE_READ);
	add_pattern(p, s->security_cert_store);
	add_directory(p, s->media_dir, CAGE_READ | CAGE_WRITE);
	for (char *one = strtok_r(certificates, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
		add_directory(p, one + strspn(one, " "), CAGE_READ);
}

static int add_said(struct cage_paths *p, const struct str_list *said, struct err *err)
{
	for (size_t i = 0; i < said->count; i++) {
		const char *text = said->items[i], *colon = strrchr(text, ':');
		bool writes = colon && strcmp(colon, ":rw") == 0;

		if (text[0] != '/' || colon == NULL || (!writes && strcmp(colon, ":ro") != 0))
			return err_set(err, ERR_INVALID,
				       "CELERIAC_CAGE_PATHS: '%.100s' is not /path:ro or /path:rw",
				       text);
		_cleanup_free_ char *path = xstrndup(text, (size_t)(colon - text));
		add_directory(p, path, writes ? CAGE_READ | CAGE_WRITE : CAGE_READ);
	}
	return 0;
}

int cage_paths(const struct cage_plan *plan, struct cage_paths *ret, struct err *err)
{
	const char *const written[] = {plan->pidfile, plan->logfile};
	int rc;

	add_system(ret);
	add_program(ret, plan);
	add_environment(ret);
	add_settings(ret, plan->settings, plan->engine_apart);
	for (size_t i = 0; i < ARRAY_LEN(written); i++) {
		_cleanup_free_ char *whole = written[i] ? realpath(written[i], NULL) : NULL;

		if (whole) {
			cut_last(whole);
			add(ret, whole, CAGE_READ | CAGE_WRITE);
		}
	}
	for (const char *const *d = plan->further; d && *d; d++)
		add_directory(ret, *d, CAGE_READ | CAGE_WRITE);
	rc = add_said(ret, &plan->settings->cage_paths, err);
	if (rc == 0 && ret->full)
		rc = err_set(err, ERR_TOOBIG,
			     "more than %d files are named in settings and the "
			     "environment",
			     CAGE_PATHS);
	return rc;
}

void cage_paths_done(struct cage_paths *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->items[i].path);
	p->count = 0;
}
