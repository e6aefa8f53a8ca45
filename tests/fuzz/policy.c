/* The policy's file: lines up to a blank one, then what is asked. Asked twice it says the same. */
#include "common/policy/pattern.h"
#include "fuzz.h"
#include "policy.h"

static void ask(const struct policy *p, const char *subject)
{
	struct outbound_host host;
	struct policy_answer a, b;
	const char *argv[] = {subject, "--flag", NULL};
	struct err err;

	for (int kind = 0; kind < POLICY_KINDS; kind++) {
		if (kind == POLICY_URL || kind == POLICY_COMMAND)
			continue;
		policy_ask(p, (enum policy_kind)kind, "7", subject, true, &a);
		policy_ask(p, (enum policy_kind)kind, "7", subject, false, &b);
		/* A rule that decides does so whatever is otherwise. */
		FUZZ_CHECK((a.pattern == NULL) == (b.pattern == NULL));
		FUZZ_CHECK(a.pattern ? a.allow == b.allow : a.allow && !b.allow);
		FUZZ_CHECK(a.pattern == NULL || pattern_matches(a.pattern, subject));
	}
	policy_ask_command(p, "7", argv, &a);
	if (outbound_host_parse(subject, strlen(subject), &host, &err) < 0)
		return;
	policy_ask_url(p, "7", "https", &host, 443, "/path", &a);
	policy_ask_url(p, "7", "https", &host, 443, NULL, &b);
}

static void pattern(const char *text)
{
	struct url_pattern u = {0};
	struct err err;
	int rc = url_pattern_parse(text, &u, &err);

	if (rc < 0)
		fuzz_failed(rc, &err);
	else {
		FUZZ_CHECK(u.any || u.host);
		url_pattern_done(&u);
	}
}

int fuzz_policy(const uint8_t *data, size_t size)
{
	_cleanup_policy_ struct policy *p = policy_new();
	const char *blank = size ? memmem(data, size, "\n\n", 2) : NULL;
	size_t rules = blank ? (size_t)(blank - (const char *)data) : size;
	struct err err;
	int rc = policy_add_text(p, (const char *)data, rules, "policy", &err);

	if (rc < 0)
		fuzz_failed(rc, &err);
	if (blank) {
		_cleanup_free_ char *subject = xmemdup(blank + 2, size - rules - 2);

		pattern(subject);
		ask(p, subject);
	}
	return 0;
}
