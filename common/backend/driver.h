/*
 * driver.h: a kind of result backend, as backend.c calls it. Which one is chosen by the scheme of
 * result_backend; results look the same in all of them, only where they are kept differs.
 */
#ifndef CELERIAC_BACKEND_DRIVER_H
#define CELERIAC_BACKEND_DRIVER_H

#include "backend.h"
#include "timezone.h"

enum backend_cap { BACKEND_COUNTS_CHORDS = 1u << 0, BACKEND_POLLED = 1u << 1 };
enum backend_store_when { STORE_UNLESS_SUCCESS, STORE_UNLESS_BEGUN };

struct backend_driver {
	enum backend_kind kind;
	const char *const *schemes; /* with what follows them: "redis://", "db+"; up to NULL */
	unsigned caps;		    /* of enum backend_cap */
	/* What only this kind cannot do; no server is asked. NULL: it can all. */
	int (*check)(const struct backend *b, const struct settings *s, struct err *err);
	/* Makes b->own. */
	int (*open)(struct backend *b, const struct settings *s, const struct backend_links *links,
		    struct err *err);
	/* Frees b->own, which may be NULL. */
	void (*close)(struct backend *b, usec_t deadline);
	bool (*ready)(const struct backend *b);
	/* As in backend.h. */
	int (*encode)(const struct backend *b, const struct task_meta *m, struct backend_write *ret,
		      struct err *err);
	void (*store)(struct backend *b, enum backend_store_when when, struct backend_write *w,
		      void (*done)(void *arg, const struct err *err), void *arg);
	int (*get_many)(struct backend *b, const char *const *task_ids, size_t count,
			usec_t deadline, json_t **ret, struct err *err);
	int (*cleanup)(struct backend *b, struct err *err); /* NULL: results expire by themselves */
};

struct backend {
	const struct backend_driver *driver;
	void *own; /* the driver's */
	bool extended;
	int64_t ttl;			  /* seconds, 0 = for ever */
	const char *serializer;		  /* json, yaml, msgpack; of the settings */
	const char *compression;	  /* MIME type, or NULL */
	const struct str_list *accept;	  /* what is read: result_accept_content; of the settings */
	const struct timezone_info *zone; /* of date_done; NULL = UTC */
};

extern const struct backend_driver backend_redis, backend_database, backend_rpc;

/* ---- meta.c ---- */
/* A meta as Celery's backends build it. Given. */
json_t *backend_meta(const struct backend *b, const struct task_meta *m);
/* SUCCESS, FAILURE, REVOKED. */
bool backend_is_ready_state(const char *state);
/* Values as the backend holds them: serialized, then compressed. */
int backend_pack(const struct backend *b, const json_t *value, char **ret, size_t *ret_len,
		 struct err *err) must_check;
/* A meta likewise. */
int backend_pack_meta(const struct backend *b, const struct task_meta *m, char **ret,
		      size_t *ret_len, struct err *err) must_check;
int backend_unpack(const struct backend *b, struct slice text, json_t **ret,
		   struct err *err) must_check;

#endif
