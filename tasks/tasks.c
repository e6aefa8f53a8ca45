/*
 * tasks.c: the table of built-in tasks, by name.
 */
#include "tasks.h"

#include <string.h>

static const struct task *const g_tasks[] = {
	&task_celeriac_add,	  &task_celeriac_echo,	      &task_celeriac_fail,
	&task_celeriac_retention, &task_celeriac_retry,	      &task_celeriac_sleep,
	&task_celeriac_xsum,	  &task_celery_accumulate,    &task_celery_backend_cleanup,
	&task_celery_chain,	  &task_celery_chord,	      &task_celery_chord_unlock,
	&task_celery_chunks,	  &task_celery_group,	      &task_celery_map,
	&task_celery_starmap,	  &task_mcp_call_tool,	      &task_mcp_end_session,
	&task_mcp_stop_server,	  &task_mcp_test_connection,  &task_sandbox_cleanup,
	&task_sandbox_close,	  &task_sandbox_execute_code, &task_sandbox_reset_output,
	&task_tools_call,	  &task_tools_call_http,      &task_tools_run_custom,
	&task_tools_run_plugin,
};

const struct task *task_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(g_tasks); i++) {
		if (strcmp(g_tasks[i]->name, name) == 0)
			return g_tasks[i];
	}
	return NULL;
}

const struct task *const *task_table(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(g_tasks);
	return g_tasks;
}
