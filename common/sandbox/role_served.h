/*
 * role_served.h: one request under way, and those functions of the table in role_calls.c that are
 * in other files.
 */
#ifndef CELERIAC_ROLE_SERVED_H
#define CELERIAC_ROLE_SERVED_H

#include "role.h"

#define BODY_TIME   (10 * USEC_PER_SEC) /* who announces bytes sends them within this */
#define ANSWER_TIME (30 * USEC_PER_SEC) /* who does not read an answer for so long is gone */

struct served {
	struct engine_role *r;
	const struct role_peer *peer;
	struct waist_request q;
	usec_t began;
	json_t *answer;
	/* for the audit */
	char image[WAIST_TEXT + 1], made[ENGINE_ID_SIZE];
};

/* A member of the answer; the value is taken. */
void role_set(struct served *s, const char *key, json_t *value);
int role_answer(struct served *s, const json_t *json, struct err *err) must_check;

/* Each asks the engine, and writes into the answer: role_volumes.c, role_streams.c. */
typedef int role_call_fn(struct served *s, struct err *err);
role_call_fn role_on_deliver, role_on_package_volume, role_on_package_exists,
	role_on_package_remove, role_on_package_open, role_on_package_seal,
	role_on_package_is_whole, role_on_sweep_volumes, role_on_sweep_networks,
	role_on_sweep_images, role_on_disk, role_on_usage, role_on_attach, role_on_attach_fd,
	role_on_events;

#endif
