/*
 * What callers may ask for.
 */
#include "sandbox_internal.h"

#include <string.h>

#include "bounds.h"
#include "codec.h"

static bool is_text(const char *s, size_t limit)
{
	size_t len = strlen(s), n;

	if (len > limit)
		return false;
	for (size_t i = 0; i < len; i += n) {
		n = utf8_valid(s + i, len - i);
		if (n == 0 || (unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	}
	return true;
}

bool sandbox_is_conversation(const char *id, size_t len)
{
	return len > 0 && strlen(id) == len && is_text(id, BOUND_CONVERSATION_ID_BYTES);
}

int sandbox_check_conversation(const char *conversation, struct err *err)
{
	if (conversation == NULL || !*conversation ||
	    !is_text(conversation, BOUND_CONVERSATION_ID_BYTES))
		return err_set(err, ERR_INVALID,
			       "conversation_id: must be 1 to %u bytes of plain text",
			       BOUND_CONVERSATION_ID_BYTES);
	return 0;
}

static int check_files(const struct sandbox_run *run, struct err *err)
{
	size_t total = 0;

	if (run->file_count > BOUND_INPUT_FILES)
		return err_set(err, ERR_TOOBIG, "files: more than %u", BOUND_INPUT_FILES);
	for (size_t i = 0; i < run->file_count; i++) {
		const struct sandbox_file *f = &run->files[i];

		/* One plain name; ".celeriac" is where the code goes. */
		if (!frame_name_is_good(f->name, strlen(f->name), 1) ||
		    strcmp(f->name, ".celeriac") == 0 || strcmp(f->name, "output") == 0)
			return err_set(err, ERR_INVALID,
				       "files[%zu].name: not the plain name of a file: '%.100s'", i,
				       f->name);
		if (f->len > BOUND_INPUT_FILE_BYTES)
			return err_set(err, ERR_TOOBIG, "files[%zu].content: more than %u bytes", i,
				       BOUND_INPUT_FILE_BYTES);
		total += f->len;
	}
	if (total > BOUND_INPUT_BYTES)
		return err_set(err, ERR_TOOBIG, "files: more than %u bytes in all",
			       BOUND_INPUT_BYTES);
	return 0;
}

static int check_env(const struct sandbox_run *run, struct err *err)
{
	size_t n = 0, bytes = 0;

	for (const char *const *e = run->env; e && *e; e++, n++) {
		const char *equals = strchr(*e, '=');

		if (equals == NULL || equals == *e)
			return err_set(err, ERR_INVALID, "env: entry %zu has no name", n);
		bytes += strlen(*e) + 1;
	}
	if (n > BOUND_ENV_VARS || bytes > BOUND_ENV_BYTES)
		return err_set(err, ERR_TOOBIG, "env: more than %u variables or %u bytes",
			       BOUND_ENV_VARS, BOUND_ENV_BYTES);
	return 0;
}

static int check_packages(const struct sandbox_run *run, const struct settings *settings,
			  struct err *err)
{
	size_t n = 0;

	for (const char *const *p = run->packages; p && *p; p++, n++)
		if (**p == '-' || **p == '\0' || !is_text(*p, BOUND_PACKAGE_BYTES))
			return err_set(err, ERR_INVALID, "packages[%zu]: not the name of a package",
				       n);
	if (n == 0)
		return 0;
	if (n > BOUND_PACKAGES)
		return err_set(err, ERR_TOOBIG, "packages: more than %u", BOUND_PACKAGES);
	if (!sandbox_language_installs(run->language))
		return err_set(err, ERR_INVALID, "packages: there is no installer for %s",
			       run->language);
	if (run->egress == NULL && sandbox_terms_network(settings, run->terms) == NULL)
		return err_set(err, ERR_INVALID,
			       "packages: this sandbox has no network, so nothing can be "
			       "installed; use what the image has");
	return 0;
}

int sandbox_check_run(const struct sandbox_run *run, const struct settings *settings,
		      struct err *err)
{
	int rc = sandbox_check_conversation(run->conversation, err);

	if (rc == 0 && run->project && !is_text(run->project, 255))
		rc = err_set(err, ERR_INVALID,
			     "project_id: must be at most 255 bytes of plain text");
	if (rc == 0 && (run->language == NULL || sandbox_language_find(run->language) == NULL))
		rc = err_set(err, ERR_INVALID, "language: '%.50s' is not known here",
			     run->language);
	if (rc == 0)
		rc = check_packages(run, settings, err);
	if (rc == 0 && run->code.len > BOUND_CODE_BYTES)
		rc = err_set(err, ERR_TOOBIG, "code: more than %u bytes", BOUND_CODE_BYTES);
	if (rc == 0 && run->stdin_data.len > BOUND_STDIN_BYTES)
		rc = err_set(err, ERR_TOOBIG, "stdin: more than %u bytes", BOUND_STDIN_BYTES);
	if (rc == 0 && (run->timeout <= 0 || run->timeout > run->terms->max_timeout))
		rc = err_set(err, ERR_INVALID, "timeout: must be above 0 and at most %lld s",
			     (long long)(run->terms->max_timeout / USEC_PER_SEC));
	if (rc == 0)
		rc = check_files(run, err);
	return rc < 0 ? rc : check_env(run, err);
}
