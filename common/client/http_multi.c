/*
 * http_multi.c: exchanges on one libcurl multi handle.
 *
 * Handlers may begin and end exchanges; so an exchange that ends inside its own callback is only
 * marked there, and taken down by http_multi_run.
 */
#include "http_multi.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bounds.h"
#include "buf.h"
#include "clock.h"
#include "http_easy.h"
#include "mem.h"

#define POLL_MS 1000

struct http_exchange {
	struct http_multi *multi;
	struct http_exchange *next;
	CURL *curl;
	struct curl_slist *headers, *pins;
	char *body;
	struct http_handler handler;
	struct err failed; /* what a handler said */
	int placeholder;   /* until a socket of `handler.local` is in its place, or -1 */
	size_t head;	   /* bytes of headers so far */
	bool ended;
	char error_text[CURL_ERROR_SIZE];
};

struct http_multi {
	CURLM *curl;
	struct http_exchange *exchanges;
	bool running;  /* inside libcurl, where nothing may be taken down */
	bool happened; /* a handler was called */
};

struct http_multi *http_multi_new(void)
{
	struct http_multi *m = xcalloc(1, sizeof(*m));

	m->curl = curl_multi_init();
	if (!m->curl)
		BUG("curl_multi_init failed");
	return m;
}

static void destroy(struct http_exchange *x)
{
	struct http_multi *m = x->multi;

	for (struct http_exchange **p = &m->exchanges; *p; p = &(*p)->next)
		if (*p == x) {
			*p = x->next;
			break;
		}
	curl_multi_remove_handle(m->curl, x->curl);
	curl_easy_cleanup(x->curl);
	curl_slist_free_all(x->headers);
	curl_slist_free_all(x->pins);
	free(x->body);
	free(x);
}

void http_multi_free(struct http_multi *m)
{
	if (!m)
		return;
	while (m->exchanges)
		destroy(m->exchanges);
	curl_multi_cleanup(m->curl);
	free(m);
}

static int status_of(CURL *curl)
{
	long status = 0;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct http_exchange *x = arg;
	size_t len = size * count;

	x->multi->happened = true;
	if (x->ended)
		return CURL_WRITEFUNC_ERROR;
	if (x->handler.body &&
	    x->handler.body(x->handler.arg, status_of(x->curl), data, len, &x->failed) < 0)
		return CURL_WRITEFUNC_ERROR;
	return x->ended ? CURL_WRITEFUNC_ERROR : len;
}

/* One line of the head, "Name: value\r\n", the status line or the blank one. */
static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
	struct http_exchange *x = arg;
	size_t len = size * count;
	char line[4096];

	x->head += len;
	if (x->head > BOUND_HTTP_HEAD) {
		err_set(&x->failed, ERR_TOOBIG, "more than %u bytes of headers", BOUND_HTTP_HEAD);
		return 0;
	}
	char *colon = memchr(data, ':', len);
	int status = status_of(x->curl);
	if (!colon || len >= sizeof(line) || (status >= 100 && status < 200) ||
	    !x->handler.header || x->ended || memchr(data, '\0', len))
		return len;
	memcpy(line, data, len);
	line[len] = '\0';
	line[colon - data] = '\0';
	char *value = line + (colon - data) + 1;
	value += strspn(value, " \t");
	for (char *end = value + strlen(value); end > value && strchr(" \t\r\n", end[-1]); end--)
		end[-1] = '\0';
	x->handler.header(x->handler.arg, line, value);
	return len;
}

/*
 * A place in this process has sockets that are connected already, which libcurl 7.88 still connects
 * whatever it is told. So it is given one that can be connected without a word to anybody, of UDP,
 * and before it sends anything the other takes that one's number.
 */
static curl_socket_t placeholder(struct http_exchange *x)
{
	x->placeholder = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (x->placeholder >= 0)
		return x->placeholder;
	err_set_errno(&x->failed, ERR_UNAVAILABLE, errno, "a connection");
	return CURL_SOCKET_BAD;
}

/* Connected, and about to send. */
static int on_connected(void *arg, char *ip unused_arg, char *own_ip unused_arg,
			int port unused_arg, int own_port unused_arg)
{
	struct http_exchange *x = arg;
	_cleanup_fd_ int fd = -1;

	if (x->placeholder < 0)
		return CURL_PREREQFUNC_OK;
	if (x->ended || x->handler.local.connect(x->handler.local.arg, &fd, &x->failed) < 0)
		return CURL_PREREQFUNC_ABORT;
	if (dup3(fd, x->placeholder, O_CLOEXEC) < 0) {
		err_set_errno(&x->failed, ERR_UNAVAILABLE, errno, "a connection");
		return CURL_PREREQFUNC_ABORT;
	}
	x->placeholder = -1;
	return CURL_PREREQFUNC_OK;
}

/* The address that is judged is the one that is connected to: whatever its name stood for a moment
 * ago, or stands for a moment later. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose unused_arg, struct curl_sockaddr *to)
{
	struct http_exchange *x = arg;
	struct ip_address a = {0};
	uint16_t port;

	if (x->ended)
		return CURL_SOCKET_BAD;
	if (x->handler.local.connect)
		return placeholder(x);
	if (to->family == AF_INET) {
		const struct sockaddr_in *in = (const void *)&to->addr;
		memcpy(a.bytes, &in->sin_addr, 4);
		port = ntohs(in->sin_port);
	} else if (to->family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)&to->addr;
		a.v6 = true;
		memcpy(a.bytes, &in->sin6_addr, 16);
		port = ntohs(in->sin6_port);
	} else {
		return CURL_SOCKET_BAD;
	}
	if (x->handler.judge && x->handler.judge(x->handler.arg, &a, port, &x->failed) < 0)
		return CURL_SOCKET_BAD;
	return http_easy_socket(to);
}

static void set_up(struct http_exchange *x, const char *method, const char *url, size_t body_len,
		   usec_t timeout)
{
	CURL *curl = x->curl;

	curl_easy_setopt(curl, CURLOPT_PRIVATE, (void *)x);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, x->headers);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(HTTP_CONNECT_TIMEOUT / USEC_PER_MSEC));
	if (timeout > 0)
		http_easy_timeout(curl, timeout);
	if (x->body) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, x->body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len);
	}
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, x);
	if (x->handler.local.connect) {
		/* of no consequence but that no name is looked up */
		x->pins = curl_slist_append(x->pins, "::127.0.0.1:9");
		curl_easy_setopt(curl, CURLOPT_CONNECT_TO, x->pins);
		/* Making one costs little, and one that is idle is one less for others. */
		curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
		curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_connected);
		curl_easy_setopt(curl, CURLOPT_PREREQDATA, x);
	}
}

/* libcurl takes "Name:" for a header to leave out, and writes an empty one for "Name;". */
static void add_header(struct http_exchange *x, const char *line)
{
	size_t name = strcspn(line, ":");

	if (line[name] == ':' && line[name + 1 + strspn(line + name + 1, " \t")] == '\0') {
		_cleanup_free_ char *empty = xasprintf("%.*s;", (int)name, line);
		x->headers = curl_slist_append(x->headers, empty);
	} else {
		x->headers = curl_slist_append(x->headers, line);
	}
}

struct http_exchange *http_exchange_begin(struct http_multi *m, const char *method, const char *url,
					  const char *const *headers, const char *body,
					  size_t body_len, usec_t timeout,
					  const struct http_handler *handler)
{
	static const struct http_target nobody;
	struct http_exchange *x = xcalloc(1, sizeof(*x));

	x->multi = m;
	x->handler = *handler;
	x->placeholder = -1;
	x->curl = http_easy_new(&nobody, x->error_text);
	if (body)
		x->body = xmemdup(body, body_len);
	/* libcurl's own habit of asking first costs a second against servers that ignore it */
	x->headers = curl_slist_append(x->headers, "Expect:");
	for (; headers && *headers; headers++)
		add_header(x, *headers);
	set_up(x, method, url, body_len, timeout);
	x->next = m->exchanges;
	m->exchanges = x;
	curl_multi_add_handle(m->curl, x->curl);
	return x;
}

void http_exchange_decode(struct http_exchange *x)
{
	curl_easy_setopt(x->curl, CURLOPT_ACCEPT_ENCODING, "");
}

void http_exchange_pin(struct http_exchange *x, const struct outbound_host *host, uint16_t port,
		       const struct ip_address *addresses, size_t count)
{
	_cleanup_buf_ struct buf line = BUF_INIT(4096);
	char text[IP_ADDRESS_TEXT];

	buf_appendf(&line, "%s:%u:", host->name, port);
	for (size_t i = 0; i < count; i++) {
		ip_address_format(&addresses[i], text);
		buf_appendf(&line, addresses[i].v6 ? "%s[%s]" : "%s%s", i > 0 ? "," : "", text);
	}
	x->pins = curl_slist_append(x->pins, line.data);
	curl_easy_setopt(x->curl, CURLOPT_RESOLVE, x->pins);
}

void http_exchange_end(struct http_exchange *x)
{
	if (x->multi->running)
		x->ended = true;
	else
		destroy(x);
}

static void finish(struct http_exchange *x, CURLcode rc)
{
	struct err err = x->failed;
	int status = status_of(x->curl);

	x->multi->happened = true;
	if (!x->ended && x->handler.done) {
		if (rc != CURLE_OK && err.code == 0)
			http_easy_error(x->curl, rc, x->error_text, &err);
		x->handler.done(x->handler.arg, status, rc == CURLE_OK ? NULL : &err);
	}
	destroy(x);
}

static void reap(struct http_multi *m)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(m->curl, &left)))
		if (msg->msg == CURLMSG_DONE) {
			struct http_exchange *x = NULL;
			CURLcode rc = msg->data.result;
			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&x);
			finish(x, rc);
		}
	for (struct http_exchange *x = m->exchanges, *next; x; x = next) {
		next = x->next;
		if (x->ended)
			destroy(x);
	}
}

static void perform(struct http_multi *m)
{
	int going = 0;

	m->running = true;
	curl_multi_perform(m->curl, &going);
	reap(m);
	m->running = false;
}

void http_multi_run(struct http_multi *m, usec_t deadline)
{
	int ms = clock_left_ms(deadline);

	m->happened = false;
	perform(m);
	if (m->happened || ms == 0)
		return;
	curl_multi_poll(m->curl, NULL, 0, ms < 0 || ms > POLL_MS ? POLL_MS : ms, NULL);
	perform(m);
}
