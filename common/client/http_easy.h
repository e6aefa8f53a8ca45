/*
 * http_easy.h: what requests and streams share of libcurl: a handle set up for a target, and its
 * errors as ours. Private to common/client/http*.c.
 */
#ifndef CELERIAC_HTTP_EASY_H
#define CELERIAC_HTTP_EASY_H

#include <curl/curl.h>

#include "http.h"

#define HTTP_CONNECT_TIMEOUT (10 * USEC_PER_SEC)

/* A handle for `target` with everything that the environment could change switched off.
 * `error_text` has CURL_ERROR_SIZE bytes and lives as long as the handle. Never NULL. */
CURL *http_easy_new(const struct http_target *target, char *error_text);

/* A socket for libcurl, which forgets why there is none: http_easy_error, in the same thread,
 * knows.
 */
curl_socket_t http_easy_socket(const struct curl_sockaddr *to);

/* The whole exchange, or the connecting alone, may take `timeout`. */
void http_easy_timeout(CURL *curl, usec_t timeout);

/* A failed libcurl call as our error. */
int http_easy_error(CURL *curl, CURLcode rc, const char *error_text, struct err *err);

#endif
