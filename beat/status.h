/*
 * status.h: what others may see of a beat: /metrics, /healthz and /readyz on
 * CELERIAC_BEAT_METRICS. Written by beat's thread, read by the listener's.
 */
#ifndef CELERIAC_BEAT_STATUS_H
#define CELERIAC_BEAT_STATUS_H

#include <stdatomic.h>

#include "beat.h"
#include "table.h"
#include "thread.h"

struct status {
	struct page_server *pages;
	const struct table *table; /* borrowed, or NULL; set before status_open */
	atomic_bool leads, ready;
	atomic_size_t entries, failing;
	struct mutex lock;
	char leader[LEASE_HOLDER]; /* guarded by lock; "" = not known yet */
};
/* Listens, unless `address` is empty. [init] */
int status_open(struct status *s, const char *address, struct err *err) must_check;
void status_close(struct status *s);
void status_role(struct status *s, bool leads, const char *leader);
/* One more message that was due at `slot` is on its queue (both wall). */
void status_sent(usec_t slot, usec_t now);

/* The address of the settings; nothing is bound. */
int status_check(const struct settings *s, struct err *err) must_check;
/* Asks the beat of these settings whether it is ready, as pages_ask. */
int status_ask(const struct settings *s, struct buf *out, struct err *err) must_check;

#endif
