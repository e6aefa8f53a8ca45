/*
 * mcp_package.c: commands that stand for packages: what is installed, and what is then started.
 * Pure.
 */
#include <stdlib.h>
#include <string.h>

#include "mcp_task.h"
#include "mem.h"

#define NAME_BYTES    214 /* npm's own limit */
#define VERSION_BYTES 64
#define PLACE	      ENGINE_PACKAGE_PLACE

/* An npm package has a program by its own name, or one alone; where that is, its package.json says.
 */
static const char link_program[] =
	"const fs = require('fs'), path = require('path'), name = process.argv[1];"
	"const root = '" PLACE "/node_modules/' + name, own = name.split('/').pop();"
	"let bin = JSON.parse(fs.readFileSync(root + '/package.json', 'utf8')).bin || {};"
	"if (typeof bin === 'string') bin = {[own]: bin};"
	"const names = Object.keys(bin), chosen = names.length === 1 ? names[0] : own;"
	"if (!bin[chosen]) throw new Error(name + ' has ' + names.length + ' programs, none of its "
	"name');"
	"const target = path.resolve(root, bin[chosen]);"
	"fs.chmodSync(target, 0o755);"
	"fs.symlinkSync(target, '" PLACE "/run');";

enum manager { NPM, PYPI };

/* Who runs packages, and what of its options is known. */
static const struct runner {
	const char *name;
	enum manager manager;
	const char *flags[5]; /* that change nothing here */
	const char *from[3];  /* that name the package of a program */
} runners[] = {
	{"npx", NPM, {"-y", "--yes", "-q", "--quiet"}, {"-p", "--package"}},
	{"uvx", PYPI, {"-q", "--quiet"}, {"--from"}},
};

static const struct runner *find_runner(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(runners); i++)
		if (strcmp(runners[i].name, word) == 0)
			return &runners[i];
	return NULL;
}

static bool is_among(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(*list, word) == 0)
			return true;
	return false;
}

/* ---- names ---- */
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Letters, digits and `more`, not beginning with a dot, a dash or nothing. */
static bool is_word(const char *s, size_t len, size_t max, const char *more)
{
	if (len == 0 || len > max || strchr(".-_~", *s))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!strchr(LOWER UPPER DIGITS, s[i]) && !strchr(more, s[i]))
			return false;
	return true;
}

/* What a package manager reads as a version, a range of them or a tag; never a path or a URL. */
static bool is_version(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= VERSION_BYTES &&
	       strspn(s, LOWER UPPER DIGITS ".+-^~*_=<>!,") == len && !strchr("-.", *s);
}

struct spec {
	size_t name;	     /* bytes of its name */
	const char *version; /* behind what separates it, or NULL */
};

static bool read_npm(const char *s, struct spec *ret)
{
	size_t scope = *s == '@' ? strcspn(s, "/") + 1 : 0;
	const char *at;

	if (scope && (s[scope - 1] != '/' || !is_word(s + 1, scope - 2, NAME_BYTES, "._-~")))
		return false;
	at = strchr(s + scope, '@');
	ret->name = at ? (size_t)(at - s) : strlen(s);
	ret->version = at ? at + 1 : NULL;
	return ret->name <= NAME_BYTES &&
	       is_word(s + scope, ret->name - scope, NAME_BYTES, "._-~") &&
	       (!at || is_version(at + 1));
}

/* "name", "name[extra]", with "@version" as uv writes it, or a requirement of pip's. */
static bool read_pypi(const char *s, struct spec *ret)
{
	size_t name = strcspn(s, "[@=<>!~"), extras = 0;

	if (s[name] == '[') {
		extras = strcspn(s + name, "]") + 1;
		if (s[name + extras - 1] != ']' ||
		    !is_word(s + name + 1, extras - 2, NAME_BYTES, "._-,"))
			return false;
	}
	const char *rest = s + name + extras;
	ret->name = name + extras;
	ret->version = *rest == '@' ? rest + 1 : *rest ? rest : NULL;
	return is_word(s, name, NAME_BYTES, "._-") && (!ret->version || is_version(ret->version));
}

/* ---- what the words of a command mean ---- */
struct reading {
	enum manager manager;
	const char *spec;
	const char *program;	 /* of a package that was named by an option, or NULL */
	const char *const *rest; /* the server's own arguments */
};

/* npx [-y] SPEC …, npx -p SPEC PROGRAM …, uvx SPEC …, uvx --from SPEC PROGRAM … */
static int read_runner(const struct runner *r, const char *const *words, struct reading *ret,
		       struct err *err)
{
	const char *from = NULL;

	for (words++; *words && **words == '-'; words++) {
		size_t name = strcspn(*words, "=");
		_cleanup_free_ char *option = xstrndup(*words, name);

		if (strcmp(*words, "--") == 0) {
			words++;
			break;
		}
		if (is_among(*words, r->flags))
			continue;
		if (!is_among(option, r->from) || from)
			return err_set(err, ERR_INVALID, "command: %s is not known with option %s",
				       r->name, option);
		from = (*words)[name] ? *words + name + 1 : *++words;
		if (!from)
			break;
	}
	if (!*words)
		return err_set(err, ERR_INVALID, "command: %s without a package", r->name);
	*ret = (struct reading){.manager = r->manager,
				.spec = from ? from : *words,
				.program = from ? *words : NULL,
				.rest = words + 1};
	return 0;
}

/* 1: it stands for a package; 0: for a program of the image. */
static int read_words(const char *const *words, struct reading *ret, struct err *err)
{
	const struct runner *r = find_runner(words[0]);
	struct spec ignored;

	if (r) {
		int rc = read_runner(r, words, ret, err);
		return rc < 0 ? rc : 1;
	}
	*ret = (struct reading){.manager = NPM, .spec = words[0], .rest = words + 1};
	/* no program of an image has such a name */
	return words[0][0] == '@' ||
	       (strchr(words[0], '@') && !strchr(words[0], '/') && read_npm(words[0], &ignored));
}

/* ---- what is done about it ---- */
static void plan_npm(struct mcp_package *p, const char *spec, const struct spec *s,
		     const char *program)
{
	const char *const install[] = {"npm",
				       "install",
				       "--no-audit",
				       "--no-fund",
				       "--no-progress",
				       "--no-package-lock",
				       "--no-update-notifier",
				       "--loglevel=error",
				       "--prefix",
				       PLACE,
				       "--",
				       p->spec = xstrdup(spec)};

	_Static_assert(ARRAY_LEN(install) < ARRAY_LEN(p->install), "room");
	memcpy(p->install, install, sizeof(install));
	p->package.steps[0] = p->install;
	p->name = xstrndup(spec, s->name);
	if (program) {
		p->program = xasprintf(PLACE "/node_modules/.bin/%s", program);
		return;
	}
	p->program = xstrdup(PLACE "/run");
	p->link[0] = "node";
	p->link[1] = "-e";
	p->link[2] = link_program;
	p->link[3] = p->name;
	p->package.steps[1] = p->link;
}

static void plan_pypi(struct mcp_package *p, const char *spec, const struct spec *s,
		      const char *program)
{
	bool pinned = s->version && spec[s->name] == '@';

	if (pinned && strcmp(s->version, "latest") != 0)
		p->spec = xasprintf("%.*s==%s", (int)s->name, spec, s->version);
	else
		p->spec = pinned ? xstrndup(spec, s->name) : xstrdup(spec);

	const char *const install[] = {"python3",
				       "-m",
				       "pip",
				       "install",
				       "--quiet",
				       "--no-input",
				       "--no-cache-dir",
				       "--disable-pip-version-check",
				       "--retries=1",
				       "--target",
				       PLACE,
				       "--",
				       p->spec};

	_Static_assert(ARRAY_LEN(install) < ARRAY_LEN(p->install), "room");
	memcpy(p->install, install, sizeof(install));
	p->package.steps[0] = p->install;
	p->name = xstrndup(spec, strcspn(spec, "[@=<>!~"));
	p->program = xasprintf(PLACE "/bin/%s", program ? program : p->name);
	p->path = "PYTHONPATH=" PLACE;
}

static const char **join(const char *const *first, size_t count, const char *const *rest)
{
	size_t n = 0;

	while (rest[n])
		n++;
	const char **all = xcalloc(count + n + 1, sizeof(*all));
	memcpy(all, first, count * sizeof(*all));
	memcpy(all + count, rest, n * sizeof(*all));
	return all;
}

int mcp_package_read(const char *const *words, struct mcp_package *ret, struct err *err)
{
	struct mcp_package *p = ret; /* parts of it point to others */
	struct reading r = {0};
	struct spec s;
	int rc = words[0] ? read_words(words, &r, err) : 0;

	if (rc <= 0)
		return rc;
	if (!(r.manager == NPM ? read_npm(r.spec, &s) : read_pypi(r.spec, &s)))
		return err_set(err, ERR_INVALID, "command: '%.100s' is not the name of a package",
			       r.spec);
	if (r.program && !is_word(r.program, strlen(r.program), NAME_BYTES, "._-"))
		return err_set(err, ERR_INVALID, "command: '%.100s' is not the name of a program",
			       r.program);
	*p = (struct mcp_package){0};
	(r.manager == NPM ? plan_npm : plan_pypi)(p, r.spec, &s, r.program);
	p->id = xasprintf("%s:%s%s%s", r.manager == NPM ? "npm" : "pypi", p->spec,
			  r.program ? " " : "", r.program ? r.program : "");
	p->package.id = p->id;
	p->argv = join((const char *const[]){p->program}, 1, r.rest);
	if (!find_runner(words[0]))
		p->long_form = join((const char *const[]){"npx", "-y", p->spec}, 3, r.rest);
	return 1;
}

void mcp_package_done(struct mcp_package *p)
{
	free(p->id);
	free(p->spec);
	free(p->name);
	free(p->program);
	free(p->argv);
	free(p->long_form);
	*p = (struct mcp_package){0};
}
