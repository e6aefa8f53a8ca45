/* Rules: which decides, what patterns match, what a file may say. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/policy/pattern.h"
#include "json.h"
#include "mem.h"
#include "policy.h"
#include "tests/unit/suite.h"

START_TEST(test_patterns)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} cases[] = {
		{"", "", true},
		{"", "a", false},
		{"a", "", false},
		{"*", "", true},
		{"*", "anything", true},
		{"a*", "abc", true},
		{"*c", "abc", true},
		{"a*c", "ac", true},
		{"a*c", "abcd", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"**", "x", true},
		{"*a*b*", "xxaxxbxx", true},
		{"*a*b*", "xxbxxa", false},
		{"abc", "abcd", false},
		{"mcp_github_*", "mcp_github_", true},
		{"[a]", "a", false},
		{"a\\*", "a*", false},
	};
	char pattern[600], text[3000];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ck_assert_msg(pattern_matches(cases[i].pattern, cases[i].text) == cases[i].matches,
			      "%s %s", cases[i].pattern, cases[i].text);
	/* no pattern makes it slow: this one would take for ever by trying everything */
	for (size_t i = 0; i + 1 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	pattern[sizeof(pattern) - 2] = '\0';
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 2] = 'b';
	text[sizeof(text) - 1] = '\0';
	ck_assert(!pattern_matches(pattern, text));
}
END_TEST

static struct policy *policy_of(const char *text)
{
	struct policy *p = policy_new();
	struct err err;

	ck_assert_msg(policy_add_text(p, text, strlen(text), "file", &err) == 0, "%s", err.msg);
	return p;
}

static bool allows(const struct policy *p, enum policy_kind kind, const char *project,
		   const char *subject)
{
	struct policy_answer answer;

	policy_ask(p, kind, project, subject, policy_kind_default(kind), &answer);
	return answer.allow;
}

START_TEST(test_defaults)
{
	struct policy *p = policy_new();

	ck_assert(allows(p, POLICY_TOOL, NULL, "tools.run_custom"));
	ck_assert(allows(p, POLICY_MCP_SERVER, "a", "github"));
	ck_assert(!allows(p, POLICY_IMAGE, NULL, "debian"));
	ck_assert(!allows(p, POLICY_MOUNT, NULL, "/data:ro"));
	ck_assert(!policy_has_url_rules(p, NULL));
	policy_unref(p);
}
END_TEST

START_TEST(test_first_match_decides)
{
	_cleanup_policy_ struct policy *p =
		policy_of("# tools\n"
			  "deny tool custom_* project=a   # none of their own\n"
			  "allow  tool\tcustom_weather\r\n"
			  "\n"
			  "deny tool custom_*\n"
			  "allow image \"my image\" # quoted\n");
	struct policy_answer answer;

	ck_assert(!allows(p, POLICY_TOOL, "a", "custom_weather"));
	ck_assert(allows(p, POLICY_TOOL, "b", "custom_weather"));
	ck_assert(allows(p, POLICY_TOOL, NULL, "custom_weather"));
	ck_assert(!allows(p, POLICY_TOOL, "b", "custom_other"));
	ck_assert(allows(p, POLICY_TOOL, "a", "tools.call"));
	ck_assert(allows(p, POLICY_IMAGE, "a", "my image"));
	ck_assert(!allows(p, POLICY_MCP_SERVER, "a", "custom_x") == false);
	policy_ask(p, POLICY_TOOL, "a", "custom_x", true, &answer);
	ck_assert_str_eq(answer.pattern, "custom_*");
	ck_assert_str_eq(answer.note, "none of their own");
	policy_ask(p, POLICY_TOOL, "a", "other", true, &answer);
	ck_assert(answer.pattern == NULL);
}
END_TEST

START_TEST(test_bad_text)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"permit tool x\n", "file:1"},
		{"\n\nallow tool\n", "file:3"},
		{"allow\n", "file:1"},
		{"allow hammer x\n", "kind 'hammer'"},
		{"allow tool \"x\n", "quote"},
		{"allow tool \"x\"y\n", "quote"},
		{"allow tool x project=\n", "project=ID"},
		{"allow tool x b\n", "project=ID"},
		{"allow tool x project=a more\n", "too many"},
		{"allow tool \"\"\n", "1 to"},
		{"allow url ftp://a\n", "scheme"},
		{"allow url http://a*.b\n", "host"},
		{"allow url http://a:0/\n", "port"},
		{"allow url http://a/?q\n", "query"},
		{"allow url http://\n", "host"},
		{"allow url *.*.org\n", "host"},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_policy_ struct policy *p = policy_new();
		struct err err;

		ck_assert_msg(policy_add_text(p, bad[i].text, strlen(bad[i].text), "file", &err) ==
				      -ERR_INVALID,
			      "%s", bad[i].text);
		ck_assert_msg(strstr(err.msg, bad[i].says) != NULL, "%s: %s", bad[i].text, err.msg);
	}
	_cleanup_policy_ struct policy *p = policy_new();
	struct err err;
	ck_assert_int_eq(policy_add_text(p, "allow tool a\0b\n", 15, "file", &err), -ERR_INVALID);
}
END_TEST

static const char *url_answer(const struct policy *p, const char *project, const char *scheme,
			      const char *name, uint16_t port, const char *path)
{
	struct policy_answer answer;
	struct outbound_host host;
	struct err err;

	ck_assert_int_eq(outbound_host_parse(name, strlen(name), &host, &err), 0);
	policy_ask_url(p, project, scheme, &host, port, path, &answer);
	return answer.pattern == NULL ? "default" : answer.allow ? "allow" : "deny";
}

START_TEST(test_urls)
{
	static const struct {
		const char *scheme, *host;
		uint16_t port;
		const char *path, *says;
	} cases[] = {
		{"https", "api.example.org", 443, "/v1/x", "allow"},
		{"https", "api.example.org", 443, "/v2/x", "deny"},
		{"https", "api.example.org", 443, NULL, "deny"}, /* the path cannot be seen */
		{"http", "api.example.org", 80, "/v1/x", "deny"},
		{"https", "api.example.org", 8443, "/v1/x", "deny"},
		{"https", "www.site.example", 443, NULL, "allow"},
		{"http", "a.b.site.example", 80, "/", "allow"},
		{"https", "site.example", 443, NULL, "deny"},
		{"https", "evil.net", 443, "/www.site.example", "deny"},
		{"https", "www.site.example.evil.net", 443, NULL, "deny"},
		{"https", "www.site.example", 22, NULL, "deny"},
		{"https", "shop.example", 8443, NULL, "allow"},
		{"https", "shop.example", 443, NULL, "deny"},
		{"http", "half.example", 80, "/open", "allow"},
		{"http", "half.example", 80, "/closed/x", "deny"},
		{"https", "half.example", 443, NULL,
		 "deny"}, /* a closed path closes what is not seen */
		{"https", "[2606:4700::1]", 443, NULL, "allow"},
	};
	_cleanup_policy_ struct policy *p = policy_of("allow url https://api.example.org/v1/*\n"
						      "allow url *.site.example\n"
						      "allow url shop.example:8443\n"
						      "deny url half.example/closed/*\n"
						      "allow url half.example\n"
						      "allow url https://[2606:4700::1]/*\n"
						      "deny url *\n");

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ck_assert_msg(strcmp(url_answer(p, NULL, cases[i].scheme, cases[i].host,
						cases[i].port, cases[i].path),
				     cases[i].says) == 0,
			      "%zu: %s %s", i, cases[i].host, cases[i].path ? cases[i].path : "-");
	ck_assert(policy_has_url_rules(p, "any"));
}
END_TEST

START_TEST(test_url_rules_of_projects)
{
	_cleanup_policy_ struct policy *p = policy_of("deny url * project=closed\n");

	ck_assert(policy_has_url_rules(p, "closed"));
	ck_assert(!policy_has_url_rules(p, "open"));
	ck_assert_str_eq(url_answer(p, "closed", "http", "a.example", 80, "/"), "deny");
	ck_assert_str_eq(url_answer(p, "open", "http", "a.example", 80, "/"), "default");
}
END_TEST

START_TEST(test_commands)
{
	static const struct {
		const char *const argv[4];
		bool allow;
	} cases[] = {
		{{"npx", "-y", "@scope/server-a", NULL}, true},
		{{"npx", "-y", "@scope/server-a --evil", NULL},
		 true}, /* one argument, as it was said */
		{{"npx", "-y", "@other/server", NULL}, false},
		{{"npx", "-y", NULL}, false},
		{{"npx -y @scope/server-a", NULL}, false},
		{{"pip", "install", "anything", NULL}, true},
		{{"pip", "install", NULL}, true},
		{{"pip", "download", NULL}, false},
	};
	_cleanup_policy_ struct policy *p = policy_of("allow command \"npx -y @scope/*\"\n"
						      "allow command \"pip install **\"\n"
						      "deny command **\n");
	struct policy_answer answer;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		policy_ask_command(p, NULL, cases[i].argv, &answer);
		ck_assert_msg(answer.allow == cases[i].allow, "%zu", i);
	}
}
END_TEST

/* Any host, and any scheme: neither takes the bounds of the other away. */
START_TEST(test_wide_url_patterns)
{
	static const struct {
		const char *rule, *scheme;
		uint16_t port;
		bool allow;
	} cases[] = {
		{"allow url *:8080\n", "http", 8080, true},
		{"allow url *:8080\n", "http", 80, false},
		{"allow url *://a.example\n", "http", 80, true},
		{"allow url *://a.example\n", "https", 443, true},
		{"allow url *://a.example\n", "https", 8443, false},
		{"allow url *://b.example\n", "https", 443, false},
		{"allow url https://*\n", "https", 443, true},
		{"allow url https://*\n", "http", 80, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_free_ char *text = xasprintf("%sdeny url *\n", cases[i].rule);
		_cleanup_policy_ struct policy *p = policy_of(text);

		ck_assert_msg(strcmp(url_answer(p, NULL, cases[i].scheme, "a.example",
						cases[i].port, "/"),
				     cases[i].allow ? "allow" : "deny") == 0,
			      "%zu", i);
	}
}
END_TEST

/* As many rules as there may be, and one more. */
START_TEST(test_many_rules)
{
	_cleanup_policy_ struct policy *p = policy_new();
	struct err err;

	for (int i = 0; i < POLICY_RULES_MAX; i++)
		ck_assert_int_eq(policy_add_rule(p, "tool", NULL, "x", false, NULL, "w", &err), 0);
	ck_assert_int_eq(policy_add_rule(p, "tool", NULL, "y", false, NULL, "w", &err),
			 -ERR_TOOBIG);
	ck_assert(!allows(p, POLICY_TOOL, NULL, "x"));
	ck_assert(allows(p, POLICY_TOOL, NULL, "y"));
}
END_TEST

/* A project's own row, else the one of those without; the last that was added counts. Calls without
 * a project have none. */
START_TEST(test_quotas)
{
	static const struct project_quota none = {-1, -1, -1}, some = {1, 2, 3}, others = {4, 5, 6};
	struct policy *p = policy_new(), *shared = policy_ref(p);

	ck_assert(policy_quota(p, "a") == NULL);
	policy_add_quota(p, "a", &none);
	ck_assert(policy_quota(p, "b") == NULL);
	policy_add_quota(p, NULL, &others);
	policy_add_quota(p, "a", &some);
	policy_unref(p);
	ck_assert_int_eq(policy_quota(shared, "a")->concurrent_runs, 2);
	ck_assert_int_eq(policy_quota(shared, "b")->calls_per_minute, 4);
	ck_assert(policy_quota(shared, NULL) == NULL);
	policy_unref(shared);
}
END_TEST

START_TEST(test_kinds)
{
	for (int i = 0; i < POLICY_KINDS; i++) {
		enum policy_kind kind;

		ck_assert(policy_kind_find(policy_kind_name((enum policy_kind)i), &kind));
		ck_assert_int_eq(kind, i);
	}
}
END_TEST

START_TEST(test_settings)
{
	_cleanup_policy_ struct policy *p = policy_new();
	_cleanup_json_ json_t *limits = json_pack("{s:i}", "memory", 5);
	const struct sandbox_setting all = {.network = true, .mounts = "/a:ro", .limits = limits},
				     one = {.mounts = ""};
	const struct sandbox_setting *s;

	ck_assert(policy_setting(p, "t", NULL) == NULL);
	policy_add_setting(p, "t", NULL, &all);
	policy_add_setting(p, "t", "project", &one);
	json_object_clear(limits);
	s = policy_setting(p, "t", "other");
	ck_assert(s && s->network);
	ck_assert_str_eq(s->mounts, "/a:ro");
	ck_assert_int_eq(json_integer_value(json_object_get(s->limits, "memory")), 5);
	s = policy_setting(p, "t", "project");
	ck_assert(s && !s->network);
	policy_add_setting(p, "t", "project", &all);
	ck_assert(policy_setting(p, "t", "project")->network);
	ck_assert(policy_setting(p, "u", "project") == NULL);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("policy");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_patterns);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_first_match_decides);
	tcase_add_test(t, test_bad_text);
	tcase_add_test(t, test_urls);
	tcase_add_test(t, test_url_rules_of_projects);
	tcase_add_test(t, test_commands);
	tcase_add_test(t, test_wide_url_patterns);
	tcase_add_test(t, test_many_rules);
	tcase_add_test(t, test_quotas);
	tcase_add_test(t, test_kinds);
	tcase_add_test(t, test_settings);
	return suite_run("policy", t);
}
