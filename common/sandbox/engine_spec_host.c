/*
 * engine_spec_host.c: the part of a container's body that says what the host grants it. See
 * engine_spec.c.
 */
#include "engine_internal.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_NOFILE	  1024
#define DEFAULT_FILE_SIZE (1LL << 30)
#define DEFAULT_SHM_SIZE  (1LL << 20)
#define DEFAULT_INODES	  65536
#define DEFAULT_MODE	  0700u
#define MEMLOCK_BYTES	  65536
/* Processes of the user, who is the same in all sandboxes of the host: not what bounds one. */
#define NPROC_OF_ALL 32768
#define MIN_MEMORY   (6LL << 20) /* Docker's own */
#define MAX_BYTES    (1LL << 46)
#define MAX_PIDS     (1LL << 20)
#define MAX_NOFILE   (1LL << 20)
#define MAX_CPUS     1024.0
#define MAX_TMPFS    16u

/* `value`, or `otherwise` where it is 0; -1 (unlimited, to an engine) and nonsense are refused by
 * name. */
static int64_t number(int64_t value, int64_t otherwise, int64_t min, int64_t max, const char *field,
		      struct err *err)
{
	if (value == 0)
		value = otherwise;
	if (value < min || value > max)
		return err_set(err, ERR_INVALID,
			       "%s: %" PRId64 " is not between %" PRId64 " and %" PRId64, field,
			       value, min, max);
	return value;
}

bool engine_is_path(const char *path)
{
	if (path[0] != '/' || strlen(path) > 255 || strpbrk(path, ",:\\\"\n"))
		return false;
	if (!path[1])
		return true;
	for (const char *p = path; *p;) {
		size_t n = strcspn(++p, "/");
		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
	}
	return true;
}

bool engine_is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

bool engine_is_kernel_path(const char *path)
{
	return engine_is_below(path, "/proc") || engine_is_below(path, "/sys") ||
	       engine_is_below(path, "/dev");
}

static void add_ulimit(json_t *list, const char *name, int64_t value)
{
	json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "Name", name, "Soft",
					      (json_int_t)value, "Hard", (json_int_t)value));
}

static int set_limits(json_t *host, const struct engine_spec *spec, unsigned traits,
		      struct err *err)
{
	int64_t memory, pids, nofile, file_size, shm;
	double cpus = spec->cpus == 0 ? 1 : spec->cpus;

	if ((memory = number(spec->memory, ENGINE_DEFAULT_MEMORY, MIN_MEMORY, MAX_BYTES, "memory",
			     err)) < 0)
		return (int)memory;
	if ((pids = number(spec->pids, ENGINE_DEFAULT_PIDS, 1, MAX_PIDS, "pids", err)) < 0)
		return (int)pids;
	if ((nofile = number(spec->nofile, DEFAULT_NOFILE, 16, MAX_NOFILE, "nofile", err)) < 0)
		return (int)nofile;
	if ((file_size = number(spec->file_size, DEFAULT_FILE_SIZE, 1, MAX_BYTES, "file_size",
				err)) < 0)
		return (int)file_size;
	if ((shm = number(spec->shm_size, DEFAULT_SHM_SIZE, 4096, MAX_BYTES, "shm_size", err)) < 0)
		return (int)shm;
	if (!(cpus >= 0.01 && cpus <= MAX_CPUS))
		return err_set(err, ERR_INVALID, "cpus: not between 0.01 and %.0f", MAX_CPUS);

	json_object_set_new(host, "Memory", json_integer(memory));
	json_object_set_new(host, "MemorySwap", json_integer(memory)); /* in all: no swap */
	json_object_set_new(host, "NanoCpus", json_integer((json_int_t)(cpus * 1e9 + 0.5)));
	json_object_set_new(host, "PidsLimit", json_integer(pids));
	json_object_set_new(host, "ShmSize", json_integer(shm));
	json_t *ulimits = json_array();
	add_ulimit(ulimits, "nofile", nofile);
	add_ulimit(ulimits, "core", 0);
	add_ulimit(ulimits, "fsize", file_size);
	add_ulimit(ulimits, "memlock", MEMLOCK_BYTES);
	if (traits & ENGINE_RAISES_NPROC)
		add_ulimit(ulimits, "nproc", NPROC_OF_ALL);
	json_object_set_new(host, "Ulimits", ulimits);
	return 0;
}

/* What a tmpfs is mounted with, in words that the engine knows. "exec" must be said: engines add
 * noexec of their own. */
static void write_options(const struct engine_tmpfs *t, const struct engine_spec *spec,
			  unsigned traits, int64_t inodes, struct buf *out)
{
	buf_appendf(out, "rw,nosuid,nodev,%s,size=%" PRId64, t->exec ? "exec" : "noexec", t->size);
	if (!(traits & ENGINE_NO_INODES))
		buf_appendf(out, ",nr_inodes=%" PRId64, inodes);
	buf_appendf(out, ",mode=%04o", t->mode ? t->mode : DEFAULT_MODE);
	if (traits & ENGINE_TMPFS_BY_USER)
		buf_append_str(out, ",notmpcopyup,U");
	else
		buf_appendf(out, ",uid=%u,gid=%u", spec->uid ? spec->uid : ENGINE_DEFAULT_UID,
			    spec->gid ? spec->gid : ENGINE_DEFAULT_UID);
}

static int set_one_tmpfs(json_t *tmpfs, const struct engine_spec *spec,
			 const struct engine_tmpfs *t, unsigned traits, struct err *err)
{
	_cleanup_buf_ struct buf options = BUF_INIT(256);
	int64_t inodes = number(t->inodes, DEFAULT_INODES, 1, 1LL << 30, "tmpfs inodes", err);

	if (inodes < 0)
		return (int)inodes;
	if (!t->path || !engine_is_path(t->path) || !t->path[1] || engine_is_kernel_path(t->path) ||
	    engine_is_below(t->path, ENGINE_AGENT_DIR) ||
	    (spec->package_volume && engine_is_below(t->path, ENGINE_PACKAGE_DIR)) ||
	    json_object_get(tmpfs, t->path))
		return err_set(err, ERR_INVALID, "tmpfs: path '%.100s'", t->path ? t->path : "");
	if (t->size < 4096 || t->size > MAX_BYTES)
		return err_set(err, ERR_INVALID, "tmpfs: size %" PRId64, t->size);
	if (t->mode & ~01777u)
		return err_set(err, ERR_INVALID, "tmpfs: mode %o", t->mode);
	write_options(t, spec, traits, inodes, &options);
	json_t *text = json_string(options.data);
	if (json_object_set_new(tmpfs, t->path, text) != 0)
		return err_set(err, ERR_INVALID, "tmpfs: path is not UTF-8");
	return 0;
}

/* An empty read-only directory, so that there is no place to write. */
static void add_empty(json_t *mounts, json_t *path)
{
	json_array_append_new(mounts, json_pack("{s:s, s:o, s:b, s:{s:i, s:i}}", "Type", "tmpfs",
						"Target", path, "ReadOnly", 1, "TmpfsOptions",
						"SizeBytes", 4096, "Mode", 0555));
}

static bool is_mounted(const json_t *mounts, const char *path)
{
	for (size_t i = 0; i < json_array_size(mounts); i++) {
		const char *target = json_member_str(json_array_get(mounts, i), "Target");
		if (target && strcmp(target, path) == 0)
			return true;
	}
	return false;
}

/* An engine would make a volume there, writable and without a bound, on the host's disk; and it
 * makes none read-only that has no name. So there is an empty directory. */
static int set_image_volumes(json_t *tmpfs, json_t *mounts, const struct engine_spec *spec,
			     struct err *err)
{
	size_t count = 0;
	const char *covered;
	json_t *ignored;

	for (const char *const *v = spec->image_volumes; v && *v; v++) {
		if (json_object_get(tmpfs, *v) || is_mounted(mounts, *v))
			continue;
		if (!engine_is_path(*v) || !(*v)[1] || engine_is_kernel_path(*v) ||
		    engine_is_below(*v, ENGINE_AGENT_DIR) ||
		    (spec->package_volume && engine_is_below(*v, ENGINE_PACKAGE_DIR)) ||
		    ++count > ENGINE_IMAGE_VOLUMES)
			return err_set(err, ERR_INVALID, "image's VOLUME '%.100s'", *v);
		for (size_t i = 0; i < spec->mount_count; i++)
			if (engine_paths_overlap(*v, spec->mounts[i].path))
				return err_set(err, ERR_INVALID,
					       "image's VOLUME '%.100s': in one of the mounts, or "
					       "around it",
					       *v);
		json_object_foreach(tmpfs, covered, ignored)
		{
			if (engine_is_below(*v, covered))
				return err_set(
					err, ERR_INVALID,
					"image's VOLUME '%.100s': below %s, which is writable", *v,
					covered);
		}
		json_t *path = json_string(*v);
		if (path == NULL)
			return err_set(err, ERR_INVALID, "image's VOLUME is not UTF-8");
		add_empty(mounts, path);
	}
	return 0;
}

/* What the engine would add, writable and without a bound. */
static void set_added(json_t *tmpfs, json_t *mounts)
{
	static const char *const added[] = {"/run", "/tmp", "/var/tmp"};

	for (size_t i = 0; i < ARRAY_LEN(added); i++)
		if (!json_object_get(tmpfs, added[i]) && !is_mounted(mounts, added[i]))
			add_empty(mounts, json_string(added[i]));
}

/* Of those that we make ourselves. */
static int add_volume(json_t *mounts, const char *field, const char *volume, const char *prefix,
		      const char *target, bool writable, struct err *err)
{
	if (strncmp(volume, prefix, strlen(prefix)) != 0 || !engine_is_name(volume, 79))
		return err_set(err, ERR_INVALID, "%s: '%.80s'", field, volume);
	json_array_append_new(mounts, json_pack("{s:s, s:s, s:s, s:b, s:{s:b}}", "Type", "volume",
						"Source", volume, "Target", target, "ReadOnly",
						!writable, "VolumeOptions", "NoCopy", 1));
	return 0;
}

static int set_mounts(json_t *host, const struct engine_spec *spec, unsigned traits, bool fill,
		      struct err *err)
{
	json_t *tmpfs = json_object(), *mounts = json_array();

	json_object_set_new(host, "Tmpfs", tmpfs);
	json_object_set_new(host, "Mounts", mounts);
	if (spec->tmpfs_count > MAX_TMPFS)
		return err_set(err, ERR_INVALID, "tmpfs: more than %u", MAX_TMPFS);
	for (size_t i = 0; i < spec->tmpfs_count; i++) {
		int rc = set_one_tmpfs(tmpfs, spec, &spec->tmpfs[i], traits, err);
		if (rc < 0)
			return rc;
	}
	int rc = engine_spec_mounts(mounts, tmpfs, spec, err);
	if (rc == 0)
		rc = set_image_volumes(tmpfs, mounts, spec, err);
	if (rc == 0 && traits & ENGINE_ADDS_TMPFS)
		set_added(tmpfs, mounts);
	if (rc == 0 && spec->package_volume)
		rc = add_volume(mounts, "package_volume", spec->package_volume,
				ENGINE_PACKAGE_PREFIX, ENGINE_PACKAGE_DIR, spec->package_fill, err);
	if (rc == 0 && spec->agent_volume)
		rc = add_volume(mounts, "agent_volume", spec->agent_volume, ENGINE_VOLUME_PREFIX,
				ENGINE_AGENT_DIR, fill, err);
	return rc;
}

/*
 * No network by default. Not NetworkDisabled: with that the engine writes no /etc/hosts, and
 * programs that speak with themselves by the name localhost fail; "none" has no device but loopback
 * either. Its resolv.conf would be a copy of the host's, with the host's name servers and search
 * domains: hence a resolver that is nowhere.
 */
static int set_network(json_t *host, const char *network, struct err *err)
{
	static const char *const shared[] = {"host", "default", "bridge", "nat", "private"};

	if (!network || strcmp(network, "none") == 0) {
		json_object_set_new(host, "NetworkMode", json_string("none"));
		json_object_set_new(host, "Dns", json_pack("[s]", "127.0.0.1"));
		json_object_set_new(host, "DnsSearch", json_pack("[s]", "."));
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(shared); i++)
		if (strcmp(network, shared[i]) == 0)
			return err_set(err, ERR_INVALID, "network: '%s' is not for sandboxes",
				       network);
	if (!engine_is_name(network, 128))
		return err_set(err, ERR_INVALID, "network: '%.100s'", network);
	json_object_set_new(host, "NetworkMode", json_string(network));
	return 0;
}

int engine_spec_host(json_t *body, const struct engine_spec *spec, unsigned traits, bool fill,
		     struct err *err)
{
	json_t *host = json_object();

	json_object_set_new(body, "HostConfig", host);
	json_object_set_new(host, "ReadonlyRootfs", json_true());
	json_object_set_new(host, "CapDrop", json_pack("[s]", "ALL"));
	json_object_set_new(host, "SecurityOpt", json_pack("[s]", "no-new-privileges"));
	json_object_set_new(host, "IpcMode", json_string("private"));
	json_object_set_new(host, "CgroupnsMode", json_string("private"));
	json_object_set_new(host, "LogConfig", json_pack("{s:s, s:{}}", "Type", "none", "Config"));
	json_object_set_new(host, "RestartPolicy", json_pack("{s:s}", "Name", "no"));
	json_object_set_new(host, "Init", json_false());
	json_object_set_new(host, "AutoRemove", json_false());
	if (spec->runtime && !engine_is_name(spec->runtime, 64))
		return err_set(err, ERR_INVALID, "runtime: '%.64s'", spec->runtime);
	if (spec->runtime)
		json_object_set_new(host, "Runtime", json_string(spec->runtime));
	int rc = set_network(host, spec->network, err);
	if (rc == 0)
		rc = set_limits(host, spec, traits, err);
	if (rc == 0)
		rc = set_mounts(host, spec, traits, fill, err);
	return rc;
}
