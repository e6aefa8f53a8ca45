/*
 * lease.c: which of several beats leads: "<node> <pid> <random id>", in a ledger. The id makes it
 * that of one life: a beat that slept meanwhile, or was restarted with the same pid, does not find
 * its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beat.h"
#include "bounds.h"
#include "clock.h"
#include "mem.h"

#define NODE_MAX 128

char *lease_value(const struct settings *s)
{
	const char *node = s->node && *s->node ? s->node : "-";
	char id[UUID_SIZE];

	uuid4(id);
	return xasprintf("%.*s %d %s", NODE_MAX, node, (int)getpid(), id);
}

void lease_holder(struct slice value, char out[LEASE_HOLDER])
{
	char node[NODE_MAX + 1], text[NODE_MAX + 64];
	int pid;

	snprintf(text, sizeof(text), "%.*s", (int)value.len, value.len ? value.data : "");
	if (value.len == 0)
		snprintf(out, LEASE_HOLDER, "nobody");
	else if (sscanf(text, "%128s %d", node, &pid) == 2)
		snprintf(out, LEASE_HOLDER, "process %d on %s", pid, node);
	else
		snprintf(out, LEASE_HOLDER, "a key that is no lease");
	for (char *c = out; *c; c++) /* it is shown outside the log, too */
		if (*c < ' ' || *c > '~')
			*c = '?';
}
