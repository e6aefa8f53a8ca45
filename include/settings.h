/*
 * settings.h: every setting, read once at start from the environment and the command line.
 *
 * One table (common/settings.c) drives parsing, --settings, the manual and the sample file; a row
 * is name, type, unit, bounds, default, flags and one sentence of help. Celery's settings are read
 * from CELERY_<NAME> (and the bare names Celery users have: BROKER_URL, REDIS_URL …), ours from the
 * name itself. Read only after settings_load. [any]
 */
#ifndef CELERIAC_SETTINGS_H
#define CELERIAC_SETTINGS_H

#include <jansson.h>
#include <stdio.h>

#include "base.h"
#include "err.h"

/* A list of strings: comma-separated in the environment. */
struct str_list {
	char **items;
	size_t count;
};

struct settings {
	/* Celery's */
	const char *broker_url;
	const char *broker_read_url, *broker_write_url;	    /* "" = broker_url */
	const char *broker_transport_options;		    /* JSON object */
	const char *broker_use_ssl;			    /* JSON object of ssl_* parameters */
	usec_t broker_heartbeat, broker_connection_timeout; /* of RabbitMQ; heartbeat 0 = none */
	const char *broker_login_method;		    /* of RabbitMQ */
	const char *task_default_queue_type;		    /* of queues that are made there */
	int64_t task_queue_max_priority;		    /* likewise; 0 = none */
	const char *broker_failover_strategy;		    /* round-robin | shuffle */
	const char *result_backend;			    /* "" = disabled:// */
	const char *result_backend_transport_options;
	const char *redis_backend_use_ssl; /* as broker_use_ssl */
	const char *redis_username, *redis_password;
	usec_t redis_socket_timeout, redis_socket_connect_timeout; /* 0 = ours */
	usec_t redis_backend_health_check_interval;		   /* 0 = none */
	bool redis_socket_keepalive;
	bool redis_retry_on_timeout;   /* accepted */
	int64_t redis_max_connections; /* accepted */
	const char *redis_client_name;
	usec_t result_expires;	/* 0 = never */
	bool result_persistent; /* of rpc:// on RabbitMQ */
	const char *task_default_queue;
	/* "" = task_default_queue */
	const char *task_default_exchange, *task_default_routing_key;
	const char *task_default_exchange_type; /* direct | topic | fanout */
	const char *task_queues;		/* JSON, "" = the default queue alone */
	bool task_create_missing_queues;
	bool worker_direct;
	struct str_list worker_queues;	       /* -Q; empty = task_queues */
	struct str_list worker_exclude_queues; /* -X */
	int64_t worker_concurrency;	       /* 0 = CPU count */
	int64_t worker_prefetch_multiplier;
	int64_t worker_eta_task_limit; /* 0 = none */
	bool task_acks_late;
	bool task_acks_on_failure_or_timeout;
	bool task_acks_on_failure, task_acks_on_timeout; /* unsaid: as the one above */
	bool task_reject_on_worker_lost;
	const char *task_default_rate_limit; /* "" = none */
	const char *task_annotations;	     /* JSON object, "" = none */
	bool task_ignore_result;
	bool task_track_started;
	bool task_store_errors_even_if_ignored;
	bool result_extended;
	const char *result_serializer, *result_compression; /* compression: "" = none */
	const char *task_serializer, *event_serializer;	    /* event: json | auth */
	const char *security_key, *security_key_password;   /* for auth; paths, and of the key */
	const char *security_certificate, *security_cert_store;
	const char *security_digest;
	const char *security_form;	       /* 5.5 | 5.4: Celery's, of what we sign */
	struct str_list result_accept_content; /* empty: whatever result_serializer says */
	bool result_pickle; /* of a database backend: as Celery up to 5.6 reads it */
	const char *database_table_names, *database_table_schemas; /* JSON objects, "" = none */
	usec_t result_chord_retry_interval;
	bool result_backend_always_retry;
	bool task_inherit_parent_priority;
	bool task_allow_error_cb_on_chord_header;
	struct str_list accept_content;
	struct str_list imports, include; /* -I; paths of modules (task_module.h) */
	const char *worker_hostname;	  /* -n, with %h %n %d expanded: celery@host */
	const char *timezone;
	bool enable_utc;
	bool worker_send_task_events; /* -E */
	bool worker_without_heartbeat;
	usec_t worker_heartbeat_interval;
	const char *worker_autoscale; /* "max,min", "" = off */
	usec_t autoscale_keepalive;
	int64_t redelivery_limit; /* 0 = none */
	int64_t dead_max;	  /* messages in celeriac:dead; 0 = any number */
	bool worker_deduplicate_successful_tasks;
	bool worker_purge; /* empty the queues at start */
	bool worker_pool_restarts;
	bool worker_enable_remote_control;
	const char *control_exchange, *event_exchange;
	bool control_queue_exclusive, control_queue_durable; /* on RabbitMQ */
	usec_t control_queue_ttl, control_queue_expires;     /* 0 = for ever */
	int64_t worker_revokes_max;
	usec_t worker_revoke_expires;
	usec_t task_time_limit, task_soft_time_limit; /* 0 = none */
	usec_t worker_grace_time;		      /* how long SIGTERM waits for what runs */
	usec_t worker_soft_shutdown_timeout;	      /* how long SIGQUIT does; 0 = not */
	bool worker_enable_soft_shutdown_on_idle;
	const char *remap_sigterm; /* "" or "SIGQUIT" */
	const char *worker_pool;   /* -P */
	bool worker_disable_prefetch;
	bool worker_cancel_long_running_tasks_on_connection_loss;
	bool broker_connection_retry, broker_connection_retry_on_startup;
	int64_t broker_connection_max_retries; /* 0 = for ever */
	usec_t watchdog;		       /* 0 = off */
	usec_t beat_max_loop_interval;
	usec_t beat_cron_starting_deadline;		    /* 0 = none */
	const char *beat_schedule;			    /* a file of entries, or "" */
	const char *redbeat_redis_url, *redbeat_key_prefix; /* for the import of its entries */

	/* ours */
	const char *database_url;
	const char *owner_database_url;
	int64_t database_connections;
	const char *docker_host; /* of each engine, separated by commas */
	/* sockets of engine roles, separated by commas, in place of docker_host; "" = none */
	const char *engine;
	/* of an engine role: patterns of what it grants, users it serves, ceilings */
	struct str_list engine_images, engine_networks, engine_runtimes, engine_peers;
	int64_t engine_rate;   /* requests a second */
	int64_t engine_memory; /* bytes of one container */
	double engine_cpus;
	int64_t engine_pids;
	int64_t engine_containers; /* at a time */
	bool docker_plain_tcp;
	bool docker_tls_verify;
	const char *docker_cert_path;
	const char *docker_api_version;
	/* of the Redis that a deployment shares, shared_state.h; "" = the broker's or backend's */
	const char *state_url, *state_transport_options, *state_use_ssl;
	const char *instance;
	const char *node; /* default: host name */
	const char *task_aliases;
	usec_t chord_patience; /* a complete chord nobody triggers waits this long, 0 = for ever */
	const char *sandbox_image;
	const char *sandbox_runtime;
	const char *sandbox_network;
	struct str_list sandbox_allow_unenforced;
	struct str_list sandbox_mount_allow; /* path:ro, path:rw */
	int64_t sandbox_memory;		     /* bytes */
	double sandbox_cpus;
	int64_t sandbox_pids;
	int64_t sandbox_work_size; /* bytes */
	int64_t sandbox_max;	   /* 0 = from the engine's memory */
	int64_t sandbox_pool;	   /* containers kept ready by each worker */
	usec_t sandbox_timeout;
	usec_t sandbox_max_timeout;
	usec_t sandbox_idle_timeout;
	usec_t sandbox_engine_grace; /* for an engine to come back, before its conversations go to
					another */
	usec_t sandbox_adopt_grace;  /* a dead worker's container may wait this long for a new owner
				      */
	usec_t sandbox_leftover_age; /* of volumes, networks, nameless images */
	usec_t sandbox_cleanup_interval; /* period of beat's default entry */
	int64_t sandbox_output_limit;
	int64_t sandbox_files_max;
	int64_t sandbox_file_size;
	int64_t sandbox_files_size;
	const char *policy_file;
	int64_t audit_rows, audit_burst_denials, audit_burst_containers; /* a minute; 0 = off */
	const char *sandbox_callback_url, *sandbox_callback_secret;
	struct str_list egress_allow;
	int64_t egress_max_bytes;	/* one run, both ways */
	int64_t egress_max_connections; /* one run */
	int64_t egress_rate;		/* new connections a second */
	const char *media_dir;
	usec_t retention_results, retention_outputs, retention_events; /* 0 = for ever */
	usec_t retention_media, retention_time;
	const char *plugin_dir;
	const char *mcp_network; /* of managed servers; "none" = none */
	int64_t mcp_max;
	const char *secrets_encryption_key; /* base64 keys, comma-separated */
	const char *metrics;		    /* host:port, "" = off */
	const char *beat_metrics;	    /* likewise, of beat */
	const char *log_format;		    /* celery | json */
	const char *cage;		    /* auto | strict | off (cage.h) */
	struct str_list cage_without, cage_paths;

	struct settings_state *state; /* private: where each value came from */
};

/*
 * Fills `ret` from defaults, then the environment `env` (NULL: the process's own). ERR_INVALID
 * names the setting and what was wrong with its value, never the value of a secret. Strings live
 * until settings_done. [init]
 */
int settings_load(char *const *env, struct settings *ret, struct err *err) must_check;

/* Sets one by name (as -c, -Q … do), remembered as coming from `source` ("-c"). ERR_INVALID,
 * ERR_NOTFOUND. [init] */
int settings_set(struct settings *s, const char *name, const char *value, const char *source,
		 struct err *err) must_check;

/* "512m", "1.5h", as in a setting: bytes, microseconds. False when it is none. [any] */
bool settings_read_size(const char *text, int64_t *ret);
bool settings_read_duration(const char *text, usec_t *ret);

/* A file's name with %h %n %d %p %i %I of the node name put in, as Celery does. Given. ERR_INVALID.
 * [init] */
int settings_expand_node(const struct settings *s, const char *text, char **ret,
			 struct err *err) must_check;

/* Every setting: name, value (secrets hidden, URLs without password), where it came from, help.
 * [init] */
void settings_print(const struct settings *s, FILE *out);

/* The same of Celery's settings alone, by Celery's names: an object; only what is not a default
 * unless `defaults`. Given. [any] */
json_t *settings_conf(const struct settings *s, bool defaults);

/* Every text of every setting, one by one, each entry of a list; borrowed for the call. [init] */
void settings_each_text(const struct settings *s,
			void (*fn)(void *arg, const char *name, const char *value), void *arg);

/* Whether NAME=value of an environment is a setting that may hold a secret, a URL too, or names the
 * file that has it, under any of its names. Pure. */
bool settings_holds_secret(const char *variable);

void settings_done(struct settings *s);

#endif
