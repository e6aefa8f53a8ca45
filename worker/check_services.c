/*
 * --check: how Redis, the database and the system are set up, where that is dangerous and nothing
 * fails yet.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "bounds.h"
#include "check.h"
#include "store.h"

/* Measured (tests/bench/capacity.py): about 30 at rest and 3.5 for each conversation; the rest is
 * room. An MCP server costs as much. */
#define DESCRIPTORS_OWN	 128
#define DESCRIPTORS_EACH 4

/* The value of a line "name:value" of INFO, or "". */
static void find_value(struct slice info, const char *name, char *out, size_t size)
{
	size_t len = strlen(name);

	out[0] = '\0';
	for (const char *at = info.data, *end = info.data + info.len; at < end;) {
		size_t left = (size_t)(end - at);
		const char *line_end = memchr(at, '\n', left);
		size_t line = line_end ? (size_t)(line_end - at) : left;

		if (line > len && memcmp(at, name, len) == 0 && at[len] == ':') {
			size_t n = line - len - 1;

			n -= n > 0 && at[len + n] == '\r';
			n = n < size ? n : size - 1;
			memcpy(out, at + len + 1, n);
			out[n] = '\0';
			return;
		}
		at += line + 1;
	}
}

static void ask(struct redis *r, const char *section, const char *name, char *out, size_t size)
{
	_cleanup_reply_ struct redis_reply *info = NULL;
	struct err err;

	out[0] = '\0';
	if (redis_do(r, &info, &err, "INFO %s", section) == 0)
		find_value(redis_reply_str(info), name, out, size);
}

int check_redis_keeps(const char *what, struct redis *r, struct err *err)
{
	char policy[32], file[8];

	ask(r, "memory", "maxmemory_policy", policy, sizeof(policy));
	ask(r, "persistence", "aof_enabled", file, sizeof(file));
	if (policy[0] == '\0')
		check_note(what, "it does not say what it does when its memory is full: only "
				 "maxmemory-policy noeviction loses nothing");
	else if (strcmp(policy, "noeviction") != 0)
		return err_set(err, ERR_CONFLICT,
			       "its maxmemory-policy is %s: when it is full it drops messages and "
			       "results; set noeviction",
			       policy);
	if (strcmp(file, "0") == 0)
		check_note(what, "it has no append-only file (appendonly no): when it dies, it "
				 "loses what came since its last snapshot, messages among it");
	return 0;
}

void check_pooler(const struct settings *s)
{
	struct err err = {0};
	bool shared = false;

	if (store_shares_sessions(s->database_url, &shared, &err) < 0)
		check_note("database", "whether a pooler is in front of it was not seen: %s",
			   err.msg);
	else if (shared)
		check_note("database",
			   "a pooler in transaction mode is in front of it: statement timeouts, "
			   "prepared statements and news of changed rows get lost; use its session "
			   "mode, or none");
}

void check_descriptors(const struct settings *s, int64_t containers)
{
	int64_t needed = DESCRIPTORS_OWN + BOUND_EGRESS_DESCRIPTORS +
			 DESCRIPTORS_EACH * (containers + s->mcp_max);
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max != RLIM_INFINITY &&
	    (int64_t)files.rlim_max < needed)
		check_note("descriptors",
			   "the limit of open files is %" PRIu64 ", and %" PRId64
			   " containers (SANDBOX_MAX) may need %" PRId64
			   ": raise it (LimitNOFILE, ulimits)",
			   (uint64_t)files.rlim_max, containers, needed);
}
