/*
 * Looking into what is recorded as unacked, of whichever worker: [envelope, exchange, routing key].
 */
#include <string.h>

#include "clock.h"
#include "json.h"
#include "mem.h"
#include "redis_broker.h"

#define PATIENCE   (5 * USEC_PER_SEC)
#define SCAN_COUNT 200	/* records in one step */
#define STEPS_MAX  2000 /* more than a crowd of workers holds */

/* NULL when the record is no task of the group. */
static struct message *decode(struct slice record, const char *group_id,
			      const struct str_list *accept)
{
	char id[BOUND_TASK_NAME_BYTES + 1], task[BOUND_TASK_NAME_BYTES + 1];
	_cleanup_buf_ struct buf envelope = BUF_INIT(BOUND_MESSAGE_BYTES);
	_cleanup_json_ json_t *array = NULL;
	struct message *m = NULL;
	struct err err;

	if (memmem(record.data, record.len, group_id, strlen(group_id)) == NULL ||
	    json_load_python(record.data, record.len, &array, &err) < 0)
		return NULL;
	json_dump_python(json_array_get(array, 0), &envelope);
	if (envelope.failed ||
	    message_decode(envelope.data, envelope.len, accept, &m, id, task, &err) != MESSAGE_OK)
		return NULL;
	if (m->group != NULL && strcmp(m->group, group_id) == 0 &&
	    json_member(m->embed, "chord") != NULL)
		return m;
	message_free(m);
	return NULL;
}

static int step(struct broker *b, const char *cursor, struct redis_reply **ret, struct err *err)
{
	int rc = redis_link_do(b->link, clock_deadline(PATIENCE), ret, err, "HSCAN %s %s COUNT %d",
			       b->unacked, cursor, SCAN_COUNT);

	if (rc == 0 && redis_reply_count(*ret) != 2)
		rc = err_set(err, ERR_PROTOCOL, "an unexpected answer to HSCAN");
	return rc;
}

int redis_broker_find_unacked(struct broker *b, const char *group_id, const struct str_list *accept,
			      struct message **ret, struct err *err)
{
	char cursor[32] = "0";

	for (int i = 0; i < STEPS_MAX; i++) {
		_cleanup_reply_ struct redis_reply *reply = NULL;
		const struct redis_reply *pairs;
		struct slice next;
		int rc = step(b, cursor, &reply, err);

		if (rc < 0)
			return rc;
		pairs = redis_reply_at(reply, 1);
		for (size_t p = 1; *ret == NULL && p < redis_reply_count(pairs); p += 2)
			*ret = decode(redis_reply_str(redis_reply_at(pairs, p)), group_id, accept);
		next = redis_reply_str(redis_reply_at(reply, 0));
		if (*ret != NULL || next.len == 0 || next.len >= sizeof(cursor) ||
		    (next.len == 1 && next.data[0] == '0'))
			return 0;
		memcpy(cursor, next.data, next.len);
		cursor[next.len] = '\0';
	}
	return 0;
}
