/*
 * pages.c: the listener for those who watch us.
 */
#include "pages.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "http.h"
#include "mem.h"

#define CONNECTIONS  16
#define IDLE_SECONDS 10
#define ASK_TIMEOUT  (5 * USEC_PER_SEC)

struct page_server {
	struct MHD_Daemon *daemon;
	struct pages pages;
};

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, struct buf *page)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(page->len, page->data, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result rc;

	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type",
				"text/plain; version=0.0.4; charset=utf-8");
	rc = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return rc;
}

static unsigned metrics_page(const struct pages *p, struct buf *page)
{
	p->metrics(p->arg, page);
	return MHD_HTTP_OK;
}

static unsigned health_page(const struct pages *p unused_arg, struct buf *page)
{
	buf_append_str(page, "ok\n");
	return MHD_HTTP_OK;
}

static unsigned ready_page(const struct pages *p, struct buf *page)
{
	return p->ready(p->arg, page) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static const struct {
	const char *url;
	unsigned (*write)(const struct pages *p, struct buf *page); /* returns the status */
} g_pages[] = {
	{"/healthz", health_page},
	{"/metrics", metrics_page},
	{"/readyz", ready_page},
};

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version unused_arg,
			      const char *data unused_arg, size_t *size unused_arg,
			      void **state unused_arg)
{
	_cleanup_buf_ struct buf page = BUF_INIT(BOUND_METRICS_PAGE);
	const struct page_server *server = cls;
	unsigned status = MHD_HTTP_NOT_FOUND;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, &page);
	for (size_t i = 0; i < ARRAY_LEN(g_pages); i++)
		if (strcmp(url, g_pages[i].url) == 0)
			status = g_pages[i].write(&server->pages, &page);
	return respond(connection, status, &page);
}

/* Without brackets; "" is every address, and NULL none. */
static char *host_of(const char *text, size_t len)
{
	if (len == 0 || text[0] != '[')
		return xstrndup(text, len);
	return len > 2 && text[len - 1] == ']' ? xstrndup(text + 1, len - 2) : NULL;
}

/* IPv4 or a bracketed IPv6 address; never a name that needs a resolver. */
static int parse(const char *setting, const char *text, struct sockaddr_storage *ret,
		 struct err *err)
{
	const char *colon = strrchr(text, ':');
	_cleanup_free_ char *host = NULL;
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;

	if (colon != NULL)
		host = host_of(text, (size_t)(colon - text));
	if (host == NULL || colon[1] == '\0' || strlen(colon + 1) > 5 ||
	    atoi(colon + 1) > UINT16_MAX ||
	    getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &found) != 0)
		return err_set(err, ERR_INVALID, "%s: '%s' is not address:port", setting, text);
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

int pages_check(const char *setting, const char *address, struct err *err)
{
	struct sockaddr_storage parsed;

	return address && *address ? parse(setting, address, &parsed, err) : 0;
}

int pages_start(const char *address, const struct pages *p, struct page_server **ret,
		struct err *err)
{
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO;
	_cleanup_free_ struct page_server *s = NULL;
	struct sockaddr_storage parsed = {0};
	int rc;

	*ret = NULL;
	if (address == NULL || *address == '\0')
		return 0;
	rc = parse(p->setting, address, &parsed, err);
	if (rc < 0)
		return rc;
	if (parsed.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	s = xcalloc(1, sizeof(*s));
	s->pages = *p;
	errno = 0;
	s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, s, MHD_OPTION_SOCK_ADDR,
				     (struct sockaddr *)&parsed, MHD_OPTION_CONNECTION_LIMIT,
				     (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
				     (unsigned)IDLE_SECONDS, MHD_OPTION_END);
	if (s->daemon == NULL && errno == EADDRINUSE)
		return err_set(err, ERR_FAILED,
			       "cannot listen on %s %s: the address is in use "
			       "(each program of a machine needs its own; empty = none)",
			       p->setting, address);
	if (s->daemon == NULL)
		return err_set_errno(err, ERR_FAILED, errno, "cannot listen on %s %s", p->setting,
				     address);
	*ret = TAKE(s);
	return 0;
}

void pages_stop(struct page_server *s)
{
	if (s == NULL)
		return;
	MHD_stop_daemon(s->daemon);
	free(s);
}

/* ---- the other end ---- */
static char *url_of(const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *four = (const struct sockaddr_in *)address;
	char text[INET6_ADDRSTRLEN];

	if (address->ss_family == AF_INET6) {
		bool any = IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr);

		inet_ntop(AF_INET6, any ? &in6addr_loopback : &six->sin6_addr, text, sizeof(text));
		return xasprintf("http://[%s]:%u", text, ntohs(six->sin6_port));
	}
	if (four->sin_addr.s_addr == htonl(INADDR_ANY))
		return xasprintf("http://127.0.0.1:%u", ntohs(four->sin_port));
	inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
	return xasprintf("http://%s:%u", text, ntohs(four->sin_port));
}

int pages_ask(const char *setting, const char *address, struct buf *out, struct err *err)
{
	const struct http_request request = {.method = "GET",
					     .path = "/readyz",
					     .timeout = ASK_TIMEOUT,
					     .max_body = BOUND_ERROR_TEXT};
	struct http_response response = {.body = BUF_INIT(BOUND_ERROR_TEXT)};
	_cleanup_free_ char *url = NULL;
	struct sockaddr_storage parsed;
	struct http_target target = {0};
	struct http_client *client;
	int rc;

	if (address == NULL || *address == '\0')
		return err_set(err, ERR_INVALID, "%s is empty: there is nobody to ask", setting);
	rc = parse(setting, address, &parsed, err);
	if (rc < 0)
		return rc;
	url = url_of(&parsed);
	target.base_url = url;
	client = http_client_new(&target);
	rc = http_do(client, &request, &response, err);
	http_client_free(client);
	if (rc < 0)
		err_wrap(err, "%s", url);
	if (rc == 0) {
		buf_append(out, response.body.data, response.body.len);
		if (response.status != 200)
			rc = err_set(err, ERR_NOTFOUND, "%s: not ready", url);
	}
	buf_done(&response.body);
	return rc;
}
