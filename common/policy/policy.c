/*
 * One snapshot of the policy.
 */
#include "policy.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "codec.h"
#include "json.h"
#include "mem.h"
#include "pattern.h"

struct rule {
	enum policy_kind kind;
	char *project; /* NULL = all */
	char *pattern, *note;
	bool allow;
	struct url_pattern url; /* of POLICY_URL */
};

/* sandbox_settings by tool and project. */
struct setting {
	char *key; /* tool, a newline, the project or nothing */
	struct sandbox_setting values;
	char *mounts;
	json_t *limits;
	UT_hash_handle hh;
};

struct quota_row {
	char *project; /* "" = all */
	struct project_quota values;
	UT_hash_handle hh;
};

struct policy {
	atomic_int users;
	struct rule *rules;
	size_t count, room;
	struct setting *settings;
	struct quota_row *quotas;
};

static const struct {
	const char *name;
	bool otherwise;
} kinds[POLICY_KINDS] = {
	[POLICY_TOOL] = {"tool", true},	   [POLICY_MCP_SERVER] = {"mcp_server", true},
	[POLICY_URL] = {"url", true},	   [POLICY_COMMAND] = {"command", true},
	[POLICY_IMAGE] = {"image", false}, [POLICY_MOUNT] = {"mount", false},
};

const char *policy_kind_name(enum policy_kind kind)
{
	return kinds[kind].name;
}

bool policy_kind_default(enum policy_kind kind)
{
	return kinds[kind].otherwise;
}

bool policy_kind_find(const char *name, enum policy_kind *ret)
{
	for (size_t i = 0; i < POLICY_KINDS; i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			*ret = (enum policy_kind)i;
			return true;
		}
	}
	return false;
}

/* ---- life ---- */
struct policy *policy_new(void)
{
	struct policy *p = xcalloc(1, sizeof(*p));

	p->users = 1;
	return p;
}

struct policy *policy_ref(struct policy *p)
{
	atomic_fetch_add(&p->users, 1);
	return p;
}

static void free_rule(struct rule *r)
{
	free(r->project);
	free(r->pattern);
	free(r->note);
	url_pattern_done(&r->url);
}

static void free_quota(struct policy *p, struct quota_row *q)
{
	HASH_DEL(p->quotas, q);
	free(q->project);
	free(q);
}

static void free_setting(struct policy *p, struct setting *s)
{
	HASH_DEL(p->settings, s);
	free(s->key);
	free(s->mounts);
	json_decref(s->limits);
	free(s);
}

void policy_unref(struct policy *p)
{
	struct setting *s, *following;
	struct quota_row *q, *next;

	if (p == NULL || atomic_fetch_sub(&p->users, 1) > 1)
		return;
	for (size_t i = 0; i < p->count; i++)
		free_rule(&p->rules[i]);
	free(p->rules);
	HASH_ITER(hh, p->settings, s, following)
	{
		free_setting(p, s);
	}
	HASH_ITER(hh, p->quotas, q, next)
	{
		free_quota(p, q);
	}
	free(p);
}

/* ---- building ---- */
static int check_pattern(const struct rule *r, struct err *err)
{
	size_t len = strlen(r->pattern);

	if (len == 0 || len > PATTERN_BYTES)
		return err_set(err, ERR_INVALID, "a pattern has 1 to %d bytes", PATTERN_BYTES);
	if (utf8_has_control(r->pattern, len))
		return err_set(err, ERR_INVALID, "a control character");
	return 0;
}

int policy_add_rule(struct policy *p, const char *kind, const char *project, const char *pattern,
		    bool allow, const char *note, const char *where, struct err *err)
{
	struct rule r = {.allow = allow};
	struct err why;
	int rc = 0;

	if (p->count >= POLICY_RULES_MAX)
		return err_set(err, ERR_TOOBIG, "%s: more than %d rules", where, POLICY_RULES_MAX);
	if (!policy_kind_find(kind, &r.kind))
		return err_set(err, ERR_INVALID, "%s: kind '%.40s'", where, kind);
	r.pattern = xstrdup(pattern);
	r.project = project ? xstrdup(project) : NULL;
	r.note = xstrdup(note ? note : "");
	rc = check_pattern(&r, &why);
	if (rc == 0 && r.kind == POLICY_URL)
		rc = url_pattern_parse(pattern, &r.url, &why);
	if (rc < 0) {
		free_rule(&r);
		return err_set(err, ERR_INVALID, "%s: %s pattern '%.100s': %s", where, kind,
			       pattern, why.msg);
	}
	if (p->count == p->room) {
		p->room = p->room ? 2 * p->room : 16;
		p->rules = xrealloc(p->rules, p->room * sizeof(*p->rules));
	}
	p->rules[p->count++] = r;
	return 0;
}

static struct setting *find_setting(const struct policy *p, const char *tool, const char *project)
{
	_cleanup_free_ char *key = xasprintf("%s\n%s", tool, project ? project : "");
	struct setting *s = NULL;

	HASH_FIND_STR(p->settings, key, s);
	return s;
}

void policy_add_setting(struct policy *p, const char *tool, const char *project,
			const struct sandbox_setting *values)
{
	struct setting *s = find_setting(p, tool, project);

	if (s)
		free_setting(p, s);
	s = xcalloc(1, sizeof(*s));
	s->key = xasprintf("%s\n%s", tool, project ? project : "");
	s->mounts = xstrdup(values->mounts ? values->mounts : "");
	s->limits = values->limits ? json_deep_copy(values->limits) : json_object();
	s->values = *values;
	s->values.mounts = s->mounts;
	s->values.limits = s->limits;
	HASH_ADD_KEYPTR(hh, p->settings, s->key, strlen(s->key), s);
}

static struct quota_row *find_quota(const struct policy *p, const char *project)
{
	struct quota_row *q = NULL;

	HASH_FIND_STR(p->quotas, project, q);
	return q;
}

void policy_add_quota(struct policy *p, const char *project, const struct project_quota *values)
{
	struct quota_row *q = find_quota(p, project ? project : "");

	if (q)
		free_quota(p, q);
	q = xcalloc(1, sizeof(*q));
	q->project = xstrdup(project ? project : "");
	q->values = *values;
	HASH_ADD_KEYPTR(hh, p->quotas, q->project, strlen(q->project), q);
}

/* ---- asking ---- */
static bool concerns(const struct rule *r, enum policy_kind kind, const char *project)
{
	return r->kind == kind &&
	       (r->project == NULL || (project && strcmp(r->project, project) == 0));
}

static void answer(const struct rule *r, bool otherwise, struct policy_answer *ret)
{
	*ret = (struct policy_answer){.allow = otherwise};
	if (r)
		*ret = (struct policy_answer){
			.allow = r->allow, .pattern = r->pattern, .note = r->note};
}

void policy_ask(const struct policy *p, enum policy_kind kind, const char *project,
		const char *subject, bool otherwise, struct policy_answer *ret)
{
	const struct rule *r = NULL;

	for (size_t i = 0; i < p->count && r == NULL; i++)
		if (concerns(&p->rules[i], kind, project) &&
		    pattern_matches(p->rules[i].pattern, subject))
			r = &p->rules[i];
	answer(r, otherwise, ret);
}

/* Word by word, so that a space inside an argument is not the end of one. */
static bool command_matches(const char *pattern, const char *const *argv)
{
	while (*pattern) {
		size_t len = strcspn(pattern, " ");
		_cleanup_free_ char *word = xstrndup(pattern, len);

		pattern += len + strspn(pattern + len, " ");
		if (strcmp(word, "**") == 0 && *pattern == '\0')
			return true;
		if (*argv == NULL || !pattern_matches(word, *argv))
			return false;
		argv++;
	}
	return *argv == NULL;
}

void policy_ask_command(const struct policy *p, const char *project, const char *const *argv,
			struct policy_answer *ret)
{
	const struct rule *r = NULL;

	for (size_t i = 0; i < p->count && r == NULL; i++)
		if (concerns(&p->rules[i], POLICY_COMMAND, project) &&
		    command_matches(p->rules[i].pattern, argv))
			r = &p->rules[i];
	answer(r, policy_kind_default(POLICY_COMMAND), ret);
}

void policy_ask_url(const struct policy *p, const char *project, const char *scheme,
		    const struct outbound_host *host, uint16_t port, const char *path,
		    struct policy_answer *ret)
{
	const struct rule *r = NULL;

	for (size_t i = 0; i < p->count && r == NULL; i++) {
		const struct rule *one = &p->rules[i];

		if (!concerns(one, POLICY_URL, project) ||
		    !url_pattern_has_host(&one->url, scheme, host, port))
			continue;
		if (one->url.path == NULL ||
		    (path ? pattern_matches(one->url.path, path) : !one->allow))
			r = one;
	}
	answer(r, policy_kind_default(POLICY_URL), ret);
}

bool policy_has_url_rules(const struct policy *p, const char *project)
{
	for (size_t i = 0; i < p->count; i++)
		if (concerns(&p->rules[i], POLICY_URL, project))
			return true;
	return false;
}

const struct sandbox_setting *policy_setting(const struct policy *p, const char *tool,
					     const char *project)
{
	const struct setting *s = project ? find_setting(p, tool, project) : NULL;

	if (s == NULL)
		s = find_setting(p, tool, NULL);
	return s ? &s->values : NULL;
}

const struct project_quota *policy_quota(const struct policy *p, const char *project)
{
	const struct quota_row *q;

	if (project == NULL)
		return NULL;
	q = find_quota(p, project);
	if (q == NULL)
		q = find_quota(p, "");
	return q ? &q->values : NULL;
}
