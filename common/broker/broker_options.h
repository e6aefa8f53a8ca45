/*
 * broker_options.h: the inside of the table of transport options, shared by its files.
 */
#ifndef CELERIAC_BROKER_OPTIONS_H
#define CELERIAC_BROKER_OPTIONS_H

#include <jansson.h>

#include "transport.h"

enum option_kind {
	OPTION_SECONDS, /* a number, into usec_t */
	OPTION_INTEGER, /* into int64_t */
	OPTION_BOOL,
	OPTION_TEXT,   /* a string, into char * */
	OPTION_NAME,   /* likewise, not empty */
	OPTION_CUSTOM, /* by its own function */
	OPTION_NOTED,  /* accepted; the note says why nothing comes of it */
	OPTION_REFUSED /* the note says what to do instead */
};
struct option_row {
	const char *name;
	unsigned sides; /* bits of enum transport_side */
	enum option_kind kind;
	size_t offset;	 /* in struct transport_options */
	double min, max; /* in the option's unit */
	int (*read)(const json_t *value, struct transport_options *o, struct err *err);
	const char *note;
};

/* ---- options.c: for readers of single values; their errors do not name the option ---- */
const char *option_json_kind(const json_t *value);
int option_seconds(const json_t *value, double min, double max, usec_t *ret,
		   struct err *err) must_check;
/* Frees what was in *ret. */
int option_text(const json_t *value, char **ret, struct err *err) must_check;

/* ---- option_values.c: the options that have a form of their own ---- */
int option_backend_prefix(const json_t *value, struct transport_options *o, struct err *err);
int option_priority_steps(const json_t *value, struct transport_options *o, struct err *err);
int option_queue_order(const json_t *value, struct transport_options *o, struct err *err);
int option_fanout_prefix(const json_t *value, struct transport_options *o, struct err *err);
int option_keepalive(const json_t *value, struct transport_options *o, struct err *err);
int option_keepalive_options(const json_t *value, struct transport_options *o, struct err *err);
int option_health_check(const json_t *value, struct transport_options *o, struct err *err);
int option_sentinel_kwargs(const json_t *value, struct transport_options *o, struct err *err);

/* ---- option_settings.c: what settings say about connections ---- */
int option_broker_settings(const struct settings *s, struct redis_tuning *t,
			   struct err *err) must_check;
int option_backend_settings(const struct settings *s, struct redis_tuning *t,
			    struct err *err) must_check;
int option_state_settings(const struct settings *s, struct redis_tuning *t,
			  struct err *err) must_check;
/* One ssl_* parameter; the name with its "ssl_". *ret_known as tls_option_set. */
int option_tls_value(struct tls_options *t, const char *name, const json_t *value, bool *ret_known,
		     struct err *err) must_check;

#endif
