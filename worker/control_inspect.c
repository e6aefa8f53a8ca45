/*
 * What `celery inspect` asks: looks, changes nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "info.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "panel.h"
#include "url.h"
#include "worker.h"

int control_ping(unused_arg struct worker *w, unused_arg json_t *const *values, json_t **ret,
		 unused_arg struct err *err)
{
	*ret = panel_ok("pong");
	return 0;
}

int control_clock(struct worker *w, unused_arg json_t *const *values, json_t **ret,
		  unused_arg struct err *err)
{
	*ret = json_pack("{s:I}", "clock", (json_int_t)lamport_value(&w->clock));
	return 0;
}

/* What another worker asks when it starts: whom it must not run. */
int control_hello(struct worker *w, json_t *const *values, json_t **ret, unused_arg struct err *err)
{
	const char *from = json_string_value(values[0]), *id;
	json_t *value;
	size_t i;

	if (from == NULL || strcmp(from, w->settings.worker_hostname) == 0)
		return 0;
	log_info("sync with %s", from);
	json_array_foreach(values[1], i, value)
	{
		if (json_is_string(value))
			revoked_add(&w->revoked, json_string_value(value));
	}
	json_object_foreach(values[1], id, value)
	{
		revoked_add(&w->revoked, id);
	}
	*ret = json_pack("{s:o, s:I}", "revoked", revoked_list(&w->revoked), "clock",
			 (json_int_t)lamport_forward(&w->clock));
	return 0;
}

/* ---- requests ---- */

static json_t *list_requests(struct worker *w, const char *state, bool safe)
{
	size_t count;
	struct info *list = info_collect(w, state, NULL, safe, &count);
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		json_array_append_new(array, info_json(w, &list[i]));
	}
	info_free(list, count);
	return array;
}

int control_active(struct worker *w, json_t *const *values, json_t **ret,
		   unused_arg struct err *err)
{
	*ret = list_requests(w, "active", panel_bool(values[0]));
	return 0;
}

int control_reserved(struct worker *w, unused_arg json_t *const *values, json_t **ret,
		     unused_arg struct err *err)
{
	*ret = list_requests(w, "reserved", false);
	return 0;
}

int control_scheduled(struct worker *w, unused_arg json_t *const *values, json_t **ret,
		      unused_arg struct err *err)
{
	size_t count;
	struct info *list = info_collect(w, "scheduled", NULL, false, &count);

	*ret = json_array();
	for (size_t i = 0; i < count; i++) {
		char eta[CLOCK_ISO_SIZE];

		timezone_iso(w->zone, list[i].eta, eta);
		json_array_append_new(*ret, json_pack("{s:s, s:i, s:o}", "eta", eta, "priority", 6,
						      "request", info_json(w, &list[i])));
	}
	info_free(list, count);
	return 0;
}

int control_query_task(struct worker *w, json_t *const *values, json_t **ret,
		       unused_arg struct err *err)
{
	_cleanup_json_ json_t *ids = json_object();
	json_t *id;
	struct info *list;
	size_t i, count;

	if (json_is_string(values[0]))
		json_object_set_new(ids, json_string_value(values[0]), json_true());
	json_array_foreach(values[0], i, id)
	{
		json_object_set_new(ids, json_string_value(id), json_true());
	}
	*ret = json_object();
	list = info_collect(w, NULL, ids, false, &count);
	for (i = 0; i < count; i++) {
		json_object_set_new(*ret, list[i].id,
				    json_pack("[s, o]", list[i].state, info_json(w, &list[i])));
	}
	info_free(list, count);
	return 0;
}

int control_revoked(struct worker *w, unused_arg json_t *const *values, json_t **ret,
		    unused_arg struct err *err)
{
	*ret = revoked_list(&w->revoked);
	return 0;
}

/* ---- the worker ---- */

static json_t *pool_stats(struct worker *w)
{
	size_t size = pool_size(&w->pool), count;
	_cleanup_free_ int *tids = xcalloc(POOL_MAX, sizeof(*tids));
	json_t *processes = json_array();

	count = pool_tids(&w->pool, tids, POOL_MAX);
	for (size_t i = 0; i < count; i++) {
		json_array_append_new(processes, json_integer(tids[i]));
	}
	return json_pack("{s:s, s:I, s:o, s:i, s:s, s:b, s:[i, i]}", "implementation",
			 "celeriac:threads", "max-concurrency", (json_int_t)size, "processes",
			 processes, "threads", (int)count, "max-tasks-per-child", "N/A",
			 "put-guarded-by-semaphore", 0, "timeouts", 0, 0);
}

/* What may hold a password goes. */
static void drop_secrets(json_t *options)
{
	static const char *const words[] = {"sentinel_kwargs", "pass", "secret", "token",
					    "credential"};
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(options, next, key, value)
	{
		bool secret = false;

		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			secret |= strcasestr(key, words[i]) != NULL;
		if (secret)
			json_object_del(options, key);
		else
			drop_secrets(value);
	}
}

static json_t *broker_stats(const struct worker *w)
{
	struct broker_place at;
	const char *options = w->settings.broker_transport_options;
	json_t *parsed = NULL;
	struct err err;

	if (options == NULL || options[0] == '\0' ||
	    json_load_strict(options, strlen(options), &parsed, &err) < 0)
		parsed = json_object();
	drop_secrets(parsed);
	broker_place(w->broker, &at);
	return json_pack(
		"{s:s, s:s?, s:s, s:i, s:b, s:b, s:s, s:i, s:o, s:s?, s:n, s:f, s:s, s:[], "
		"s:n}",
		"hostname", at.host, "userid", at.user, "virtual_host", at.vhost, "port", at.port,
		"insist", 0, "ssl", at.tls, "transport", at.transport, "connect_timeout", 4,
		"transport_options", parsed, "login_method", at.login_method, "uri_prefix",
		"heartbeat", at.heartbeat, "failover_strategy", "round-robin", "alternates",
		"credential_provider");
}

static double timeval_seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static json_t *rusage(void)
{
	struct rusage u = {0};

	if (getrusage(RUSAGE_SELF, &u) < 0)
		return json_pack("{s:s}", "error", "not available");
	return json_pack("{s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:I}",
			 "utime", timeval_seconds(u.ru_utime), "stime", timeval_seconds(u.ru_stime),
			 "maxrss", (json_int_t)u.ru_maxrss, "ixrss", (json_int_t)u.ru_ixrss,
			 "idrss", (json_int_t)u.ru_idrss, "isrss", (json_int_t)u.ru_isrss, "minflt",
			 (json_int_t)u.ru_minflt, "majflt", (json_int_t)u.ru_majflt, "nswap",
			 (json_int_t)u.ru_nswap, "inblock", (json_int_t)u.ru_inblock, "oublock",
			 (json_int_t)u.ru_oublock, "msgsnd", (json_int_t)u.ru_msgsnd, "msgrcv",
			 (json_int_t)u.ru_msgrcv, "nsignals", (json_int_t)u.ru_nsignals, "nvcsw",
			 (json_int_t)u.ru_nvcsw, "nivcsw", (json_int_t)u.ru_nivcsw);
}

int control_stats(struct worker *w, unused_arg json_t *const *values, json_t **ret,
		  unused_arg struct err *err)
{
	size_t prefetch = atomic_load(&w->prefetch_count);
	_cleanup_free_ char *clock = xasprintf("%lld", (long long)lamport_value(&w->clock));

	*ret = json_pack("{s:o, s:i, s:s, s:I, s:o, s:o, s:I, s:o}", "total",
			 state_totals(&w->state), "pid", (int)getpid(), "clock", clock, "uptime",
			 (json_int_t)((clock_mono() - w->started) / USEC_PER_SEC), "pool",
			 pool_stats(w), "broker", broker_stats(w), "prefetch_count",
			 (json_int_t)(prefetch > INT32_MAX ? 0 : prefetch), "rusage", rusage());
	if (w->autoscaler.on)
		json_object_set_new(*ret, "autoscaler",
				    json_pack("{s:I, s:I, s:I, s:I}", "max",
					      (json_int_t)w->autoscaler.max, "min",
					      (json_int_t)w->autoscaler.min, "current",
					      (json_int_t)pool_size(&w->pool), "qty",
					      (json_int_t)worker_slots_taken(w)));
	return 0;
}

int control_conf(struct worker *w, json_t *const *values, json_t **ret, unused_arg struct err *err)
{
	*ret = settings_conf(&w->settings, panel_bool(values[0]));
	return 0;
}

int control_report(struct worker *w, unused_arg json_t *const *values, json_t **ret,
		   unused_arg struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BOUND_CONTROL_BYTES);
	_cleanup_json_ json_t *conf = settings_conf(&w->settings, false);
	_cleanup_free_ char *results =
		url_safe(w->settings.result_backend ? w->settings.result_backend : "");
	struct utsname u = {0};
	const char *key;
	json_t *value;

	uname(&u);
	buf_appendf(&text,
		    "\nsoftware -> celeriac:%s\nplatform -> system:%s arch:%s\n            kernel "
		    "version:%s imp:C\nsettings -> transport:redis results:%s\n\n",
		    CELERIAC_VERSION, u.sysname, u.machine, u.release,
		    results[0] != '\0' ? results : "disabled");
	json_object_foreach(conf, key, value)
	{
		buf_appendf(&text, "%s: ", key);
		json_repr(value, BOUND_REPR_BYTES, &text);
		buf_append_char(&text, '\n');
	}
	*ret = panel_ok("%s", text.data);
	return 0;
}

/* Resident memory, as celery.utils.debug shows it. */
int control_memsample(unused_arg struct worker *w, unused_arg json_t *const *values, json_t **ret,
		      unused_arg struct err *err)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	char text[32];

	if (f != NULL && fscanf(f, "%ld %ld", &pages, &resident) == 2) {
		snprintf(text, sizeof(text), "%.1fMB",
			 (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576.0);
		*ret = json_string(text);
	}
	if (f != NULL)
		fclose(f);
	return 0;
}

int control_unsupported(unused_arg struct worker *w, unused_arg json_t *const *values,
			unused_arg json_t **ret, struct err *err)
{
	return panel_raise(err, "NotImplementedError",
			   "not supported: there are no Python objects "
			   "here");
}

/* ---- tasks ---- */

static bool asks_for(const json_t *items, const char *item)
{
	size_t i;
	json_t *value;

	if (!json_is_array(items) || json_array_size(items) == 0)
		return true;
	json_array_foreach((json_t *)(uintptr_t)items, i, value)
	{
		if (json_is_string(value) && strcmp(json_string_value(value), item) == 0)
			return true;
	}
	return false;
}

static void add_task(struct worker *w, const struct task *t, const char *name, const json_t *items,
		     json_t *list)
{
	_cleanup_free_ char *rate = limits_rate_text(&w->limits, t->name);
	_cleanup_free_ char *text = rate[0] != '\0' && asks_for(items, "rate_limit")
					    ? xasprintf("%s [rate_limit=%s]", name, rate)
					    : xstrdup(name);

	json_array_append_new(list, json_text(text, strlen(text), false));
}

static int by_name(const void *a, const void *b)
{
	const json_t *const *x = a, *const *y = b;

	return strcmp(json_string_value(*x), json_string_value(*y));
}

/* Given: the same strings in order. */
static json_t *sorted(const json_t *list)
{
	size_t count = json_array_size(list);
	_cleanup_free_ json_t **items = xcalloc(count + 1, sizeof(json_t *));
	json_t *out = json_array();

	for (size_t i = 0; i < count; i++) {
		items[i] = json_array_get(list, i);
	}
	qsort(items, count, sizeof(json_t *), by_name);
	for (size_t i = 0; i < count; i++) {
		json_array_append(out, items[i]);
	}
	return out;
}

int control_registered(struct worker *w, json_t *const *values, json_t **ret,
		       unused_arg struct err *err)
{
	_cleanup_json_ json_t *list = json_array();
	const char *p = w->settings.task_aliases ? w->settings.task_aliases : "";

	for (const struct task *t = registry_next(&w->registry, NULL); t != NULL;
	     t = registry_next(&w->registry, t)) {
		bool hidden = strncmp(t->name, "celery.", 7) == 0 && !panel_bool(values[1]);

		if (!hidden && worker_find_task(w, t->name) == t)
			add_task(w, t, t->name, values[0], list);
	}
	while (*p != '\0') {
		size_t len = strcspn(p, ",");
		_cleanup_free_ char *item = xstrndup(p + strspn(p, " "), len - strspn(p, " "));
		const struct task *t;

		item[strcspn(item, "=")] = '\0';
		t = worker_find_task(w, item);
		if (t != NULL)
			add_task(w, t, item, values[0], list);
		p += len + (p[len] == ',');
	}
	*ret = sorted(list);
	return 0;
}
