/*
 * metrics.c: the series of each family, and their page.
 */
#include "metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <uthash.h>

#include "families.h"
#include "mem.h"

struct metric_series {
	UT_hash_handle hh;
	atomic_uint_fast64_t count;
	atomic_uint_fast64_t sum;		/* microseconds, of a histogram */
	atomic_uint_fast64_t *buckets;		/* of a histogram: not yet added up */
	char *labels;				/* as they are written, without braces */
	char key[METRIC_LABELS * METRIC_LABEL]; /* values with a NUL after each */
};

/* Series are never freed, so that whoever holds one needs no lock. */
static struct {
	pthread_rwlock_t lock;
	struct metric_series *series[METRICS];
} g_registry = {.lock = PTHREAD_RWLOCK_INITIALIZER};

static size_t make_key(const struct metric_family *f, const char *const values[METRIC_LABELS],
		       char key[METRIC_LABELS * METRIC_LABEL])
{
	size_t len = 0;

	for (size_t i = 0; i < METRIC_LABELS && f->labels[i]; i++) {
		const char *value = values[i] ? values[i] : "";
		size_t n = strnlen(value, METRIC_LABEL - 1);

		memcpy(key + len, value, n);
		key[len + n] = '\0';
		len += n + 1;
	}
	return len;
}

/* "a\"b" as Prometheus quotes it; other control characters have no business in a label. */
static void append_quoted(struct buf *out, const char *value)
{
	buf_append_str(out, "\"");
	for (; *value; value++) {
		char c = *value;

		if (c == '\\' || c == '"')
			buf_appendf(out, "\\%c", c);
		else
			buf_append(out, (unsigned char)c < ' ' || c == 0x7f ? "?" : &c, 1);
	}
	buf_append_str(out, "\"");
}

static char *write_labels(const struct metric_family *f, const char *key)
{
	_cleanup_buf_ struct buf out = BUF_INIT(4 * METRIC_LABELS * METRIC_LABEL);

	for (size_t i = 0; i < METRIC_LABELS && f->labels[i]; i++) {
		buf_appendf(&out, "%s%s=", i > 0 ? "," : "", f->labels[i]);
		append_quoted(&out, key);
		key += strlen(key) + 1;
	}
	return xstrdup(out.data ? out.data : "");
}

static struct metric_series *look_up(enum metric m, const char *key, size_t len)
{
	struct metric_series *s = NULL;

	HASH_FIND(hh, g_registry.series[m], key, len, s);
	return s;
}

static struct metric_series *add(enum metric m, const char *key, size_t len)
{
	const struct metric_family *f = &metric_families[m];
	struct metric_series *s = xcalloc(1, sizeof(*s));

	memcpy(s->key, key, len);
	s->labels = write_labels(f, s->key);
	if (f->type == METRIC_HISTOGRAM)
		s->buckets = xcalloc(METRIC_BUCKETS, sizeof(*s->buckets));
	HASH_ADD(hh, g_registry.series[m], key, len, s);
	return s;
}

/* The last of each that this thread asked for. */
static _Thread_local struct metric_series *t_last[METRICS];

static bool has_key(const struct metric_series *s, const char *key, size_t len)
{
	return s != NULL && s->hh.keylen == len && memcmp(s->key, key, len) == 0;
}

struct metric_series *metric_series(enum metric m, const char *first, const char *second)
{
	static const char *const other[METRIC_LABELS] = {"other", "other"};
	const char *const values[METRIC_LABELS] = {first, second};
	char key[METRIC_LABELS * METRIC_LABEL];
	size_t len = make_key(&metric_families[m], values, key);
	struct metric_series *s = t_last[m];

	if (has_key(s, key, len))
		return s;
	pthread_rwlock_rdlock(&g_registry.lock);
	s = look_up(m, key, len);
	pthread_rwlock_unlock(&g_registry.lock);
	if (s) {
		t_last[m] = s;
		return s;
	}
	pthread_rwlock_wrlock(&g_registry.lock);
	s = look_up(m, key, len);
	if (!s && HASH_COUNT(g_registry.series[m]) >= METRIC_SERIES - 1) {
		len = make_key(&metric_families[m], other, key);
		s = look_up(m, key, len);
	}
	if (!s)
		s = add(m, key, len);
	pthread_rwlock_unlock(&g_registry.lock);
	return s;
}

void metric_add(struct metric_series *s, uint64_t n)
{
	atomic_fetch_add_explicit(&s->count, n, memory_order_relaxed);
}

void metric_set(struct metric_series *s, uint64_t value)
{
	atomic_store_explicit(&s->count, value, memory_order_relaxed);
}

void metric_observe(struct metric_series *s, usec_t took)
{
	size_t i = 0;

	while (i < METRIC_BUCKETS && took > metric_buckets[i])
		i++;
	if (i < METRIC_BUCKETS)
		atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->sum, took > 0 ? (uint64_t)took : 0, memory_order_relaxed);
	metric_add(s, 1);
}

/* ---- the page ---- */
static void write_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_appendf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The count is read last: a bucket is never above it. */
static void write_histogram(struct buf *out, const char *name, struct metric_series *s)
{
	const char *comma = s->labels[0] ? "," : "";
	const char *open = s->labels[0] ? "{" : "", *close = s->labels[0] ? "}" : "";
	uint64_t below = 0, sum = atomic_load(&s->sum);

	for (size_t i = 0; i < METRIC_BUCKETS; i++) {
		below += atomic_load(&s->buckets[i]);
		buf_appendf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, s->labels, comma,
			    (double)metric_buckets[i] / (double)USEC_PER_SEC,
			    (unsigned long long)below);
	}
	uint64_t count = atomic_load(&s->count);
	if (count < below)
		count = below;
	buf_appendf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, s->labels, comma,
		    (unsigned long long)count);
	buf_appendf(out, "%s_sum%s%s%s %.6f\n%s_count%s%s%s %llu\n", name, open, s->labels, close,
		    (double)sum / (double)USEC_PER_SEC, name, open, s->labels, close,
		    (unsigned long long)count);
}

void metrics_write(struct buf *out)
{
	for (size_t m = 0; m < METRICS; m++) {
		const struct metric_family *f = &metric_families[m];
		static const char *const types[] = {[METRIC_COUNTER] = "counter",
						    [METRIC_GAUGE] = "gauge",
						    [METRIC_HISTOGRAM] = "histogram"};
		bool histogram = f->type == METRIC_HISTOGRAM;
		struct metric_series *s, *next;

		pthread_rwlock_rdlock(&g_registry.lock);
		if (g_registry.series[m])
			write_head(out, f->name, types[f->type], f->help);
		HASH_ITER(hh, g_registry.series[m], s, next)
		{
			if (histogram)
				write_histogram(out, f->name, s);
			else
				buf_appendf(out, "%s%s%s%s %llu\n", f->name,
					    s->labels[0] ? "{" : "", s->labels,
					    s->labels[0] ? "}" : "",
					    (unsigned long long)atomic_load(&s->count));
		}
		pthread_rwlock_unlock(&g_registry.lock);
	}
}

void metrics_write_one(struct buf *out, const char *name, const char *labels, const char *type,
		       const char *help, unsigned long long value)
{
	write_head(out, name, type, help);
	buf_appendf(out, "%s%s %llu\n", name, labels, value);
}
