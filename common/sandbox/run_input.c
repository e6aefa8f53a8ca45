/*
 * What a run needs before it begins: code, input files, arguments, environment, limits.
 */
#include "run.h"

#include <string.h>

#include "bounds.h"
#include "buf.h"
#include "callback.h"
#include "clock.h"
#include "mem.h"

extern const char script_way_out[];

#define FILE_MODE 0644u

static int put_file(struct agent_link *l, uint32_t run, const char *name, struct slice content,
		    usec_t deadline, struct err *err)
{
	unsigned char head[12 + FRAME_NAME_BYTES];
	size_t len = strlen(name), part;
	int rc;

	memcpy(frame_put_u32(frame_put_u64(head, content.len), FILE_MODE), name, len);
	rc = agent_link_send(l, FRAME_PUT, 0, run, head, 12 + len, deadline, err);
	for (size_t at = 0; rc == 0 && at < content.len; at += part) {
		part = content.len - at < FRAME_PAYLOAD ? content.len - at : FRAME_PAYLOAD;
		rc = agent_link_send(l, FRAME_PUT_DATA, 0, run, content.data + at, part, deadline,
				     err);
	}
	return rc;
}

static int put_files(struct agent_link *l, const struct run_plan *plan, uint32_t run,
		     usec_t deadline, struct err *err)
{
	const struct sandbox_run *r = plan->run;
	int rc = put_file(l, run, plan->language->file, r->code, deadline, err);

	if (rc == 0 && r->egress && plan->language->way_out_file)
		rc = put_file(l, run, plan->language->way_out_file, slice_of(script_way_out),
			      deadline, err);
	for (size_t i = 0; rc == 0 && i < r->file_count; i++)
		rc = put_file(l, run, r->files[i].name,
			      (struct slice){r->files[i].data, r->files[i].len}, deadline, err);
	return rc;
}

/* A step with what makes it find the proxy behind its first argument. */
static int send_way_out(struct agent_link *l, const struct language *language,
			const char *const *step, uint32_t run, usec_t deadline, struct err *err)
{
	const char *first[] = {step[0], NULL};
	int rc = sandbox_run_send_strings(l, FRAME_ARGS, run, first, 0, deadline, err);

	if (rc == 0)
		rc = sandbox_run_send_strings(l, FRAME_ARGS, run, language->way_out, 0, deadline,
					      err);
	return rc < 0 ? rc
		      : sandbox_run_send_strings(l, FRAME_ARGS, run, step + 1, FRAME_LAST, deadline,
						 err);
}

/* Packages, then what the language has. */
static int send_steps(struct agent_link *l, const struct run_plan *plan, uint32_t run,
		      usec_t deadline, struct err *err)
{
	const struct language *language = plan->language;
	const char *const *packages = plan->run->packages;
	int rc = 0;

	if (packages && *packages) {
		rc = sandbox_run_send_strings(l, FRAME_ARGS, run, language->install, 0, deadline,
					      err);
		if (rc == 0)
			rc = sandbox_run_send_strings(l, FRAME_ARGS, run, packages, FRAME_LAST,
						      deadline, err);
	}
	for (size_t i = 0; rc == 0 && i < LANGUAGE_STEPS && language->steps[i][0]; i++) {
		bool last = i + 1 == LANGUAGE_STEPS || language->steps[i + 1][0] == NULL;

		if (last && plan->run->egress && language->way_out[0])
			rc = send_way_out(l, language, language->steps[i], run, deadline, err);
		else
			rc = sandbox_run_send_strings(l, FRAME_ARGS, run, language->steps[i],
						      FRAME_LAST, deadline, err);
	}
	return rc;
}

/* Is the variable of `entry` (K=V) set again in `later`? */
static bool is_overridden(const char *entry, const char *const *later)
{
	size_t len = (size_t)(strchr(entry, '=') - entry) + 1;

	for (; later && *later; later++)
		if (strncmp(entry, *later, len) == 0)
			return true;
	return false;
}

/* Both spellings: programs read one or the other. */
const char *const sandbox_run_proxy_env[] = {
	"http_proxy=http://127.0.0.1:" FRAME_PROXY_PORT_TEXT,
	"https_proxy=http://127.0.0.1:" FRAME_PROXY_PORT_TEXT,
	"HTTP_PROXY=http://127.0.0.1:" FRAME_PROXY_PORT_TEXT,
	"HTTPS_PROXY=http://127.0.0.1:" FRAME_PROXY_PORT_TEXT,
	"ALL_PROXY=http://127.0.0.1:" FRAME_PROXY_PORT_TEXT,
	"no_proxy=localhost,127.0.0.1,::1",
	"NO_PROXY=localhost,127.0.0.1,::1",
	NULL,
};

static int send_callback(struct agent_link *l, const struct run_plan *plan, uint32_t run,
			 usec_t deadline, struct err *err)
{
	const struct sandbox_egress *egress = plan->run->egress;
	_cleanup_free_ char *url = NULL, *entry = NULL;

	if (egress == NULL || egress->callback == NULL)
		return 0;
	url = callback_url(egress->callback);
	entry = xasprintf("CELERIAC_CALLBACK_URL=%s", url);
	const char *one[] = {entry, NULL};
	return is_overridden(entry, plan->run->env)
		       ? 0
		       : sandbox_run_send_strings(l, FRAME_ENV, run, one, 0, deadline, err);
}

static int send_env(struct agent_link *l, const struct run_plan *plan, uint32_t run,
		    usec_t deadline, struct err *err)
{
	const char *const *const sets[] = {sandbox_language_env, plan->language->env,
					   plan->run->egress ? sandbox_run_proxy_env : NULL};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		for (const char *const *e = sets[i]; rc == 0 && e && *e; e++) {
			const char *one[] = {*e, NULL};

			if (!is_overridden(*e, plan->run->env))
				rc = sandbox_run_send_strings(l, FRAME_ENV, run, one, 0, deadline,
							      err);
		}
	}
	if (rc == 0)
		rc = send_callback(l, plan, run, deadline, err);
	return rc < 0 ? rc
		      : sandbox_run_send_strings(l, FRAME_ENV, run, plan->run->env, 0, deadline,
						 err);
}

int sandbox_run_send(struct agent_link *l, const struct run_plan *plan, uint32_t *ret_run,
		     struct err *err)
{
	const struct sandbox_run *r = plan->run;
	usec_t deadline = clock_deadline(RUN_SEND_TIME);
	uint32_t run = agent_link_next_run(l);
	struct frame_run spec = {
		.timeout_ms = (uint32_t)((r->timeout + USEC_PER_MSEC - 1) / USEC_PER_MSEC),
		.output_limit = (uint32_t)plan->terms->output_limit,
		.flags = (r->stdin_data.len > 0 ? FRAME_RUN_STDIN : 0) |
			 (r->egress ? FRAME_RUN_PROXY : 0) |
			 (plan->language->is_python ? FRAME_RUN_PYTHON : 0) |
			 (r->stateful ? FRAME_RUN_STATEFUL : 0),
		.note = plan->note};
	int rc;

	if (plan->language->is_python && !r->stateful && sandbox_python_is_plain(r->code))
		spec.flags |= FRAME_RUN_PLAIN;
	if (r->task_id && strlen(r->task_id) <= FRAME_KEY_BYTES)
		spec.key = slice_of(r->task_id);
	rc = put_files(l, plan, run, deadline, err);

	if (rc == 0)
		rc = send_steps(l, plan, run, deadline, err);
	if (rc == 0)
		rc = send_env(l, plan, run, deadline, err);
	if (rc == 0 && agent_link_version(l) > 2)
		rc = sandbox_run_harvest_ask(l, plan, run, err);
	if (rc == 0)
		rc = sandbox_run_send_spec(l, run, &spec, deadline, err);
	if (rc == 0)
		*ret_run = run;
	return rc;
}

int sandbox_run_send_input(struct agent_link *l, uint32_t run, struct run_input *in,
			   struct err *err)
{
	usec_t deadline = clock_deadline(RUN_SEND_TIME);
	size_t part, window;
	unsigned flags;
	int rc = 0;

	while (rc == 0 && in->sent < in->data.len &&
	       (window = FRAME_STDIN_WINDOW - (in->sent - in->taken)) > 0) {
		part = in->data.len - in->sent;
		if (part > window)
			part = window;
		if (part > FRAME_PAYLOAD)
			part = FRAME_PAYLOAD;
		flags = in->sent + part == in->data.len ? FRAME_LAST : 0;
		rc = agent_link_send(l, FRAME_STDIN, flags, run, in->data.data + in->sent, part,
				     deadline, err);
		in->sent += part;
	}
	return rc < 0 ? rc : agent_link_flush(l, deadline, err);
}
