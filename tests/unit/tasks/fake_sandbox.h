/*
 * fake_sandbox.h: common/sandbox by link substitution: no engine, an outcome of the test's choice.
 */
#ifndef CELERIAC_TESTS_FAKE_SANDBOX_H
#define CELERIAC_TESTS_FAKE_SANDBOX_H

#include <stdio.h>
#include <string.h>

#include "fleet.h"
#include "sandbox.h"

static int g_runs;
static struct sandbox_run g_run;
static char g_project[64], g_code[256], g_input[256], g_env[256], g_files[1024];
static struct sandbox_outcome g_outcome;
static struct err g_error; /* code 0 = the outcome */

int sandbox_execute(unused_arg struct sandbox *s, const struct sandbox_run *run,
		    struct sandbox_outcome *ret, struct err *err)
{
	g_runs++;
	g_run = *run;
	snprintf(g_project, sizeof(g_project), "%s", run->project ? run->project : "");
	snprintf(g_code, sizeof(g_code), "%.*s", (int)run->code.len, run->code.data);
	snprintf(g_input, sizeof(g_input), "%.*s", (int)run->stdin_data.len,
		 run->stdin_data.data ? run->stdin_data.data : "");
	g_env[0] = g_files[0] = '\0';
	for (size_t i = 0; run->env && run->env[i]; i++)
		snprintf(g_env + strlen(g_env), sizeof(g_env) - strlen(g_env), "%s;", run->env[i]);
	for (size_t i = 0; i < run->file_count; i++)
		snprintf(g_files + strlen(g_files), sizeof(g_files) - strlen(g_files), "%s=%.*s;",
			 run->files[i].name, (int)run->files[i].len, run->files[i].data);
	if (g_error.code) {
		*err = g_error;
		return -g_error.code;
	}
	*ret = g_outcome;
	return 0;
}

static int g_acknowledged;
static char g_acknowledged_task[64];
void sandbox_acknowledge(unused_arg struct sandbox *s, const struct sandbox_run *run,
			 unused_arg const struct sandbox_outcome *o)
{
	g_acknowledged++;
	snprintf(g_acknowledged_task, sizeof(g_acknowledged_task), "%s %s", run->conversation,
		 run->task_id);
}

static int g_outcomes_freed;
void sandbox_outcome_done(unused_arg struct sandbox_outcome *o)
{
	g_outcomes_freed++;
}

const char *sandbox_status_text(enum sandbox_status status)
{
	return status == SANDBOX_OK ? "ok" : "error";
}

int sandbox_reset_output(unused_arg struct sandbox *s, const char *conversation,
			 int64_t *ret_removed, struct err *err)
{
	*ret_removed = (int64_t)strlen(conversation);
	return g_error.code ? (*err = g_error, -g_error.code) : 0;
}

int sandbox_close(unused_arg struct sandbox *s, unused_arg const char *conversation,
		  bool *ret_removed, unused_arg struct err *err)
{
	*ret_removed = true;
	return 0;
}

int fleet_cleanup(unused_arg struct fleet *f, struct sandbox_report *ret,
		  unused_arg struct err *err)
{
	*ret = (struct sandbox_report){.idle = 1, .orphans = 2, .kept = 3, .failed = 4};
	return 0;
}

size_t fleet_count(unused_arg const struct fleet *f)
{
	return 1;
}
bool fleet_ready(unused_arg const struct fleet *f)
{
	return true;
}
struct sandbox *fleet_take(unused_arg struct fleet *f)
{
	return NULL;
}
void sandbox_look(unused_arg struct sandbox *s)
{
}
bool sandbox_ready(unused_arg const struct sandbox *s)
{
	return true;
}

int sandbox_server_start(unused_arg struct sandbox *s,
			 unused_arg const struct sandbox_server_wish *wish,
			 unused_arg struct sandbox_server **ret, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "there are no servers here");
}
ssize_t sandbox_server_read(unused_arg struct sandbox_server *v, unused_arg void *data,
			    unused_arg size_t size, unused_arg usec_t deadline,
			    unused_arg struct err *err)
{
	return 0;
}
int sandbox_server_write(unused_arg struct sandbox_server *v, unused_arg const void *data,
			 unused_arg size_t len, unused_arg usec_t deadline,
			 unused_arg struct err *err)
{
	return 0;
}
const char *sandbox_server_stderr(unused_arg const struct sandbox_server *v)
{
	return "";
}
const char *sandbox_server_container(unused_arg const struct sandbox_server *v)
{
	return "";
}
void sandbox_server_end(unused_arg struct sandbox_server *v, unused_arg usec_t deadline)
{
}

int sandbox_service_start(unused_arg struct sandbox *s,
			  unused_arg const struct sandbox_server_wish *wish,
			  unused_arg struct sandbox_service **ret, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "there are no servers here");
}
int sandbox_service_connect(unused_arg void *service, unused_arg int *ret, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "there are no servers here");
}
bool sandbox_service_lives(unused_arg struct sandbox_service *v)
{
	return false;
}
const char *sandbox_service_container(unused_arg const struct sandbox_service *v)
{
	return "";
}
void sandbox_service_said(unused_arg struct sandbox_service *v, char *out, size_t size)
{
	if (size > 0)
		out[0] = '\0';
}
void sandbox_service_end(unused_arg struct sandbox_service *v)
{
}

#endif
