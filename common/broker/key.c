/*
 * The names of kombu's lists: the queue's own for the first priority step, queue + separator + step
 * for the others.
 */
#include "broker.h"

#define DEFAULT_SEPARATOR "\x06\x16"
static const int default_steps[] = {0, 3, 6, 9};

void broker_list_key(const char *queue, int priority, struct buf *out)
{
	int step = default_steps[0];

	for (size_t i = 0; i < ARRAY_LEN(default_steps); i++) {
		if (default_steps[i] <= priority)
			step = default_steps[i];
	}
	buf_append_str(out, queue);
	if (step != default_steps[0])
		buf_appendf(out, "%s%d", DEFAULT_SEPARATOR, step);
}
