/*
 * message_retry.c: a message that was read, to be sent again.
 */
#include <string.h>

#include "json.h"
#include "mem.h"
#include "message.h"

/* Said anew by message_encode, or added on the way by a broker: what dead-lettering adds would look
 * like a cycle to RabbitMQ. */
static const char *const g_dropped[] = {
	"eta",
	"retries",
	"compression",
	"redelivered",
	"x-death",
	"x-first-death-exchange",
	"x-first-death-queue",
	"x-first-death-reason",
	"x-last-death-exchange",
	"x-last-death-queue",
	"x-last-death-reason",
};

int message_retry(const struct message *m, int64_t retries, usec_t eta, json_t **ret_headers,
		  struct message_out *ret, struct err *err)
{
	json_t *headers = json_copy(m->headers);

	if (headers == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a message");
	for (size_t i = 0; i < ARRAY_LEN(g_dropped); i++)
		json_object_del(headers, g_dropped[i]);
	*ret = (struct message_out){
		.task = m->task,
		.id = m->id,
		.args = m->args,
		.kwargs = m->kwargs,
		.embed = m->embed,
		.headers = headers,
		.root_id = m->root_id,
		.parent_id = m->parent_id,
		.reply_to = m->reply_to,
		.serializer = m->serializer,
		.compression = m->compression,
		.retries = retries,
		.priority = m->priority,
		.eta = eta,
		.expires = m->expires,
	};
	if (m->exchange[0] == '\0')
		ret->queue = m->routing_key;
	else
		ret->exchange = m->exchange, ret->routing_key = m->routing_key;
	*ret_headers = headers;
	return 0;
}
