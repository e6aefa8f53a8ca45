/*
 * transport.h: kombu's transport options for Redis, of the broker and of the result backend, by
 * their own names (kombu/transport/redis.py, celery/backends/redis.py).
 *
 * One table (common/broker/options.c) says for each name its type, where it goes and, where nothing
 * comes of it here, why. All [init].
 */
#ifndef CELERIAC_TRANSPORT_H
#define CELERIAC_TRANSPORT_H

#include "buf.h"
#include "err.h"
#include "redis.h"
#include "settings.h"

#define PRIORITY_STEPS_MAX 10 /* priorities are 0-9 */

enum queue_order { QUEUE_ROUND_ROBIN, QUEUE_SORTED, QUEUE_PRIORITY };

/* Strings are owned; where kombu has a default it is filled in. */
struct transport_options {
	struct redis_tuning connection;
	/* the broker's */
	usec_t visibility_timeout;
	usec_t polling_interval; /* how long one blocking wait for messages lasts */
	char *global_keyprefix;	 /* of the backend: with "_" appended as Celery does; "" = none */
	char *unacked_key, *unacked_index_key, *unacked_mutex_key;
	usec_t unacked_mutex_expire;
	int64_t unacked_restore_limit; /* of one sweep; 0 = none */
	char *sep;
	char *fanout_prefix; /* "{db}" stands for the database; "" = none */
	bool fanout_patterns;
	int priority_steps[PRIORITY_STEPS_MAX];
	size_t step_count;
	enum queue_order queue_order;
	char *deadletter_queue; /* where messages go that no queue is bound for; "" = none */
	/* the backend's */
	bool chord_ordered; /* result_chord_ordered: parts by group index, not by arrival */
};

/* TRANSPORT_STATE: of CELERIAC_STATE_URL, shared_state.h. */
enum transport_side { TRANSPORT_BROKER, TRANSPORT_BACKEND, TRANSPORT_STATE };

/*
 * Reads the options of one side together with the settings that say the same things
 * (broker_use_ssl, broker_failover_strategy; redis_backend_use_ssl, redis_socket_timeout …).
 * `notes` (or NULL) gets a line for each option that has no effect here, or that nobody knows. On
 * ERR_INVALID and ERR_UNSUPPORTED the message names option and kind of value, never a secret.
 */
int transport_options_read(const struct settings *s, enum transport_side side,
			   struct transport_options *ret, struct buf *notes,
			   struct err *err) must_check;
/* The name of the setting. */
const char *transport_setting(enum transport_side side);
/* Logs the notes, a warning each. */
void transport_options_tell(enum transport_side side, const struct buf *notes);
void transport_options_done(struct transport_options *o);

/* The prefix of fanout channels for a database. Given. [any] */
char *transport_fanout_prefix(const struct transport_options *o, int db);

#endif
