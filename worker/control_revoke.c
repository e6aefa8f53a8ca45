/*
 * Remote control of single tasks: revoke, terminate, by id or by stamp.
 */
#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "panel.h"
#include "worker.h"

/* "KILL", "SIGKILL", 9 or nothing → its number. Which it is makes no difference to a task here: it
 * is told to end, and what it started is killed. */
static int signal_number(const json_t *value, int *ret, struct err *err)
{
	const char *name = json_string_value(value);

	*ret = SIGTERM;
	if (value == NULL)
		return 0;
	if (json_is_integer(value) && json_integer_value(value) > 0 &&
	    json_integer_value(value) < NSIG) {
		*ret = (int)json_integer_value(value);
		return 0;
	}
	if (name == NULL)
		return panel_raise(err, "TypeError", "signal must be a name or a number");
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (int i = 1; i < NSIG; i++) {
		const char *known = sigabbrev_np(i);

		if (known != NULL && strcasecmp(known, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return panel_raise(err, "AttributeError", "module 'signal' has no attribute 'SIG%.20s'",
			   name);
}

/* The ids of a str or a list, each once. Given, with borrowed texts. */
static const char **take_ids(const json_t *value, size_t *ret_count)
{
	size_t size = json_is_array(value) ? json_array_size(value) : 1, count = 0;
	const char **ids = xcalloc(size + 1, sizeof(*ids));
	_cleanup_json_ json_t *seen = json_object();

	for (size_t i = 0; i < size && value != NULL; i++) {
		const char *id =
			json_string_value(json_is_array(value) ? json_array_get(value, i) : value);

		if (id[0] == '\0' || json_object_get(seen, id) != NULL)
			continue;
		json_object_set_new(seen, id, json_true());
		ids[count++] = id;
	}
	*ret_count = count;
	return ids;
}

/* {'a', 'b'}, as Python writes a set. */
static void set_repr(const char *const *ids, size_t count, struct buf *out)
{
	buf_append_str(out, count > 0 ? "{" : "set()");
	for (size_t i = 0; i < count; i++) {
		_cleanup_json_ json_t *id = json_text(ids[i], strlen(ids[i]), false);

		buf_append_str(out, i > 0 ? ", " : "");
		json_repr(id, BOUND_REPR_BYTES, out);
	}
	buf_append_str(out, count > 0 ? "}" : "");
}

static void join(const char *const *ids, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		buf_appendf(out, "%s%s", i > 0 ? ", " : "", ids[i]);
	}
}

static json_t *terminate_all(struct worker *w, const char *const *ids, size_t count,
			     const json_t *scheduled, int signum)
{
	_cleanup_buf_ struct buf names = BUF_INIT(BOUND_CONTROL_BYTES * 2);
	const char **done = xcalloc(count + 1, sizeof(*done));
	size_t n = 0;
	json_t *reply;

	for (size_t i = 0; i < count; i++) {
		if (!state_terminate(&w->state, ids[i], signum) &&
		    json_object_get(scheduled, ids[i]) == NULL)
			continue;
		log_info("Terminating %s (%d)", ids[i], signum);
		done[n++] = ids[i];
	}
	join(done, n, &names);
	reply = n > 0 ? panel_ok("terminate: %s", names.data)
		      : panel_ok("terminate: tasks unknown");
	free(done);
	return reply;
}

/* The result of a task that nobody has begun is told at once, not when its message comes. */
static void tell_result(struct worker *w, const char *id)
{
	_cleanup_json_ json_t *exception =
		json_pack("{s:s, s:[s], s:s}", "exc_type", "TaskRevokedError", "exc_message",
			  "revoked", "exc_module", "celery.exceptions");
	struct task_meta meta = {.task_id = id, .state = TASK_REVOKED, .result = exception};
	struct backend_write write = {0};
	struct err err = {0};

	if (backend_is_disabled(w->backend) || strlen(id) > BOUND_TASK_ID_BYTES ||
	    state_is_active(&w->state, NULL, id))
		return;
	if (backend_encode(w->backend, &meta, &write, &err) < 0)
		log_warning("Failed to mark task %s as revoked in backend: %s", id, err.msg);
	else
		backend_store_unbegun(w->backend, &write);
}

/* What is held of `ids` is looked at now, and so gone. Those in the schedule, as an object. Given.
 */
static json_t *hurry(struct worker *w, const char *const *ids, size_t count)
{
	_cleanup_json_ json_t *wanted = json_object();
	json_t *scheduled = json_object();

	for (size_t i = 0; i < count; i++) {
		keeper_hurry(w, ids[i]);
		json_object_set_new(wanted, ids[i], json_true());
	}
	schedule_hurry(&w->schedule, wanted, scheduled);
	if (json_object_size(scheduled) > 0)
		state_wake_consumer(&w->state);
	return scheduled;
}

static int revoke_ids(struct worker *w, const json_t *task_id, bool terminate, const json_t *signal,
		      json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_CONTROL_BYTES * 4);
	int signum, rc = signal_number(signal, &signum, err);
	_cleanup_free_ const char **ids = NULL;
	_cleanup_json_ json_t *scheduled = NULL;
	size_t count;

	if (rc < 0)
		return rc;
	ids = take_ids(task_id, &count);
	for (size_t i = 0; i < count; i++) {
		revoked_add(&w->revoked, ids[i]);
		tell_result(w, ids[i]);
	}
	scheduled = hurry(w, ids, count);
	if (count > 0)
		revoked_share(w, ids, count);
	if (terminate) {
		*ret = terminate_all(w, ids, count, scheduled, signum);
		return 0;
	}
	join(ids, count, &text);
	log_info("Tasks flagged as revoked: %s", text.data);
	buf_reset(&text);
	set_repr(ids, count, &text);
	*ret = panel_ok("tasks %s flagged as revoked", text.data);
	return 0;
}

int control_revoke(struct worker *w, json_t *const *values, json_t **ret, struct err *err)
{
	return revoke_ids(w, values[0], panel_bool(values[1]), values[2], ret, err);
}

int control_terminate(struct worker *w, json_t *const *values, json_t **ret, struct err *err)
{
	return revoke_ids(w, values[1], true, values[0], ret, err);
}

/* ---- by stamp ---- */

static int check_stamps(const json_t *values, struct err *err)
{
	json_t *value;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)values, i, value)
	{
		if (!json_is_string(value))
			return panel_raise(err, "TypeError", "stamps must be str, not %s",
					   json_type_name(value));
	}
	return 0;
}

/* {header: value or [values]}, or ["header=value", …], as {header: [values]}. Given. */
static int read_headers(const json_t *value, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *headers = json_object();
	const char *key;
	json_t *item;
	size_t i;
	int rc;

	json_array_foreach((json_t *)(uintptr_t)value, i, item)
	{
		const char *text = json_string_value(item);
		const char *equals = text ? strchr(text, '=') : NULL;
		_cleanup_free_ char *name = NULL;

		if (equals == NULL)
			return panel_raise(err, "IndexError", "list index out of range");
		name = xstrndup(text, (size_t)(equals - text));
		json_object_set_new(headers, name, json_pack("[s]", equals + 1));
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, item)
	{
		json_object_set_new(headers, key,
				    json_is_array(item) ? json_incref(item)
							: json_pack("[O]", item));
	}
	if (!json_is_array(value) && !json_is_object(value))
		return panel_raise(err, "AttributeError", "'%s' object has no attribute 'items'",
				   json_type_name(value));
	json_object_foreach(headers, key, item)
	{
		rc = check_stamps(item, err);
		if (rc < 0)
			return rc;
	}
	*ret = TAKE(headers);
	return 0;
}

static void remember(struct worker *w, json_t *headers)
{
	const char *header;
	json_t *values, *value;
	size_t i;

	json_object_foreach(headers, header, values)
	{
		json_array_foreach(values, i, value)
		{
			revoked_add_stamp(&w->revoked, header, json_string_value(value));
			revoked_share_stamp(w, header, json_string_value(value));
		}
	}
}

int control_revoke_by_stamped_headers(struct worker *w, json_t *const *values, json_t **ret,
				      struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_CONTROL_BYTES * 4);
	_cleanup_json_ json_t *headers = NULL;
	int signum, rc = signal_number(values[2], &signum, err);

	if (rc == 0)
		rc = read_headers(values[0], &headers, err);
	if (rc < 0)
		return rc;
	remember(w, headers);
	json_repr(values[0], BOUND_REPR_BYTES * 4, &text);
	if (!panel_bool(values[1])) {
		*ret = panel_ok("headers %s flagged as revoked, but not terminated", text.data);
		return 0;
	}
	if (state_terminate_stamped(&w->state, &w->revoked, signum) == 0)
		*ret = panel_ok("headers %s were not terminated", text.data);
	else
		*ret = panel_ok("headers %s revoked", text.data);
	return 0;
}
