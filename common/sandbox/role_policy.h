/*
 * role_policy.h: what an engine role grants at most, whoever asks.
 *
 * Its own settings, never fields of a request: images, networks, runtimes, ceilings. Beside them
 * stands what no setting can change, which engine_spec.c says.
 */
#ifndef CELERIAC_ROLE_POLICY_H
#define CELERIAC_ROLE_POLICY_H

#include "engine.h"

/* Both pure but for the settings. ERR_DENIED says what is not allowed, and which setting would. */
int role_check_image(const struct settings *s, const char *image, struct err *err) must_check;
int role_check_network(const struct settings *s, const char *network, struct err *err) must_check;
int role_check_spec(const struct settings *s, const struct engine_spec *spec,
		    struct err *err) must_check;
/* Is somebody of this user served? */
bool role_serves(const struct settings *s, unsigned uid);

/* So many within a second at `rate`, with a reserve of `burst` seconds. */
struct role_bucket {
	double tokens;
	usec_t at;
};
bool role_bucket_take(struct role_bucket *b, int64_t rate, int64_t burst, usec_t now);

#endif
