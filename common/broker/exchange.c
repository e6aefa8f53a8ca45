/*
 * Follow-ups for named exchanges: how queues are bound, what a topic's pattern is, and the step of
 * a settlement that finds the queues (kombu/transport/virtual/exchange.py).
 */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "redis_broker.h"

/* As kombu's TopicExchange makes it: "*" is a word, "#" anything; what is no letter or digit is
 * escaped. */
void exchange_topic_pattern(const char *routing_key, struct buf *out)
{
	buf_append_char(out, '^');
	while (true) {
		size_t len = strcspn(routing_key, ".");

		if (len == 1 && *routing_key == '*') {
			buf_append_str(out, "[^\\.]+");
		} else if (len == 1 && *routing_key == '#') {
			buf_append_str(out, ".*?");
		} else {
			for (size_t i = 0; i < len; i++) {
				unsigned char c = (unsigned char)routing_key[i];
				bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
					     (c >= 'A' && c <= 'Z') || c >= 0x80 || c == '*' ||
					     c == '#';

				if (!plain)
					buf_append_char(out, '\\');
				buf_append_char(out, (char)c);
			}
		}
		if (routing_key[len] == '\0')
			break;
		buf_append_str(out, "\\.");
		routing_key += len + 1;
	}
	buf_append_char(out, '$');
}

bool broker_queue_def(const struct broker *b, const char *name, struct queue_binding *ret)
{
	const struct queue_def *def = queue_defs_find(&b->defs, name);

	*ret = def ? (struct queue_binding){def->exchange, def->routing_key, def->type}
		   : (struct queue_binding){name, name, EXCHANGE_DIRECT};
	return def != NULL;
}

void broker_address_message(const struct broker *b, const char **queue, const char **exchange,
			    const char **routing_key)
{
	const struct queue_def *def = *queue ? queue_defs_find(&b->defs, *queue) : NULL;

	if (def == NULL || def->type == EXCHANGE_DIRECT)
		return;
	*exchange = def->exchange;
	*routing_key = def->routing_key;
	*queue = NULL;
}

/* Of a name that nothing is known of the bindings tell: whoever has a pattern is on a topic
 * exchange. */
static const struct queue_def *find_exchange(const struct broker *b, const char *exchange)
{
	for (size_t i = 0; i < b->defs.count; i++) {
		if (strcmp(b->defs.items[i].exchange, exchange) == 0)
			return &b->defs.items[i];
	}
	return NULL;
}

const char *broker_exchange_kind(const struct broker *b, const char *exchange)
{
	const struct queue_def *known = find_exchange(b, exchange);

	return known ? exchange_type_name(known->type) : "";
}

/* {routing key, type or "", key prefix, separator, end of the list's name, list of the dead
 * letters}: what settle.lua needs to find the queues. */
static char *route_words(const struct broker *b, const char *routing_key, const char *type,
			 int priority)
{
	const struct transport_options *o = &b->options;
	_cleanup_buf_ struct buf dead = BUF_INIT(BOUND_URL_BYTES), suffix = BUF_INIT(64),
				 line = BUF_INIT(BOUND_URL_BYTES * 4);
	_cleanup_json_ json_t *words = json_array();
	const char *texts[] = {routing_key, type, o->global_keyprefix, o->sep, NULL, NULL};
	struct err err;
	char *ret;

	broker_append_step(b, priority, &suffix);
	if (o->deadletter_queue[0] != '\0')
		buf_appendf(&dead, "%s%s%.*s", o->global_keyprefix, o->deadletter_queue,
			    (int)suffix.len, suffix.data ? suffix.data : "");
	texts[4] = suffix.data ? suffix.data : "";
	texts[5] = dead.data ? dead.data : "";
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		json_array_append_new(words, json_text(texts[i], strlen(texts[i]), true));
	json_dump_python(words, &line);
	return buf_take(&line, &ret, NULL, &err) < 0 ? xstrdup("[]") : ret;
}

void redis_broker_step_route(const struct broker *b, struct settle_steps *s, const char *exchange,
			     const char *routing_key, int priority, char *envelope, size_t len)
{
	const struct queue_def *known = find_exchange(b, exchange);
	_cleanup_free_ char *line = NULL, *key = NULL;
	size_t line_len;
	char *data;

	if (known != NULL && known->type == EXCHANGE_FANOUT) {
		key = broker_channel(b, exchange, routing_key);
		settle_steps_add(s, STEP_PUBLISH, key, envelope, len, 0);
		return;
	}
	line = route_words(b, routing_key, broker_exchange_kind(b, exchange), priority);
	line_len = strlen(line);
	data = xmalloc(line_len + 1 + len);
	memcpy(data, line, line_len);
	data[line_len] = '\n';
	memcpy(data + line_len + 1, envelope, len);
	free(envelope);
	key = xasprintf("%s_kombu.binding.%s", b->options.global_keyprefix, exchange);
	settle_steps_add(s, STEP_ROUTE, key, data, line_len + 1 + len, 0);
}
