/*
 * amqp.h: RabbitMQ by AMQP 0-9-1: where it is, and messages as bytes.
 */
#ifndef CELERIAC_AMQP_H
#define CELERIAC_AMQP_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "tls.h"

/* ---- where it is ---- */
struct amqp_tuning {
	usec_t connect_timeout; /* of one attempt; 0 = 4 s */
	int heartbeat;		/* seconds that are asked for; 0 = 10, negative = none. The server's
				   wish counts when it is less */
	bool external;		/* login_method EXTERNAL: the certificate says who we are */
	bool shuffle;		/* failover_strategy: the next server is any of the others */
	struct tls_options tls; /* broker_use_ssl */
};
struct amqp_server {
	char *host, *user, *password, *vhost;
	int port;
	struct tls_options tls;
};
/* One or several servers, of which all connections use the same one (failover). Constant but for
 * that. Reference counted, [any]. */
struct amqp_address;
/*
 * amqp://[user[:password]@]host[:port][/vhost], pyamqp:// likewise, amqps:// with TLS and ssl_*
 * parameters in the query; several after each other, separated by ';'. As in kombu: guest:guest, no
 * path or an empty one is the virtual host "/", and one slash of the path is not part of its name.
 * Certificates and host names are verified unless ssl_cert_reqs=none or ssl_check_hostname=false.
 * `tuning` is copied; NULL is the default. ERR_INVALID, ERR_UNSUPPORTED, ERR_TOOBIG; no password in
 * the message. Given. [init]
 */
int amqp_address_parse(const char *url, const struct amqp_tuning *tuning, struct amqp_address **ret,
		       struct err *err) must_check;
struct amqp_address *amqp_address_ref(struct amqp_address *a);
void amqp_address_unref(struct amqp_address *a); /* NULL is fine */
size_t amqp_address_count(const struct amqp_address *a);
const struct amqp_server *amqp_address_at(const struct amqp_address *a, size_t i);
const char *amqp_address_safe(const struct amqp_address *a); /* all of it, for messages */

/* ---- messages as bytes: pure, [any] ---- */
/*
 * A header table as an object, and back. Both ways bounded by BOUND_AMQP_DEPTH and what one frame
 * holds. Numbers, booleans, lists, objects, null as they are; a timestamp, a decimal and bytes that
 * are not UTF-8 in kombu's typed form (typed.h). Written as py-amqp writes: S, t, I, L, d, A, F, V;
 * typed datetimes as T, decimals as D (as S where 32 bits do not hold them), bytes as S. A key has
 * at most 255 bytes. ERR_PROTOCOL for bytes, ERR_INVALID and ERR_TOOBIG for objects.
 */
int amqp_json_from_table(const void *data, size_t len, json_t **ret, struct err *err) must_check;
int amqp_json_to_table(const json_t *object, struct buf *out, struct err *err) must_check;

/* Text properties in their order on the wire; NULL when absent. */
enum amqp_text {
	AMQP_CONTENT_TYPE,
	AMQP_CONTENT_ENCODING,
	AMQP_CORRELATION_ID,
	AMQP_REPLY_TO,
	AMQP_EXPIRATION,
	AMQP_MESSAGE_ID,
	AMQP_TYPE,
	AMQP_USER_ID,
	AMQP_APP_ID,
	AMQP_TEXTS
};
/* Zero is none of all. Of what is received texts are owned and hold no NUL (a byte that is not
 * UTF-8 is U+FFFD). */
struct amqp_properties {
	char *text[AMQP_TEXTS];
	json_t *headers; /* an object, or NULL */
	bool has_priority, has_timestamp;
	uint8_t priority, delivery_mode; /* mode 0 = absent, 1, 2 = persistent */
	uint64_t timestamp;		 /* seconds since the epoch */
};
/* Of the payload of a content header, from its flags on. Given. ERR_PROTOCOL. */
int amqp_properties_read(const void *data, size_t len, struct amqp_properties *ret,
			 struct err *err) must_check;
/* Appends the same. ERR_INVALID, ERR_TOOBIG: a text beyond 255 bytes, headers beyond a frame. */
int amqp_properties_write(const struct amqp_properties *p, struct buf *out,
			  struct err *err) must_check;
void amqp_properties_done(struct amqp_properties *p);

#endif
