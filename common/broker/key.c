/*
 * The names of kombu's lists and channels: the queue's own for the first priority step, queue +
 * separator + step for the others.
 */
#include "mem.h"
#include "redis_broker.h"

void broker_append_step(const struct broker *b, int priority, struct buf *out)
{
	const struct transport_options *o = &b->options;
	int step = o->priority_steps[0];

	for (size_t i = 0; i < o->step_count; i++) {
		if (o->priority_steps[i] <= priority)
			step = o->priority_steps[i];
	}
	if (step != o->priority_steps[0])
		buf_appendf(out, "%s%d", o->sep, step);
}

void broker_list_key(const struct broker *b, const char *queue, int priority, struct buf *out)
{
	const struct broker_queue *q = broker_find_queue(b, queue);

	buf_append_str(out, b->options.global_keyprefix);
	if (q != NULL && q->channels != NULL) /* on a fanout exchange: our own copies of it */
		buf_append_str(out, b->heard_prefix);
	buf_append_str(out, queue);
	broker_append_step(b, priority, out);
}

char *broker_heard_list(const char *instance, const char *node, const char *queue)
{
	return xasprintf("celeriac:%s:broadcast:%s:%s", instance, node, queue);
}

char *broker_channel(const struct broker *b, const char *exchange, const char *routing_key)
{
	const struct transport_options *o = &b->options;
	bool keyed = o->fanout_patterns && routing_key[0] != '\0';

	return xasprintf("%s%s%s%s%s", o->global_keyprefix, b->fanout_prefix, exchange,
			 keyed ? "/" : "", keyed ? routing_key : "");
}
