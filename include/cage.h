/*
 * cage.h: what a program can still do once it is at work, whoever has taken it over.
 *
 * Before the first thread, for these bind a thread and what it starts: capabilities go, nothing
 * that is executed gains any, files are those that are needed (Landlock), system calls those that
 * are used (seccomp), and the process' memory is nobody else's. What the kernel lacks is told, and
 * stops the start where CELERIAC_CAGE=strict. A restart in place keeps the cage of the first life.
 */
#ifndef CELERIAC_CAGE_H
#define CELERIAC_CAGE_H

#include "base.h"
#include "err.h"
#include "settings.h"

enum cage_part {
	CAGE_PRIVILEGES, /* no capabilities, no-new-privileges, no groups that root has by chance */
	CAGE_FILES,	 /* Landlock: files, the port that is listened at, signals to others */
	CAGE_CALLS,	 /* seccomp: an allow-list */
	CAGE_MEMORY,	 /* not dumpable: no core file, no debugger of the same user */
	CAGE_PARTS
};

struct cage_plan {
	const struct settings *settings;
	const char *pidfile, *logfile; /* or NULL */
	const char *listens;	       /* host:port that is listened at, or "" */
	const char *const *further;    /* NULL-terminated directories that are written to, or NULL
					*/
	/* The address at which execve finds the path of this very program, for a restart in place
	 * (daemon.h); NULL: nothing is executed. */
	const char *program;
	/* Another process has the engine (engine_role.h): nothing of what leads to it is needed,
	 * and no connection to a unix socket where no other setting wants one. */
	bool engine_apart;
};

struct cage_report {
	struct {
		const char *part; /* as CELERIAC_CAGE_WITHOUT names it */
		bool holds;
		char detail[160]; /* how far, or why not */
	} parts[CAGE_PARTS];
	bool off;  /* CELERIAC_CAGE=off */
	bool kept; /* the cage of this process' earlier life */
};

/*
 * Goes into the cage. There is no way out. ERR_INVALID: a setting; ERR_UNSUPPORTED: a part does not
 * hold, and CELERIAC_CAGE=strict. Before the first thread. [init]
 */
int cage_enter(const struct cage_plan *plan, struct cage_report *ret, struct err *err) must_check;

/* One line for the log: which parts hold. */
#define CAGE_SUMMARY 200
void cage_summary(const struct cage_report *report, char ret[CAGE_SUMMARY]);
/* The same to the log, with a warning for each part that does not hold. */
void cage_log(const struct cage_report *report);

#endif
