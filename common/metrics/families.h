/*
 * families.h: what there is to count. Private to common/metrics/.
 */
#ifndef CELERIAC_FAMILIES_H
#define CELERIAC_FAMILIES_H

#include "metrics.h"

#define METRIC_LABELS  2
#define METRIC_BUCKETS 15

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_family {
	const char *name; /* a histogram's is in seconds */
	enum metric_type type;
	const char *labels[METRIC_LABELS]; /* names; NULL = none */
	const char *help;
};

extern const struct metric_family metric_families[METRICS];
/* Upper bounds, rising; +Inf follows. */
extern const usec_t metric_buckets[METRIC_BUCKETS];

#endif
