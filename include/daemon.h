/*
 * daemon.h: what both programs need of the system around them. All [init] unless said otherwise.
 */
#ifndef CELERIAC_DAEMON_H
#define CELERIAC_DAEMON_H

#include "base.h"
#include "err.h"

/* ---- daemon.c: signals, limits ---- */
/* Blocks TERM, INT, QUIT, HUP, USR1 in this and every later thread, ignores PIPE, and returns a
 * descriptor to read them from (signalfd). Before the first thread. */
int daemon_signals(int *ret_fd, struct err *err) must_check;
/* The next signal, 0 if there is none now. [any] */
int daemon_next_signal(int fd);
/* Raises the descriptor limit to its ceiling; no core files with secrets in them. */
void daemon_limits(void);
/* Fails, naming both figures, where fewer than BOUND_DESCRIPTORS_LEAST can be open at once: a
 * program that has not enough for its first connections would try again for ever. After
 * daemon_limits. */
int daemon_descriptors(struct err *err) must_check;

/* ---- notify.c: a service manager of systemd's kind; without one nothing happens ---- */
/* "READY=1", "STOPPING=1", "WATCHDOG=1" … to NOTIFY_SOCKET. Never waits. [any] */
void daemon_notify(const char *what);
/* How often WATCHDOG=1 is to be said at least: half of WATCHDOG_USEC; 0 = never. [any] */
usec_t daemon_watchdog(void);

/* ---- pidfile.c ---- */
/* Writes our pid, refusing (ERR_CONFLICT) when the process that the file names is alive and is a
 * Celery program; stale files are replaced, whoever has their pid now. */
int daemon_pidfile_write(const char *path, struct err *err) must_check;
/* If it is ours. `path` may be NULL. */
void daemon_pidfile_remove(const char *path);

/* ---- place.c: where and as whom ---- */
struct daemon_place {
	const char *workdir, *uid, *gid, *umask; /* as on the command line, or NULL */
};
/* Changes the directory, the mask of new files, group and user: names or numbers. A user's own
 * groups come with it; there is no way back. ERR_INVALID names what does not exist, ERR_DENIED what
 * is not allowed. Before the first thread. */
int daemon_settle(const struct daemon_place *p, struct err *err) must_check;
/* Goes on in a child without a terminal; the parent returns from nothing: it exits with 0 once the
 * child calls daemon_detached, or 1 when that has ended before. Does nothing after a restart. */
int daemon_detach(int *ret_parent, struct err *err) must_check;
/* Tells the parent; standard streams now lead nowhere. -1: there is none. */
void daemon_detached(int parent);

/* ---- restart.c: the same program again in the same process ---- */
/* Keeps a copy of the arguments, before they are parsed and hidden, the program's path, which may
 * be another file by then, and the directory. */
void daemon_remember(int argc, char **argv);
/* Does not return unless it fails. No thread may be at work on anything that matters. [main] */
int daemon_restart(struct err *err) must_check;
/* Where execve will find the path of this program at a restart: the same address in every life of
 * the process, in memory that is sealed from Linux 6.10 on. NULL where it could not be had. */
const char *daemon_program(void);
/* This process has been this program before. */
bool daemon_restarted(void);

#endif
