/*
 * The agent links of this process between two calls.
 */
#include "sandbox_internal.h"

#include <stdlib.h>
#include <string.h>

void sandbox_live_free(struct live *l)
{
	if (l == NULL)
		return;
	agent_link_close(l->link);
	free(l);
}

struct live *sandbox_live_take(struct sandbox *s, const char *conversation)
{
	struct live *found = NULL;

	mutex_lock(&s->lock);
	for (struct live **p = &s->live; *p; p = &(*p)->next) {
		if (strcmp((*p)->conversation, conversation) != 0)
			continue;
		found = *p;
		*p = found->next;
		found->next = NULL;
		break;
	}
	mutex_unlock(&s->lock);
	return found;
}

void sandbox_live_put(struct sandbox *s, struct live *l)
{
	struct live *oldest = NULL, **p;
	int n = 0;

	mutex_lock(&s->lock);
	l->next = s->live;
	s->live = l;
	for (p = &s->live; *p && n < SANDBOX_LIVE_MAX; p = &(*p)->next)
		n++;
	oldest = *p;
	*p = NULL;
	mutex_unlock(&s->lock);
	sandbox_live_free(oldest);
}

void sandbox_live_prune(struct sandbox *s)
{
	struct live *gone = NULL, *l;

	mutex_lock(&s->lock);
	for (struct live **p = &s->live; (l = *p) != NULL;) {
		if (agent_link_is_quiet(l->link)) {
			p = &l->next;
			continue;
		}
		*p = l->next;
		l->next = gone;
		gone = l;
	}
	mutex_unlock(&s->lock);
	while ((l = gone) != NULL) {
		gone = l->next;
		sandbox_live_free(l);
	}
}
