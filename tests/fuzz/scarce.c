/*
 * Each input as often as its target asks for memory, and once more: each request is refused, once,
 * in turn. Nothing crashes, leaks or is read too far; and whoever cannot do without it says so:
 * what is heard is what is heard with all the memory there is, up to an ERR_NOMEM.
 */
#include "replay.h"
#include "tests/unit/memory_fixture.h"

#define HEARD 16384

struct heard {
	bool failed;
	uint64_t what; /* the code of a failure, the digest of a product */
};

static struct heard g_plain[HEARD]; /* with all the memory there is */
static size_t g_plain_count, g_count;
static bool g_known; /* g_plain is this input's */
static bool g_said;  /* that there was no memory */

static void hear(bool failed, uint64_t what)
{
	const struct heard *plain = &g_plain[g_count];

	if (!g_known) {
		if (g_plain_count == HEARD)
			BUG("more than %d failures and products of an input", HEARD);
		g_plain[g_plain_count++] = (struct heard){failed, what};
		return;
	}
	g_said |= failed && what == ERR_NOMEM;
	if (g_said)
		return;
	if (g_count >= g_plain_count || plain->failed != failed || plain->what != what)
		BUG("without memory it says: %s", failed ? err_code_text((int)what) : "other");
	g_count++;
}

void replay_input(const struct fuzz_target *t, const uint8_t *data, size_t size)
{
	fuzz_hears = hear;
	fuzz_has_refused = memory_has_failed;
	g_known = false;
	g_plain_count = 0;
	memory_fail(0);
	t->run(data, size);
	g_known = true;
	for (size_t which = 1;; which++) {
		g_count = 0;
		g_said = false;
		memory_fail(which);
		t->run(data, size);
		if (!g_said && g_count < g_plain_count)
			BUG("without memory it ends early and does not say why");
		if (!memory_failed())
			break;
	}
}
