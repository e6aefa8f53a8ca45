/*
 * policy.h: what may be called and how, as one immutable snapshot: the rules of CELERIAC_POLICY and
 * of policy_rules, and the rows of sandbox_settings and project_quotas.
 *
 * A snapshot is built by one thread, then only read, by any; whoever keeps one holds a reference.
 * The first rule that matches decides: those of the file first, in its order, then the rows by
 * position and id, each global or for one project. Where none matches, the kind's own default
 * holds.
 */
#ifndef CELERIAC_POLICY_H
#define CELERIAC_POLICY_H

#include <jansson.h>

#include "base.h"
#include "err.h"
#include "outbound.h"

enum policy_kind {
	POLICY_TOOL,	   /* a name: tools.call_http, custom_weather, mcp_github_search … */
	POLICY_MCP_SERVER, /* a server's name */
	POLICY_URL,	   /* [scheme://]host[:port][/path], see policy_ask_url */
	POLICY_COMMAND,	   /* an argument vector */
	POLICY_IMAGE,	   /* a reference, as it was said */
	POLICY_MOUNT,	   /* path:mode */
	POLICY_KINDS
};
/* The words of the column and the file; NULL-safe. */
const char *policy_kind_name(enum policy_kind kind);
/* False when there is no such kind. */
bool policy_kind_find(const char *name, enum policy_kind *ret);
/* Whether the kind is allowed where no rule matches: images and mounts are not. */
bool policy_kind_default(enum policy_kind kind);

struct policy;
/* An empty snapshot with one reference. */
struct policy *policy_new(void);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p);
static inline void cleanup_policy_p(struct policy **p)
{
	policy_unref(*p);
}
#define _cleanup_policy_ _cleanup_(cleanup_policy_p)

/* ---- building ---- */
#define POLICY_RULES_MAX 100000
/*
 * Appends a rule. `project` NULL = for all. `where` ("file:12", "policy_rules 7") is for messages.
 * ERR_INVALID names the rule and what is wrong with its pattern; ERR_TOOBIG. In a pattern `*`
 * stands for any characters and `?` for one; of a command, words are separated by spaces, each is a
 * pattern of its own, and a last word `**` stands for any words.
 */
int policy_add_rule(struct policy *p, const char *kind, const char *project, const char *pattern,
		    bool allow, const char *note, const char *where, struct err *err) must_check;
/*
 * Appends what a file says: `allow|deny KIND PATTERN [project=ID]` a line, `#` begins a comment,
 * the text of which is the rule's note. A pattern with spaces stands in double quotes. `name` is
 * for messages. ERR_INVALID names the line.
 */
int policy_add_text(struct policy *p, const char *text, size_t len, const char *name,
		    struct err *err) must_check;

/* One row of sandbox_settings: how a tool runs for a project (NULL = all). */
struct sandbox_setting {
	bool network, run_in_sandbox;
	const char *mounts;   /* lines */
	const json_t *limits; /* object */
};
/* Copied. A later row of the same tool and project replaces the earlier one. */
void policy_add_setting(struct policy *p, const char *tool, const char *project,
			const struct sandbox_setting *s);

/* One row of project_quotas (project NULL = every project without one); -1 = no limit. */
struct project_quota {
	int64_t calls_per_minute, concurrent_runs, sandbox_seconds_per_day;
};
void policy_add_quota(struct policy *p, const char *project, const struct project_quota *q);

/* ---- asking: any thread ---- */
struct policy_answer {
	bool allow;
	const char *pattern; /* that decided, NULL = the default; as long as the snapshot */
	const char *note;    /* of the rule, "" or NULL */
};
/* `subject`: as the kind says. `project` NULL: only rules for all. */
void policy_ask(const struct policy *p, enum policy_kind kind, const char *project,
		const char *subject, bool otherwise, struct policy_answer *ret);
/* An argument vector, NULL-terminated. */
void policy_ask_command(const struct policy *p, const char *project, const char *const *argv,
			struct policy_answer *ret);
/*
 * A URL, taken apart. `scheme` "http" or "https"; `path` begins with a slash, its query left out,
 * or is NULL where it cannot be seen (inside TLS): a rule with a path then allows nothing and
 * denies the whole host. A pattern's host may be `*` or begin with `*.`, which is any depth below;
 * its path is a pattern of characters; `*` alone is every URL. Default: allowed.
 */
void policy_ask_url(const struct policy *p, const char *project, const char *scheme,
		    const struct outbound_host *host, uint16_t port, const char *path,
		    struct policy_answer *ret);
/* Is there any rule about URLs that could concern `project`? */
bool policy_has_url_rules(const struct policy *p, const char *project);

/* The row of the project, else the one for all, else NULL. */
const struct sandbox_setting *policy_setting(const struct policy *p, const char *tool,
					     const char *project);
/* The project's row, else the one for every project without one, else NULL; of a call without a
 * project (NULL) it is NULL. */
const struct project_quota *policy_quota(const struct policy *p, const char *project);

#endif
