/*
 * kombu's transport options for Redis, as CELERY_BROKER_TRANSPORT_OPTIONS gives
 * them.
 */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "redis_broker.h"

static const int default_steps[] = {0, 3, 6, 9};

static int take_string(const json_t *object, const char *name, const char *fallback, char **ret,
		       struct err *err)
{
	const json_t *value = json_object_get(object, name);

	if (value != NULL && !json_is_string(value))
		return err_set(err, ERR_INVALID, "broker_transport_options: %s must be a string",
			       name);
	*ret = xstrdup(value ? json_string_value(value) : fallback);
	return 0;
}

static int take_steps(const json_t *object, struct broker_options *o, struct err *err)
{
	const json_t *steps = json_object_get(object, "priority_steps");
	const json_t *step;
	size_t i;

	if (steps == NULL) {
		memcpy(o->priority_steps, default_steps, sizeof(default_steps));
		o->step_count = ARRAY_LEN(default_steps);
		return 0;
	}
	if (!json_is_array(steps) || json_array_size(steps) == 0 ||
	    json_array_size(steps) > BROKER_STEPS_MAX)
		return err_set(err, ERR_INVALID,
			       "broker_transport_options: priority_steps must be 1 to %d numbers",
			       BROKER_STEPS_MAX);
	json_array_foreach(steps, i, step)
	{
		json_int_t n = json_integer_value(step);

		if (!json_is_integer(step) || n < 0 || n > 9 ||
		    (i > 0 && n <= o->priority_steps[i - 1]))
			return err_set(
				err, ERR_INVALID,
				"broker_transport_options: priority_steps must rise from 0 to 9");
		o->priority_steps[i] = (int)n;
	}
	o->step_count = json_array_size(steps);
	return 0;
}

/* True is "/{db}.", a string is taken as it is, false is nothing; "{db}" is the database. */
static int take_fanout(const json_t *object, int db, struct broker_options *o, struct err *err)
{
	const json_t *prefix = json_object_get(object, "fanout_prefix");
	const json_t *patterns = json_object_get(object, "fanout_patterns");
	const char *text = prefix == NULL || json_is_true(prefix) ? "/{db}." : "";
	const char *place;

	if (prefix != NULL && !json_is_boolean(prefix) && !json_is_string(prefix))
		return err_set(err, ERR_INVALID,
			       "broker_transport_options: fanout_prefix must be a boolean or a "
			       "string");
	if (patterns != NULL && !json_is_boolean(patterns))
		return err_set(err, ERR_INVALID,
			       "broker_transport_options: fanout_patterns must be a boolean");
	if (json_is_string(prefix))
		text = json_string_value(prefix);
	place = strstr(text, "{db}");
	o->fanout_prefix = place ? xasprintf("%.*s%d%s", (int)(place - text), text, db, place + 4)
				 : xstrdup(text);
	o->fanout_patterns = patterns == NULL || json_is_true(patterns);
	return 0;
}

static int take_all(const json_t *object, int db, struct broker_options *o, struct err *err)
{
	const json_t *visibility = json_object_get(object, "visibility_timeout");
	_cleanup_free_ char *order = NULL;
	int rc;

	o->visibility_timeout = 3600 * USEC_PER_SEC;
	if (visibility != NULL) {
		double seconds = json_number_value(visibility);

		if (!json_is_number(visibility) || !(seconds >= 1 && seconds <= 1e9))
			return err_set(err, ERR_INVALID,
				       "broker_transport_options: visibility_timeout must be at "
				       "least 1 second");
		o->visibility_timeout = (usec_t)(seconds * (double)USEC_PER_SEC);
	}
	if ((rc = take_string(object, "global_keyprefix", "", &o->global_keyprefix, err)) < 0 ||
	    (rc = take_string(object, "unacked_key", "unacked", &o->unacked_key, err)) < 0 ||
	    (rc = take_string(object, "unacked_index_key", "unacked_index", &o->unacked_index_key,
			      err)) < 0 ||
	    (rc = take_string(object, "sep", "\x06\x16", &o->sep, err)) < 0 ||
	    (rc = take_string(object, "queue_order_strategy", "round_robin", &order, err)) < 0 ||
	    (rc = take_fanout(object, db, o, err)) < 0)
		return rc;
	o->round_robin = strcmp(order, "round_robin") == 0;
	return take_steps(object, o, err);
}

int broker_options_parse(const char *json, int db, struct broker_options *ret, struct err *err)
{
	_cleanup_json_ json_t *object = NULL;
	struct broker_options o = {0};
	int rc;

	if (json == NULL || json[0] == '\0')
		json = "{}";
	rc = json_load_strict(json, strlen(json), &object, err);
	if (rc < 0)
		return err_wrap(err, "broker_transport_options");
	if (!json_is_object(object))
		return err_set(err, ERR_INVALID, "broker_transport_options must be a JSON object");
	rc = take_all(object, db, &o, err);
	if (rc < 0) {
		broker_options_done(&o);
		return rc;
	}
	*ret = o;
	return 0;
}

void broker_options_done(struct broker_options *o)
{
	free(o->global_keyprefix);
	free(o->unacked_key);
	free(o->unacked_index_key);
	free(o->sep);
	free(o->fanout_prefix);
}
