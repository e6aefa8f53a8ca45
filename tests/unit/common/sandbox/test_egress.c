/* The proxy at the worker's end, with real servers on the loopback address and an agent played by
 * the test. */
#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "common/sandbox/egress_channel.h"
#include "mem.h"
#include "policy.h"
#include "tests/unit/suite.h"

/* ---- a server: one connection, which it answers and then echoes or closes ---- */
struct server {
	int listener;
	uint16_t port;
	const char *answer; /* after the blank line; NULL = echo everything */
	pthread_t thread;
	char got[1 << 16];
	size_t got_len;
	size_t echoed;
};

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd = accept(s->listener, NULL, NULL);
	static char bytes[1 << 16];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		if (s->answer == NULL) {
			for (ssize_t at = 0; at < n;) {
				ssize_t w = write(fd, bytes + at, (size_t)(n - at));
				ck_assert_int_gt(w, 0);
				at += w;
			}
			s->echoed += (size_t)n;
			continue;
		}
		ck_assert_uint_lt(s->got_len + (size_t)n, sizeof(s->got));
		memcpy(s->got + s->got_len, bytes, (size_t)n);
		s->got_len += (size_t)n;
		if (memmem(s->got, s->got_len, "\r\n\r\n", 4)) {
			ck_assert_int_eq(write(fd, s->answer, strlen(s->answer)),
					 (ssize_t)strlen(s->answer));
			shutdown(fd, SHUT_WR);
		}
	}
	close(fd);
	return NULL;
}

static void server_start(struct server *s, const char *answer)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	memset(s, 0, sizeof(*s));
	s->answer = answer;
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(s->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(s->listener, 8), 0);
	ck_assert_int_eq(getsockname(s->listener, (struct sockaddr *)&a, &len), 0);
	s->port = ntohs(a.sin_port);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
	/* Wakes accept, too. */
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
}

/* ---- the agent: what it was sent ---- */
struct agent {
	struct sandbox_egress wish;
	struct policy *policy; /* or NULL */
	struct egress *egress;
	struct buf data; /* for channel 1 */
	uint64_t taken;	 /* of channel 1 */
	int half, reset; /* of channel 1 */
	bool withhold;	 /* does not say WRITTEN */
	char record[8][300];
	int records;
};

static void written(struct agent *a, uint32_t id, size_t n);

static int sent(void *arg, enum frame_type type, const void *data, size_t len, struct err *err)
{
	struct frame_cursor c = {.data = data, .left = len};
	struct agent *a = arg;
	uint32_t id = frame_get_u32(&c);

	(void)err;
	ck_assert(!c.bad);
	if (id != 1)
		return 0;
	if (type == FRAME_CHANNEL_DATA) {
		buf_append(&a->data, c.data, c.left);
		if (!a->withhold)
			written(a, id, c.left);
	} else if (type == FRAME_CHANNEL_TAKEN) {
		a->taken += frame_get_u32(&c);
	} else {
		ck_assert_int_eq(type, FRAME_CHANNEL_END);
		if (frame_get_u32(&c) == FRAME_CHANNEL_HALF)
			a->half++;
		else
			a->reset++;
	}
	return 0;
}

static void record(void *arg, const struct sandbox_egress_event *e)
{
	struct agent *a = arg;

	ck_assert_int_lt(a->records, 8);
	snprintf(a->record[a->records++], sizeof(a->record[0]), "%s %s %s:%u [%s] %llu/%llu %s",
		 e->decision, e->method, e->host, e->port, e->address,
		 (unsigned long long)e->up_bytes, (unsigned long long)e->down_bytes,
		 e->reason ? e->reason : "-");
}

static int frame(struct agent *a, enum frame_type type, uint32_t id, const void *data, size_t len)
{
	static unsigned char bytes[1 << 17];
	struct frame f = {.type = (uint8_t)type, .len = (uint32_t)len + 4, .data = bytes};
	struct err err;

	frame_put_u32(bytes, id);
	memcpy(bytes + 4, data, len);
	return egress_frame(a->egress, &f, &err);
}

static void written(struct agent *a, uint32_t id, size_t n)
{
	unsigned char bytes[4];

	frame_put_u32(bytes, (uint32_t)n);
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_WRITTEN, id, bytes, 4), 0);
}

static void client_done(struct agent *a, uint32_t id)
{
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_ENDED, id, "\0\0\0\0", 4), 0);
}

static void say(struct agent *a, const char *text)
{
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, 1, text, strlen(text)), 0);
}

static void begin(struct agent *a, const char *allow)
{
	struct settings s;
	struct err err;
	char *setting;

	memset(a, 0, sizeof(*a));
	ck_assert_int_ge(asprintf(&setting, "EGRESS_ALLOW=%s", allow), 0);
	char *env[] = {setting, NULL};
	ck_assert_int_eq(settings_load(env, &s, &err), 0);
	a->wish.scope = OUTBOUND_SANDBOX;
	ck_assert_msg(outbound_open(&s, &a->wish.outbound, &err) == 0, "%s", err.msg);
	settings_done(&s);
	free(setting);
	a->wish.max_bytes = 100 << 20;
	a->wish.max_connections = a->wish.rate = 1000;
	a->wish.record = record;
	a->wish.record_arg = a;
	a->data = BUF_INIT(64 << 20);
	a->egress = egress_new(&a->wish, sent, a);
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_OPEN, 1, "", 0), 0);
}

/* With a hole for the server, by address and by name. */
static void begin_for(struct agent *a, const struct server *s)
{
	char allow[100];

	snprintf(allow, sizeof(allow), "sandbox:127.0.0.1:%u,sandbox:localhost:%u", s->port,
		 s->port);
	begin(a, allow);
}

static bool allows(void *arg, const char *scheme, const struct outbound_host *host, uint16_t port,
		   const char *path, const char **ret_reason)
{
	struct agent *a = arg;
	struct policy_answer answer;

	policy_ask_url(a->policy, NULL, scheme, host, port, path, &answer);
	*ret_reason = answer.note && *answer.note ? answer.note : "no rule allows it";
	return answer.allow;
}

static void add_rule(struct agent *a, const char *pattern, bool allow)
{
	struct err err;

	if (a->policy == NULL)
		a->policy = policy_new();
	ck_assert_int_eq(policy_add_rule(a->policy, "url", NULL, pattern, allow,
					 allow ? "" : "denied by a rule", "test", &err),
			 0);
	a->wish.allows = allows;
	a->wish.allows_arg = a;
	a->wish.names_count = true;
}

static void end(struct agent *a)
{
	egress_free(a->egress);
	outbound_close(a->wish.outbound);
	policy_unref(a->policy);
	buf_done(&a->data);
}

/* One round of waiting; whether there was anything to wait for. */
static void turn(struct agent *a)
{
	struct pollfd fds[FRAME_CHANNELS];
	usec_t deadline = clock_mono() + USEC_PER_SEC / 20;
	struct err err;
	size_t n = egress_poll(a->egress, fds, &deadline);
	usec_t left = deadline - clock_mono();

	poll(fds, n, left > 0 ? (int)(left / USEC_PER_MSEC) + 1 : 0);
	ck_assert_int_eq(egress_work(a->egress, fds, &err), 0);
}
#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		for (int i_ = 0; !(condition); i_++) {                                             \
			ck_assert_msg(i_ < 4000, "never: %s", #condition);                         \
			turn(a);                                                                   \
		}                                                                                  \
	} while (0)

static bool has(const struct buf *b, const char *text)
{
	return b->len > 0 && memmem(b->data, b->len, text, strlen(text)) != NULL;
}

/* ---- what works ---- */
START_TEST(test_plain_request)
{
	struct server s;
	struct agent agent, *a = &agent;
	char text[300];

	server_start(&s, "HTTP/1.1 200 OK\r\n\r\nhello");
	begin_for(a, &s);
	snprintf(
		text, sizeof(text),
		"POST http://localhost:%u/x HTTP/1.1\r\nHost: wrong\r\nContent-Length: 3\r\n\r\nabc"
		"GET http://other.example/ HTTP/1.1\r\n\r\n",
		s.port);
	/* byte by byte */
	for (size_t i = 0; text[i]; i++)
		ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, 1, text + i, 1), 0);
	UNTIL(a->half == 1);
	client_done(a, 1);
	UNTIL(a->records == 1);
	server_stop(&s);
	ck_assert_str_eq(a->data.data, "HTTP/1.1 200 OK\r\n\r\nhello");
	snprintf(text, sizeof(text),
		 "POST /x HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\nContent-Length: "
		 "3\r\n\r\nabc",
		 s.port);
	ck_assert_uint_eq(s.got_len, strlen(text));
	ck_assert_int_eq(memcmp(s.got, text, s.got_len), 0);
	ck_assert_msg(strncmp(a->record[0], "allow POST localhost:", 21) == 0 &&
			      strstr(a->record[0], "] ") != NULL,
		      "%s", a->record[0]);
	end(a);
}
END_TEST

START_TEST(test_tunnel)
{
	struct server s;
	struct agent agent, *a = &agent;
	char text[300];

	server_start(&s, NULL);
	begin_for(a, &s);
	snprintf(text, sizeof(text), "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\nearly ", s.port);
	say(a, text);
	UNTIL(has(&a->data, "early "));
	ck_assert_int_eq(strncmp(a->data.data, "HTTP/1.1 200 ", 13), 0);
	say(a, "later");
	UNTIL(has(&a->data, "early later"));
	ck_assert_int_eq(a->half, 0);
	client_done(a, 1);
	UNTIL(a->half == 1 && a->records == 1);
	ck_assert_int_eq(a->reset, 0);
	ck_assert_msg(strstr(a->record[0], "[127.0.0.1] 11/11 -") != NULL, "%s", a->record[0]);
	server_stop(&s);
	end(a);
}
END_TEST

/* Both directions keep to their windows, and go on when they open. */
START_TEST(test_windows)
{
	struct server s;
	struct agent agent, *a = &agent;
	static char bulk[FRAME_CHANNEL_WINDOW];
	char text[300];
	size_t total = 0, given;

	server_start(&s, NULL);
	begin_for(a, &s);
	snprintf(text, sizeof(text), "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\n", s.port);
	say(a, text);
	UNTIL(has(&a->data, "\r\n\r\n"));
	a->withhold = true;
	buf_reset(&a->data);
	memset(bulk, 'x', sizeof(bulk));
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, 1, bulk, sizeof(bulk)), 0);
	total += sizeof(bulk);
	/* nothing is written to the client: what has come stays within the window, although more is
	 * there */
	UNTIL(a->data.len == FRAME_CHANNEL_WINDOW && a->taken >= strlen(text) + sizeof(bulk));
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, 1, bulk, 1000), 0);
	total += 1000;
	UNTIL(s.echoed >= total);
	turn(a);
	ck_assert_uint_eq(a->data.len, FRAME_CHANNEL_WINDOW);
	given = a->data.len;
	written(a, 1, given);
	UNTIL(a->data.len == total);
	client_done(a, 1);
	end(a);
	server_stop(&s);
}
END_TEST

static void put16(struct buf *b, size_t v)
{
	buf_append_char(b, (char)(v >> 8));
	buf_append_char(b, (char)v);
}

/* A TLS greeting that names `name`. */
static void greeting(struct buf *out, const char *name)
{
	_cleanup_buf_ struct buf body = BUF_INIT(4096);

	put16(&body, 0x0303);
	for (int i = 0; i < 32; i++)
		buf_append_char(&body, 0);
	buf_append_char(&body, 0);
	put16(&body, 2);
	put16(&body, 0x1301);
	buf_append_char(&body, 1);
	buf_append_char(&body, 0);
	put16(&body, strlen(name) + 9);
	put16(&body, 0);
	put16(&body, strlen(name) + 5);
	put16(&body, strlen(name) + 3);
	buf_append_char(&body, 0);
	put16(&body, strlen(name));
	buf_append_str(&body, name);
	buf_append_char(out, 22);
	put16(out, 0x0301);
	put16(out, body.len + 4);
	buf_append_char(out, 1);
	buf_append_char(out, 0);
	put16(out, body.len);
	buf_append(out, body.data, body.len);
}

START_TEST(test_server_name_must_be_the_host)
{
	static const struct {
		const char *name;
		bool passes;
	} names[] = {{"localhost", true}, {"LocalHost", true}, {"other.example", false}};
	struct server s;
	struct agent agent, *a = &agent;
	_cleanup_buf_ struct buf hello = BUF_INIT(4096);
	char text[300];

	server_start(&s, NULL);
	begin_for(a, &s);
	snprintf(text, sizeof(text), "localhost:%u", s.port);
	add_rule(a, text, true);
	snprintf(text, sizeof(text), "CONNECT localhost:%u HTTP/1.1\r\n\r\n", s.port);
	say(a, text);
	UNTIL(has(&a->data, "\r\n\r\n"));
	greeting(&hello, names[_i].name);
	buf_reset(&a->data);
	for (size_t i = 0; i < hello.len && a->reset == 0; i++)
		ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, 1, hello.data + i, 1), 0);
	if (names[_i].passes) {
		UNTIL(a->data.len == hello.len);
		ck_assert_int_eq(a->reset, 0);
		client_done(a, 1);
	} else {
		ck_assert_int_eq(a->reset, 1);
		ck_assert_uint_eq(a->data.len, 0);
		ck_assert_msg(strncmp(a->record[0], "deny CONNECT localhost", 22) == 0, "%s",
			      a->record[0]);
	}
	end(a);
	server_stop(&s);
	ck_assert_uint_eq(s.echoed, names[_i].passes ? hello.len : 0);
}
END_TEST

START_TEST(test_no_tls_where_rules_stand)
{
	struct server s;
	struct agent agent, *a = &agent;
	char text[300];

	server_start(&s, NULL);
	begin_for(a, &s);
	snprintf(text, sizeof(text), "localhost:%u", s.port);
	add_rule(a, text, true);
	snprintf(text, sizeof(text), "CONNECT localhost:%u HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n",
		 s.port);
	say(a, text);
	UNTIL(a->reset == 1);
	ck_assert_msg(strstr(a->record[0], "not TLS") != NULL, "%s", a->record[0]);
	end(a);
	server_stop(&s);
	ck_assert_uint_eq(s.echoed, 0);
}
END_TEST

/* ---- what does not ---- */
static const struct {
	const char *request, *status, *record;
} refused[] = {
	{"GET http://never.invalid/ HTTP/1.1\r\n\r\n", "HTTP/1.1 403 ",
	 "deny GET never.invalid:80 [] 0/0 denied by a rule"},
	{"CONNECT bad.allowed.invalid:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 ",
	 "deny CONNECT bad.allowed.invalid:443 [] 0/0 denied by a rule"},
	{"CONNECT x.allowed.invalid:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 502 ",
	 "error CONNECT x.allowed.invalid:443 [] 0/0"},
	{"CONNECT localhost:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 ", "deny CONNECT localhost:443"},
	{"CONNECT localhost:22 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 ", "deny CONNECT localhost:22"},
	{"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 ",
	 "deny CONNECT 169.254.169.254:80 [] 0/0 169.254.169.254: an address that is link-local"},
	{"CONNECT [::ffff:127.0.0.1]:80 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 ",
	 "deny CONNECT ::ffff:127.0.0.1:80"},
	{"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 502 ",
	 "error CONNECT 127.0.0.1:1 [127.0.0.1] 0/0 no address answers"},
	{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400 ", "deny "},
	{"\x16\x03\x01\r\n\r\n", "HTTP/1.1 400 ", "deny "},
	{"CONNECT 127.1:80 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "deny "},
};

START_TEST(test_refused)
{
	struct agent agent, *a = &agent;

	begin(a, "sandbox:127.0.0.1:1");
	add_rule(a, "bad.allowed.invalid", false);
	add_rule(a, "*.allowed.invalid", true);
	add_rule(a, "localhost", true);
	add_rule(a, "localhost:22", true);
	add_rule(a, "127.0.0.1:1", true);
	add_rule(a, "169.254.169.254", true);
	add_rule(a, "[::ffff:127.0.0.1]", true);
	add_rule(a, "*", false);
	say(a, refused[_i].request);
	UNTIL(a->half == 1);
	ck_assert_msg(strncmp(a->data.data, refused[_i].status, strlen(refused[_i].status)) == 0,
		      "%s", a->data.data);
	/* nothing of the inside is told to the sandbox */
	ck_assert(!has(&a->data, "link-local") && !has(&a->data, "rule"));
	ck_assert_int_eq(a->records, 1);
	ck_assert_msg(strncmp(a->record[0], refused[_i].record, strlen(refused[_i].record)) == 0,
		      "%s", a->record[0]);
	/* what it still says goes nowhere, and its window stays open */
	say(a, "more of it");
	ck_assert_uint_eq(a->taken >= 10, true);
	client_done(a, 1);
	ck_assert_int_eq(a->records, 1);
	end(a);
}
END_TEST

START_TEST(test_too_long_a_head)
{
	static char bulk[EGRESS_HEAD_BYTES];
	struct agent agent, *a = &agent;

	begin(a, "");
	memset(bulk, 'a', sizeof(bulk));
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, 1, bulk, sizeof(bulk)), 0);
	ck_assert_int_eq(a->half, 1);
	ck_assert(has(&a->data, "HTTP/1.1 400 "));
	end(a);
}
END_TEST

START_TEST(test_caps)
{
	struct agent agent, *a = &agent;
	int refusals = 0;

	begin(a, "");
	a->wish.max_connections = 3;
	for (uint32_t id = 2; id < 7; id++)
		ck_assert_int_eq(frame(a, FRAME_CHANNEL_OPEN, id, "", 0), 0);
	for (uint32_t id = 1; id < 7; id++) {
		static const char text[] = "CONNECT 10.0.0.1:80 HTTP/1.1\r\n\r\n";

		ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, id, text, strlen(text)), 0);
	}
	for (int i = 0; i < a->records; i++)
		refusals += strstr(a->record[i], "more than 3 connections") != NULL;
	ck_assert_int_eq(refusals, 3);
	end(a);

	begin(a, "");
	a->wish.rate = 0;
	say(a, "CONNECT 10.0.0.1:80 HTTP/1.1\r\n\r\n");
	ck_assert(has(&a->data, "HTTP/1.1 429 "));
	end(a);
}
END_TEST

START_TEST(test_bytes_are_capped)
{
	struct server s;
	struct agent agent, *a = &agent;
	static char bulk[10000];
	char text[300];

	server_start(&s, NULL);
	begin_for(a, &s);
	a->wish.max_bytes = 15000;
	snprintf(text, sizeof(text), "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\n", s.port);
	say(a, text);
	UNTIL(has(&a->data, "\r\n\r\n"));
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, 1, bulk, sizeof(bulk)), 0);
	UNTIL(a->reset == 1);
	ck_assert_msg(strstr(a->record[0], "more bytes") != NULL, "%s", a->record[0]);
	end(a);
	server_stop(&s);
}
END_TEST

START_TEST(test_origin_breaks_off)
{
	struct agent agent, *a = &agent;
	struct server s;
	char text[300];

	server_start(&s, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
	begin_for(a, &s);
	snprintf(text, sizeof(text), "GET http://127.0.0.1:%u/ HTTP/1.1\r\n\r\n", s.port);
	say(a, text);
	UNTIL(a->half == 1);
	ck_assert(has(&a->data, "short"));
	client_done(a, 1);
	ck_assert_int_eq(a->records, 1);
	end(a);
	server_stop(&s);
}
END_TEST

/* The agent is hostile, too. */
START_TEST(test_rules_of_the_channels)
{
	static char bulk[FRAME_CHANNEL_WINDOW + 1];
	struct agent agent, *a = &agent;

	begin(a, "");
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_OPEN, 1, "", 0), -ERR_PROTOCOL);
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_WRITTEN, 1, "\1\0\0\0", 4), -ERR_PROTOCOL);
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_WRITTEN, 1, "\1\0", 2), -ERR_PROTOCOL);
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, 1, bulk, sizeof(bulk)), -ERR_PROTOCOL);
	/* of what is not there any more, nothing is an error */
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_SENT, 99, "x", 1), 0);
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_ENDED, 99, "\0\0\0\0", 4), 0);
	for (uint32_t id = 2; id <= FRAME_CHANNELS; id++)
		ck_assert_int_eq(frame(a, FRAME_CHANNEL_OPEN, id, "", 0), 0);
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_OPEN, 100, "", 0), -ERR_PROTOCOL);
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_ENDED, 1, "\1\0\0\0", 4), 0);
	ck_assert_int_eq(frame(a, FRAME_CHANNEL_OPEN, 100, "", 0), 0);
	a->wish.record = NULL;
	end(a);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("egress");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_plain_request);
	tcase_add_test(t, test_tunnel);
	tcase_add_test(t, test_windows);
	tcase_add_loop_test(t, test_server_name_must_be_the_host, 0, 3);
	tcase_add_test(t, test_no_tls_where_rules_stand);
	tcase_add_loop_test(t, test_refused, 0, ARRAY_LEN(refused));
	tcase_add_test(t, test_too_long_a_head);
	tcase_add_test(t, test_caps);
	tcase_add_test(t, test_bytes_are_capped);
	tcase_add_test(t, test_origin_breaks_off);
	tcase_add_test(t, test_rules_of_the_channels);
	return suite_run("egress", t);
}
