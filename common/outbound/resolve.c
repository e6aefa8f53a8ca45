/*
 * A name and all that it stands for, judged, for callers that wait.
 */
#include <poll.h>

#include "clock.h"
#include "mem.h"
#include "outbound.h"

#define LOOK_AGAIN_MS 100 /* at whether somebody asked us to stop */

static void lookup_freep(struct lookup **l)
{
	lookup_free(*l);
}

static int wait_for(const struct lookup *l, usec_t deadline, const atomic_bool *cancelled,
		    struct err *err)
{
	struct pollfd fd = {.fd = lookup_fd(l), .events = POLLIN};

	for (;;) {
		int left = clock_left_ms(deadline);

		if (cancelled && atomic_load(cancelled))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		if (left == 0)
			return err_set(err, ERR_TIMEOUT, "no answer within the time");
		if (poll(&fd, 1, left > 0 && left < LOOK_AGAIN_MS ? left : LOOK_AGAIN_MS) > 0)
			return 0;
	}
}

int outbound_resolve(struct outbound *o, enum outbound_scope scope,
		     const struct outbound_host *host, uint16_t port, usec_t deadline,
		     const atomic_bool *cancelled, struct ip_address ret[OUTBOUND_ADDRESSES],
		     size_t *ret_count, struct err *err)
{
	_cleanup_(lookup_freep) struct lookup *l = NULL;
	struct ip_address found[OUTBOUND_ADDRESSES];
	size_t count = 0;
	int rc;

	if (host->is_address) {
		*ret_count = 0;
		return outbound_check_address(o, scope, host, &host->address, port, err);
	}
	rc = lookup_begin(host->name, &l, err);
	if (rc == 0)
		rc = wait_for(l, deadline, cancelled, err);
	if (rc == 0)
		rc = lookup_result(l, found, &count, err);
	if (rc < 0)
		return err_wrap(err, "looking up %s", host->name);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = outbound_check_address(o, scope, host, &found[i], port, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		ret[i] = found[i];
	*ret_count = count;
	return 0;
}
