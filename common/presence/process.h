/*
 * process.h: how a process is named so that another one on the same machine can tell whether it
 * still lives.
 */
#ifndef CELERIAC_PRESENCE_PROCESS_H
#define CELERIAC_PRESENCE_PROCESS_H

#include "base.h"

#define PROCESS_IDENTITY_SIZE 128

/* "<boot id> <pid namespace> <pid> <start time>" of this process. [any] */
void process_identity(char out[PROCESS_IDENTITY_SIZE]);

enum process_life {
	PROCESS_ALIVE,
	PROCESS_GONE,
	PROCESS_UNKNOWN /* another machine or pid namespace: cannot be told from here */
};
enum process_life process_life(const char *identity);

#endif
