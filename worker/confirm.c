/*
 * Waiting for an answer. See confirm.h.
 */
#include "confirm.h"

void confirm_init(struct confirm *c)
{
	*c = (struct confirm){0};
	mutex_init(&c->lock);
	cond_init(&c->changed);
}

void confirm_answer(void *arg, const struct err *err)
{
	struct confirm *c = arg;

	mutex_lock(&c->lock);
	if (err != NULL)
		c->err = *err;
	c->done = true;
	cond_signal(&c->changed);
	mutex_unlock(&c->lock);
}

int confirm_wait(struct confirm *c, struct err *err)
{
	int code;

	mutex_lock(&c->lock);
	while (!c->done)
		cond_wait(&c->changed, &c->lock);
	code = c->err.code;
	if (code != 0)
		*err = c->err;
	mutex_unlock(&c->lock);
	cond_done(&c->changed);
	mutex_done(&c->lock);
	return -code;
}
