/*
 * plugin_dir.c: a plugin's directory, read without following links.
 *
 * Only its own bytes travel into the sandbox: what is neither a regular file nor a directory is
 * refused, and caches of other interpreters are left out.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "codec.h"
#include "json.h"
#include "mem.h"
#include "tool.h"

struct reading {
	json_t *files;
	size_t count, bytes;
	const char *plugin;
	struct err *err;
};

bool plugin_name_is_good(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= 128 && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
		       len;
}

static bool is_left_out(const char *name)
{
	size_t len = strlen(name);

	return strcmp(name, "__pycache__") == 0 || strcmp(name, ".git") == 0 ||
	       (len > 4 && strcmp(name + len - 4, ".pyc") == 0);
}

static int read_all(int fd, size_t size, char *data, const char *path, struct err *err)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = read(fd, data + got, size - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, ERR_FAILED, errno, "plugin file %s", path);
		if (n == 0)
			return err_set(err, ERR_FAILED, "plugin file %s changed while it was read",
				       path);
		got += (size_t)n;
	}
	return 0;
}

static int take_file(struct reading *r, int fd, size_t size, const char *path)
{
	_cleanup_free_ char *data = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(2 * BOUND_PLUGIN_BYTES);

	if (++r->count > BOUND_PLUGIN_FILES)
		return err_set(r->err, ERR_TOOBIG, "plugin %s has more than %d files", r->plugin,
			       BOUND_PLUGIN_FILES);
	if (size > BOUND_PLUGIN_BYTES || (r->bytes += size) > BOUND_PLUGIN_BYTES)
		return err_set(r->err, ERR_TOOBIG, "plugin %s has more than %u bytes", r->plugin,
			       BOUND_PLUGIN_BYTES);
	data = xmalloc(size + 1);
	int rc = read_all(fd, size, data, path, r->err);
	if (rc < 0)
		return rc;
	base64_encode(data, size, &text);
	json_object_set_new(r->files, path, json_stringn(text.data, text.len));
	return buf_status(&text, r->err);
}

static int read_dir(struct reading *r, int fd, const char *prefix, unsigned depth);

/* One entry; `dir` stays open. */
static int read_entry(struct reading *r, int dir, const char *name, const char *prefix,
		      unsigned depth)
{
	_cleanup_free_ char *path = xasprintf("%s%s", prefix, name);
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int rc;

	if (fd < 0 && (errno == ELOOP || errno == ENXIO))
		return err_set(r->err, ERR_DENIED, "plugin %s: %s is a link or a special file",
			       r->plugin, path);
	if (fd < 0)
		return err_set_errno(r->err, ERR_FAILED, errno, "plugin file %s", path);
	if (fstat(fd, &st) < 0) {
		rc = err_set_errno(r->err, ERR_FAILED, errno, "plugin file %s", path);
	} else if (S_ISDIR(st.st_mode)) {
		_cleanup_free_ char *below = xasprintf("%s/", path);
		return read_dir(r, fd, below, depth + 1);
	} else if (!S_ISREG(st.st_mode)) {
		rc = err_set(r->err, ERR_DENIED, "plugin %s: %s is a link or a special file",
			     r->plugin, path);
	} else if (utf8_valid(path, strlen(path)) == 0) {
		rc = err_set(r->err, ERR_DENIED, "plugin %s: a name that is no text", r->plugin);
	} else {
		rc = take_file(r, fd, (size_t)st.st_size, path);
	}
	close(fd);
	return rc;
}

/* Takes `fd`. */
static int read_dir(struct reading *r, int fd, const char *prefix, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	if (dir == NULL) {
		close(fd);
		return err_set_errno(r->err, ERR_FAILED, errno, "plugin %s", r->plugin);
	}
	if (depth > BOUND_PLUGIN_DEPTH)
		rc = err_set(r->err, ERR_TOOBIG, "plugin %s has more than %d levels", r->plugin,
			     BOUND_PLUGIN_DEPTH);
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    !is_left_out(entry->d_name))
			rc = read_entry(r, dirfd(dir), entry->d_name, prefix, depth);
	closedir(dir);
	return rc;
}

static void digest(const json_t *files, char out[PLUGIN_DIGEST_SIZE])
{
	char *text = json_dumps(files, JSON_SORT_KEYS | JSON_COMPACT);

	sha256_hex(text, strlen(text), out);
	free(text);
}

int plugin_dir_read(const char *root, const char *plugin, json_t **ret_files,
		    char ret_digest[PLUGIN_DIGEST_SIZE], struct err *err)
{
	_cleanup_json_ json_t *files = json_object();
	struct reading r = {.files = files, .plugin = plugin, .err = err};
	int base, fd, rc;

	if (!plugin_name_is_good(plugin))
		return err_set(err, ERR_INVALID, "plugin: '%.60s' is not the name of one", plugin);
	base = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (base < 0)
		return err_set_errno(err, ERR_NOTFOUND, errno, "PLUGIN_DIR %s", root);
	fd = openat(base, plugin, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	close(base);
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return err_set(err, ERR_DENIED, "plugin %s is not a directory", plugin);
	if (fd < 0)
		return err_set_errno(err, ERR_NOTFOUND, errno, "plugin %s", plugin);
	rc = read_dir(&r, fd, "", 0);
	if (rc < 0)
		return rc;
	if (json_object_get(files, "tools.py") == NULL)
		return err_set(err, ERR_INVALID, "plugin %s has no tools.py", plugin);
	digest(files, ret_digest);
	*ret_files = TAKE(files);
	return 0;
}
