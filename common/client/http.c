/*
 * http.c: requests by libcurl, one easy handle per client.
 */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounds.h"
#include "http_easy.h"
#include "mem.h"

struct http_client {
	CURL *curl;
	char *base_url;
	bool has_certificate; /* of the client */
	char error_text[CURL_ERROR_SIZE];
};

/* One answer on its way in. */
struct transfer {
	const struct http_request *request;
	CURL *curl;
	struct http_response *response;
	size_t head_bytes;
	bool too_big;
};

int http_global_init(struct err *err)
{
	CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);

	if (rc != CURLE_OK)
		return err_set(err, ERR_FAILED, "libcurl: %s", curl_easy_strerror(rc));
	return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	struct buf *body = &t->response->body;
	long status = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (t->request->piece && status == 200) {
		t->request->piece(t->request->arg, data, size * count);
		return size * count;
	}
	if (size * count > body->limit - body->len) {
		t->too_big = true;
		return 0;
	}
	buf_append(body, data, size * count);
	return body->failed ? 0 : size * count;
}

/* The value of a header line into `ret` of 16 bytes; what does not fit is none. */
static void copy_value(const char *value, const char *end, char ret[16])
{
	while (value < end && *value == ' ')
		value++;
	while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
		end--;
	size_t n = (size_t)(end - value);
	if (n < 16) {
		memcpy(ret, value, n);
		ret[n] = '\0';
	}
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * count;
	const struct {
		const char *name;
		char *ret;
	} wanted[] = {{"api-version:", t->response->api_version},
		      {"libpod-api-version:", t->response->libpod_version}};

	t->head_bytes += len;
	if (t->head_bytes > BOUND_HTTP_HEAD) {
		t->too_big = true;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		size_t n = strlen(wanted[i].name);
		if (len > n && strncasecmp(data, wanted[i].name, n) == 0)
			copy_value(data + n, data + len, wanted[i].ret);
	}
	return len;
}

static int on_progress(void *arg, curl_off_t a unused_arg, curl_off_t b unused_arg,
		       curl_off_t c unused_arg, curl_off_t d unused_arg)
{
	const struct http_request *req = arg;

	return req->give_up && req->give_up(req->arg);
}

struct http_client *http_client_new(const struct http_target *target)
{
	struct http_client *c = xcalloc(1, sizeof(*c));

	c->base_url = xstrdup(target->base_url);
	c->has_certificate = target->cert_file != NULL;
	c->curl = http_easy_new(target, c->error_text);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	return c;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->curl);
	free(c->base_url);
	free(c);
}

static void set_method(CURL *curl, const struct http_request *req)
{
	bool has_body =
		req->body || strcmp(req->method, "POST") == 0 || strcmp(req->method, "PUT") == 0;

	if (has_body) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, req->body ? req->body : "");
	} else {
		curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	}
	if (strcmp(req->method, "HEAD") == 0)
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, req->method);
}

/* Given: curl_slist_free_all. An empty value makes libcurl leave a header out. */
static struct curl_slist *make_headers(const struct http_request *req)
{
	_cleanup_free_ char *type =
		req->content_type ? xasprintf("Content-Type: %s", req->content_type) : NULL;
	struct curl_slist *list = curl_slist_append(NULL, type ? type : "Content-Type:");
	struct curl_slist *more = list ? curl_slist_append(list, "Expect:") : NULL;

	if (!more)
		BUG("curl_slist_append failed");
	return more;
}

/* A server that does not accept our certificate ends the connection in place of an answer
 * (TLS 1.3), of which libcurl says what its socket said. */
static int explain(struct http_client *c, CURLcode rc, struct err *err)
{
	int code = http_easy_error(c->curl, rc, c->error_text, err);
	curl_off_t answered = 0;

	curl_easy_getinfo(c->curl, CURLINFO_SIZE_DOWNLOAD_T, &answered);
	if (c->has_certificate && answered == 0 &&
	    (rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR || rc == CURLE_GOT_NOTHING))
		return err_wrap(err, "no answer, as when our certificate is not accepted");
	return code;
}

int http_do(struct http_client *c, const struct http_request *req, struct http_response *ret,
	    struct err *err)
{
	_cleanup_free_ char *url = xasprintf("%s%s", c->base_url, req->path);
	struct curl_slist *headers = make_headers(req);
	struct transfer t = {.request = req, .curl = c->curl, .response = ret};

	ret->status = 0;
	ret->api_version[0] = ret->libpod_version[0] = '\0';
	buf_reset(&ret->body);
	ret->body.limit = req->max_body;
	c->error_text[0] = '\0';
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &t);
	curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, &t);
	set_method(c->curl, req);
	http_easy_timeout(c->curl, req->timeout);
	curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, req->give_up ? 0L : 1L);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, req);

	CURLcode rc = curl_easy_perform(c->curl);
	/* The handle outlives what it points to. */
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, NULL);
	curl_slist_free_all(headers);
	if (rc == CURLE_ABORTED_BY_CALLBACK)
		return err_set(err, ERR_CANCELLED, "given up");
	if (t.too_big)
		return err_set(err, ERR_TOOBIG, "answer beyond %zu bytes", req->max_body);
	if (ret->body.failed)
		return buf_status(&ret->body, err);
	if (rc != CURLE_OK)
		return explain(c, rc, err);

	long status = 0;
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	ret->status = (int)status;
	return 0;
}
