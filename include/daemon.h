/*
 * daemon.h: what both programs need of the system around them.
 */
#ifndef CELERIAC_DAEMON_H
#define CELERIAC_DAEMON_H

#include "base.h"
#include "err.h"

/* Blocks TERM, INT, QUIT, HUP, USR1 in this and every later thread, ignores PIPE, and returns a
 * descriptor to read them from (signalfd). Before the first thread. [init] */
int daemon_signals(int *ret_fd, struct err *err) must_check;
/* The next signal, 0 if there is none now. */
int daemon_next_signal(int fd);

/* Writes our pid, refusing (ERR_CONFLICT) when a live process of the file's pid is there; stale
 * files are replaced. [init] */
int daemon_pidfile_write(const char *path, struct err *err) must_check;
void daemon_pidfile_remove(const char *path);

/* Raises the descriptor limit to its ceiling; no core files with secrets in them. [init] */
void daemon_limits(void);

#endif
