/*
 * What a call may have: the settings, narrowed by what sandbox_settings say of its tool.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "json.h"
#include "mem.h"
#include "sandbox_internal.h"

#define MIN_MEMORY (16LL << 20)
#define MIN_WORK   (1LL << 20)
#define MIN_OUTPUT 1024
#define MIN_PIDS   8
#define MIN_CPUS   0.01
#define MIN_TIME   (100 * USEC_PER_MSEC)
#define WHOLE	   9e15 /* beyond, every double is a whole number */

void sandbox_terms_init(const struct settings *s, bool network, struct sandbox_terms *ret)
{
	*ret = (struct sandbox_terms){
		.network = network,
		.memory = s->sandbox_memory,
		.pids = s->sandbox_pids,
		.work_size = s->sandbox_work_size,
		.output_limit = s->sandbox_output_limit,
		.files_max = s->sandbox_files_max,
		.file_size = s->sandbox_file_size,
		.files_size = s->sandbox_files_size,
		.cpus = s->sandbox_cpus,
		.timeout = s->sandbox_timeout,
		.max_timeout = s->sandbox_max_timeout,
	};
}

void sandbox_terms_done(struct sandbox_terms *t)
{
	engine_mounts_free(t->mounts, t->mount_count);
	t->mounts = NULL;
	t->mount_count = 0;
}

/* ---- limits ---- */
enum unit { COUNT, BYTES, SPAN, SHARE };

/* In the unit: a number, or a text with a unit of its own. */
static bool read_value(const json_t *value, enum unit unit, double *ret)
{
	const char *text = json_string_value(value);
	int64_t n = 0;

	if (json_is_number(value)) {
		*ret = json_number_value(value) * (unit == SPAN ? (double)USEC_PER_SEC : 1);
		return isfinite(*ret) && (unit == SHARE || unit == SPAN || fabs(*ret) > WHOLE ||
					  *ret == (double)(int64_t)*ret);
	}
	if (text == NULL || !(unit == BYTES  ? settings_read_size(text, &n)
			      : unit == SPAN ? settings_read_duration(text, &n)
					     : false))
		return false;
	*ret = (double)n;
	return true;
}

struct member {
	const char *name, *setting;
	enum unit unit;
	double min, max;
	int64_t *whole; /* where it goes, or */
	double *share;
};

static int read_member(const struct member *m, const json_t *value, struct err *err)
{
	double v = 0;

	if (!read_value(value, m->unit, &v))
		return err_set(err, ERR_INVALID, "limits.%s: not a %s", m->name,
			       m->unit == BYTES	  ? "size"
			       : m->unit == SPAN  ? "time"
			       : m->unit == SHARE ? "number"
						  : "whole number");
	if (v > m->max)
		return err_set(err, ERR_INVALID, "limits.%s: above %s", m->name, m->setting);
	if (!(v >= m->min))
		return err_set(err, ERR_INVALID, "limits.%s: too little", m->name);
	if (m->whole)
		*m->whole = (int64_t)v;
	else
		*m->share = v;
	return 0;
}

int sandbox_terms_limit(struct sandbox_terms *t, const struct settings *s, const json_t *limits,
			struct err *err)
{
	const struct member members[] = {
		{"memory", "SANDBOX_MEMORY", BYTES, MIN_MEMORY, (double)s->sandbox_memory,
		 &t->memory, NULL},
		{"cpus", "SANDBOX_CPUS", SHARE, MIN_CPUS, s->sandbox_cpus, NULL, &t->cpus},
		{"pids", "SANDBOX_PIDS", COUNT, MIN_PIDS, (double)s->sandbox_pids, &t->pids, NULL},
		{"work_size", "SANDBOX_WORK_SIZE", BYTES, MIN_WORK, (double)s->sandbox_work_size,
		 &t->work_size, NULL},
		{"timeout", "SANDBOX_MAX_TIMEOUT", SPAN, MIN_TIME, (double)s->sandbox_max_timeout,
		 &t->timeout, NULL},
		{"output_limit", "SANDBOX_OUTPUT_LIMIT", BYTES, MIN_OUTPUT,
		 (double)s->sandbox_output_limit, &t->output_limit, NULL},
		{"files_max", "SANDBOX_FILES_MAX", COUNT, 0, (double)s->sandbox_files_max,
		 &t->files_max, NULL},
		{"file_size", "SANDBOX_FILE_SIZE", BYTES, 1, (double)s->sandbox_file_size,
		 &t->file_size, NULL},
		{"files_size", "SANDBOX_FILES_SIZE", BYTES, 1, (double)s->sandbox_files_size,
		 &t->files_size, NULL},
	};
	const char *name;
	json_t *value;

	if (limits && !json_is_object(limits))
		return err_set(err, ERR_INVALID, "limits: not an object");
	json_object_foreach((json_t *)(uintptr_t)limits, name, value)
	{
		size_t i = 0;
		int rc;

		while (i < ARRAY_LEN(members) && strcmp(members[i].name, name) != 0)
			i++;
		if (i == ARRAY_LEN(members))
			return err_set(err, ERR_INVALID, "limits: there is no '%.60s'", name);
		rc = read_member(&members[i], value, err);
		if (rc < 0)
			return rc;
		if (members[i].whole == &t->timeout)
			t->max_timeout = t->timeout;
	}
	return 0;
}

/* ---- mounts ---- */
static int by_path(const void *a, const void *b)
{
	const struct engine_mount *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static int check_beside(const struct sandbox_terms *t, const struct engine_mount *m,
			struct err *err)
{
	for (size_t i = 0; i < t->mount_count; i++)
		if (engine_paths_overlap(m->path, t->mounts[i].path))
			return err_set(err, ERR_INVALID,
				       "%.200s comes twice, or with what is in it", m->path);
	return t->mount_count < ENGINE_MOUNTS
		       ? 0
		       : err_set(err, ERR_TOOBIG, "more than %d mounts", ENGINE_MOUNTS);
}

int sandbox_terms_mount(struct sandbox_terms *t, struct sandbox *s, const char *text,
			struct err *err)
{
	struct engine_mount m;
	int rc = engine_mount_parse(text, &m, err);

	if (rc < 0)
		return rc;
	rc = engine_check_mount(s->engine, &m, err);
	if (rc == 0)
		rc = check_beside(t, &m, err);
	if (rc < 0) {
		free(m.path);
		return rc;
	}
	t->mounts = xrealloc(t->mounts, (t->mount_count + 1) * sizeof(*t->mounts));
	t->mounts[t->mount_count++] = m;
	qsort(t->mounts, t->mount_count, sizeof(*t->mounts), by_path);
	return 0;
}

/* ---- what a container was made on ---- */
const char *sandbox_terms_network(const struct settings *s, const struct sandbox_terms *t)
{
	bool named = strcmp(s->sandbox_network, "none") != 0 &&
		     strcmp(s->sandbox_network, "egress") != 0;

	return named && t->network ? s->sandbox_network : NULL;
}

void sandbox_terms_digest(const struct settings *s, const struct sandbox_terms *t,
			  char out[SHA256_HEX_SIZE])
{
	const char *network = sandbox_terms_network(s, t);
	_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);

	buf_appendf(&text, "%s\n%s\n%s\n%lld %lld %lld %.6f\n", s->sandbox_image,
		    s->sandbox_runtime ? s->sandbox_runtime : "", network ? network : "",
		    (long long)t->memory, (long long)t->pids, (long long)t->work_size, t->cpus);
	for (size_t i = 0; i < t->mount_count; i++)
		buf_appendf(&text, "%s:%s\n", t->mounts[i].path,
			    t->mounts[i].writable ? "rw" : "ro");
	if (text.failed) /* its digest would be that of any others */
		BUG("no memory for the terms of a sandbox");
	sha256_hex(text.data, text.len, out);
}
