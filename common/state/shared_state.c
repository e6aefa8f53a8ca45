/*
 * Which Redis is shared by a deployment, and the link to it. See shared_state.h.
 */
#include "shared_state.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "log.h"
#include "mem.h"
#include "transport.h"

struct shared_state {
	struct redis_address address;
	struct redis_link *link;
	bool apart;
};

static bool is_said(const char *url)
{
	return url != NULL && url[0] != '\0';
}

/* Where it is by the settings, and whose options hold there. */
static int choose(const struct settings *s, const char **ret_url, enum transport_side *ret_side,
		  struct err *err)
{
	const struct {
		const char *url;
		enum transport_side side;
	} places[] = {
		{is_said(s->broker_read_url) ? s->broker_read_url : s->broker_url,
		 TRANSPORT_BROKER},
		{s->result_backend, TRANSPORT_BACKEND},
	};

	if (is_said(s->state_url)) {
		*ret_url = s->state_url;
		*ret_side = TRANSPORT_STATE;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (is_said(places[i].url) && redis_is_url(places[i].url)) {
			*ret_url = places[i].url;
			*ret_side = places[i].side;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID,
		       "CELERIAC_STATE_URL is not set: it names the Redis in which workers keep "
		       "what they share, and neither CELERY_BROKER_URL nor CELERY_RESULT_BACKEND "
		       "is a Redis");
}

bool shared_state_said(const struct settings *s)
{
	enum transport_side side;
	const char *url;
	struct err err;

	return choose(s, &url, &side, &err) == 0;
}

int shared_state_place(const struct settings *s, struct redis_address *ret, struct err *err)
{
	struct transport_options options = {0};
	struct redis_address address = {0};
	enum transport_side side = TRANSPORT_STATE;
	const char *url = "";
	int rc = choose(s, &url, &side, err);

	if (rc < 0)
		return rc;
	rc = transport_options_read(s, side, &options, NULL, err);
	if (rc < 0)
		return rc;
	rc = redis_address_parse_tuned(url, &options.connection, &address, err);
	if (rc == 0) {
		free(address.key_prefix);
		address.key_prefix = xstrdup(options.global_keyprefix);
		*ret = address;
	}
	transport_options_done(&options);
	return rc < 0 ? err_wrap(err, "%s",
				 side == TRANSPORT_STATE    ? "CELERIAC_STATE_URL"
				 : side == TRANSPORT_BROKER ? "URL of the broker"
							    : "result_backend")
		      : 0;
}

/* What comes to nothing in its own options; those of broker and backend are theirs to tell. */
static void tell(const struct settings *s)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);
	struct transport_options options = {0};
	struct err err = {0};

	if (is_said(s->state_url) &&
	    transport_options_read(s, TRANSPORT_STATE, &options, &notes, &err) == 0)
		transport_options_tell(TRANSPORT_STATE, &notes);
	transport_options_done(&options);
}

int shared_state_check(const struct settings *s, struct err *err)
{
	struct redis_address address = {0};
	int rc = shared_state_place(s, &address, err);

	redis_address_done(&address);
	return rc;
}

int shared_state_open(const struct settings *s, const struct redis_address *broker,
		      struct redis_link *link, struct shared_state **ret, struct err *err)
{
	struct shared_state *state = xcalloc(1, sizeof(*state));
	int rc = shared_state_place(s, &state->address, err);

	if (rc == 0 && broker != NULL && redis_address_equal(&state->address, broker) &&
	    strcmp(state->address.key_prefix, broker->key_prefix) == 0) {
		redis_address_done(&state->address);
		redis_address_copy(broker, &state->address);
		state->link = link;
	} else if (rc == 0) {
		tell(s);
		if (redis_address_warning(&state->address) != NULL)
			log_warning("%s: %s", state->address.safe,
				    redis_address_warning(&state->address));
		state->apart = true;
		rc = redis_link_new(&state->address, "celeriac-state", &state->link, err);
	}
	if (rc < 0) {
		shared_state_close(state, 0);
		return rc;
	}
	*ret = state;
	return 0;
}

struct shared_state *shared_state_none(void)
{
	struct shared_state *state = xcalloc(1, sizeof(*state));

	state->address.key_prefix = xstrdup("");
	return state;
}

void shared_state_close(struct shared_state *s, usec_t deadline)
{
	if (s == NULL)
		return;
	if (s->apart && s->link != NULL)
		redis_link_free(s->link, deadline);
	redis_address_done(&s->address);
	free(s);
}

const struct redis_address *shared_state_address(const struct shared_state *s)
{
	return &s->address;
}

struct redis_link *shared_state_link(const struct shared_state *s)
{
	return s->link;
}

bool shared_state_ready(const struct shared_state *s)
{
	return s->link == NULL || redis_link_up(s->link);
}

bool shared_state_apart(const struct shared_state *s)
{
	return s->apart;
}
