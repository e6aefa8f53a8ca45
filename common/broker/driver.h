/*
 * driver.h: what a kind of broker does of its own; contracts are those of broker.h, name by name.
 * What is not here is the same for all: the table of queues, bindings, builders of steps.
 */
#ifndef CELERIAC_BROKER_DRIVER_H
#define CELERIAC_BROKER_DRIVER_H

#include "broker.h"

struct broker_driver {
	/* URLs that are its own. Pure. */
	bool (*takes)(const char *url);
	/* Addresses and links; `b` has its options, queue definitions and queues. */
	int (*open)(struct broker *b, const struct settings *s, struct err *err);
	void (*close)(struct broker *b, usec_t deadline);
	void (*place)(const struct broker *b, struct broker_place *ret);
	const char *(*where)(const struct broker *b);
	bool (*ready)(const struct broker *b);
	int (*connect)(struct broker *b, const struct presence *p, struct err *err);
	int (*claim)(struct broker *b, size_t max, struct delivery *ret, size_t *ret_count,
		     struct err *err);
	/* May be NULL, both: messages come without being asked for. */
	int (*claim_ahead)(struct broker *b, size_t max, struct err *err);
	int (*claim_answer)(struct broker *b, struct delivery *ret, size_t *ret_count,
			    struct err *err);
	void (*received)(struct broker *b, const char *mark);
	void (*full)(struct broker *b);		/* may be NULL … */
	void (*end)(struct broker *b);		/* … likewise: broker_end_claims */
	bool (*is_dry)(const struct broker *b); /* may be NULL: it is asked again */
	int (*wait)(struct broker *b, int wake_fd, usec_t deadline, struct err *err);
	int (*purge)(struct broker *b, int64_t *ret_erased, struct err *err);
	void (*interrupt)(struct broker *b);
	int (*route_begin)(struct broker *b, const struct presence *p, struct err *err);
	void (*route_reach)(struct broker *b, const char *engine, bool reached);
	int (*route)(struct broker *b, struct broker_call *calls, size_t count, usec_t deadline,
		     enum broker_turn *ret_turn, struct err *err);
	int (*route_return)(struct broker *b, const struct broker_call *calls, size_t count,
			    bool leaves, usec_t deadline, bool *ret_done, struct err *err);
	void (*route_pass)(struct broker *b);
	void (*route_drain)(struct broker *b, bool draining);
	int (*route_leave)(struct broker *b, const char *const *busy, size_t count, usec_t deadline,
			   int64_t *ret_moved, struct err *err);
	void (*step_push)(const struct broker *b, struct settle_steps *s, const char *queue,
			  int priority, char *envelope, size_t len);
	void (*step_route)(const struct broker *b, struct settle_steps *s, const char *exchange,
			   const char *routing_key, int priority, char *envelope, size_t len);
	void (*step_once)(const struct broker *b, struct settle_steps *s, const char *what);
	void (*settle)(struct broker *b, const struct settlement *s,
		       void (*done)(void *arg, const struct err *err), void *arg);
	int (*begin)(struct broker *b, const char *tag, const char *id, usec_t deadline,
		     int64_t *ret, struct err *err);
	void (*step_begun)(const struct broker *b, struct settle_steps *s, const char *id,
			   const char *tag);
	int (*perform)(struct broker *b, struct settle_steps *steps, usec_t deadline,
		       struct err *err);
	int (*publish)(struct broker *b, const char *queue, int priority, const char *envelope,
		       size_t len, usec_t deadline, struct err *err);
	bool (*holds)(struct broker *b, const struct delivery_ref *ref);
	int (*delay)(struct broker *b, const struct delivery_ref *ref, usec_t due, struct err *err);
	void (*renew)(struct broker *b, const struct delivery_ref *refs, size_t count,
		      void (*done)(void *arg), void *arg);
	usec_t (*renew_interval)(const struct broker *b);
	int (*find_unacked)(struct broker *b, const char *group_id, const struct str_list *accept,
			    struct message **ret, struct err *err);
	int (*restore_dead)(struct broker *b, const struct presence *p, bool own_only,
			    int64_t *ret_restored, struct err *err);
	int (*restore_stale)(struct broker *b, const struct presence *p, bool foreign_only,
			     int64_t *ret_restored, struct err *err);
	int (*trim_dead)(struct broker *b, int64_t most, int64_t *ret_dropped, int64_t *ret_left,
			 struct err *err);
	int (*restore_lost)(struct broker *b, const struct presence *p, uint64_t *held,
			    size_t count, int64_t *ret_restored, struct err *err);
	int (*fetch)(struct broker *b, const struct delivery_ref *refs, size_t count,
		     usec_t deadline, struct delivery *ret, struct err *err);
	int (*give_back)(struct broker *b, const struct delivery_ref *refs, size_t count,
			 usec_t deadline, struct err *err);
};

extern const struct broker_driver broker_driver_redis, broker_driver_amqp;

#endif
