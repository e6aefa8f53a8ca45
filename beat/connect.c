/*
 * connect.c: one connection for what is done once: --check, --import-redbeat.
 */
#include <stdlib.h>

#include "beat.h"
#include "mem.h"
#include "transport.h"

#define PATIENCE (5 * USEC_PER_SEC)

const char *connect_url(const struct settings *s)
{
	return s->broker_write_url && *s->broker_write_url ? s->broker_write_url : s->broker_url;
}

struct settings connect_sending(const struct settings *s)
{
	struct settings sending = *s;

	sending.broker_url = connect_url(s);
	sending.broker_read_url = sending.broker_write_url = NULL;
	return sending;
}

int connect_shared(const struct settings *s, struct redis_address *ret_address, struct redis **ret,
		   struct err *err)
{
	const struct settings sending = connect_sending(s);
	struct redis_address address = {0};
	int rc = shared_state_place(&sending, &address, err);

	if (rc == 0)
		rc = redis_open(&address, "celeriac-beat", PATIENCE, ret, err);
	if (rc == 0)
		*ret_address = address;
	else
		redis_address_done(&address);
	return rc;
}

int connect_once(const struct settings *s, const char *url, struct redis_address *ret_address,
		 struct redis **ret, struct err *err)
{
	struct transport_options options = {0};
	struct redis_address address = {0};
	int rc;

	if (!url || !*url)
		return err_set(err, ERR_INVALID, "CELERY_BROKER_URL is not set");
	rc = transport_options_read(s, TRANSPORT_BROKER, &options, NULL, err);
	if (rc == 0)
		rc = redis_address_parse_tuned(url, &options.connection, &address, err);
	if (rc == 0)
		rc = redis_open(&address, "celeriac-beat", PATIENCE, ret, err);
	if (rc == 0) {
		free(address.key_prefix);
		address.key_prefix = TAKE(options.global_keyprefix);
		*ret_address = address;
	} else {
		redis_address_done(&address);
	}
	transport_options_done(&options);
	return rc;
}
