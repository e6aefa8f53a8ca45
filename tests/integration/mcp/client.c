/*
 * client.c: the client library as a program, for peers and referees.
 *
 *   client [-e handshake|stateless] [-s] [-t SECONDS] [-w SECONDS] [-l SECONDS] [-H "Name: value"]…
 * URL [STEP…] client … -- PROGRAM ARGUMENT…            its standard streams; steps come from
 * MCP_STEPS
 *
 * A step is `list`, `call:TOOL:JSON`, or `heard`: until tools changed once more. What happens is
 * one JSON object a line on stdout. Without steps it does what the referee's scenario asks for: it
 * calls every tool it is shown.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "http.h"
#include "json.h"
#include "mcp.h"
#include "mem.h"

static struct mcp_client *client;
static usec_t time_limit = 20 * USEC_PER_SEC, patience = USEC_PER_SEC;
static bool interrupted_once;
static unsigned changes, heard;

static void print(json_t *line)
{
	_cleanup_buf_ struct buf text = BUF_INIT(64u << 20);

	json_dump_strict(line, &text);
	printf("%s\n", text.data);
	fflush(stdout);
	json_decref(line);
}

static int print_error(const char *what, const struct err *err)
{
	print(json_pack("{s:s, s:s, s:s}", "failed", what, "code", err_code_text(err->code),
			"error", err->msg));
	return -err->code;
}

/* ---- a server as a child ---- */
struct child {
	pid_t pid;
	int in, out;
};

static ssize_t child_read(void *arg, void *data, size_t size, usec_t deadline, struct err *err)
{
	struct child *c = arg;
	struct pollfd p = {.fd = c->out, .events = POLLIN};

	if (poll(&p, 1, clock_left_ms(deadline)) == 0)
		return err_set(err, ERR_TIMEOUT, "nothing from the server");
	ssize_t n = read(c->out, data, size);
	return n < 0 ? err_set_errno(err, ERR_FAILED, errno, "read") : n;
}

static int child_write(void *arg, const void *data, size_t len, usec_t deadline, struct err *err)
{
	struct child *c = arg;
	const char *p = data;

	(void)deadline;
	while (len > 0) {
		ssize_t n = write(c->in, p, len);
		if (n < 0)
			return err_set_errno(err, ERR_CLOSED, errno, "write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* End of its input; then, if it stays, SIGTERM, and SIGKILL. */
static void child_close(void *arg, usec_t deadline)
{
	static const int signals[] = {0, SIGTERM, SIGKILL};
	struct child *c = arg;
	int status;

	(void)deadline;
	close(c->in);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		if (signals[i])
			kill(c->pid, signals[i]);
		for (usec_t end = clock_deadline(patience); clock_mono() < end;) {
			if (waitpid(c->pid, &status, WNOHANG) == c->pid) {
				print(json_pack("{s:i}", "ended_by_signal", signals[i]));
				close(c->out);
				return;
			}
			usleep(20000);
		}
	}
}

static void start_child(struct child *c, char **argv)
{
	int in[2], out[2];

	if (pipe(in) < 0 || pipe(out) < 0)
		exit(2);
	c->pid = fork();
	if (c->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	c->in = in[1];
	c->out = out[0];
}

/* ---- what the server says by itself ---- */
static void on_progress(void *arg, double progress, double total, const char *message)
{
	(void)arg;
	print(json_pack("{s:f, s:f, s:s?}", "progress", progress, "total", total, "message",
			message));
}

static void on_log(void *arg, const char *level, const char *text)
{
	(void)arg;
	print(json_pack("{s:s, s:s}", "log", level, "text", text));
}

static void on_change(void *arg)
{
	(void)arg;
	changes++;
	print(json_pack("{s:b}", "tools_changed", 1));
}

static int call(const char *tool, const json_t *schema, const json_t *arguments)
{
	json_t *result = NULL;
	struct err err;
	int r = mcp_client_call(client, tool, schema, arguments, clock_deadline(time_limit),
				&result, &err);

	if (r < 0)
		return print_error(tool, &err);
	print(json_pack("{s:s, s:o}", "called", tool, "result", result));
	return 0;
}

/* Accepts with the schema's defaults; and the first time something else is done in between, which
 * must not be mixed up with the call that waits. */
static json_t *on_input(void *arg, const char *method, const json_t *params)
{
	json_t *content = json_object(), *property;
	const char *key;

	(void)arg;
	if (strcmp(method, "elicitation/create") != 0) {
		json_decref(content);
		return NULL;
	}
	json_t *properties =
		json_object_get(json_object_get(params, "requestedSchema"), "properties");
	json_object_foreach(properties, key, property)
	{
		json_t *value = json_object_get(property, "default");
		const char *type = json_member_str(property, "type");
		if (value)
			json_object_set(content, key, value);
		else if (type && strcmp(type, "boolean") == 0)
			json_object_set_new(content, key, json_true());
		else if (type && strcmp(type, "string") == 0)
			json_object_set_new(content, key, json_string("x"));
	}
	if (getenv("MCP_CONFORMANCE_SCENARIO") && !interrupted_once) {
		interrupted_once = true;
		if (strstr(getenv("MCP_CONFORMANCE_SCENARIO"), "sep-2322"))
			call("test_mrtr_unrelated", NULL, NULL);
	}
	return json_pack("{s:s, s:o}", "action", "accept", "content", content);
}

/* ---- steps ---- */
static json_t *list_tools(void)
{
	json_t *tools = NULL;
	struct err err;

	if (mcp_client_list_tools(client, clock_deadline(time_limit), &tools, &err) < 0) {
		print_error("tools/list", &err);
		return NULL;
	}
	print(json_pack("{s:O}", "tools", tools));
	return tools;
}

static const json_t *schema_of(const json_t *tools, const char *name)
{
	size_t i;
	json_t *tool;

	json_array_foreach(tools, i,
			   tool) if (strcmp(json_string_value(json_object_get(tool, "name")),
					    name) == 0) return json_object_get(tool, "inputSchema");
	return NULL;
}

static int hear(void)
{
	struct err err;

	for (usec_t end = clock_deadline(time_limit); changes == heard; usleep(20000)) {
		if (clock_mono() >= end) {
			err_set(&err, ERR_TIMEOUT, "no change");
			return print_error("heard", &err);
		}
		mcp_client_look(client);
	}
	heard++;
	return 0;
}

static int do_step(const char *step, json_t **tools)
{
	if (strcmp(step, "heard") == 0)
		return hear();
	if (strcmp(step, "list") == 0) {
		json_decref(*tools);
		*tools = list_tools();
		return *tools ? 0 : -1;
	}
	char *copy = xstrdup(step);
	char *tool = strchr(copy, ':');
	char *arguments = tool ? strchr(tool + 1, ':') : NULL;
	if (!arguments) {
		fprintf(stderr, "not a step: %s\n", step);
		exit(2);
	}
	*arguments++ = '\0';
	json_t *value = json_loads(arguments, 0, NULL);
	int r = call(tool + 1, schema_of(*tools, tool + 1), value);
	json_decref(value);
	free(copy);
	return r;
}

/* Something for every property that is required. */
static json_t *sample(const json_t *tools, const json_t *schema)
{
	json_t *arguments = json_object(), *property;
	const char *key;

	json_object_foreach(json_object_get(schema, "properties"), key, property)
	{
		const char *type = json_member_str(property, "type");
		if (strcmp(key, "schema") == 0) /* a referee that wants to see what we saw */
			json_object_set(arguments, key,
					json_object_get(json_array_get(tools, 0), "inputSchema"));
		else if (type && (strcmp(type, "number") == 0 || strcmp(type, "integer") == 0))
			json_object_set_new(arguments, key, json_integer(5));
		else if (type && strcmp(type, "boolean") == 0)
			json_object_set_new(arguments, key, json_true());
		else if (type && strcmp(type, "string") == 0)
			json_object_set_new(arguments, key, json_string("x"));
	}
	return arguments;
}

static void do_scenario(void)
{
	const char *text = getenv("MCP_CONFORMANCE_CONTEXT");
	json_t *context = text ? json_loads(text, 0, NULL) : NULL;
	json_t *calls = json_object_get(context, "toolCalls"), *one;
	json_t *tools = list_tools();
	size_t i;

	if (json_is_array(calls)) {
		json_array_foreach(calls, i, one)
			call(json_string_value(json_object_get(one, "name")),
			     schema_of(tools, json_string_value(json_object_get(one, "name"))),
			     json_object_get(one, "arguments"));
	} else {
		json_array_foreach(tools, i, one)
		{
			const char *name = json_string_value(json_object_get(one, "name"));
			const json_t *schema = json_object_get(one, "inputSchema");
			json_t *arguments = sample(tools, schema);
			if (strcmp(name, "test_mrtr_unrelated") != 0)
				call(name, schema, arguments);
			json_decref(arguments);
		}
	}
	json_decref(tools);
	json_decref(context);
}

static enum mcp_era era_of(const char *name)
{
	if (strcmp(name, "handshake") == 0)
		return MCP_ERA_HANDSHAKE;
	return strcmp(name, "stateless") == 0 ? MCP_ERA_STATELESS : MCP_ERA_UNKNOWN;
}

static struct mcp_transport *reach(int argc, char **argv, bool sse, const char *const *headers,
				   int *ret_steps)
{
	static struct child child;
	struct mcp_transport *t = NULL;
	struct err err;

	if (strcmp(argv[optind - 1], "--") == 0) {
		start_child(&child, argv + optind);
		*ret_steps = argc;
		return mcp_stdio_new(
			&(struct mcp_pipe){child_read, child_write, child_close, &child});
	}
	struct mcp_http_config config = {.url = argv[optind], .headers = headers, .sse = sse};
	*ret_steps = optind + 1;
	if (mcp_http_new(&config, &t, &err) < 0) {
		print_error("url", &err);
		exit(1);
	}
	return t;
}

int main(int argc, char **argv)
{
	struct mcp_client_config config = {
		.hooks = {on_progress, on_log, on_change, on_input, NULL}};
	const char *headers[9] = {NULL};
	const char *version = getenv("MCP_CONFORMANCE_PROTOCOL_VERSION");
	size_t header_count = 0;
	bool sse = false;
	struct err err;
	int opt, step;

	signal(SIGPIPE, SIG_IGN);
	if (version && strcmp(getenv("MCP_CONFORMANCE_SCENARIO"), "request-metadata") != 0)
		config.era = mcp_version_era(version) == MCP_ERA_HANDSHAKE ? MCP_ERA_HANDSHAKE
									   : MCP_ERA_UNKNOWN;
	while ((opt = getopt(argc, argv, "+e:st:p:w:l:H:")) != -1)
		if (opt == 'e')
			config.era = era_of(optarg);
		else if (opt == 's')
			sse = true;
		else if (opt == 't')
			time_limit = (usec_t)(atof(optarg) * 1e6);
		else if (opt == 'p')
			config.probe = (usec_t)(atof(optarg) * 1e6);
		else if (opt == 'w')
			patience = (usec_t)(atof(optarg) * 1e6);
		else if (opt == 'l')
			config.listen_again = (usec_t)(atof(optarg) * 1e6);
		else if (opt == 'H' && header_count < 8)
			headers[header_count++] = optarg;
		else
			return 2;
	if (optind >= argc || http_global_init(&err) < 0)
		return 2;
	struct mcp_transport *t = reach(argc, argv, sse, headers, &step);
	if (mcp_client_open(t, &config, clock_deadline(time_limit), &client, &err) < 0) {
		print_error("open", &err);
		return 1;
	}
	const struct mcp_peer *peer = mcp_client_peer(client);
	print(json_pack("{s:s, s:s, s:s}", "opened", peer->version, "name", peer->name, "era",
			peer->era == MCP_ERA_STATELESS ? "stateless" : "handshake"));
	json_t *tools = NULL;
	char *steps = getenv("MCP_STEPS") ? xstrdup(getenv("MCP_STEPS")) : NULL;
	bool any = step < argc || steps;
	int failed = 0;
	for (; step < argc; step++)
		failed |= do_step(argv[step], &tools) < 0;
	for (char *s = steps ? strtok(steps, "\n") : NULL; s; s = strtok(NULL, "\n"))
		failed |= do_step(s, &tools) < 0;
	if (!any)
		do_scenario();
	json_decref(tools);
	free(steps);
	print(json_pack("{s:b}", "usable", mcp_client_usable(client)));
	mcp_client_close(client, clock_deadline(5 * USEC_PER_SEC));
	return failed ? 1 : 0;
}
