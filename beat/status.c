/*
 * status.c: what beat's pages say: which part it has, and how late messages are.
 */
#include "status.h"

#include <stdio.h>

#include "metrics.h"
#include "pages.h"

#define SETTING "CELERIAC_BEAT_METRICS"

static const char *database(const struct status *s)
{
	return s->table == NULL ? "none" : table_ready(s->table) ? "up" : "away";
}

static void write_page(void *arg, struct buf *out)
{
	struct status *s = arg;
	const struct {
		const char *name, *help;
		unsigned long long value;
	} gauges[] = {
		{"celeriac_beat_leader", "1 for the beat that sends, 0 for one that stands by.",
		 atomic_load(&s->leads)},
		{"celeriac_beat_entries", "Entries of the schedule.", atomic_load(&s->entries)},
		{"celeriac_beat_failing", "Of them, those whose messages cannot be sent.",
		 atomic_load(&s->failing)},
		{"celeriac_ready", "Whether it sends or stands by, and the broker answers.",
		 atomic_load(&s->ready)},
	};

	for (size_t i = 0; i < ARRAY_LEN(gauges); i++)
		metrics_write_one(out, gauges[i].name, "", "gauge", gauges[i].help,
				  gauges[i].value);
	metrics_write(out);
	metrics_write_one(out, "celeriac_build_info", "{version=\"" CELERIAC_VERSION "\"}", "gauge",
			  "Version.", 1);
}

static bool write_readiness(void *arg, struct buf *out)
{
	struct status *s = arg;
	bool ready = atomic_load(&s->ready);

	mutex_lock(&s->lock);
	buf_appendf(out, "broker %s\nrole %s\nleader %s\ndatabase %s\n", ready ? "up" : "away",
		    *s->leader == '\0'	     ? "none yet"
		    : atomic_load(&s->leads) ? "leader"
					     : "standby",
		    *s->leader ? s->leader : "not known", database(s));
	mutex_unlock(&s->lock);
	return ready;
}

int status_open(struct status *s, const char *address, struct err *err)
{
	const struct pages pages = {
		.setting = SETTING, .metrics = write_page, .ready = write_readiness, .arg = s};

	mutex_init(&s->lock);
	return pages_start(address, &pages, &s->pages, err);
}

void status_close(struct status *s)
{
	pages_stop(s->pages);
	mutex_done(&s->lock);
}

void status_role(struct status *s, bool leads, const char *leader)
{
	mutex_lock(&s->lock);
	snprintf(s->leader, sizeof(s->leader), "%s", leader);
	mutex_unlock(&s->lock);
	atomic_store(&s->leads, leads);
}

void status_sent(usec_t slot, usec_t now)
{
	metric_observe(metric_series(METRIC_BEAT_LATE, NULL, NULL), now > slot ? now - slot : 0);
}

int status_check(const struct settings *s, struct err *err)
{
	return pages_check(SETTING, s->beat_metrics, err);
}

int status_ask(const struct settings *s, struct buf *out, struct err *err)
{
	return pages_ask(SETTING, s->beat_metrics, out, err);
}
