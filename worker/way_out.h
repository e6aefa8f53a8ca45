/*
 * way_out.h: what sandboxes may reach outside, for every run of this worker.
 */
#ifndef CELERIAC_WORKER_WAY_OUT_H
#define CELERIAC_WORKER_WAY_OUT_H

#include "callback.h"
#include "outbound.h"
#include "sandbox.h"
#include "settings.h"

struct task_ctx;

struct way_out {
	struct outbound *outbound;
	struct callback callback;
	bool has_callback;
};
/* ERR_INVALID names the setting. [init] */
int way_out_open(const struct settings *s, struct way_out *ret, struct err *err) must_check;
void way_out_close(struct way_out *w);
/* Gives `run`, whose conversation and project are filled in, its way out, where SANDBOX_NETWORK is
 * egress. It lives as long as `ctx`. */
void way_out_bind(struct task_ctx *ctx, struct sandbox_run *run);

#endif
