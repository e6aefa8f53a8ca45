/*
 * policy.c: policy_rules, sandbox_settings and project_quotas.
 */
#include "policy.h"

#include <stdlib.h>

#include "json.h"
#include "log.h"
#include "mem.h"
#include "session.h"

static bool is_true(const char *text)
{
	return text && text[0] == 't';
}

/* A rule that means nothing opens nothing, and keeps closed what it might have closed. */
static int add_rule(struct policy *into, const struct pg_result *r, size_t row, struct err *err)
{
	const char *kind = pg_text(r, row, 1), *project = pg_text(r, row, 2);
	bool allow = pg_text(r, row, 4)[0] == 'a';
	_cleanup_free_ char *where = xasprintf("policy_rules %s", pg_text(r, row, 0));
	int rc = policy_add_rule(into, kind, project, pg_text(r, row, 3), allow, pg_text(r, row, 5),
				 where, err);

	if (rc != -ERR_INVALID)
		return rc;
	log_error("%s%s", err->msg,
		  allow ? ": the rule is passed over" : ": everything of that kind is denied");
	if (allow)
		return 0;
	return policy_add_rule(into, kind, project, strcmp(kind, "command") == 0 ? "**" : "*",
			       false, "a rule that cannot be read", where, err);
}

static int load_rules(struct pg *c, struct policy *into, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	int rc = pg_exec(c,
			 "SELECT id, kind, project_id, pattern, action, note FROM "
			 "celeriac.policy_rules ORDER BY position, id",
			 NULL, 0, &r, err);

	for (size_t row = 0; rc == 0 && row < pg_rows(r); row++)
		rc = add_rule(into, r, row, err);
	return rc;
}

static int load_settings(struct pg *c, struct policy *into, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	int rc = pg_exec(c,
			 "SELECT tool, project_id, network, run_in_sandbox, mounts, limits FROM "
			 "celeriac.sandbox_settings ORDER BY id",
			 NULL, 0, &r, err);

	for (size_t row = 0; rc == 0 && row < pg_rows(r); row++) {
		_cleanup_json_ json_t *limits =
			json_loadb(pg_text(r, row, 5), pg_length(r, row, 5), 0, NULL);
		const struct sandbox_setting s = {.network = is_true(pg_text(r, row, 2)),
						  .run_in_sandbox = is_true(pg_text(r, row, 3)),
						  .mounts = pg_text(r, row, 4),
						  .limits = limits};

		policy_add_setting(into, pg_text(r, row, 0), pg_text(r, row, 1), &s);
	}
	return rc;
}

static int64_t limit(const char *text)
{
	return text ? strtoll(text, NULL, 10) : -1;
}

static int load_quotas(struct pg *c, struct policy *into, struct err *err)
{
	_cleanup_pg_result_ struct pg_result *r = NULL;
	int rc = pg_exec(c,
			 "SELECT project_id, calls_per_minute, concurrent_runs, "
			 "least(sandbox_seconds_per_day, 1000000000) FROM celeriac.project_quotas",
			 NULL, 0, &r, err);

	for (size_t row = 0; rc == 0 && row < pg_rows(r); row++) {
		const struct project_quota q = {.calls_per_minute = limit(pg_text(r, row, 1)),
						.concurrent_runs = limit(pg_text(r, row, 2)),
						.sandbox_seconds_per_day =
							limit(pg_text(r, row, 3))};

		policy_add_quota(into, pg_text(r, row, 0), &q);
	}
	return rc;
}

static int load(struct pg *c, struct policy *into, struct err *err)
{
	int rc = pg_script(c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);

	if (rc == 0)
		rc = load_rules(c, into, err);
	if (rc == 0)
		rc = load_settings(c, into, err);
	if (rc == 0)
		rc = load_quotas(c, into, err);
	return rc < 0 ? rc : pg_script(c, "COMMIT", err);
}

int store_load_policy(struct store *s, struct policy *into, struct err *err)
{
	struct pg *c;
	int rc = session_begin(s, &c, err);

	if (rc < 0)
		return rc;
	return session_end(s, c, load(c, into, err), err);
}
