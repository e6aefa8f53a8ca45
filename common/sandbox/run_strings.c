/*
 * run_strings.c: what every run is begun with: strings in frames, and RUN.
 */
#include <string.h>

#include "run.h"

int sandbox_run_send_strings(struct agent_link *l, enum frame_type type, uint32_t run,
			     const char *const *strings, unsigned last, usec_t deadline,
			     struct err *err)
{
	int rc = 0;

	for (; rc == 0 && strings && *strings; strings++) {
		size_t len = strlen(*strings);

		if (len >= FRAME_PAYLOAD)
			return err_set(err, ERR_INVALID, "%s of %zu bytes",
				       type == FRAME_ENV ? "env: a variable" : "an argument", len);
		rc = agent_link_send(l, type, strings[1] ? 0 : last, run, *strings, len + 1,
				     deadline, err);
	}
	return rc;
}

int sandbox_run_send_spec(struct agent_link *l, uint32_t run, const struct frame_run *spec,
			  usec_t deadline, struct err *err)
{
	unsigned char bytes[FRAME_STRUCT_MAX];
	int rc = agent_link_send(l, FRAME_RUN, 0, run, bytes, frame_run_encode(spec, bytes),
				 deadline, err);

	return rc < 0 ? rc : agent_link_flush(l, deadline, err);
}
