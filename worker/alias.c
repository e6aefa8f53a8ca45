/*
 * Names of tasks: the table's own, and the application's for them (CELERIAC_TASK_ALIASES). The name
 * that was sent stays in results and logs.
 */
#include <string.h>

#include "mem.h"
#include "worker.h"

/* The next "theirs=ours" of the list, without blanks around it; false at its end. */
static bool next_item(const char **p, struct slice *ret)
{
	while (**p == ',' || **p == ' ') {
		(*p)++;
	}
	ret->data = *p;
	ret->len = strcspn(*p, ",");
	*p += ret->len;
	while (ret->len > 0 && ret->data[ret->len - 1] == ' ') {
		ret->len--;
	}
	return ret->len > 0;
}

/* What stands behind the '=' of an item, or NULL. */
static const struct task *target(const struct registry *r, struct slice item)
{
	const char *equals = memchr(item.data, '=', item.len);
	_cleanup_free_ char *ours = NULL;

	if (equals == NULL || equals == item.data)
		return NULL;
	ours = xstrndup(equals + 1, item.len - (size_t)(equals + 1 - item.data));
	return registry_find(r, ours);
}

int alias_check(const struct registry *r, const char *aliases, struct err *err)
{
	struct slice item;

	for (const char *p = aliases ? aliases : ""; next_item(&p, &item);) {
		if (target(r, item) == NULL)
			return err_set(err, ERR_INVALID,
				       "CELERIAC_TASK_ALIASES: '%.*s' is not theirs=ours with a "
				       "task of ours",
				       item.len < 100 ? (int)item.len : 100, item.data);
	}
	return 0;
}

const struct task *worker_find_task(const struct worker *w, const char *name)
{
	const struct task *t = NULL;
	struct slice item;
	size_t len = strlen(name);

	for (const char *p = w->settings.task_aliases ? w->settings.task_aliases : "";
	     t == NULL && next_item(&p, &item);) {
		if (item.len > len && memcmp(item.data, name, len) == 0 && item.data[len] == '=')
			t = target(&w->registry, item);
	}
	if (t == NULL)
		t = registry_find(&w->registry, name);
	if (t != NULL && (t->flags & TASK_STORED) && w->store == NULL)
		return NULL;
	return t;
}
