/*
 * The engine role as a process. See engine_command.h.
 */
#include "engine_command.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "cage.h"
#include "engine_role.h"
#include "http.h"
#include "log.h"

static int enter_cage(const struct settings *s, const struct options *o,
		      const struct engine_role *role, struct err *err)
{
	const char *const directories[] = {engine_role_directory(role), NULL};
	const struct cage_plan plan = {.settings = s,
				       .pidfile = o->pidfile,
				       .logfile = o->logfile,
				       .listens = "",
				       .further = directories};
	struct cage_report report;
	int rc = cage_enter(&plan, &report, err);

	if (rc == 0)
		cage_log(&report);
	return rc;
}

/* What a large request needed is the system's again at once: its bound (role.h) is one of the
 * process, not of each of its threads. */
static void bound_memory(void)
{
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
}

int engine_command(const struct settings *s, const struct options *o, int parent)
{
	struct engine_role *role = NULL;
	struct err err = {0};
	int control = engine_keeper_is_wanted() ? engine_keeper_fork() : -1, signals = -1;

	bound_memory();
	if (daemon_signals(&signals, &err) < 0 || http_global_init(&err) < 0 ||
	    (o->pidfile != NULL && daemon_pidfile_write(o->pidfile, &err) < 0) ||
	    engine_role_open(s, control, &role, &err) < 0 || enter_cage(s, o, role, &err) < 0) {
		log_critical("%s", err.msg);
		daemon_pidfile_remove(o->pidfile);
		return EXIT_FAILURE;
	}
	daemon_detached(parent);
	daemon_notify("READY=1");
	engine_role_run(role, signals);
	daemon_notify("STOPPING=1");
	daemon_pidfile_remove(o->pidfile);
	/* threads are at work on it */
	_exit(EXIT_SUCCESS);
}
