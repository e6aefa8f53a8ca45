/* Task messages: kombu's envelope, both protocols, every content type that needs no key. */
#include "bounds.h"
#include "fuzz.h"
#include "message.h"

int fuzz_message(const uint8_t *data, size_t size)
{
	static char json[] = "json", yaml[] = "yaml", msgpack[] = "msgpack", raw[] = "raw";
	static char *names[] = {json, yaml, msgpack, raw};
	static const struct str_list accept = {.items = names, .count = ARRAY_LEN(names)};
	char id[BOUND_TASK_NAME_BYTES + 1] = "", task[BOUND_TASK_NAME_BYTES + 1] = "";
	_cleanup_message_ struct message *m = NULL;
	struct err err = {0};

	if (message_decode((const char *)data, size, &accept, &m, id, task, &err) != MESSAGE_OK) {
		fuzz_failed(-err.code, &err);
		FUZZ_CHECK(m == NULL);
		FUZZ_CHECK(strlen(id) <= BOUND_TASK_NAME_BYTES &&
			   strlen(task) <= BOUND_TASK_NAME_BYTES);
		return 0;
	}
	fuzz_made_text(m->id);
	fuzz_made_text(m->task);
	fuzz_made_json(m->args);
	fuzz_made_json(m->kwargs);
	fuzz_made_json(m->embed);
	fuzz_made_json(m->headers);
	fuzz_made_json(m->properties);
	FUZZ_CHECK(m->id && m->task && m->id[0] && m->task[0]);
	FUZZ_CHECK(strlen(m->id) <= BOUND_TASK_ID_BYTES &&
		   strlen(m->task) <= BOUND_TASK_NAME_BYTES);
	FUZZ_CHECK(json_is_array(m->args) && json_is_object(m->kwargs) && json_is_object(m->embed));
	FUZZ_CHECK(json_is_object(m->headers) && json_is_object(m->properties));
	FUZZ_CHECK(m->priority >= 0 && m->priority <= 9);
	FUZZ_CHECK(m->retries >= 0 && m->time_limit >= 0 && m->soft_time_limit >= 0);
	FUZZ_CHECK(m->exchange && m->routing_key && m->signer == NULL);
	return 0;
}
