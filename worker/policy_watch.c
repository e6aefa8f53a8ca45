/*
 * The policy in force.
 */
#include "policy_watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bounds.h"
#include "clock.h"
#include "file.h"
#include "log.h"
#include "mem.h"

#define RETRY (1 * USEC_PER_SEC)
#define LOOK                                                                                       \
	(30 * USEC_PER_SEC) /* and anyway so often: a notification is lost with its connection */

/* Tables that make up the snapshot. */
static const char *const tables[] = {"policy_rules", "sandbox_settings", "project_quotas"};

/* ---- the file ---- */
static int read_file(struct policy_watch *p, struct err *err)
{
	if (file_read(p->path, BOUND_POLICY_FILE, &p->text, &p->text_len, err) < 0)
		return err_wrap(err, "CELERIAC_POLICY");
	return 0;
}

static int from_file(const struct policy_watch *p, struct policy *into, struct err *err)
{
	if (p->text == NULL)
		return 0;
	return policy_add_text(into, p->text, p->text_len, p->path, err);
}

int policy_watch_open(struct policy_watch *p, const struct settings *s, struct store *store,
		      struct err *err)
{
	_cleanup_policy_ struct policy *first = policy_new();
	int rc = 0;

	*p = (struct policy_watch){.path = s->policy_file, .store = store, .wake_fd = -1};
	mutex_init(&p->lock);
	if (p->path && *p->path)
		rc = read_file(p, err);
	if (rc == 0)
		rc = from_file(p, first, err);
	if (rc < 0)
		return rc;
	if (store == NULL) {
		p->current = TAKE(first);
		return 0;
	}
	return store_watch_new(store, &p->watch, err);
}

/* ---- loading ---- */
static int load(struct policy_watch *p, struct err *err)
{
	_cleanup_policy_ struct policy *fresh = policy_new();
	struct policy *old;
	int rc = from_file(p, fresh, err);

	if (rc == 0)
		rc = store_load_policy(p->store, fresh, err);
	if (rc < 0)
		return rc;
	mutex_lock(&p->lock);
	old = p->current;
	p->current = TAKE(fresh);
	mutex_unlock(&p->lock);
	policy_unref(old);
	p->loaded(p->arg);
	return 0;
}

static bool is_ours(const char *table)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		if (strcmp(tables[i], table) == 0)
			return true;
	return false;
}

/* Until the connection is lost. What happened before it was there is found by loading after. */
static int follow(struct policy_watch *p, struct err *err)
{
	char table[STORE_TABLE_SIZE];
	int rc = store_watch_open(p->watch, err);

	if (rc == 0)
		rc = load(p, err);
	while (rc == 0 || rc == 1) {
		bool stopping;

		mutex_lock(&p->lock);
		stopping = p->stopping;
		mutex_unlock(&p->lock);
		if (stopping)
			return 0;
		rc = store_watch_wait(p->watch, p->wake_fd, clock_deadline(LOOK), table, err);
		if (rc == 0 || (rc == 1 && is_ours(table)))
			rc = load(p, err);
	}
	return rc;
}

static bool pause_unless_stopping(struct policy_watch *p)
{
	struct pollfd fd = {.fd = p->wake_fd, .events = POLLIN};

	poll(&fd, 1, (int)(RETRY / USEC_PER_MSEC));
	return fd.revents == 0;
}

static void *watch_thread(void *arg)
{
	struct policy_watch *p = arg;
	bool said = false;

	do {
		struct err err = {0};

		if (follow(p, &err) == 0)
			break;
		/* the services thread says that the database is away */
		if (!said && !err_is_transient(&err))
			log_error("the policy cannot be loaded: %s", err.msg);
		said = true;
	} while (pause_unless_stopping(p));
	return NULL;
}

int policy_watch_start(struct policy_watch *p, void (*loaded)(void *arg), void *arg,
		       struct err *err)
{
	int rc;

	if (p->store == NULL)
		return 0;
	p->loaded = loaded;
	p->arg = arg;
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake_fd < 0)
		return err_set_errno(err, ERR_FAILED, errno, "eventfd");
	rc = thread_start(&p->thread, "policy", watch_thread, p, err);
	p->started = rc == 0;
	return rc;
}

void policy_watch_close(struct policy_watch *p)
{
	const uint64_t one = 1;

	if (p->started) {
		mutex_lock(&p->lock);
		p->stopping = true;
		mutex_unlock(&p->lock);
		if (write(p->wake_fd, &one, sizeof(one)) < 0)
			log_debug("the policy's thread cannot be told to stop");
		pthread_join(p->thread, NULL);
		p->started = false;
	}
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	p->wake_fd = -1;
	store_watch_free(p->watch);
	policy_unref(p->current);
	free(p->text);
	p->watch = NULL;
	p->current = NULL;
	p->text = NULL;
}

struct policy *policy_watch_get(struct policy_watch *p)
{
	struct policy *current;

	mutex_lock(&p->lock);
	current = p->current ? policy_ref(p->current) : NULL;
	mutex_unlock(&p->lock);
	return current;
}

bool policy_watch_ready(struct policy_watch *p)
{
	bool ready;

	mutex_lock(&p->lock);
	ready = p->current != NULL;
	mutex_unlock(&p->lock);
	return ready;
}
