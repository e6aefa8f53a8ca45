/*
 * dump.h: what every thread is doing, for whoever sent USR1.
 */
#ifndef CELERIAC_WORKER_DUMP_H
#define CELERIAC_WORKER_DUMP_H

#include "worker.h"

/*
 * To the log, at WARNING: of each thread its name, the kernel's id, state, CPU time and what it
 * waits for in the kernel, and of a pool thread the task it runs and for how long. No thread is
 * stopped for it. Backtraces are a debugger's: `eu-stack -p` or gdb. [main]
 */
void dump_threads(struct worker *w);

#endif
