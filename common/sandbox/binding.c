/*
 * Whose a container is. One that was made for its conversation says so by its labels. One that was
 * taken from the pool cannot, since labels do not change: its name says it, as digests, and Redis
 * says it in words.
 */
#include "sandbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "mem.h"

#define PREFIX		    "celeriac-"
#define SPARE_PREFIX	    "celeriac-pool-"
#define RUN_PREFIX	    "celeriac-run-"
#define CONVERSATION_DIGITS 32
#define PROJECT_DIGITS	    16

static void digest(const char *a, const char *b, char out[SHA256_HEX_SIZE])
{
	_cleanup_free_ char *both = xasprintf("%s\n%s", a, b);

	sha256_hex(both, strlen(both), out);
}

void sandbox_container_name(const char *instance, const char *conversation, const char *project,
			    char out[CONTAINER_NAME_SIZE])
{
	char of_conversation[SHA256_HEX_SIZE], of_project[SHA256_HEX_SIZE];

	digest(instance, conversation, of_conversation);
	digest(conversation, project, of_project);
	snprintf(out, CONTAINER_NAME_SIZE, PREFIX "%.*s.%.*s", CONVERSATION_DIGITS, of_conversation,
		 PROJECT_DIGITS, of_project);
}

void sandbox_container_spare_name(char out[CONTAINER_NAME_SIZE])
{
	unsigned char id[8];
	char hex[2 * sizeof(id) + 1];

	random_bytes(id, sizeof(id));
	hex_encode(id, sizeof(id), hex);
	snprintf(out, CONTAINER_NAME_SIZE, SPARE_PREFIX "%s", hex);
}

/* celeriac-run-<task>.<deadline in seconds> */
void sandbox_container_run_name(const char *instance, const char *task, usec_t deadline,
				char out[CONTAINER_NAME_SIZE])
{
	char of_task[SHA256_HEX_SIZE];

	digest(instance, task, of_task);
	snprintf(out, CONTAINER_NAME_SIZE, RUN_PREFIX "%.*s.%lld", CONVERSATION_DIGITS, of_task,
		 (long long)(deadline / USEC_PER_SEC));
}

void sandbox_container_read_name(struct engine_container *c)
{
	const size_t begins = strlen(RUN_PREFIX) + CONVERSATION_DIGITS;
	char *end = NULL;

	if (!sandbox_container_is_pooled(c) || strlen(c->name) <= begins ||
	    strncmp(c->name, RUN_PREFIX, strlen(RUN_PREFIX)) != 0 || c->name[begins] != '.')
		return;
	long long seconds = strtoll(c->name + begins + 1, &end, 10);
	memcpy(c->role, SANDBOX_ROLE_RUN, sizeof(SANDBOX_ROLE_RUN));
	c->deadline = *end || seconds < 0 || seconds > INT64_MAX / USEC_PER_SEC
			      ? 0
			      : seconds * USEC_PER_SEC;
}

bool sandbox_container_is_run_of(const char *instance, const struct engine_container *c,
				 const char *task)
{
	char name[CONTAINER_NAME_SIZE];

	if (strcmp(c->role, SANDBOX_ROLE_RUN) != 0)
		return false;
	sandbox_container_run_name(instance, task, 0, name);
	return strncmp(c->name, name, strlen(RUN_PREFIX) + CONVERSATION_DIGITS + 1) == 0 ||
	       (*task && strcmp(c->task, task) == 0);
}

bool sandbox_container_is_pooled(const struct engine_container *c)
{
	return strcmp(c->role, SANDBOX_ROLE_POOL) == 0;
}

bool sandbox_container_is_spare(const struct engine_container *c)
{
	return sandbox_container_is_pooled(c) &&
	       strncmp(c->name, SPARE_PREFIX, strlen(SPARE_PREFIX)) == 0;
}

bool sandbox_container_is_of(const char *instance, const struct engine_container *c,
			     const char *conversation)
{
	char name[CONTAINER_NAME_SIZE];

	if (!sandbox_container_is_pooled(c))
		return strcmp(c->role, SANDBOX_ROLE_CONVERSATION) == 0 &&
		       strcmp(c->conversation, conversation) == 0;
	sandbox_container_name(instance, conversation, "", name);
	return strncmp(c->name, name, strlen(PREFIX) + CONVERSATION_DIGITS + 1) == 0;
}

bool sandbox_container_is_project(const char *instance, const struct engine_container *c,
				  const char *conversation, const char *project)
{
	char name[CONTAINER_NAME_SIZE];

	if (!sandbox_container_is_pooled(c))
		return strcmp(c->project, project) == 0;
	sandbox_container_name(instance, conversation, project, name);
	return strcmp(c->name, name) == 0;
}

int sandbox_container_resolve(struct sandbox *s, struct engine_container *list, size_t count,
			      struct err *err)
{
	_cleanup_free_ struct engine_container **taken = xcalloc(count + 1, sizeof(*taken));
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		sandbox_container_read_name(&list[i]);
		if (sandbox_container_is_pooled(&list[i]) && !sandbox_container_is_spare(&list[i]))
			taken[n++] = &list[i];
	}
	return sandbox_index_read_taken(&s->index, taken, n, err);
}
