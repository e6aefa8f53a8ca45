/*
 * The order of the parts. See cage.h.
 */
#include "cage_internal.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"

#define CAGED "CELERIAC_CAGED" /* in the environment of a life after a restart: pid, parts */

static const char *const names[CAGE_PARTS] = {
	[CAGE_PRIVILEGES] = "privileges",
	[CAGE_FILES] = "files",
	[CAGE_CALLS] = "calls",
	[CAGE_MEMORY] = "memory",
};

typedef int part_fn(const struct cage_plan *plan, char *detail, size_t size, struct err *err);

static int drop_capabilities(struct err *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0}, have[2] = {0};

	/* Without the right to, the bounding set stays: no-new-privileges makes it meaningless. */
	for (int cap = 0; cap <= 63; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	/* a service manager that takes them away may not let us say so again */
	if (syscall(SYS_capget, &head, have) == 0 && memcmp(have, none, sizeof(none)) == 0)
		return 0;
	head.version = _LINUX_CAPABILITY_VERSION_3;
	if (syscall(SYS_capset, &head, none) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "capset");
	return 0;
}

static int privileges(const struct cage_plan *plan, char *detail, size_t size, struct err *err)
{
	(void)plan;
	if (geteuid() == 0 && setgroups(0, NULL) < 0 && errno != EPERM)
		return err_set_errno(err, ERR_FAILED, errno, "setgroups");
	int rc = drop_capabilities(err);
	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = err_set_errno(err, ERR_UNSUPPORTED, errno, "no-new-privileges");
	if (rc == 0)
		snprintf(detail, size, "uid %u%s, no capabilities, no new privileges",
			 (unsigned)geteuid(), geteuid() == 0 ? " (root: better --uid)" : "");
	return rc;
}

static int files(const struct cage_plan *plan, char *detail, size_t size, struct err *err)
{
	struct cage_paths paths = {.count = 0};
	int rc = cage_paths(plan, &paths, err);

	if (rc == 0)
		rc = cage_files(plan, &paths, detail, size, err);
	cage_paths_done(&paths);
	return rc;
}

static int memory(const struct cage_plan *plan, char *detail, size_t size, struct err *err)
{
	(void)plan;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set_errno(err, ERR_FAILED, errno, "PR_SET_DUMPABLE");
	snprintf(detail, size, "not dumpable");
	return 0;
}

/* In this order: each still needs what the next one takes away. */
static const struct {
	enum cage_part part;
	part_fn *enter;
} order[] = {
	{CAGE_MEMORY, memory},
	{CAGE_PRIVILEGES, privileges},
	{CAGE_FILES, files},
	{CAGE_CALLS, cage_calls},
};

static bool is_left_out(const struct settings *s, enum cage_part part)
{
	for (size_t i = 0; i < s->cage_without.count; i++)
		if (strcmp(s->cage_without.items[i], names[part]) == 0)
			return true;
	return false;
}

static int check_names(const struct settings *s, struct err *err)
{
	for (size_t i = 0; i < s->cage_without.count; i++) {
		bool known = false;

		for (size_t k = 0; k < CAGE_PARTS; k++)
			known = known || strcmp(s->cage_without.items[i], names[k]) == 0;
		if (!known)
			return err_set(err, ERR_INVALID,
				       "CELERIAC_CAGE_WITHOUT: '%.60s' is none of privileges, "
				       "files, calls, memory",
				       s->cage_without.items[i]);
	}
	return 0;
}

/* The cage of this process' earlier life holds: its parts are not to be had twice (the kernel
 * stacks 16 of Landlock), and what they allow cannot grow. */
static bool is_caged(unsigned *ret_parts)
{
	const char *said = getenv(CAGED);
	int pid;

	return said && sscanf(said, "%d %u", &pid, ret_parts) == 2 && pid == getpid() &&
	       prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
	       (!(*ret_parts & 1u << CAGE_CALLS) ||
		prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER);
}

static void remember(const struct cage_report *report)
{
	unsigned parts = 0;
	char text[48];

	for (size_t i = 0; i < CAGE_PARTS; i++)
		parts |= report->parts[i].holds ? 1u << i : 0;
	snprintf(text, sizeof(text), "%d %u", (int)getpid(), parts);
	setenv(CAGED, text, 1);
}

static int enter_part(const struct cage_plan *plan, size_t i, struct cage_report *r,
		      struct err *err)
{
	enum cage_part part = order[i].part;
	char *detail = r->parts[part].detail;
	size_t size = sizeof(r->parts[part].detail);
	struct err why = {0};

	if (is_left_out(plan->settings, part)) {
		snprintf(detail, size, "left out by CELERIAC_CAGE_WITHOUT");
		return 0;
	}
	if (order[i].enter(plan, detail, size, &why) == 0) {
		r->parts[part].holds = true;
		return 0;
	}
	snprintf(detail, size, "%.150s", why.msg);
	if (why.code == ERR_INVALID || strcmp(plan->settings->cage, "strict") == 0)
		return err_set(err, why.code, "cage: %s: %.180s", names[part], why.msg);
	return 0;
}

int cage_enter(const struct cage_plan *plan, struct cage_report *ret, struct err *err)
{
	struct cage_report r = {.off = strcmp(plan->settings->cage, "off") == 0};
	unsigned kept = 0;
	int rc = check_names(plan->settings, err);

	for (size_t i = 0; i < CAGE_PARTS; i++)
		r.parts[i].part = names[i];
	r.kept = rc == 0 && !r.off && is_caged(&kept);
	for (size_t i = 0; r.kept && i < CAGE_PARTS; i++) {
		r.parts[i].holds = kept & 1u << i;
		snprintf(r.parts[i].detail, sizeof(r.parts[i].detail), "as before the restart");
	}
	/* a program that is executed is dumpable again */
	if (r.kept && r.parts[CAGE_MEMORY].holds)
		rc = memory(plan, r.parts[CAGE_MEMORY].detail, sizeof(r.parts[0].detail), err);
	for (size_t i = 0; rc == 0 && !r.off && !r.kept && i < ARRAY_LEN(order); i++)
		rc = enter_part(plan, i, &r, err);
	if (rc < 0)
		return rc;
	if (!r.off)
		remember(&r);
	*ret = r;
	return 0;
}

void cage_summary(const struct cage_report *report, char ret[CAGE_SUMMARY])
{
	size_t len = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < CAGE_PARTS && len < CAGE_SUMMARY; i++) {
		if (report->parts[i].holds)
			len += (size_t)snprintf(ret + len, CAGE_SUMMARY - len, "%s%s",
						len > 0 ? ", " : "", report->parts[i].part);
	}
	if (len == 0)
		snprintf(ret, CAGE_SUMMARY, "nothing (CELERIAC_CAGE)");
}

void cage_log(const struct cage_report *report)
{
	char summary[CAGE_SUMMARY];

	cage_summary(report, summary);
	log_info("cage: %s%s", summary, report->kept ? ", as before the restart" : "");
	for (size_t i = 0; !report->off && i < CAGE_PARTS; i++)
		if (!report->parts[i].holds)
			log_warning("cage: %s does not hold: %s", report->parts[i].part,
				    report->parts[i].detail);
}
