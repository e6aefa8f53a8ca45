/*
 * What settings say about connections: TLS, failover, and Celery's redis_* of the result backend.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp.h"
#include "broker_options.h"
#include "json.h"
#include "mem.h"

int option_tls_value(struct tls_options *t, const char *name, const json_t *value, bool *ret_known,
		     struct err *err)
{
	char number[24];
	const char *text = json_string_value(value);

	*ret_known = false;
	if (strncmp(name, "ssl_", 4) != 0)
		return 0;
	if (json_is_boolean(value))
		text = json_is_true(value) ? "true" : "false";
	if (json_is_integer(value)) { /* ssl.CERT_… */
		(void)snprintf(number, sizeof(number), "%lld",
			       (long long)json_integer_value(value));
		text = number;
	}
	if (text == NULL)
		return err_set(err, ERR_INVALID, "must be a string, not %s",
			       option_json_kind(value));
	return tls_option_set(t, name + 4, text, ret_known, err);
}

/* An object of ssl_* parameters; of RabbitMQ their names may be those of py-amqp, which have no
 * "ssl_". */
static int take_use_ssl(const char *json, bool of_amqp, struct tls_options *t, struct err *err)
{
	_cleanup_json_ json_t *object = NULL;
	const char *name;
	json_t *value;
	int rc;

	if (json == NULL || json[0] == '\0')
		return 0;
	rc = json_load_strict(json, strlen(json), &object, err);
	if (rc < 0)
		return rc;
	if (!json_is_object(object))
		return err_set(err, ERR_INVALID, "must be an object of ssl_* parameters, not %s",
			       option_json_kind(object));
	t->on = json_object_size(object) > 0;
	json_object_foreach(object, name, value)
	{
		bool known = true, shorter = of_amqp && strncmp(name, "ssl_", 4) != 0;
		_cleanup_free_ char *whole = xasprintf("%s%s", shorter ? "ssl_" : "", name);

		if (!json_is_null(value))
			rc = option_tls_value(t, whole, value, &known, err);
		if (rc == 0 && !known)
			rc = err_set(err, ERR_INVALID, "is no known parameter");
		if (rc < 0)
			return err_wrap(err, "%.40s", name);
	}
	return 0;
}

int option_broker_settings(const struct settings *s, struct redis_tuning *t, struct err *err)
{
	int rc = take_use_ssl(s->broker_use_ssl, amqp_is_url(s->broker_url), &t->tls, err);

	t->shuffle = s->broker_failover_strategy != NULL &&
		     strcmp(s->broker_failover_strategy, "shuffle") == 0;
	return rc < 0 ? err_wrap(err, "broker_use_ssl") : 0;
}

int option_state_settings(const struct settings *s, struct redis_tuning *t, struct err *err)
{
	int rc = take_use_ssl(s->state_use_ssl, false, &t->tls, err);

	return rc < 0 ? err_wrap(err, "CELERIAC_STATE_USE_SSL") : 0;
}

static char *text_or_null(const char *text)
{
	return text != NULL && text[0] != '\0' ? xstrdup(text) : NULL;
}

int option_backend_settings(const struct settings *s, struct redis_tuning *t, struct err *err)
{
	int rc = take_use_ssl(s->redis_backend_use_ssl, false, &t->tls, err);

	t->is_backend = true;
	t->user = text_or_null(s->redis_username);
	t->password = text_or_null(s->redis_password);
	t->client_name = text_or_null(s->redis_client_name);
	t->socket_timeout = s->redis_socket_timeout;
	t->connect_timeout = s->redis_socket_connect_timeout;
	t->health_check_interval = s->redis_backend_health_check_interval > 0
					   ? s->redis_backend_health_check_interval
					   : USEC_NEVER;
	t->no_keepalive = !s->redis_socket_keepalive;
	return rc < 0 ? err_wrap(err, "redis_backend_use_ssl") : 0;
}
