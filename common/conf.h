/*
 * conf.h: the engine behind settings.c: rows that say where a value lives and what it may be, and
 * the code that reads, checks and shows it. Knows no setting by name. Private to common/.
 */
#ifndef CELERIAC_CONF_H
#define CELERIAC_CONF_H

#include "base.h"
#include "buf.h"
#include "err.h"
#include "settings.h"

/* type: where it lives, how it is written */
enum conf_type {
	CONF_STRING,   /* const char *, owned */
	CONF_URL,      /* const char *, owned; empty or scheme://…, shown without password */
	CONF_MAP,      /* const char *, owned; empty or a JSON object */
	CONF_BOOL,     /* bool: 1/0 true/false yes/no on/off */
	CONF_INT,      /* int64_t */
	CONF_DOUBLE,   /* double */
	CONF_DURATION, /* usec_t; a number of seconds, or with us ms s m h d */
	CONF_SIZE, /* int64_t bytes; a number, or with B K M G T (also Ki, KiB, KB): powers of 1024,
		      as Docker's */
	CONF_LIST, /* struct str_list; comma-separated, trimmed */
};

enum conf_flag {
	CONF_SECRET = 1u << 0,	  /* never shown */
	CONF_NOT_EMPTY = 1u << 1, /* an empty value is an error */
};

struct conf_row {
	const char *name; /* in the environment, and in every list of settings */
	const char *alias[3];
	const char *key; /* Celery's spelling: the member of struct settings */
	enum conf_type type;
	size_t offset;
	const char *fallback; /* the default, as it would be written */
	double min, max;      /* in the unit of the value, both 0: none */
	const char *choices;  /* of a string: "celery|json" */
	/* Checks and completes a string; NULL: taken as it is. Given. */
	int (*expand)(const char *text, char **ret, struct err *err);
	unsigned flags;
	const char *help;
};

/* Reads `text` into its place under `base`, freeing what was there. `label` names the setting in
 * errors. ERR_INVALID (the old value stays). */
int conf_set(const struct conf_row *row, void *base, const char *text, const char *label,
	     struct err *err) must_check;

/* Appends the value as it would be written; secrets and passwords are hidden, an empty text is
 * nothing. */
void conf_show(const struct conf_row *row, const void *base, struct buf *out);

/* Frees one value. */
void conf_free(const struct conf_row *row, void *base);

/* ---- conf_env.c ---- */
/* The first of a row's names that is set in `env`, or for secrets and URLs the file that <NAME>_FILE
 * names (its last line end is not part of the value); both are ERR_INVALID, as is a file that cannot
 * be read. An empty number or switch is as good as none. ret: given, NULL when there is none; the
 * value may be a secret. */
int conf_env_find(const struct conf_row *row, char *const *env, char **ret_name, char **ret_value,
		  struct err *err) must_check;

/* ---- conf_value.c: numbers with units ---- */
/* "90", "1.5h" … in microseconds; "512m" … in bytes. False when it is none. */
bool conf_parse_duration(const char *text, int64_t *ret);
bool conf_parse_size(const char *text, int64_t *ret);
bool conf_parse_int(const char *text, int64_t *ret);
bool conf_parse_double(const char *text, double *ret);
bool conf_parse_bool(const char *text, bool *ret);
/* The shortest way to write `value` of a row of `type` (CONF_INT, CONF_DURATION, CONF_SIZE,
 * CONF_DOUBLE). */
void conf_show_number(enum conf_type type, double value, struct buf *out);

/* ---- settings.c ---- */
extern const struct conf_row settings_rows[];
extern const size_t settings_row_count;

#endif
