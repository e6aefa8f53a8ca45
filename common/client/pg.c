/*
 * pg.c: the pool of PostgreSQL connections.
 *
 * The most recently used connection is lent first, so that a quiet worker keeps few of them warm. A
 * connection is looked at before it is lent and remade when the server has ended it; nothing else
 * is asked of the server for that.
 */
#include "pg_conn.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include "thread.h"
#include "url.h"

struct pg_pool {
	char *url;  /* libpq's form, with its password */
	char *safe; /* for messages */
	char *application_name;
	struct pg *slots;
	size_t count;

	struct mutex lock;
	struct cond returned;
	/* guarded by lock */
	struct pg *idle;
	size_t idle_count;
};

int pg_pool_new(const char *url, size_t connections, const char *application_name,
		struct pg_pool **ret, struct err *err)
{
	struct pg_pool *p;
	char *form;
	int rc;

	if (connections == 0)
		BUG("pg_pool_new: no connections");
	rc = pg_url_parse(url, &form, err);
	if (rc < 0)
		return rc;
	p = xcalloc(1, sizeof(*p));
	p->url = form;
	p->safe = url_safe(url);
	p->application_name = xstrdup(application_name);
	p->slots = xcalloc(connections, sizeof(p->slots[0]));
	p->count = p->idle_count = connections;
	for (size_t i = 0; i < connections; i++) {
		p->slots[i].pool = p;
		p->slots[i].patience = PG_STATEMENT_TIMEOUT + PG_ANSWER_GRACE;
		p->slots[i].next_idle = p->idle;
		p->idle = &p->slots[i];
	}
	mutex_init(&p->lock);
	cond_init(&p->returned);
	*ret = p;
	return 0;
}

void pg_pool_free(struct pg_pool *p)
{
	if (!p)
		return;
	if (p->idle_count != p->count)
		BUG("pg_pool_free: %zu connections are lent", p->count - p->idle_count);
	for (size_t i = 0; i < p->count; i++)
		pg_conn_close(&p->slots[i]);
	cond_done(&p->returned);
	mutex_done(&p->lock);
	wipe(p->url, strlen(p->url));
	free(p->url);
	free(p->safe);
	free(p->application_name);
	free(p->slots);
	free(p);
}

static struct pg *take_idle(struct pg_pool *p, usec_t deadline)
{
	struct pg *c;

	mutex_lock(&p->lock);
	while (!p->idle)
		if (!cond_wait_until(&p->returned, &p->lock, deadline))
			break;
	c = p->idle;
	if (c) {
		p->idle = c->next_idle;
		p->idle_count--;
	}
	mutex_unlock(&p->lock);
	return c;
}

static void give_back(struct pg *c)
{
	struct pg_pool *p = c->pool;

	mutex_lock(&p->lock);
	c->next_idle = p->idle;
	p->idle = c;
	p->idle_count++;
	mutex_unlock(&p->lock);
	cond_signal(&p->returned);
}

int pg_get(struct pg_pool *p, usec_t deadline, struct pg **ret, struct err *err)
{
	struct pg *c = take_idle(p, deadline);
	int rc;

	if (!c)
		return err_set(err, ERR_TIMEOUT, "all %zu database connections are in use",
			       p->count);
	if (!pg_conn_is_quiet(c)) {
		rc = pg_conn_open(c, p->url, p->application_name, deadline, err);
		if (rc < 0) {
			give_back(c);
			return err_wrap(err, "%s", p->safe);
		}
	}
	c->lent_at = clock_mono();
	*ret = c;
	return 0;
}

void pg_hurry(struct pg *c, usec_t deadline)
{
	c->deadline = deadline;
}

void pg_put(struct pg *c)
{
	if (!c)
		return;
	pg_conn_clean(c);
	c->deadline = 0;
	metric_observe(metric_series(METRIC_STORE_TIME, NULL, NULL), clock_mono() - c->lent_at);
	give_back(c);
}
