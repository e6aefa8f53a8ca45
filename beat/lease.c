/*
 * lease.c: which of several beats leads.
 *
 * The key celeriac:<instance>:beat:leader holds "<node> <pid> <random id>" and expires unless it is
 * renewed. The id makes it that of one life: a beat that slept meanwhile, or was restarted with the
 * same pid, does not find its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beat.h"
#include "bounds.h"
#include "clock.h"
#include "mem.h"

extern const char script_lease[];

#define NODE_MAX 128

void lease_init(struct lease *l, const struct shared_state *shared, const struct settings *s)
{
	char id[UUID_SIZE];
	const char *node = s->node && *s->node ? s->node : "-";

	uuid4(id);
	*l = (struct lease){
		.link = shared_state_link(shared),
		.key = lease_key(shared_state_address(shared), s->instance),
		.value = xasprintf("%.*s %d %s", NODE_MAX, node, (int)getpid(), id),
	};
	snprintf(l->ttl, sizeof(l->ttl), "%lld", (long long)(LEASE_TTL / USEC_PER_MSEC));
	redis_script_init(&l->script, script_lease);
	redis_link_add_script(l->link, &l->script);
}

void lease_done(struct lease *l)
{
	free(l->key);
	free(l->value);
	*l = (struct lease){0};
}

char *lease_key(const struct redis_address *a, const char *instance)
{
	return xasprintf("%sceleriac:%s:beat:leader", a->key_prefix, instance);
}

void lease_holder(struct slice value, char out[LEASE_HOLDER])
{
	char node[NODE_MAX + 1], text[NODE_MAX + 64];
	int pid;

	snprintf(text, sizeof(text), "%.*s", (int)value.len, value.len ? value.data : "");
	if (value.len == 0)
		snprintf(out, LEASE_HOLDER, "nobody");
	else if (sscanf(text, "%128s %d", node, &pid) == 2)
		snprintf(out, LEASE_HOLDER, "process %d on %s", pid, node);
	else
		snprintf(out, LEASE_HOLDER, "a key that is no lease");
	for (char *c = out; *c; c++) /* it is shown outside the log, too */
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static int ask(struct lease *l, const char *ttl, usec_t deadline, struct redis_reply **ret,
	       struct err *err)
{
	int rc = redis_link_do(l->link, deadline, ret, err, "EVALSHA %s 1 %s %s %s", l->script.sha,
			       l->key, l->value, ttl);

	if (rc == 0 && redis_reply_type(*ret) != REDIS_STRING) {
		redis_reply_free(TAKE(*ret));
		rc = err_set(err, ERR_PROTOCOL, "Redis: an answer of an unexpected type");
	}
	return rc;
}

int lease_take(struct lease *l, usec_t deadline, bool *ret_ours, char holder[LEASE_HOLDER],
	       struct err *err)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	int rc = ask(l, l->ttl, deadline, &reply, err);
	struct slice value;

	if (rc < 0)
		return rc;
	value = redis_reply_str(reply);
	*ret_ours = value.len == strlen(l->value) && memcmp(value.data, l->value, value.len) == 0;
	lease_holder(value, holder);
	return 0;
}

void lease_leave(struct lease *l, usec_t deadline)
{
	_cleanup_reply_ struct redis_reply *reply = NULL;
	struct err err;

	/* it expires all the same */
	if (ask(l, "0", deadline, &reply, &err) < 0)
		return;
}
