/*
 * settings.c: THE table of settings, and its sources: defaults, environment, command line.
 *
 * To add one: a member in settings.h, a row here, a line in worker/celeriac.conf.5 and
 * deploy/conf/celeriac.conf.
 */
#include "settings.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bounds.h"
#include "conf.h"
#include "json.h"
#include "mem.h"
#include "nodename.h"
#include "timezone.h"

#define KIB 1024.0
#define MIB (1024.0 * KIB)
#define GIB (1024.0 * MIB)
#define SEC 1e6
#define DAY (86400.0 * SEC)

/* Where a row's value lives; does not compile when the member has another type than the row reads.
 */
#define MEMBER(field, ctype)                                                                       \
	.key = #field,                                                                             \
	.offset = offsetof(struct settings, field) +                                               \
		  0 * sizeof(char[_Generic(((struct settings *)0)->field, ctype : 1)])
#define STRING(field)	      .type = CONF_STRING, MEMBER(field, const char *)
#define URL(field)	      .type = CONF_URL, MEMBER(field, const char *)
#define MAP(field)	      .type = CONF_MAP, MEMBER(field, const char *)
#define BOOL(field)	      .type = CONF_BOOL, MEMBER(field, bool)
#define INT(field, lo, hi)    .type = CONF_INT, .min = (lo), .max = (hi), MEMBER(field, int64_t)
#define DOUBLE(field, lo, hi) .type = CONF_DOUBLE, .min = (lo), .max = (hi), MEMBER(field, double)
#define SPAN(field, lo, hi)   .type = CONF_DURATION, .min = (lo), .max = (hi), MEMBER(field, usec_t)
#define SIZE(field, lo, hi)   .type = CONF_SIZE, .min = (lo), .max = (hi), MEMBER(field, int64_t)
#define LIST(field, hi)	      .type = CONF_LIST, .min = 0, .max = (hi), MEMBER(field, struct str_list)

static int expand_timezone(const char *text, char **ret, struct err *err)
{
	int rc = timezone_check(text, err);

	if (rc == 0)
		*ret = xstrdup(text);
	return rc;
}

/* clang-format off */
static const struct conf_row g_rows[] = {
	/* Celery's */
	{ "CELERY_BROKER_URL", { "BROKER_URL", "REDIS_URL" }, URL(broker_url), .fallback = "",
	  .help = "where messages come from: redis://, rediss://, redis+socket://, sentinel://, amqp:// or amqps://, several with ; "
		  "between them; required" },
	{ "CELERY_BROKER_READ_URL", { NULL }, URL(broker_read_url), .fallback = "",
	  .help = "where messages are taken from, if that is another URL" },
	{ "CELERY_BROKER_WRITE_URL", { NULL }, URL(broker_write_url), .fallback = "",
	  .help = "where follow-ups and events are sent to, if that is another URL" },
	{ "CELERY_BROKER_TRANSPORT_OPTIONS", { "BROKER_TRANSPORT_OPTIONS" }, MAP(broker_transport_options), .fallback = "",
	  .help = "visibility_timeout, global_keyprefix, priority_steps … as a JSON object: celeriac-worker(8)" },
	{ "CELERY_BROKER_USE_SSL", { "BROKER_USE_SSL" }, MAP(broker_use_ssl), .fallback = "",
	  .help = "TLS to the broker: ssl_cert_reqs, ssl_ca_certs, ssl_certfile, ssl_keyfile … as a JSON object" },
	{ "CELERY_BROKER_FAILOVER_STRATEGY", { NULL }, STRING(broker_failover_strategy), .fallback = "round-robin",
	  .choices = "round-robin|shuffle", .help = "which of several broker URLs is next when one fails" },
	{ "CELERY_BROKER_HEARTBEAT", { NULL }, SPAN(broker_heartbeat, 0, 3600 * SEC), .fallback = "120s",
	  .help = "RabbitMQ: a connection that is silent for so long is dead, unless the server wants to know sooner; 0 = never" },
	{ "CELERY_BROKER_CONNECTION_TIMEOUT", { NULL }, SPAN(broker_connection_timeout, 0.05 * SEC, DAY), .fallback = "4s",
	  .help = "RabbitMQ: of one attempt to connect" },
	{ "CELERY_BROKER_LOGIN_METHOD", { NULL }, STRING(broker_login_method), .fallback = "AMQPLAIN",
	  .choices = "AMQPLAIN|PLAIN|EXTERNAL", .help = "RabbitMQ: EXTERNAL = the certificate says who we are; else user and password" },
	{ "CELERY_TASK_DEFAULT_QUEUE_TYPE", { NULL }, STRING(task_default_queue_type), .fallback = "classic",
	  .choices = "classic|quorum", .help = "RabbitMQ: of queues that are missing there" },
	{ "CELERY_TASK_QUEUE_MAX_PRIORITY", { NULL }, INT(task_queue_max_priority, 0, 255), .fallback = "0",
	  .help = "RabbitMQ: x-max-priority of queues that are missing there; 0 = they have no priorities" },
	{ "CELERY_RESULT_BACKEND", { "RESULT_BACKEND" }, URL(result_backend), .fallback = "",
	  .help = "where results go; empty = nowhere" },
	{ "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS", { NULL }, MAP(result_backend_transport_options), .fallback = "",
	  .help = "global_keyprefix, master_name … as a JSON object: celeriac-worker(8)" },
	{ "CELERY_REDIS_BACKEND_USE_SSL", { NULL }, MAP(redis_backend_use_ssl), .fallback = "",
	  .help = "TLS to the result backend, as CELERY_BROKER_USE_SSL" },
	{ "CELERY_REDIS_USERNAME", { NULL }, STRING(redis_username), .fallback = "",
	  .help = "user at the result backend, where its URL has none" },
	{ "CELERY_REDIS_PASSWORD", { NULL }, STRING(redis_password), .fallback = "", .flags = CONF_SECRET,
	  .help = "password there, likewise" },
	{ "CELERY_REDIS_SOCKET_TIMEOUT", { NULL }, SPAN(redis_socket_timeout, 0, DAY), .fallback = "0",
	  .help = "the result backend may owe a reply for so long; 0 = 5 s" },
	{ "CELERY_REDIS_SOCKET_CONNECT_TIMEOUT", { NULL }, SPAN(redis_socket_connect_timeout, 0, DAY), .fallback = "0",
	  .help = "of one attempt to connect to it; 0 = 3 s" },
	{ "CELERY_REDIS_SOCKET_KEEPALIVE", { NULL }, BOOL(redis_socket_keepalive), .fallback = "true",
	  .help = "TCP keepalive on its connections" },
	{ "CELERY_REDIS_BACKEND_HEALTH_CHECK_INTERVAL", { NULL }, SPAN(redis_backend_health_check_interval, 0, DAY),
	  .fallback = "2s", .help = "it is asked for a sign of life after so much silence; 0 = never" },
	{ "CELERY_REDIS_CLIENT_NAME", { NULL }, STRING(redis_client_name), .fallback = "",
	  .help = "name of its connections in CLIENT LIST; empty = celeriac-backend" },
	{ "CELERY_REDIS_MAX_CONNECTIONS", { NULL }, INT(redis_max_connections, 0, 1000000), .fallback = "0",
	  .help = "accepted; there is one connection to it" },
	{ "CELERY_REDIS_RETRY_ON_TIMEOUT", { NULL }, BOOL(redis_retry_on_timeout), .fallback = "true",
	  .help = "accepted; what is not answered is always sent again" },
	{ "CELERY_RESULT_EXPIRES", { "CELERY_TASK_RESULT_EXPIRES" }, SPAN(result_expires, 0, 36500 * DAY), .fallback = "1d",
	  .help = "results are forgotten after; 0 = never" },
	{ "CELERY_TASK_DEFAULT_QUEUE", { "CELERY_DEFAULT_QUEUE" }, STRING(task_default_queue), .fallback = "celery",
	  .flags = CONF_NOT_EMPTY, .help = "queue of tasks that name none" },
	{ "CELERY_TASK_DEFAULT_EXCHANGE", { "CELERY_DEFAULT_EXCHANGE" }, STRING(task_default_exchange), .fallback = "",
	  .help = "exchange of queues that name none; empty = the name of the default queue" },
	{ "CELERY_TASK_DEFAULT_EXCHANGE_TYPE", { "CELERY_DEFAULT_EXCHANGE_TYPE" }, STRING(task_default_exchange_type),
	  .fallback = "direct", .choices = "direct|topic|fanout", .help = "its type" },
	{ "CELERY_TASK_DEFAULT_ROUTING_KEY", { "CELERY_DEFAULT_ROUTING_KEY" }, STRING(task_default_routing_key), .fallback = "",
	  .help = "routing key of queues that name none; empty = the name of the default queue" },
	{ "CELERY_TASK_QUEUES", { "CELERY_QUEUES" }, STRING(task_queues), .fallback = "",
	  .help = "queues with their exchange, exchange_type and routing_key as JSON: [{\"name\": …}, …] or {name: {…}, …}" },
	{ "CELERY_TASK_CREATE_MISSING_QUEUES", { "CELERY_CREATE_MISSING_QUEUES" }, BOOL(task_create_missing_queues),
	  .fallback = "true", .help = "-Q may name queues that CELERY_TASK_QUEUES does not" },
	{ "CELERY_WORKER_DIRECT", { NULL }, BOOL(worker_direct), .fallback = "false",
	  .help = "also consume the queue of this worker alone, <node name>.dq2 on the exchange C.dq2" },
	{ "CELERY_WORKER_QUEUES", { NULL }, LIST(worker_queues, BOUND_QUEUES), .fallback = "",
	  .help = "queues to consume, as -Q; empty = those of CELERY_TASK_QUEUES, or the default queue" },
	{ "CELERY_WORKER_EXCLUDE_QUEUES", { NULL }, LIST(worker_exclude_queues, BOUND_QUEUES), .fallback = "",
	  .help = "queues not to consume, as -X" },
	{ "CELERY_WORKER_CONCURRENCY", { "CELERYD_CONCURRENCY" }, INT(worker_concurrency, 0, 4096), .fallback = "0",
	  .help = "pool threads, as -c; 0 = one per CPU" },
	{ "CELERY_WORKER_PREFETCH_MULTIPLIER", { "CELERYD_PREFETCH_MULTIPLIER" }, INT(worker_prefetch_multiplier, 0, 10000),
	  .fallback = "4", .help = "messages held per pool thread; 0 = no limit" },
	{ "CELERY_WORKER_ETA_TASK_LIMIT", { NULL }, INT(worker_eta_task_limit, 0, 100000000), .fallback = "0",
	  .help = "tasks held until their eta; more take slots of the prefetch count; 0 = as many as there are" },
	{ "CELERY_TASK_ACKS_LATE", { "CELERY_ACKS_LATE" }, BOOL(task_acks_late), .fallback = "false",
	  .help = "acknowledge after the task ran, not just before; built-in tasks always do" },
	{ "CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT", { "CELERY_ACKS_ON_FAILURE_OR_TIMEOUT" }, BOOL(task_acks_on_failure_or_timeout),
	  .fallback = "true", .help = "of late acknowledgements: acknowledge what failed or ran into its hard time limit too" },
	{ "CELERY_TASK_ACKS_ON_FAILURE", { NULL }, BOOL(task_acks_on_failure), .fallback = "true",
	  .help = "likewise, of failures alone: false moves the message to celeriac:dead; unset = as the one above" },
	{ "CELERY_TASK_ACKS_ON_TIMEOUT", { NULL }, BOOL(task_acks_on_timeout), .fallback = "true",
	  .help = "likewise, of hard time limits alone: false puts the message back; unset = as the first of these" },
	{ "CELERY_TASK_REJECT_ON_WORKER_LOST", { "CELERY_REJECT_ON_WORKER_LOST" }, BOOL(task_reject_on_worker_lost),
	  .fallback = "true", .help = "false: what a lost worker ran is a FAILURE, not run again; built-in tasks always are" },
	{ "CELERY_TASK_DEFAULT_RATE_LIMIT", { NULL }, STRING(task_default_rate_limit), .fallback = "",
	  .help = "rate limit of tasks that name none: 10/s, 10/m or 10/h; empty = none" },
	{ "CELERY_TASK_ANNOTATIONS", { NULL }, MAP(task_annotations), .fallback = "",
	  .help = "options of tasks: {name: {option: value}} as a JSON object; what \"*\" says goes over what a name says" },
	{ "CELERY_TASK_IGNORE_RESULT", { "CELERY_IGNORE_RESULT" }, BOOL(task_ignore_result), .fallback = "false",
	  .help = "store no results unless the message asks for one" },
	{ "CELERY_TASK_TRACK_STARTED", { "CELERY_TRACK_STARTED" }, BOOL(task_track_started), .fallback = "false",
	  .help = "report the state STARTED" },
	{ "CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED", { "CELERY_STORE_ERRORS_EVEN_IF_IGNORED" },
	  BOOL(task_store_errors_even_if_ignored), .fallback = "false", .help = "store failures even when results are ignored" },
	{ "CELERY_RESULT_EXTENDED", { NULL }, BOOL(result_extended), .fallback = "false",
	  .help = "results carry name, args, kwargs, worker, retries and queue" },
	{ "CELERY_TASK_SERIALIZER", { NULL }, STRING(task_serializer), .fallback = "json", .flags = CONF_NOT_EMPTY,
	  .help = "how messages are written that name no serializer: json, yaml, msgpack, or auth, which is JSON and a signature" },
	{ "CELERY_EVENT_SERIALIZER", { NULL }, STRING(event_serializer), .fallback = "json", .choices = "json|auth",
	  .help = "how events are written" },
	{ "CELERY_SECURITY_KEY", { NULL }, STRING(security_key), .fallback = "",
	  .help = "file of the private RSA key that signs, in PEM: for auth among the serializers or in CELERY_ACCEPT_CONTENT" },
	{ "CELERY_SECURITY_KEY_PASSWORD", { NULL }, STRING(security_key_password), .fallback = "", .flags = CONF_SECRET,
	  .help = "password of that file" },
	{ "CELERY_SECURITY_CERTIFICATE", { NULL }, STRING(security_certificate), .fallback = "",
	  .help = "file of its X.509 certificate, in PEM" },
	{ "CELERY_SECURITY_CERT_STORE", { NULL }, STRING(security_cert_store), .fallback = "",
	  .help = "certificates of all who may sign: a directory, or a pattern of file names; read at the start and on HUP" },
	{ "CELERY_SECURITY_DIGEST", { NULL }, STRING(security_digest), .fallback = "sha256",
	  .help = "digest of signatures, the same for all who sign" },
	{ "CELERIAC_SECURITY_FORM", { NULL }, STRING(security_form), .fallback = "5.5", .choices = "5.5|5.4",
	  .help = "form of what we sign: 5.5 as Celery 5.5 and later read it, 5.4 as those before; both are read" },
	{ "CELERY_RESULT_SERIALIZER", { NULL }, STRING(result_serializer), .fallback = "json", .flags = CONF_NOT_EMPTY,
	  .help = "how results are written: json, yaml, msgpack or auth; clients and Python workers must say the same" },
	{ "CELERY_RESULT_PERSISTENT", { NULL }, BOOL(result_persistent), .fallback = "false",
	  .help = "results of rpc:// on RabbitMQ outlive a restart of the server" },
	{ "CELERY_RESULT_COMPRESSION", { NULL }, STRING(result_compression), .fallback = "",
	  .help = "results are compressed: gzip, bzip2, lzma, zstd or brotli; Celery before 5.7 cannot read that" },
	{ "CELERY_RESULT_ACCEPT_CONTENT", { NULL }, LIST(result_accept_content, 16), .fallback = "",
	  .help = "content types of results that are read; empty = that of CELERY_RESULT_SERIALIZER" },
	{ "CELERY_DATABASE_TABLE_NAMES", { NULL }, MAP(database_table_names), .fallback = "",
	  .help = "tables of results in a database: JSON object of task and group; empty = Celery's" },
	{ "CELERY_DATABASE_TABLE_SCHEMAS", { NULL }, MAP(database_table_schemas), .fallback = "",
	  .help = "and their schemas; empty = by search_path" },
	{ "CELERIAC_RESULT_PICKLE", { NULL }, BOOL(result_pickle), .fallback = "true",
	  .help = "results in a database are pickled, as every Celery reads them; false = serialized, as 5.7 and later write them" },
	{ "CELERY_RESULT_CHORD_RETRY_INTERVAL", { NULL }, SPAN(result_chord_retry_interval, 0, DAY), .fallback = "1s",
	  .help = "celery.chord_unlock looks again after, unless its message says" },
	{ "CELERY_RESULT_BACKEND_ALWAYS_RETRY", { NULL }, BOOL(result_backend_always_retry), .fallback = "true",
	  .help = "accepted; results are always written again until they are there" },
	{ "CELERY_TASK_INHERIT_PARENT_PRIORITY", { NULL }, BOOL(task_inherit_parent_priority), .fallback = "false",
	  .help = "what follows from a task has its priority, unless it says another" },
	{ "CELERY_TASK_ALLOW_ERROR_CB_ON_CHORD_HEADER", { NULL }, BOOL(task_allow_error_cb_on_chord_header),
	  .fallback = "false", .help = "errbacks of a chord that we send go to the tasks of its header, too" },
	{ "CELERY_ACCEPT_CONTENT", { NULL }, LIST(accept_content, 16), .fallback = "json",
	  .help = "content types that are read: json, yaml, msgpack, auth; auth alone = only what is signed runs; pickle never is read" },
	{ "CELERY_IMPORTS", { NULL }, LIST(imports, BOUND_MODULES), .fallback = "",
	  .help = "paths of shared objects with tasks of your own, see celeriac-module(7)" },
	{ "CELERY_INCLUDE", { NULL }, LIST(include, BOUND_MODULES), .fallback = "", .help = "likewise, after those; as -I" },
	{ "CELERY_WORKER_HOSTNAME", { NULL }, STRING(worker_hostname), .fallback = "celery@%h", .expand = nodename_expand,
	  .help = "node name, as -n; %h host name, %n its first part, %d its domain" },
	{ "CELERY_TIMEZONE", { NULL }, STRING(timezone), .fallback = "", .expand = expand_timezone,
	  .help = "zone of the dates in results, such as Europe/Berlin; empty = UTC, or the machine's own without enable_utc" },
	{ "CELERY_ENABLE_UTC", { NULL }, BOOL(enable_utc), .fallback = "true",
	  .help = "the zone where no timezone is said; dates in messages without an offset are UTC in any case, as in Celery" },
	{ "CELERY_WORKER_SEND_TASK_EVENTS", { "CELERY_SEND_EVENTS" }, BOOL(worker_send_task_events), .fallback = "false",
	  .help = "send task events for monitors such as Flower, as -E; they can be switched at run time" },
	{ "CELERY_WORKER_WITHOUT_HEARTBEAT", { NULL }, BOOL(worker_without_heartbeat), .fallback = "false",
	  .help = "send no worker-online, worker-heartbeat and worker-offline events" },
	{ "CELERY_WORKER_HEARTBEAT_INTERVAL", { NULL }, SPAN(worker_heartbeat_interval, 0.1 * SEC, 3600 * SEC),
	  .fallback = "2s", .help = "between two worker-heartbeat events" },
	{ "CELERY_WORKER_AUTOSCALE", { NULL }, STRING(worker_autoscale), .fallback = "",
	  .help = "most and fewest pool threads, as --autoscale: 10,3; empty = a fixed pool" },
	{ "AUTOSCALE_KEEPALIVE", { NULL }, SPAN(autoscale_keepalive, 0.1 * SEC, DAY), .fallback = "30s",
	  .help = "idle for so long before autoscaling shrinks the pool" },
	{ "CELERY_WORKER_PURGE", { NULL }, BOOL(worker_purge), .fallback = "false",
	  .help = "erase the messages waiting in our queues at the start, as --purge" },
	{ "CELERY_WORKER_POOL_RESTARTS", { "CELERYD_POOL_RESTARTS" }, BOOL(worker_pool_restarts), .fallback = "false",
	  .help = "allow the control command pool_restart, which replaces the pool threads" },
	{ "CELERY_WORKER_ENABLE_REMOTE_CONTROL", { "CELERY_ENABLE_REMOTE_CONTROL" }, BOOL(worker_enable_remote_control),
	  .fallback = "true", .help = "listen to celery inspect and celery control" },
	{ "CELERY_CONTROL_EXCHANGE", { NULL }, STRING(control_exchange), .fallback = "celery", .flags = CONF_NOT_EMPTY,
	  .help = "name of the mailboxes of remote control" },
	{ "CELERY_CONTROL_QUEUE_EXCLUSIVE", { NULL }, BOOL(control_queue_exclusive), .fallback = "true",
	  .help = "on RabbitMQ: our mailbox is ours alone and goes with the connection, which every version allows" },
	{ "CELERY_CONTROL_QUEUE_DURABLE", { NULL }, BOOL(control_queue_durable), .fallback = "false",
	  .help = "on RabbitMQ, instead: our mailbox outlives connection and server" },
	{ "CELERY_CONTROL_QUEUE_TTL", { NULL }, SPAN(control_queue_ttl, 0, DAY), .fallback = "300s",
	  .help = "on RabbitMQ: a request waits in our mailbox for so long; 0 = for ever" },
	{ "CELERY_CONTROL_QUEUE_EXPIRES", { NULL }, SPAN(control_queue_expires, 0, DAY), .fallback = "10s",
	  .help = "on RabbitMQ: our mailbox is there for so long without us; 0 = for ever" },
	{ "CELERY_EVENT_EXCHANGE", { NULL }, STRING(event_exchange), .fallback = "celeryev", .flags = CONF_NOT_EMPTY,
	  .help = "exchange of events" },
	{ "CELERY_WORKER_REVOKES_MAX", { NULL }, INT(worker_revokes_max, 1, 10000000), .fallback = "50000",
	  .help = "ids of revoked tasks that are remembered" },
	{ "CELERY_WORKER_REVOKE_EXPIRES", { "CELERY_WORKER_REVOKES_EXPIRES" },
	  SPAN(worker_revoke_expires, SEC, 365 * DAY), .fallback = "10800s", .help = "and for how long" },
	{ "CELERY_TASK_TIME_LIMIT", { "CELERYD_TASK_TIME_LIMIT" }, SPAN(task_time_limit, 0, 3650 * DAY), .fallback = "0",
	  .help = "hard limit: a task and what it runs is ended after; 0 = none" },
	{ "CELERY_TASK_SOFT_TIME_LIMIT", { "CELERYD_TASK_SOFT_TIME_LIMIT" }, SPAN(task_soft_time_limit, 0, 3650 * DAY), .fallback = "0",
	  .help = "soft limit: likewise, as SoftTimeLimitExceeded; 0 = none" },
	{ "CELERY_WORKER_DEDUPLICATE_SUCCESSFUL_TASKS", { NULL }, BOOL(worker_deduplicate_successful_tasks), .fallback = "false",
	  .help = "a redelivered task whose stored state is SUCCESS is not run again; tasks with a row never are" },
	{ "CELERIAC_REDELIVERY_LIMIT", { NULL }, INT(redelivery_limit, 0, 1000000), .fallback = "5",
	  .help = "a message that began to run more often after workers died is a WorkerLostError; 0 = no limit" },
	{ "CELERIAC_DEAD_MAX", { NULL }, INT(dead_max, 0, 1000000000), .fallback = "10000",
	  .help = "messages kept in celeriac:dead; of more, the oldest are dropped, which is logged and counted; 0 = all are kept" },
	{ "CELERIAC_GRACE_TIME", { NULL }, SPAN(worker_grace_time, 0, DAY), .fallback = "30s",
	  .help = "SIGTERM waits this long for what runs, then returns the rest to the broker" },
	{ "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT", { NULL }, SPAN(worker_soft_shutdown_timeout, 0, DAY), .fallback = "0",
	  .help = "SIGQUIT waits this long for what runs before it is cancelled; 0 = not at all" },
	{ "CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE", { NULL }, BOOL(worker_enable_soft_shutdown_on_idle), .fallback = "false",
	  .help = "and does so when nothing runs, too" },
	{ "REMAP_SIGTERM", { NULL }, STRING(remap_sigterm), .fallback = "", .choices = "|SIGQUIT",
	  .help = "SIGQUIT: TERM is a cold shutdown" },
	{ "CELERY_WORKER_POOL", { "CELERYD_POOL" }, STRING(worker_pool), .fallback = "threads", .flags = CONF_NOT_EMPTY,
	  .help = "as -P: threads, or solo for one task at a time in the order they came; prefork and processes are threads" },
	{ "CELERY_WORKER_DISABLE_PREFETCH", { NULL }, BOOL(worker_disable_prefetch), .fallback = "false",
	  .help = "hold no more messages than there are pool threads, as --disable-prefetch" },
	{ "CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS", { NULL },
	  BOOL(worker_cancel_long_running_tasks_on_connection_loss), .fallback = "false",
	  .help = "accepted; a lost connection costs no message here, and what runs is acknowledged over the next one" },
	{ "CELERY_BROKER_CONNECTION_RETRY", { NULL }, BOOL(broker_connection_retry), .fallback = "true",
	  .help = "a lost broker is connected to again; false: the worker ends" },
	{ "CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP", { NULL }, BOOL(broker_connection_retry_on_startup), .fallback = "true",
	  .help = "the same at the start" },
	{ "CELERY_BROKER_CONNECTION_MAX_RETRIES", { NULL }, INT(broker_connection_max_retries, 0, 1e9), .fallback = "0",
	  .help = "the worker ends when the broker is away for so many tries; 0 = never" },
	{ "CELERIAC_WATCHDOG", { NULL }, SPAN(watchdog, 0, DAY), .fallback = "60s",
	  .help = "a consumer that stands still for so long while Redis answers is rebuilt, then the worker ends; 0 = off" },
	{ "CELERIAC_BEAT_SCHEDULE", { NULL }, STRING(beat_schedule), .fallback = "",
	  .help = "beat: file of entries by their names, as Celery's beat_schedule, in JSON or INI" },
	{ "CELERY_BEAT_CRON_STARTING_DEADLINE", { NULL }, SPAN(beat_cron_starting_deadline, 0, 36500 * DAY), .fallback = "0s",
	  .help = "a run by a crontab that was missed is sent only so long after its time; 0 = whenever" },
	{ "CELERY_REDBEAT_REDIS_URL", { NULL }, URL(redbeat_redis_url), .fallback = "",
	  .help = "beat --import-redbeat: where RedBeat's entries are; empty = the broker" },
	{ "CELERY_REDBEAT_KEY_PREFIX", { NULL }, STRING(redbeat_key_prefix), .fallback = "redbeat:",
	  .help = "beat --import-redbeat: what their keys begin with" },
	{ "CELERY_BEAT_MAX_LOOP_INTERVAL", { "CELERYBEAT_MAX_LOOP_INTERVAL" }, SPAN(beat_max_loop_interval, 0.01 * SEC, DAY),
	  .fallback = "300s", .help = "beat looks at its schedule at least this often" },

	/* ours */
	{ "DATABASE_URL", { NULL }, URL(database_url), .fallback = "",
	  .help = "PostgreSQL, as the worker's role; SQLAlchemy's forms are accepted" },
	{ "CELERIAC_OWNER_DATABASE_URL", { NULL }, URL(owner_database_url), .fallback = "",
	  .help = "PostgreSQL, as the owner of the schema; used by migrations alone" },
	{ "CELERIAC_DATABASE_CONNECTIONS", { NULL }, INT(database_connections, 1, 64), .fallback = "4",
	  .help = "connections to PostgreSQL, whatever the concurrency" },
	{ "DOCKER_HOST", { NULL }, URL(docker_host), .fallback = "unix:///var/run/docker.sock", .flags = CONF_NOT_EMPTY,
	  .help = "the engine: unix:///path or tcp://host:port; several engines after commas" },
	{ "DOCKER_TLS_VERIFY", { NULL }, BOOL(docker_tls_verify), .fallback = "false", .help = "TLS with client certificates on TCP" },
	{ "DOCKER_PLAIN_TCP", { NULL }, BOOL(docker_plain_tcp), .fallback = "false",
	  .help = "TCP without TLS beyond loopback, where nobody else is on the way: a socket proxy on a network of its own" },
	{ "DOCKER_CERT_PATH", { NULL }, STRING(docker_cert_path), .fallback = "",
	  .help = "directory of ca.pem, cert.pem and key.pem; empty = ~/.docker; of several engines, one for each after commas, or one for all" },
	{ "DOCKER_API_VERSION", { NULL }, STRING(docker_api_version), .fallback = "", .help = "instead of the negotiated one" },
	{ "CELERIAC_ENGINE", { NULL }, STRING(engine), .fallback = "",
	  .help = "unix:/path of an engine role's socket, which alone has Docker then, in place of DOCKER_HOST; several after commas; of "
		  "the role itself (--engine): where it listens" },
	{ "CELERIAC_ENGINE_IMAGES", { NULL }, LIST(engine_images, 256), .fallback = "",
	  .help = "an engine role: images that it makes containers of beside SANDBOX_IMAGE, * is anything" },
	{ "CELERIAC_ENGINE_NETWORKS", { NULL }, LIST(engine_networks, 256), .fallback = "",
	  .help = "an engine role: networks that it grants beside SANDBOX_NETWORK and MCP_NETWORK" },
	{ "CELERIAC_ENGINE_RUNTIMES", { NULL }, LIST(engine_runtimes, 16), .fallback = "",
	  .help = "an engine role: runtimes that it grants beside SANDBOX_RUNTIME" },
	{ "CELERIAC_ENGINE_PEERS", { NULL }, LIST(engine_peers, 64), .fallback = "",
	  .help = "an engine role: numbers of the users that it serves beside its own" },
	{ "CELERIAC_ENGINE_RATE", { NULL }, INT(engine_rate, 1, 100000), .fallback = "200",
	  .help = "an engine role: requests a second, of all its peers" },
	{ "CELERIAC_ENGINE_MEMORY", { NULL }, SIZE(engine_memory, 16 * MIB, 1024 * GIB), .fallback = "8GiB",
	  .help = "an engine role: memory that one container may have at most" },
	{ "CELERIAC_ENGINE_CPUS", { NULL }, DOUBLE(engine_cpus, 0.01, 1024), .fallback = "16",
	  .help = "an engine role: CPUs, likewise" },
	{ "CELERIAC_ENGINE_PIDS", { NULL }, INT(engine_pids, 8, 65536), .fallback = "4096",
	  .help = "an engine role: processes and threads, likewise" },
	{ "CELERIAC_ENGINE_CONTAINERS", { NULL }, INT(engine_containers, 1, 65536), .fallback = "512",
	  .help = "an engine role: containers of its instance at a time" },
	{ "CELERIAC_STATE_URL", { NULL }, URL(state_url), .fallback = "",
	  .help = "Redis in which workers and beats keep what they share: who is alive, conversations, quotas; "
		  "empty = the broker's, or the result backend's" },
	{ "CELERIAC_STATE_TRANSPORT_OPTIONS", { NULL }, MAP(state_transport_options), .fallback = "",
	  .help = "global_keyprefix, master_name … of CELERIAC_STATE_URL as a JSON object: celeriac-worker(8)" },
	{ "CELERIAC_STATE_USE_SSL", { NULL }, MAP(state_use_ssl), .fallback = "",
	  .help = "TLS to it, as CELERY_BROKER_USE_SSL" },
	{ "CELERIAC_INSTANCE", { NULL }, STRING(instance), .fallback = "default", .expand = nodename_check_label,
	  .help = "the deployment whose containers and keys are ours" },
	{ "CELERIAC_NODE", { NULL }, STRING(node), .fallback = "%h", .expand = nodename_expand_label,
	  .help = "this worker's stable name; default: host name" },
	{ "CELERIAC_POLICY", { NULL }, STRING(policy_file), .fallback = "",
	  .help = "file of rules that are read before those of policy_rules" },
	{ "AUDIT_ROWS", { NULL }, INT(audit_rows, 0, 1000000), .fallback = "100",
	  .help = "refusals and errors of one kind, tool and project that get a row of activity_events each within a minute; "
		  "more get one that counts them, and a line each; 0 = a row for all" },
	{ "AUDIT_BURST_DENIALS", { NULL }, INT(audit_burst_denials, 0, 1000000), .fallback = "30",
	  .help = "denials of one project within a minute that are recorded as a burst; 0 = none are" },
	{ "AUDIT_BURST_CONTAINERS", { NULL }, INT(audit_burst_containers, 0, 1000000), .fallback = "60",
	  .help = "the same of containers made" },
	{ "CELERIAC_TASK_ALIASES", { NULL }, STRING(task_aliases), .fallback = "",
	  .help = "the application's task names: app.tasks.run_code=sandbox.execute_code, more after commas" },
	{ "CELERIAC_CHORD_PATIENCE", { NULL }, SPAN(chord_patience, 0, 30 * DAY), .fallback = "60s",
	  .help = "the body of a chord that is complete is published after, when whoever should have done it died; 0 = never" },
	{ "SANDBOX_IMAGE", { NULL }, STRING(sandbox_image), .fallback = "celeriac-sandbox:latest", .flags = CONF_NOT_EMPTY,
	  .help = "image for code and plugins" },
	{ "SANDBOX_RUNTIME", { NULL }, STRING(sandbox_runtime), .fallback = "",
	  .help = "runtime of the engine, e.g. runsc; empty = its default" },
	{ "SANDBOX_NETWORK", { NULL }, STRING(sandbox_network), .fallback = "egress", .flags = CONF_NOT_EMPTY,
	  .help = "network of a sandbox: egress = none but a proxy for HTTP and TLS, whose connections the worker makes; none = nothing; else the name of a Docker bridge, made if absent, without traffic between containers" },
	{ "SANDBOX_ALLOW_UNENFORCED", { NULL }, LIST(sandbox_allow_unenforced, 16), .fallback = "",
	  .help = "limits that may go unenforced where the engine cannot: memory, pids, cpu, nofile, fsize, core, disk, inodes, seccomp, agent (its descriptors kept from runs), reattach (sandboxes outlive their worker)" },
	{ "SANDBOX_MOUNT_ALLOW", { NULL }, LIST(sandbox_mount_allow, 256), .fallback = "",
	  .help = "directories of the engine's host that sandbox_settings may mount, path:ro or path:rw, each exactly as it "
		  "stands here and by its real path; empty = none: celeriac-worker(8)" },
	{ "SANDBOX_MEMORY", { NULL }, SIZE(sandbox_memory, 16 * MIB, 1024 * GIB), .fallback = "512MiB",
	  .help = "memory per container, for its processes" },
	{ "SANDBOX_CPUS", { NULL }, DOUBLE(sandbox_cpus, 0.01, 1024), .fallback = "1", .help = "CPUs per container" },
	{ "SANDBOX_PIDS", { NULL }, INT(sandbox_pids, 8, 65536), .fallback = "256", .help = "processes and threads per container" },
	{ "SANDBOX_WORK_SIZE", { NULL }, SIZE(sandbox_work_size, MIB, 1024 * GIB), .fallback = "256MiB",
	  .help = "writable space per container, /sandbox and /tmp together" },
	{ "SANDBOX_MAX", { NULL }, INT(sandbox_max, 0, 100000), .fallback = "0",
	  .help = "live containers per engine; 0 = from the engine's memory" },
	{ "SANDBOX_POOL", { NULL }, INT(sandbox_pool, 0, 1000), .fallback = "2",
	  .help = "containers that each worker keeps ready for new conversations, within SANDBOX_MAX; 0 = none" },
	{ "SANDBOX_TIMEOUT", { NULL }, SPAN(sandbox_timeout, 0.1 * SEC, DAY), .fallback = "30s", .help = "time limit of a call" },
	{ "SANDBOX_MAX_TIMEOUT", { NULL }, SPAN(sandbox_max_timeout, 0.1 * SEC, DAY), .fallback = "300s",
	  .help = "the longest time limit a call may ask for" },
	{ "SANDBOX_IDLE_TIMEOUT", { NULL }, SPAN(sandbox_idle_timeout, SEC, 365 * DAY), .fallback = "600s",
	  .help = "idle containers are removed after" },
	{ "SANDBOX_ADOPT_GRACE", { NULL }, SPAN(sandbox_adopt_grace, SEC, DAY), .fallback = "120s",
	  .help = "a dead worker's container waits this long for a new owner" },
	{ "SANDBOX_ENGINE_GRACE", { NULL }, SPAN(sandbox_engine_grace, SEC, DAY), .fallback = "30s",
	  .help = "of several engines: a conversation whose engine is away waits this long before it gets a new container on another" },
	{ "SANDBOX_CLEANUP_INTERVAL", { NULL }, SPAN(sandbox_cleanup_interval, SEC, DAY), .fallback = "300s",
	  .help = "period of beat's entry sandbox.cleanup" },
	{ "SANDBOX_OUTPUT_LIMIT", { NULL }, SIZE(sandbox_output_limit, KIB, 64 * MIB), .fallback = "1MiB",
	  .help = "bytes kept of stdout and of stderr, head and tail" },
	{ "SANDBOX_FILES_MAX", { NULL }, INT(sandbox_files_max, 0, BOUND_OUTPUT_WALK), .fallback = "64",
	  .help = "deliverables per call" },
	{ "SANDBOX_FILE_SIZE", { NULL }, SIZE(sandbox_file_size, 1, GIB), .fallback = "32MiB", .help = "bytes of one deliverable" },
	{ "SANDBOX_FILES_SIZE", { NULL }, SIZE(sandbox_files_size, 1, GIB), .fallback = "64MiB",
	  .help = "bytes of all deliverables of a call" },
	{ "SANDBOX_CALLBACK_URL", { NULL }, STRING(sandbox_callback_url), .fallback = "",
	  .help = "what sandboxes may call of the application: \"GET,POST http://web:5000/mcp\", given to a run as CELERIAC_CALLBACK_URL" },
	{ "SANDBOX_CALLBACK_SECRET", { NULL }, STRING(sandbox_callback_secret), .fallback = "", .flags = CONF_SECRET,
	  .help = "signs the header Celeriac-Run of such calls, 16 bytes at least" },
	{ "EGRESS_ALLOW", { NULL }, LIST(egress_allow, 256), .fallback = "",
	  .help = "scope:host[:port] or scope:CIDR[:port], scope one of sandbox, http, mcp, all: holes in the forbidden ranges" },
	{ "EGRESS_MAX_BYTES", { NULL }, SIZE(egress_max_bytes, 0, 1024 * GIB), .fallback = "256MiB",
	  .help = "bytes that one run may send and receive" },
	{ "EGRESS_MAX_CONNECTIONS", { NULL }, INT(egress_max_connections, 0, 1000000), .fallback = "1000",
	  .help = "connections of one run" },
	{ "EGRESS_RATE", { NULL }, INT(egress_rate, 1, 10000), .fallback = "50", .help = "new connections a second of one run" },
	{ "MEDIA_DIR", { NULL }, STRING(media_dir), .fallback = "", .help = "deliverables go here by SHA-256; empty = into the row" },
	{ "CELERIAC_RETENTION_RESULTS", { NULL }, SPAN(retention_results, 0, 36500 * DAY), .fallback = "0",
	  .help = "celeriac.retention removes rows of tool_results that ended longer ago, a day at least; 0 = they are kept" },
	{ "CELERIAC_RETENTION_OUTPUTS", { NULL }, SPAN(retention_outputs, 0, 36500 * DAY), .fallback = "0",
	  .help = "likewise of conversation_outputs, and files in MEDIA_DIR that no row names" },
	{ "CELERIAC_RETENTION_EVENTS", { NULL }, SPAN(retention_events, 0, 36500 * DAY), .fallback = "0",
	  .help = "likewise of activity_events, a week at least" },
	{ "CELERIAC_RETENTION_MEDIA", { NULL }, SPAN(retention_media, 3600 * SEC, 36500 * DAY), .fallback = "1d",
	  .help = "such files stay for so long; MEDIA_DIR must be that of one database alone" },
	{ "CELERIAC_RETENTION_TIME", { NULL }, SPAN(retention_time, SEC, DAY), .fallback = "300s",
	  .help = "one run of celeriac.retention takes so long at most; the next goes on" },
	{ "SECRETS_ENCRYPTION_KEY", { NULL }, STRING(secrets_encryption_key), .fallback = "", .flags = CONF_SECRET,
	  .help = "base64 of 32 bytes, for sealed rows; after a comma the key that was used before" },
	{ "MCP_NETWORK", { NULL }, STRING(mcp_network), .fallback = "celeriac-mcp", .flags = CONF_NOT_EMPTY,
	  .help = "Docker network of MCP servers in containers, made if absent; none = they have none" },
	{ "MCP_MAX", { NULL }, INT(mcp_max, 1, 10000), .fallback = "20", .help = "MCP servers in containers that this worker runs at once" },
	{ "PLUGIN_DIR", { NULL }, STRING(plugin_dir), .fallback = "/data/plugins", .help = "plugins: a directory each" },
	{ "CELERIAC_METRICS", { NULL }, STRING(metrics), .fallback = "127.0.0.1:9808",
	  .help = "address of /metrics, /healthz and /readyz; empty = off" },
	{ "CELERIAC_BEAT_METRICS", { NULL }, STRING(beat_metrics), .fallback = "",
	  .help = "the same of beat, which may run beside a worker; empty = off" },
	{ "CELERIAC_LOG_FORMAT", { NULL }, STRING(log_format), .fallback = "celery", .choices = "celery|json",
	  .help = "log lines as Celery's, or one JSON object each" },
	{ "CELERIAC_CAGE", { NULL }, STRING(cage), .fallback = "auto", .choices = "auto|strict|off",
	  .help = "what the program can still do once it is at work: auto = as little as the kernel can see to, strict = and no start "
		  "unless all of it holds, off = whatever its user can" },
	{ "CELERIAC_CAGE_WITHOUT", { NULL }, LIST(cage_without, 16), .fallback = "",
	  .help = "parts of the cage that are left out: privileges, files, calls, memory" },
	{ "CELERIAC_CAGE_PATHS", { NULL }, LIST(cage_paths, 256), .fallback = "",
	  .help = "files and directories that the cage leaves within reach beside those that settings name: /path:ro or /path:rw" },
};
/* clang-format on */

#define ROWS ARRAY_LEN(g_rows)

struct settings_state {
	char *source[ROWS];
};

static void set_source(struct settings *s, size_t row, const char *source)
{
	free(s->state->source[row]);
	s->state->source[row] = xstrdup(source);
}

static const char *source_of(const struct settings *s, size_t offset)
{
	size_t i = 0;
	while (g_rows[i].offset != offset)
		i++;
	return s->state->source[i];
}

/* CPUs this process may run on. */
static int64_t cpu_count(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return CPU_COUNT(&set);
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? online : 1;
}

static int set_row(struct settings *s, size_t i, const char *value, const char *label,
		   const char *source, struct err *err)
{
	int r = conf_set(&g_rows[i], s, value, label, err);
	if (r < 0)
		return r;
	if (s->worker_concurrency == 0 &&
	    g_rows[i].offset == offsetof(struct settings, worker_concurrency))
		s->worker_concurrency = cpu_count();
	set_source(s, i, source);
	return 0;
}

static bool is_default(const struct settings *s, size_t offset)
{
	return strcmp(source_of(s, offset), "default") == 0;
}

/* A ceiling lowered by itself takes the default below it along; a contradiction that was written is
 * an error. */
static int check_together(struct settings *s, struct err *err)
{
	if (is_default(s, offsetof(struct settings, task_acks_on_failure)))
		s->task_acks_on_failure = s->task_acks_on_failure_or_timeout;
	if (is_default(s, offsetof(struct settings, task_acks_on_timeout)))
		s->task_acks_on_timeout = s->task_acks_on_failure_or_timeout;
	if (s->sandbox_timeout <= s->sandbox_max_timeout)
		return 0;
	if (!is_default(s, offsetof(struct settings, sandbox_timeout)))
		return err_set(err, ERR_INVALID, "SANDBOX_TIMEOUT is above SANDBOX_MAX_TIMEOUT");
	s->sandbox_timeout = s->sandbox_max_timeout;
	return 0;
}

int settings_load(char *const *env, struct settings *ret, struct err *err)
{
	struct settings s = {.state = xcalloc(1, sizeof(*s.state))};
	int r = 0;
	if (!env)
		env = environ;
	for (size_t i = 0; i < ROWS && r == 0; i++) {
		struct err bad;
		if (set_row(&s, i, g_rows[i].fallback, g_rows[i].name, "default", &bad) < 0)
			BUG("default of %s: %s", g_rows[i].name, bad.msg);
		_cleanup_free_ char *name = NULL, *value = NULL;
		r = conf_env_find(&g_rows[i], env, &name, &value, err);
		if (r == 0 && value)
			r = set_row(&s, i, value, name, name, err);
		if (value)
			wipe(value, strlen(value));
	}
	if (r == 0)
		r = check_together(&s, err);
	if (r < 0) {
		settings_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

bool settings_read_size(const char *text, int64_t *ret)
{
	return conf_parse_size(text, ret);
}

bool settings_read_duration(const char *text, usec_t *ret)
{
	return conf_parse_duration(text, ret);
}

static bool has_name(const struct conf_row *row, const char *name)
{
	if (strcasecmp(name, row->name) == 0 || strcasecmp(name, row->key) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(row->alias) && row->alias[i]; i++) {
		if (strcasecmp(name, row->alias[i]) == 0)
			return true;
	}
	return false;
}

int settings_set(struct settings *s, const char *name, const char *value, const char *source,
		 struct err *err)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (!has_name(&g_rows[i], name))
			continue;
		_cleanup_free_ char *label = xasprintf("%s (%s)", g_rows[i].name, source);
		return set_row(s, i, value, label, source, err);
	}
	return err_set(err, ERR_NOTFOUND, "there is no setting \"%.64s\"", name);
}

int settings_expand_node(const struct settings *s, const char *text, char **ret, struct err *err)
{
	return nodename_expand_path(text, s->worker_hostname, ret, err);
}

void settings_print(const struct settings *s, FILE *out)
{
	for (size_t i = 0; i < ROWS; i++) {
		_cleanup_buf_ struct buf value = BUF_INIT((size_t)64 << 10);
		conf_show(&g_rows[i], s, &value);
		for (size_t at = 0; at < value.len; at++) {
			if ((unsigned char)value.data[at] < ' ' || value.data[at] == 0x7f)
				value.data[at] = '?';
		}
		fprintf(out, "%-40s = %-32s  # %s; %s\n", g_rows[i].name, value.data,
			s->state->source[i], g_rows[i].help);
	}
}

/* "true", "3" and "a,b" as what they are in Python. Given. */
static json_t *typed_value(const struct conf_row *row, const struct settings *s)
{
	const void *at = (const char *)s + row->offset;
	const struct str_list *list = at;
	_cleanup_buf_ struct buf text = BUF_INIT((size_t)64 << 10);
	json_t *array;

	switch (row->type) {
	case CONF_BOOL:
		return json_boolean(*(const bool *)at);
	case CONF_INT:
	case CONF_SIZE:
		return json_integer(*(const int64_t *)at);
	case CONF_DOUBLE:
		return json_real(*(const double *)at);
	case CONF_DURATION:
		return json_real((double)*(const usec_t *)at / SEC);
	case CONF_LIST:
		array = json_array();
		for (size_t i = 0; i < list->count; i++)
			json_array_append_new(
				array, json_text(list->items[i], strlen(list->items[i]), false));
		return array;
	case CONF_STRING:
	case CONF_URL:
	case CONF_MAP:
		break;
	}
	conf_show(row, s, &text);
	return json_text(text.data, text.len, false);
}

json_t *settings_conf(const struct settings *s, bool defaults)
{
	json_t *conf = json_object();
	for (size_t i = 0; i < ROWS; i++) {
		bool ours = strncmp(g_rows[i].name, "CELERY_", 7) != 0;
		if (ours || (!defaults && strcmp(s->state->source[i], "default") == 0))
			continue;
		json_object_set_new(conf, g_rows[i].key, typed_value(&g_rows[i], s));
	}
	return conf;
}

void settings_each_text(const struct settings *s,
			void (*fn)(void *arg, const char *name, const char *value), void *arg)
{
	for (size_t i = 0; i < ROWS; i++) {
		const void *at = (const char *)s + g_rows[i].offset;
		enum conf_type type = g_rows[i].type;

		if (type == CONF_STRING || type == CONF_URL || type == CONF_MAP)
			fn(arg, g_rows[i].name, *(const char *const *)at);
		const struct str_list *list = at;
		for (size_t k = 0; type == CONF_LIST && k < list->count; k++)
			fn(arg, g_rows[i].name, list->items[k]);
	}
}

void settings_done(struct settings *s)
{
	if (!s || !s->state)
		return;
	for (size_t i = 0; i < ROWS; i++) {
		conf_free(&g_rows[i], s);
		free(s->state->source[i]);
	}
	free(s->state);
	s->state = NULL;
}
